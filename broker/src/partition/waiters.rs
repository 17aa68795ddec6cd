//! Long polls that wait for a partition to grow.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// The long polls waiting on one partition; each is told whenever decided records were added.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    count: AtomicUsize,
    parked: Mutex<Parked>,
}

#[derive(Debug, Default)]
struct Parked {
    next_id: u64,
    by_id: HashMap<u64, Arc<Notify>>,
}

/// Keeps a long poll registered with one partition until it is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    waiters: Arc<Waiters>,
    id: u64,
}

impl Waiters {
    /// Tells every waiter. Costs one atomic load where there is none.
    ///
    /// What the waiters look at must have been stored (`SeqCst`) before: a waiter registers first
    /// and looks afterwards, so either it sees the new state or it is told here.
    pub(crate) fn wake_all(&self) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        for notify in parked.by_id.values() {
            notify.notify_one();
        }
    }

    fn add(&self, notify: Arc<Notify>) -> u64 {
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        let id = parked.next_id;
        parked.next_id += 1;
        parked.by_id.insert(id, notify);
        self.count.store(parked.by_id.len(), Ordering::SeqCst);
        id
    }

    fn remove(&self, id: u64) {
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        parked.by_id.remove(&id);
        self.count.store(parked.by_id.len(), Ordering::SeqCst);
        if parked.by_id.is_empty() {
            parked.by_id.shrink_to_fit();
        }
    }
}

impl Registration {
    /// Registers `notify` to be told of every growth of the partition.
    pub(crate) fn new(waiters: Arc<Waiters>, notify: Arc<Notify>) -> Registration {
        let id = waiters.add(notify);
        Registration { waiters, id }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.waiters.remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn every_registered_waiter_is_told_and_dropped_ones_are_forgotten() {
        let waiters = Arc::new(Waiters::default());
        let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let one = Registration::new(waiters.clone(), first.clone());
        let two = Registration::new(waiters.clone(), second.clone());
        waiters.wake_all();
        assert!(first.notified().now_or_never().is_some());
        assert!(first.notified().now_or_never().is_none(), "told once");
        drop(one);
        waiters.wake_all();
        assert!(first.notified().now_or_never().is_none());
        assert!(second.notified().now_or_never().is_some());
        drop(two);
        assert_eq!(waiters.count.load(Ordering::SeqCst), 0);
    }
}
