//! Which partitions are being settled, a few at a time, so that a carrier's file becomes free.

use std::collections::{BTreeSet, VecDeque};

use crate::key::PartitionKey;

/// How many logs are settled at a time.
const LIMIT: usize = 2;

/// Runs of settling: each settles its logs first, then has all their marks journaled together.
#[derive(Debug, Default)]
pub(super) struct Settling {
    waiting: VecDeque<PartitionKey>,
    under_way: BTreeSet<PartitionKey>,
    settled: Vec<PartitionKey>,
}

impl Settling {
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty() && self.settled.is_empty()
    }

    /// Adds partitions that are to be settled.
    pub(super) fn begin(&mut self, keys: impl Iterator<Item = PartitionKey>) {
        let known: BTreeSet<PartitionKey> = self.waiting.iter().copied().collect();
        self.waiting.extend(keys.filter(|key| !known.contains(key)));
    }

    /// The next partition, unless enough are under way.
    pub(super) fn poll(&mut self) -> Option<PartitionKey> {
        if self.under_way.len() >= LIMIT {
            return None;
        }
        let key = self.waiting.pop_front()?;
        self.under_way.insert(key);
        Some(key)
    }

    pub(super) fn handle_settled(&mut self, key: PartitionKey) {
        if self.under_way.remove(&key) {
            self.settled.push(key);
        }
    }

    /// The partitions of a run that is over.
    pub(super) fn poll_marks(&mut self) -> Vec<PartitionKey> {
        if self.waiting.is_empty() && self.under_way.is_empty() {
            std::mem::take(&mut self.settled)
        } else {
            Vec::new()
        }
    }
}
