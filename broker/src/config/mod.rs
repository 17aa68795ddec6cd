//! The broker's configuration: flags over `SYNOD_…` environment over a TOML file over defaults.
//!
//! Every setting is one row of the table in [`settings`]: its key, its documentation, how its text
//! is read and how it is shown. The file, the environment and the flags all hand in text, so a
//! value means the same and fails with the same words wherever it was written.

mod error;
mod layers;
mod settings;
mod show;
mod units;

pub use error::{ConfigError, Problem};
pub use layers::{Layers, Loaded, Source};
pub use show::{show_default, show_effective, show_json};
pub use units::{ByteSize, Cluster, HostPort, LogFormat, LogLevel, Voter};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::groups::GroupConfig;

/// Everything an operator can set.
///
/// Invariants, checked by [`Layers::load`]: `limits.in_flight_size >= limits.frame_size`; the three
/// listeners differ (or use port 0); `advertise` names a reachable host and a port other than 0;
/// voters in `cluster` have distinct node ids and addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This broker's id: Kafka's broker id and the Paxos member id, from 1.
    pub node_id: u32,
    /// Directory of the partitions' logs and the journal; created when absent.
    pub data_dir: PathBuf,
    /// Where Kafka clients connect. Port 0 picks a free one.
    pub listen: HostPort,
    /// The address given to clients in Metadata. `None`: the address a client connected to.
    pub advertise: Option<HostPort>,
    /// Where other brokers connect. Port 0 picks a free one.
    pub peer_listen: HostPort,
    /// Where `/metrics`, `/healthz` and `/readyz` are served. Port 0 picks a free one.
    pub http_listen: HostPort,
    /// The metadata group's voters, identical on every broker. `None`: this broker alone.
    pub cluster: Option<Cluster>,
    /// Name of the failure domain this broker stands in.
    pub rack: Option<String>,
    /// Event loops that own partitions; about one per core.
    pub shards: usize,
    /// Whether a Metadata request may create a topic that does not exist.
    pub auto_create_topics: bool,
    /// Partitions of a topic whose creator names no number.
    pub num_partitions: u32,
    /// Replicas of a partition whose creator names no number.
    pub default_replication_factor: u16,
    /// How long an idempotent producer that writes nothing is remembered.
    pub producer_id_expiration: Duration,
    /// Bounds that keep memory and descriptors in check.
    pub limits: Limits,
    /// The durable log.
    pub storage: Storage,
    /// The coordinators of consumer groups.
    pub groups: GroupConfig,
    /// What the broker says on stderr.
    pub logging: Logging,
    /// Kafka's topic settings (`retention.ms`, …) for topics that do not set their own.
    ///
    /// Only names of the topic settings' table, with values in canonical form.
    pub topic_defaults: BTreeMap<String, String>,
}

/// Bounds of client traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest request frame, in bytes, without its 4-byte length.
    pub frame_size: ByteSize,
    /// Bytes of requests that may be in memory at once, over all connections.
    pub in_flight_size: ByteSize,
    /// Client connections at once; one more is closed at once.
    pub connections: usize,
    /// Client connections at once from one IP address.
    pub connections_per_address: usize,
    /// A connection without a request for this long is closed.
    pub idle_timeout: Duration,
    /// Partitions named in one request; more are refused.
    pub partitions_per_request: usize,
    /// Partitions hosted in all; creating more is refused.
    pub partitions: usize,
    /// Bytes of records in one Fetch response, whatever the client asks for.
    pub fetch_size: ByteSize,
}

/// The durable log's upkeep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Time between two applications of `retention.ms` and `retention.bytes`.
    pub retention_check_interval: Duration,
    /// Threads that sync files.
    pub sync_threads: usize,
    /// Size of each of the two files per shard in which small appends are carried; 0: none are.
    pub carrier_size: ByteSize,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// Least important level that is written.
    pub level: LogLevel,
    /// One line of text or one JSON object per event.
    pub format: LogFormat,
}

