//! The table of broker settings: what tools see when they describe a broker.
//!
//! Two sorts: those that topics follow, which can be changed while the broker runs, and those of
//! the broker's own configuration, shown under Kafka's names, which cannot.

use super::{
    config_key::{ConfigKey, ConfigType, Effect, Rule, Synonym},
    config_view::{ConfigSource, ConfigSynonym, ConfigView, Effective, followed_by},
    topic_config_table::TOPIC_KEYS,
};
use crate::config::{Config, HostPort};

/// A setting of the broker's configuration under Kafka's name.
#[derive(Debug)]
pub struct FixedKey {
    /// Kafka's name.
    pub name: &'static str,
    /// The type that tools are told.
    pub kind: ConfigType,
    /// What it means, and which setting of the broker's configuration it is.
    pub doc: &'static str,
    value: fn(&Config) -> Option<String>,
}

/// A broker setting.
#[derive(Clone, Copy, Debug)]
pub enum BrokerKey {
    /// Topics follow it.
    Followed(&'static ConfigKey, &'static Synonym),
    /// Kept for tools, and followed by nothing.
    Kept(&'static ConfigKey),
    /// Part of the broker's configuration.
    Fixed(&'static FixedKey),
}

impl BrokerKey {
    /// The setting of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        let followed = followed_by(name).map(|(key, synonym)| Self::Followed(key, synonym));
        let kept = || KEPT.iter().find(|key| key.name == name).map(Self::Kept);
        let fixed = || FIXED.iter().find(|key| key.name == name).map(Self::Fixed);
        followed.or_else(kept).or_else(fixed)
    }

    /// All settings, ordered by name.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let followed = TOPIC_KEYS
            .iter()
            .flat_map(|key| key.follows.iter().map(move |synonym| Self::Followed(key, synonym)));
        let kept = KEPT.iter().map(Self::Kept);
        let mut all: Vec<_> = followed.chain(kept).chain(FIXED.iter().map(Self::Fixed)).collect();
        all.sort_by_key(Self::name);
        all
    }

    /// Kafka's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Followed(_, synonym) => synonym.name,
            Self::Kept(key) => key.name,
            Self::Fixed(key) => key.name,
        }
    }

    /// The type that tools are told.
    #[must_use]
    pub fn kind(&self) -> ConfigType {
        match self {
            // Hours and minutes are 32-bit numbers, milliseconds have 64 bits.
            Self::Followed(_, synonym) if synonym.factor != 1 => ConfigType::Int,
            Self::Followed(key, _) | Self::Kept(key) => key.kind,
            Self::Fixed(key) => key.kind,
        }
    }

    /// What it means.
    #[must_use]
    pub fn doc(&self) -> &'static str {
        match self {
            Self::Followed(key, _) | Self::Kept(key) => key.doc,
            Self::Fixed(key) => key.doc,
        }
    }

    /// The rules for its values, if it can be changed while the broker runs.
    #[must_use]
    pub fn dynamic(&self) -> Option<&'static ConfigKey> {
        match self {
            Self::Followed(key, synonym) => (key.follows.first() == Some(*synonym)).then_some(*key),
            Self::Kept(key) => Some(*key),
            Self::Fixed(_) => None,
        }
    }

    /// The value in force on the view's broker, whose configuration is `config`.
    #[must_use]
    pub fn effective(&self, view: &ConfigView<'_>, config: &Config) -> Effective {
        match self {
            Self::Followed(key, synonym) => view.broker_setting(key, synonym),
            Self::Kept(key) => view.dynamic_setting(key),
            Self::Fixed(key) => key.effective(config),
        }
    }
}

impl FixedKey {
    fn effective(&self, config: &Config) -> Effective {
        let value = (self.value)(config);
        let default = (self.value)(&Config::default());
        let source = if value == default { ConfigSource::Default } else { ConfigSource::Static };
        let synonym = |(value, source)| ConfigSynonym { name: self.name, value, source };
        let set = value.clone().filter(|_| source == ConfigSource::Static);
        let set = set.map(|value| (value, ConfigSource::Static));
        let built_in = default.map(|value| (value, ConfigSource::Default));
        let synonyms = set.into_iter().chain(built_in).map(synonym).collect();
        Effective { value, source, synonyms }
    }
}

macro_rules! fixed {
    ($name:literal, $kind:ident, $value:expr, $doc:literal) => {
        FixedKey { name: $name, kind: ConfigType::$kind, doc: $doc, value: $value }
    };
}

const RATE_DOC: &str =
    "Kept for tools that move replicas. Replication is flow-controlled by itself.";

