//! The table of settings: one row per key, and the only place that knows them all.

use super::units::{NotAValue, parse_duration, show_duration};
use super::{ByteSize, Cluster, Config, HostPort, LogFormat, LogLevel};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// One setting.
pub(super) struct Setting {
    /// Its key in the file: `name` or `section.name`.
    pub(super) key: &'static str,
    /// What it does, for the commented default file.
    pub(super) doc: &'static str,
    /// What values it takes, to follow "expected".
    pub(super) expected: fn() -> String,
    /// Reads text into the configuration.
    pub(super) set: fn(&mut Config, &str) -> Result<(), NotAValue>,
    /// The present value; `None` when it is unset.
    pub(super) show: fn(&Config) -> Option<toml::Value>,
}

/// A type of setting.
trait Value: Sized {
    /// What its text looks like.
    const EXPECTED: &'static str;
    fn read(text: &str) -> Result<Self, NotAValue>;
    fn show(&self) -> Option<toml::Value>;
}

impl Setting {
    /// The variable that sets it: `SYNOD_LIMITS_FRAME_SIZE` for `limits.frame_size`.
    pub(super) fn env_name(&self) -> String {
        env_name(self.key)
    }
}

/// The environment variable of a key.
pub(super) fn env_name(key: &str) -> String {
    format!("SYNOD_{}", key.replace('.', "_").to_ascii_uppercase())
}

/// The setting with this key.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// Section of the settings that topics start from; its keys are Kafka's names.
pub(super) const TOPIC_DEFAULTS: &str = "topic_defaults.";

/// A row: the field, the range where one holds, the documentation.
macro_rules! setting {
    ($($field:ident).+, $doc:literal) => {
        Setting {
            key: dotted(stringify!($($field).+)),
            doc: $doc,
            expected: || expected_of(|c| &c.$($field).+, None),
            set: |config, text| {
                config.$($field).+ = Value::read(text)?;
                Ok(())
            },
            show: |config| config.$($field).+.show(),
        }
    };
    ($($field:ident).+, $range:expr, $doc:literal) => {
        Setting {
            key: dotted(stringify!($($field).+)),
            doc: $doc,
            expected: || expected_of(|c| &c.$($field).+, Some($range)),
            set: |config, text| {
                config.$($field).+ = read_within(text, &$range)?;
                Ok(())
            },
            show: |config| config.$($field).+.show(),
        }
    };
}

/// Guards the assumption that `stringify!` of `limits.frame_size` has no spaces.
const fn dotted(key: &'static str) -> &'static str {
    let bytes = key.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        assert!(bytes[index] != b' ');
        index += 1;
    }
    key
}

fn read_within<T: Value + PartialOrd>(
    text: &str,
    range: &RangeInclusive<T>,
) -> Result<T, NotAValue> {
    let value = T::read(text)?;
    if range.contains(&value) { Ok(value) } else { Err(NotAValue) }
}

fn expected_of<T: Value>(_: fn(&Config) -> &T, range: Option<RangeInclusive<T>>) -> String {
    let plain = |value: &T| match value.show() {
        Some(toml::Value::String(text)) => text,
        Some(other) => other.to_string(),
        None => String::new(),
    };
    match range {
        Some(range) => {
            format!("{} from {} to {}", T::EXPECTED, plain(range.start()), plain(range.end()))
        }
        None => T::EXPECTED.to_owned(),
    }
}