const MIB: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for Config {
    fn default() -> Config {
        Config {
            node_id: 1,
            data_dir: PathBuf::from("./synod-data"),
            listen: HostPort::loopback(9092),
            advertise: None,
            peer_listen: HostPort::loopback(9192),
            http_listen: HostPort::loopback(9644),
            cluster: None,
            rack: None,
            shards: std::thread::available_parallelism().map_or(1, |cores| cores.get().min(256)),
            auto_create_topics: true,
            num_partitions: 1,
            default_replication_factor: 1,
            producer_id_expiration: DAY,
            limits: Limits::default(),
            storage: Storage::default(),
            groups: GroupConfig::default(),
            logging: Logging { level: LogLevel::Info, format: LogFormat::Text },
            topic_defaults: BTreeMap::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            frame_size: ByteSize(100 * MIB),
            in_flight_size: ByteSize(256 * MIB),
            connections: 10_000,
            connections_per_address: 10_000,
            idle_timeout: Duration::from_secs(10 * 60),
            partitions_per_request: 100_000,
            partitions: 100_000,
            fetch_size: ByteSize(55 * MIB),
        }
    }
}

impl Default for Storage {
    fn default() -> Storage {
        Storage {
            retention_check_interval: Duration::from_secs(5 * 60),
            sync_threads: 4,
            carrier_size: ByteSize(0),
        }
    }
}

impl Config {
    /// Voters of the metadata group: 1 without a `cluster`.
    pub fn voter_count(&self) -> usize {
        self.cluster.as_ref().map_or(1, |cluster| cluster.voters().len())
    }

    /// This broker's entry in the cluster list.
    pub fn own_voter(&self) -> Option<&Voter> {
        let voters = self.cluster.as_ref()?.voters();
        voters.iter().find(|voter| voter.node_id == self.node_id)
    }

    /// Sets the defaults that follow from other settings, except those in `set_keys`.
    fn derive_defaults(&mut self, is_set: impl Fn(&str) -> bool) {
        if !is_set("auto_create_topics") {
            self.auto_create_topics = self.voter_count() == 1;
        }
        if !is_set("default_replication_factor") {
            self.default_replication_factor = if self.voter_count() >= 3 { 3 } else { 1 };
        }
        if !is_set("peer_listen")
            && let Some(own) = self.own_voter()
        {
            self.peer_listen = own.address.clone();
        }
        if !is_set("groups.offsets_replication_factor") {
            self.groups.offsets_replication_factor = if self.voter_count() >= 3 { 3 } else { 1 };
        }
    }

    /// Checks what no single setting can know. Each problem names the key at fault.
    fn cross_check(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.limits.in_flight_size < self.limits.frame_size {
            problems.push((
                "limits.in_flight_size",
                format!("at least limits.frame_size ({})", self.limits.frame_size),
            ));
        }
        if self.groups.max_session_timeout < self.groups.min_session_timeout {
            problems
                .push(("groups.max_session_timeout", "at least groups.min_session_timeout".into()));
        }
        if self.cluster.is_some() && self.own_voter().is_none() {
            let node_id = self.node_id;
            problems.push(("cluster", format!("a list that has this broker's node_id {node_id}")));
        }
        let listeners = [
            ("listen", &self.listen),
            ("peer_listen", &self.peer_listen),
            ("http_listen", &self.http_listen),
        ];
        for (index, (key, address)) in listeners.iter().enumerate() {
            for (other, earlier) in &listeners[..index] {
                if address.port() != 0 && address == earlier {
                    problems.push((key, format!("an address other than that of {other}")));
                }
            }
        }
        if let Some(address) = &self.advertise
            && (address.port() == 0 || address.is_unspecified())
        {
            problems.push((
                "advertise",
                "a host and port that clients can connect to, not 0.0.0.0, [::] or port 0".into(),
            ));
        }
        problems
    }
}

#[cfg(test)]
mod tests;
