//! What a scrape pulls from the running broker instead of having it counted.

use std::sync::Arc;

use super::groups::GroupsSnapshot;

/// The running broker as a scrape sees it.
///
/// Called on the HTTP thread for each scrape: it must read shared views only and never wait for a
/// shard.
pub trait Source: Send + Sync + std::fmt::Debug {
    /// The state at this moment. Partitions may be a little apart in time from each other.
    fn snapshot(&self) -> Snapshot;
}

/// One look at the broker.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// This broker's id.
    pub broker_id: i32,
    /// Live brokers in the cluster, this one included.
    pub brokers: Vec<BrokerSnapshot>,
    /// Bytes of requests in memory.
    pub memory_used: u64,
    /// Bytes of requests that may be in memory at once.
    pub memory_limit: u64,
    /// Consumer groups that this broker coordinates.
    pub groups: GroupsSnapshot,
    /// Partitions that this broker knows of, in order of topic and partition.
    pub partitions: Vec<PartitionSnapshot>,
}

/// One live broker.
#[derive(Clone, Debug, Default)]
pub struct BrokerSnapshot {
    /// Its id.
    pub id: i32,
    /// The address clients are told, `host:port`.
    pub address: String,
}

/// One partition.
#[derive(Clone, Debug)]
pub struct PartitionSnapshot {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: u32,
    /// Broker id of the leader; `None` while there is none.
    pub leader: Option<i32>,
    /// Whether the leader is the first of the replica set.
    pub is_preferred_leader: bool,
    /// Brokers in the replica set.
    pub replica_count: u32,
    /// Replicas that are in sync, as reported to clients.
    pub in_sync_count: u32,
    /// The round of the present leader, which is Kafka's leader epoch.
    pub leader_epoch: u32,
    /// What this broker holds of it; `None` when it is not a replica.
    pub log: Option<LogSnapshot>,
}

/// A replica's log on this broker.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogSnapshot {
    /// Log start offset.
    pub start_offset: u64,
    /// Log end offset.
    pub end_offset: u64,
    /// High watermark.
    pub high_watermark: u64,
    /// Bytes of its segments' batches.
    pub size: u64,
}
