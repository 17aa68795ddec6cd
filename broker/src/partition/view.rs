//! What every thread may see of a partition: its decided log and where it stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use synod_log::LogView;
use synod_log::key::PartitionKey;

use super::waiters::Waiters;
use crate::metadata::TopicConfig;
use crate::metrics::TopicMetrics;

/// Not leading; leader rounds are never negative.
const NOT_LEADING: i64 = -1;

/// The shared view of one partition hosted here. The owning shard writes it; fetches and offset
/// look-ups read it from any thread without a lock.
#[derive(Debug)]
pub(crate) struct PartitionView {
    key: PartitionKey,
    shard: usize,
    log: LogView,
    config: ArcSwap<TopicConfig>,
    metrics: Arc<TopicMetrics>,
    high_watermark: AtomicU64,
    /// The round that this replica leads with everything adopted decided, or [`NOT_LEADING`].
    leading_round: AtomicI64,
    /// How many voters keep up, while this replica leads.
    in_sync_count: AtomicUsize,
    waiters: Arc<Waiters>,
}

impl PartitionView {
    pub(crate) fn new(
        key: PartitionKey,
        shard: usize,
        log: LogView,
        config: Arc<TopicConfig>,
        metrics: Arc<TopicMetrics>,
    ) -> PartitionView {
        let high_watermark = AtomicU64::new(log.start());
        let leading_round = AtomicI64::new(NOT_LEADING);
        PartitionView {
            key,
            shard,
            log,
            config: ArcSwap::new(config),
            metrics,
            high_watermark,
            leading_round,
            in_sync_count: AtomicUsize::new(0),
            waiters: Arc::default(),
        }
    }

    pub(crate) fn key(&self) -> PartitionKey {
        self.key
    }

    /// The shard that owns the partition.
    pub(crate) fn shard(&self) -> usize {
        self.shard
    }

    pub(crate) fn log(&self) -> &LogView {
        &self.log
    }

    /// The topic's settings in force.
    pub(crate) fn config(&self) -> arc_swap::Guard<Arc<TopicConfig>> {
        self.config.load()
    }

    pub(super) fn set_config(&self, config: Arc<TopicConfig>) {
        self.config.store(config);
    }

    pub(crate) fn metrics(&self) -> &TopicMetrics {
        &self.metrics
    }

    /// First offset that is not in the log.
    pub(crate) fn log_end(&self) -> u64 {
        self.log.end()
    }

    /// First offset that is not known to be decided; never goes back.
    pub(crate) fn high_watermark(&self) -> u64 {
        self.high_watermark.load(Ordering::SeqCst)
    }

    /// The round in which this replica may serve as leader, if it does.
    pub(crate) fn leading_round(&self) -> Option<u32> {
        u32::try_from(self.leading_round.load(Ordering::Acquire)).ok()
    }

    /// How many voters keep up with this leader, itself included; without meaning elsewhere.
    pub(crate) fn in_sync_count(&self) -> usize {
        self.in_sync_count.load(Ordering::Relaxed)
    }

    pub(super) fn set_in_sync_count(&self, count: usize) {
        self.in_sync_count.store(count, Ordering::Relaxed);
    }

    /// The long polls of this partition.
    pub(crate) fn waiters(&self) -> &Arc<Waiters> {
        &self.waiters
    }

    /// Moves the high watermark and tells the long polls. Only the owning shard calls this.
    pub(super) fn advance_high_watermark(&self, decided_end: u64) {
        let before = self.high_watermark.swap(decided_end, Ordering::SeqCst);
        assert!(before <= decided_end, "high watermark went back from {before} to {decided_end}");
        if before < decided_end {
            self.waiters.wake_all();
        }
    }

    /// Notes whether this replica leads, and tells the long polls, which then answer anew.
    pub(super) fn set_leading_round(&self, round: Option<u32>) {
        let round = round.map_or(NOT_LEADING, i64::from);
        if self.leading_round.swap(round, Ordering::AcqRel) != round {
            self.waiters.wake_all();
        }
    }

    /// Makes the long polls look again, because the partition is being closed.
    pub(super) fn close(&self) {
        self.set_leading_round(None);
        self.waiters.wake_all();
    }
}