const fn rate(name: &'static str) -> ConfigKey {
    ConfigKey {
        name,
        kind: ConfigType::Long,
        default: "9223372036854775807",
        rule: Rule::Range(0, i64::MAX),
        effect: Effect::Kept,
        doc: RATE_DOC,
        follows: &[],
    }
}

/// Settings that tools set on brokers and that nothing here needs.
static KEPT: &[ConfigKey] = &[
    rate("follower.replication.throttled.rate"),
    rate("leader.replication.throttled.rate"),
    rate("replica.alter.log.dirs.io.max.bytes.per.second"),
];

fn plaintext(address: &HostPort) -> String {
    format!("PLAINTEXT://{address}")
}

/// Settings of the broker's configuration.
static FIXED: &[FixedKey] = &[
    fixed!(
        "advertised.listeners",
        List,
        |c| c.advertise.as_ref().map(plaintext),
        "The address that clients are told (advertise); unset: the one a client connected to."
    ),
    fixed!(
        "auto.create.topics.enable",
        Boolean,
        |c| Some(c.auto_create_topics.to_string()),
        "Whether asking for a topic that does not exist may create it (auto_create_topics)."
    ),
    fixed!("broker.id", Int, |c| Some(c.node_id.to_string()), "The broker's number (node_id)."),
    fixed!(
        "broker.rack",
        String,
        |c| c.rack.clone(),
        "The failure domain that the broker stands in (rack)."
    ),
    fixed!(
        "connections.max.idle.ms",
        Long,
        |c| Some(c.limits.idle_timeout.as_millis().to_string()),
        "A connection without a request for this long is closed (limits.idle_timeout)."
    ),
    fixed!(
        "default.replication.factor",
        Int,
        |c| Some(c.default_replication_factor.to_string()),
        "Replicas of a partition whose creator names no number (default_replication_factor)."
    ),
    fixed!("delete.topic.enable", Boolean, |_| Some("true".into()), "Topics can be deleted."),
    fixed!(
        "fetch.max.bytes",
        Int,
        |c| Some(c.limits.fetch_size.0.to_string()),
        "Bytes of records in one Fetch response (limits.fetch_size)."
    ),
    fixed!(
        "group.initial.rebalance.delay.ms",
        Int,
        |c| Some(c.groups.initial_rebalance_delay.as_millis().to_string()),
        "How long an empty group waits for more members (groups.initial_rebalance_delay)."
    ),
    fixed!(
        "group.max.session.timeout.ms",
        Int,
        |c| Some(c.groups.max_session_timeout.as_millis().to_string()),
        "The longest session time-out of a group member (groups.max_session_timeout)."
    ),
    fixed!(
        "group.max.size",
        Int,
        |c| Some(c.groups.max_size.to_string()),
        "Members of one group (groups.max_size)."
    ),
    fixed!(
        "group.min.session.timeout.ms",
        Int,
        |c| Some(c.groups.min_session_timeout.as_millis().to_string()),
        "The shortest session time-out of a group member (groups.min_session_timeout)."
    ),
    fixed!(
        "listeners",
        List,
        |c| Some(plaintext(&c.listen)),
        "Where the broker listens for clients (listen)."
    ),
    fixed!(
        "log.dir",
        String,
        |c| Some(c.data_dir.display().to_string()),
        "The data directory (data_dir)."
    ),
    fixed!(
        "log.dirs",
        List,
        |c| Some(c.data_dir.display().to_string()),
        "The data directory (data_dir); there is one."
    ),
    fixed!(
        "log.retention.check.interval.ms",
        Long,
        |c| Some(c.storage.retention_check_interval.as_millis().to_string()),
        "Time between two applications of retention (storage.retention_check_interval)."
    ),
    fixed!(
        "max.connections",
        Int,
        |c| Some(c.limits.connections.to_string()),
        "Client connections at once (limits.connections)."
    ),
    fixed!(
        "max.connections.per.ip",
        Int,
        |c| Some(c.limits.connections_per_address.to_string()),
        "Client connections at once from one address (limits.connections_per_address)."
    ),
    fixed!("node.id", Int, |c| Some(c.node_id.to_string()), "The broker's number (node_id)."),
    fixed!(
        "num.network.threads",
        Int,
        |c| Some(c.shards.to_string()),
        "Event loops that serve connections and own partitions (shards)."
    ),
    fixed!(
        "num.io.threads",
        Int,
        |c| Some(c.storage.sync_threads.to_string()),
        "Threads that sync files (storage.sync_threads)."
    ),
    fixed!(
        "num.partitions",
        Int,
        |c| Some(c.num_partitions.to_string()),
        "Partitions of a topic whose creator names no number (num_partitions)."
    ),
    fixed!(
        "offset.metadata.max.bytes",
        Int,
        |c| Some(c.groups.offset_metadata_size.to_string()),
        "The longest remark beside a committed offset (groups.offset_metadata_size)."
    ),
    fixed!(
        "offsets.retention.check.interval.ms",
        Long,
        |c| Some(c.groups.offsets_retention_check_interval.as_millis().to_string()),
        "Time between two looks for old offsets (groups.offsets_retention_check_interval)."
    ),
    fixed!(
        "offsets.retention.minutes",
        Int,
        |c| Some((c.groups.offsets_retention.as_secs() / 60).to_string()),
        "How long the offsets of a group without members are kept (groups.offsets_retention)."
    ),
    fixed!(
        "offsets.topic.num.partitions",
        Int,
        |c| Some(c.groups.offsets_partitions.to_string()),
        "Partitions of __consumer_offsets when it is created (groups.offsets_partitions)."
    ),
    fixed!(
        "offsets.topic.replication.factor",
        Short,
        |c| Some(c.groups.offsets_replication_factor.to_string()),
        "Replicas of __consumer_offsets when it is created (groups.offsets_replication_factor)."
    ),
    fixed!(
        "process.roles",
        List,
        |_| Some("broker,controller".into()),
        "Every broker serves clients, and the voters agree on metadata."
    ),
    fixed!(
        "producer.id.expiration.ms",
        Int,
        |c| Some(c.producer_id_expiration.as_millis().to_string()),
        "How long an idempotent producer that writes nothing is remembered \
         (producer_id_expiration)."
    ),
    fixed!(
        "queued.max.request.bytes",
        Long,
        |c| Some(c.limits.in_flight_size.0.to_string()),
        "Bytes of requests in memory at once (limits.in_flight_size)."
    ),
    fixed!(
        "socket.request.max.bytes",
        Int,
        |c| Some(c.limits.frame_size.0.to_string()),
        "The largest request (limits.frame_size)."
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{BrokerId, MetadataImage, StaticConfigs};

    fn effective(name: &str, config: &Config) -> Effective {
        let (image, statics) = (MetadataImage::default(), StaticConfigs::new(config).unwrap());
        let view = ConfigView { image: &image, statics: &statics, broker: BrokerId(1) };
        BrokerKey::find(name).unwrap().effective(&view, config)
    }

    #[test]
    fn every_name_is_found_and_stands_once() {
        let all = BrokerKey::all();
        assert!(all.is_sorted_by(|a, b| a.name() < b.name()));
        for key in &all {
            assert_eq!(BrokerKey::find(key.name()).unwrap().name(), key.name());
            assert!(key.doc().ends_with('.'), "{}", key.name());
        }
        assert!(BrokerKey::find("nope").is_none());
    }

    #[test]
    fn only_what_topics_follow_first_or_tools_set_is_dynamic() {
        for (name, dynamic) in [
            ("log.retention.ms", true),
            ("log.retention.hours", false),
            ("log.retention.minutes", false),
            ("message.max.bytes", true),
            ("min.insync.replicas", true),
            ("leader.replication.throttled.rate", true),
            ("num.partitions", false),
            ("log.dirs", false),
            ("node.id", false),
        ] {
            assert_eq!(BrokerKey::find(name).unwrap().dynamic().is_some(), dynamic, "{name}");
        }
    }

    #[test]
    fn values_of_the_configuration_say_whether_they_were_set() {
        let default = effective("num.partitions", &Config::default());
        assert_eq!((default.value.as_deref(), default.source), (Some("1"), ConfigSource::Default));
        let config = Config { num_partitions: 6, ..Config::default() };
        let set = effective("num.partitions", &config);
        assert_eq!((set.value.as_deref(), set.source), (Some("6"), ConfigSource::Static));
        let sources: Vec<_> = set.synonyms.iter().map(|s| (s.value.as_str(), s.source)).collect();
        assert_eq!(sources, [("6", ConfigSource::Static), ("1", ConfigSource::Default)]);
        assert_eq!(effective("broker.rack", &config).value, None);
    }

    #[test]
    fn of_several_names_only_the_last_has_a_built_in_value() {
        let config = Config::default();
        assert_eq!(effective("log.retention.ms", &config).value, None);
        assert_eq!(effective("log.retention.minutes", &config).value, None);
        assert_eq!(effective("log.retention.hours", &config).value.as_deref(), Some("168"));
        assert_eq!(effective("log.roll.hours", &config).value.as_deref(), Some("168"));
        assert_eq!(effective("log.segment.bytes", &config).value.as_deref(), Some("1073741824"));
    }
}
