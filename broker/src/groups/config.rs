//! A coordinator's settings and bounds.

use std::time::Duration;

/// Ids that may be given out in one group before their members have come back with them.
pub(super) const PENDING_MEMBERS: usize = 10_000;

/// Groups that one partition of the offsets topic may have.
pub(super) const GROUPS: usize = 1_000_000;

/// Bytes of protocols that a joining member may bring.
pub(super) const PROTOCOLS_SIZE: usize = 4 << 20;

/// Protocols that a joining member may bring.
pub(super) const PROTOCOLS: usize = 1000;

/// Bytes of the records of one request: they must fit into one batch.
pub(super) const RECORDS_SIZE: usize = 1 << 20;

/// How long a new member may wait for its first generation before it counts as silent, as in Kafka.
pub(super) const NEW_MEMBER_JOIN_TIMEOUT_MS: u64 = 5 * 60 * 1000;

/// Groups whose offsets are checked for their age in one tick.
pub(super) const RETENTION_GROUPS: usize = 64;

/// The longest step that a coordinator's time takes at once: a process that was paused does not
/// find all sessions run out, since their heartbeats were not read meanwhile.
pub(super) const STEP_MS: u64 = 1000;

/// A coordinator's settings, under the meaning and with the defaults of Kafka's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// `offsets.topic.num.partitions`; of a topic that exists, its own number counts.
    pub offsets_partitions: u32,
    /// `offsets.topic.replication.factor`, likewise.
    pub offsets_replication_factor: u16,
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout: Duration,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay: Duration,
    /// `group.max.size`.
    pub max_size: usize,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_size: usize,
    /// `offsets.retention.minutes`.
    pub offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval: Duration,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            offsets_partitions: 50,
            offsets_replication_factor: 1,
            min_session_timeout: Duration::from_secs(6),
            max_session_timeout: Duration::from_secs(30 * 60),
            initial_rebalance_delay: Duration::from_secs(3),
            max_size: i32::MAX as usize,
            offset_metadata_size: 4096,
            offsets_retention: Duration::from_secs(7 * 24 * 60 * 60),
            offsets_retention_check_interval: Duration::from_secs(10 * 60),
        }
    }
}

/// Whole milliseconds.
pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A time-out from the wire; negative ones have passed at once.
pub(super) fn timeout_ms(timeout: i32) -> u64 {
    u64::try_from(timeout).unwrap_or_default()
}