const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// Every setting, in the order of the default file: sections stand together, plain keys first.
pub(super) static SETTINGS: &[Setting] = &[
    setting!(
        node_id,
        1..=i32::MAX as u32,
        "This broker's id. A data directory remembers it; another id is refused."
    ),
    setting!(data_dir, "Directory of the logs and the journal; created when absent."),
    setting!(listen, "Where Kafka clients connect. Port 0 picks a free one."),
    setting!(
        advertise,
        "The address that clients are told. Unset: the address a client connected to."
    ),
    setting!(
        peer_listen,
        "Where other brokers connect. Default in a cluster: this broker's address in the list."
    ),
    setting!(http_listen, "Where /metrics, /healthz and /readyz are served."),
    setting!(
        cluster,
        "The cluster's voters, the same list on every broker. Unset: this one alone."
    ),
    setting!(rack, "Failure domain of this broker; replicas are spread over them."),
    setting!(shards, 1..=256, "Event loops that own partitions. Default: one per core."),
    setting!(
        auto_create_topics,
        "Whether asking for a topic may create it. Default: true with one broker."
    ),
    setting!(num_partitions, 1..=10_000, "Partitions of a topic whose creator names no number."),
    setting!(
        default_replication_factor,
        1..=7,
        "Replicas of a partition whose creator names no number. Default: 3 with three voters."
    ),
    setting!(
        producer_id_expiration,
        SECOND..=DAY * 365,
        "How long an idempotent producer that writes nothing is remembered."
    ),
    setting!(
        limits.frame_size,
        ByteSize(KIB)..=ByteSize(crate::limits::FRAME_SIZE_CEILING as u64),
        "Largest request. A client that announces a larger one is disconnected."
    ),
    setting!(
        limits.in_flight_size,
        ByteSize(KIB)..=ByteSize(1024 * GIB),
        "Bytes of requests in memory at once; beyond it sockets are not read."
    ),
    setting!(limits.connections, 1..=1_000_000, "Client connections at once."),
    setting!(
        limits.connections_per_address,
        1..=1_000_000,
        "Client connections at once from one IP address."
    ),
    setting!(
        limits.idle_timeout,
        SECOND..=DAY * 365,
        "A connection without a request for this long is closed."
    ),
    setting!(limits.partitions_per_request, 1..=10_000_000, "Partitions named in one request."),
    setting!(limits.partitions, 1..=10_000_000, "Partitions in the cluster."),
    setting!(
        limits.fetch_size,
        ByteSize(KIB)..=ByteSize(GIB),
        "Bytes of records in one Fetch response, whatever the client asks for."
    ),
    setting!(
        storage.retention_check_interval,
        SECOND..=DAY * 365,
        "Time between two applications of retention.ms and retention.bytes."
    ),
    setting!(storage.sync_threads, 1..=256, "Threads that sync files."),
    setting!(
        storage.carrier_size,
        ByteSize(0)..=ByteSize(GIB),
        "Size of each of a shard's two files of small appends, which share a sync. 0: no such files."
    ),
    setting!(
        groups.offsets_partitions,
        1..=10_000,
        "Partitions of __consumer_offsets when it is created; groups are spread over them."
    ),
    setting!(
        groups.offsets_replication_factor,
        1..=7,
        "Replicas of __consumer_offsets when it is created. Default: 3 with three voters."
    ),
    setting!(
        groups.min_session_timeout,
        Duration::from_millis(1)..=DAY,
        "Shortest session time-out that a group member may ask for."
    ),
    setting!(
        groups.max_session_timeout,
        Duration::from_millis(1)..=DAY,
        "Longest session time-out that a group member may ask for."
    ),
    setting!(
        groups.initial_rebalance_delay,
        Duration::ZERO..=DAY,
        "How long the first rebalance of an empty group waits for more members."
    ),
    setting!(groups.max_size, 1..=i32::MAX as usize, "Members of one group."),
    setting!(
        groups.offset_metadata_size,
        0..=16_384,
        "Longest remark beside a committed offset, in characters."
    ),
    setting!(
        groups.offsets_retention,
        Duration::from_secs(60)..=DAY * 3650,
        "How long the offsets of a group without members are kept."
    ),
    setting!(
        groups.offsets_retention_check_interval,
        Duration::from_millis(1)..=DAY,
        "Time between two looks for offsets that are older than that."
    ),
    setting!(logging.level, "Least important level that is written to stderr."),
    setting!(logging.format, "One line of text or one JSON object per event."),
];

impl Value for HostPort {
    const EXPECTED: &'static str = "HOST:PORT such as 127.0.0.1:9092 or [::1]:9092";

    fn read(text: &str) -> Result<HostPort, NotAValue> {
        text.parse()
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.to_string().into())
    }
}

impl Value for Cluster {
    const EXPECTED: &'static str =
        "up to seven distinct voters ID@HOST:PORT such as 1@a:9192,2@b:9192,3@c:9192";

    fn read(text: &str) -> Result<Cluster, NotAValue> {
        text.parse()
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.to_string().into())
    }
}

/// An empty text unsets an optional setting, so that a flag can undo what a file says.
impl<T: Value> Value for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn read(text: &str) -> Result<Option<T>, NotAValue> {
        if text.is_empty() { Ok(None) } else { T::read(text).map(Some) }
    }

    fn show(&self) -> Option<toml::Value> {
        self.as_ref().and_then(T::show)
    }
}

impl Value for String {
    const EXPECTED: &'static str = "a word of 1 to 249 letters, digits and . _ -";

    fn read(text: &str) -> Result<String, NotAValue> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if text.is_empty() || text.len() > 249 || !text.chars().all(is_word) {
            return Err(NotAValue);
        }
        Ok(text.to_owned())
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.clone().into())
    }
}

impl Value for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn read(text: &str) -> Result<PathBuf, NotAValue> {
        if text.is_empty() || text.contains('\0') { Err(NotAValue) } else { Ok(text.into()) }
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.to_string_lossy().into_owned().into())
    }
}

impl Value for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(text: &str) -> Result<bool, NotAValue> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(NotAValue),
        }
    }

    fn show(&self) -> Option<toml::Value> {
        Some((*self).into())
    }
}

impl Value for Duration {
    const EXPECTED: &'static str = "a time such as 500ms, 30s, 10m, 1h or 7d";

    fn read(text: &str) -> Result<Duration, NotAValue> {
        parse_duration(text)
    }

    fn show(&self) -> Option<toml::Value> {
        Some(show_duration(*self).into())
    }
}

impl Value for ByteSize {
    const EXPECTED: &'static str = "a size such as 65536, 64KiB or 100MiB";

    fn read(text: &str) -> Result<ByteSize, NotAValue> {
        text.parse()
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.to_string().into())
    }
}

impl Value for LogLevel {
    const EXPECTED: &'static str = "error, warn, info, debug or trace";

    fn read(text: &str) -> Result<LogLevel, NotAValue> {
        text.parse()
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.to_string().into())
    }
}

impl Value for LogFormat {
    const EXPECTED: &'static str = "text or json";

    fn read(text: &str) -> Result<LogFormat, NotAValue> {
        text.parse()
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.to_string().into())
    }
}

/// Whole numbers differ only in their width.
macro_rules! whole_numbers {
    ($($number:ty),+) => {
        $(impl Value for $number {
            const EXPECTED: &'static str = "a whole number";

            fn read(text: &str) -> Result<$number, NotAValue> {
                let text = text.trim().replace('_', "");
                // `from_str` would take "+1".
                if !text.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(NotAValue);
                }
                text.parse().map_err(|_| NotAValue)
            }

            fn show(&self) -> Option<toml::Value> {
                i64::try_from(*self).ok().map(toml::Value::Integer)
            }
        })+
    };
}

whole_numbers!(u16, u32, usize);
