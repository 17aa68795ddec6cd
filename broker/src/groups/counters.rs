//! What group coordinators of a broker count.

use std::sync::atomic::{AtomicU64, Ordering};

use super::rebalance::Cause;

/// Counters of all group coordinators of a broker.
#[derive(Debug, Default)]
pub struct GroupCounters {
    rebalances: [RebalanceCounter; Cause::ALL.len()],
}

/// Rebalances of one cause.
#[derive(Debug, Default)]
pub struct RebalanceCounter {
    count: AtomicU64,
    paused_ms: AtomicU64,
}

impl RebalanceCounter {
    /// How many ended.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// How long the groups were without assignments, all together.
    #[must_use]
    pub fn paused_ms(&self) -> u64 {
        self.paused_ms.load(Ordering::Relaxed)
    }
}

impl GroupCounters {
    /// A rebalance came to its end.
    pub(super) fn rebalanced(&self, cause: Cause, paused_ms: u64) {
        let counter = self.rebalances(cause);
        counter.count.fetch_add(1, Ordering::Relaxed);
        counter.paused_ms.fetch_add(paused_ms, Ordering::Relaxed);
    }

    /// The rebalances of one cause.
    #[must_use]
    pub fn rebalances(&self, cause: Cause) -> &RebalanceCounter {
        &self.rebalances[cause as usize]
    }
}
