//! Settings, retention, trimming, scrubbing.

use std::num::NonZeroU32;
use std::sync::Arc;

use synod_log::{Log, LogConfig, LogError};
use synod_paxos::{NodeId, ReplicaConfig};

use super::{Effects, EndReason, Partition, PartitionError};
use crate::config::Config;
use crate::limits::{
    CARRY_MAX_SIZE, CHECK_QUORUM_TICKS, DATA_TICKS, PROBE_TICKS, REPLICA_TICK, RESEND_TICKS,
};
use crate::metadata::TopicConfig;
use crate::shard::TrimError;

/// How often a log's first batch is asked for.
const READ_TRIES: usize = 3;

/// Milliseconds of one tick of a data partition.
const TICK_MS: u64 = REPLICA_TICK.as_millis() as u64 * DATA_TICKS as u64;

impl Partition {
    /// Has the next sealed segment checked in the background; false if there is none.
    pub(crate) fn scrub_next(&mut self) -> bool {
        self.log.scrub_next()
    }

    /// Whether something cannot be read that this incarnation did not give up when it began.
    pub(super) fn is_damaged_anew(&self) -> bool {
        let kept_end = self.unreadable_from.unwrap_or(u64::MAX);
        self.log.corrupt().iter().any(|offsets| offsets.start < kept_end)
    }

    /// Applies the topic's settings.
    pub(crate) fn configure(&mut self, config: &Arc<TopicConfig>, broker: &Config) {
        self.log.set_config(log_config(config, broker));
        self.in_sync.set_min_count(config.min_in_sync_replicas);
        self.view.set_config(config.clone());
    }

    /// Ages segments and producers; with `retain` also drops what is too old or too much.
    ///
    /// # Errors
    /// As [`Partition::handle_synced`].
    pub(crate) fn upkeep(
        &mut self,
        now_ms: i64,
        retain: bool,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        if self.ended.is_some() {
            return Ok(());
        }
        // Ticks that a pause swallowed only make the log remember producers for longer.
        self.log.tick(self.ticks * TICK_MS);
        if self.is_damaged_anew() && self.has_peers() {
            self.end(EndReason::Corrupt);
        }
        if retain && self.is_ready() {
            let before = self.log.start();
            self.log.retain(now_ms, self.replica.decided_end())?;
            self.note_trimmed(before);
        }
        self.step(effects)
    }

    /// Drops the records before an offset; `None` is the high watermark. Returns the log's start.
    ///
    /// # Errors
    /// As [`Partition::handle_synced`]; refusals are the inner error.
    pub(crate) fn trim(
        &mut self,
        before: Option<u64>,
        effects: &mut Effects,
    ) -> Result<Result<u64, TrimError>, PartitionError> {
        if !self.is_ready() {
            return Ok(Err(TrimError::NotLeader));
        }
        let decided_end = self.replica.decided_end();
        let new_start = before.unwrap_or(decided_end);
        if new_start > decided_end {
            return Ok(Err(TrimError::OutOfRange));
        }
        if new_start > self.log.durable_end() {
            // Decided by the others, whose disks were faster.
            return Ok(Err(TrimError::NotSynced));
        }
        let start = self.log.start();
        if new_start > start {
            match self.log.trim(new_start) {
                Ok(()) => self.note_trimmed(start),
                Err(LogError::DiskFull { .. }) => return Ok(Err(TrimError::DiskFull)),
                Err(error) => return Err(error.into()),
            }
            self.step(effects)?;
        }
        Ok(Ok(self.log.start()))
    }

    /// Trims as far as the leader has, as long as nothing here is in the way.
    pub(super) fn follow_trim(&mut self, start: u64) -> Result<(), PartitionError> {
        let before = self.log.start();
        if start <= before || start > self.log.durable_end() || self.writes.has_cut() {
            return Ok(());
        }
        match self.log.trim(start) {
            Ok(()) => self.note_trimmed(before),
            // The leader tells of it again.
            Err(LogError::DiskFull { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn note_trimmed(&mut self, before: u64) {
        let start = self.log.start();
        if start > before {
            tracing::info!(partition = %self.key, from = before, to = start, "trimmed");
            self.replica.handle_trimmed(first_batch_base(&self.log));
        }
    }
}

/// Base offset of the first batch that the log holds, some of whose records may be trimmed: the
/// core knows whole batches only. The log's end where there is none.
///
/// A read that fails once is repeated: an offset inside of a batch is no start that the core can
/// work with. Where it goes on failing, the replica is about to be found corrupt.
pub(crate) fn first_batch_base(log: &Log) -> u64 {
    let start = log.start();
    let first = || log.view().read(start, 0, true, log.durable_end()).ok();
    (0..READ_TRIES).find_map(|_| first()).map_or(start, |slice| slice.first_offset)
}

/// The log's settings as the topic and the broker set them.
pub(crate) fn log_config(topic: &TopicConfig, broker: &Config) -> LogConfig {
    let ms = |age: std::time::Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let at_least_one = |size: u32| NonZeroU32::new(size).unwrap_or(NonZeroU32::MIN);
    LogConfig {
        segment_size: at_least_one(topic.segment_size),
        segment_ms: Some(ms(topic.segment_age)),
        retention_ms: topic.retention.filter(|_| topic.delete).map(ms),
        retention_size: topic.retention_size.filter(|_| topic.delete),
        index_interval_size: at_least_one(topic.index_interval_size),
        producer_expiration_ms: ms(broker.producer_id_expiration),
        carry_max_size: if broker.storage.carrier_size.0 > 0 { CARRY_MAX_SIZE } else { 0 },
        ..LogConfig::default()
    }
}

/// How a replica of a data partition behaves. Brokers hear each other by heartbeats of their own,
/// so replicas probe only now and then: for followers that lost something at rest, and to tell of a
/// trimmed head.
pub(crate) fn replica_config(node: NodeId) -> ReplicaConfig {
    ReplicaConfig {
        check_quorum_ticks: CHECK_QUORUM_TICKS,
        resend_ticks: RESEND_TICKS,
        heartbeat_ticks: PROBE_TICKS,
        ..ReplicaConfig::new(node)
    }
}
