//! The global budget for bytes of requests held in memory.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of client requests that may be in memory at once, over all connections.
///
/// A connection that cannot get its share waits and is not read meanwhile, so pressure reaches the
/// client through TCP instead of through this process's memory.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    total: usize,
}

/// A share of the [`Budget`], given back on drop.
#[derive(Debug)]
pub(crate) struct BudgetShare {
    _permit: OwnedSemaphorePermit,
}

impl Budget {
    /// A budget of `total` bytes.
    pub(crate) fn new(total: usize) -> Budget {
        let total = total.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        Budget { free: Arc::new(Semaphore::new(total)), total }
    }

    /// Waits for `size` bytes; a size beyond the whole budget takes all of it.
    pub(crate) async fn take(&self, size: usize) -> BudgetShare {
        let share = u32::try_from(size.min(self.total)).unwrap_or(u32::MAX);
        match self.free.clone().acquire_many_owned(share).await {
            Ok(permit) => BudgetShare { _permit: permit },
            Err(_) => unreachable!("the budget's semaphore is never closed"),
        }
    }

    /// Bytes held at this moment.
    pub(crate) fn used(&self) -> usize {
        self.total - self.free.available_permits()
    }

    /// Bytes in all.
    pub(crate) fn total(&self) -> usize {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_share_is_held_until_dropped_and_the_next_waits() {
        let budget = Budget::new(100);
        let first = budget.take(60).now_or_never().expect("free");
        assert_eq!(budget.used(), 60);
        assert!(budget.take(41).now_or_never().is_none());
        drop(first);
        let all = budget.take(1 << 40).now_or_never().expect("an oversized wish takes all");
        assert_eq!(budget.used(), 100);
        drop(all);
        assert_eq!(budget.used(), 0);
    }
}
