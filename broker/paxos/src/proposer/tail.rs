//! The newest batches a leader remembers: everything undecided, and a little more.

use std::collections::VecDeque;

use crate::Batch;

/// Descriptors of `[base, end of the log)`. Its length is bounded by the undecided limits plus
/// the cache limit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tail {
    batches: VecDeque<Batch>,
    base: u64,
    /// Number of batches at the front that are decided.
    decided_count: usize,
    undecided_size: u64,
}

impl Tail {
    pub(crate) fn new(base: u64) -> Tail {
        Tail { batches: VecDeque::new(), base, decided_count: 0, undecided_size: 0 }
    }

    /// First offset remembered; the end of the log if nothing is.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    pub(crate) fn undecided_count(&self) -> usize {
        self.batches.len() - self.decided_count
    }

    pub(crate) fn undecided_size(&self) -> u64 {
        self.undecided_size
    }

    pub(crate) fn push(&mut self, batch: Batch) {
        self.undecided_size += u64::from(batch.size);
        self.batches.push_back(batch);
    }

    pub(crate) fn decide(&mut self, decided_end: u64) {
        while let Some(batch) = self.batches.get(self.decided_count) {
            if batch.end > decided_end {
                break;
            }
            self.undecided_size -= u64::from(batch.size);
            self.decided_count += 1;
        }
    }

    /// Forgets decided batches before `needed`, and any decided ones beyond `cached_count`.
    pub(crate) fn forget(&mut self, needed: u64, cached_count: usize) {
        while self.decided_count > 0 {
            let Some(first) = self.batches.front() else { break };
            if first.end > needed && self.decided_count <= cached_count {
                break;
            }
            self.base = first.end;
            self.batches.pop_front();
            self.decided_count -= 1;
        }
    }

    /// The batches from `from` on, which must be a remembered batch's base.
    pub(crate) fn from(&self, from: u64) -> impl Iterator<Item = &Batch> {
        assert!(from >= self.base, "these batches are forgotten");
        let at = self.batches.partition_point(|batch| batch.base < from);
        self.batches.range(at..)
    }

    pub(crate) fn check(&self, log_end: u64, decided_end: u64) {
        let end = self.batches.back().map_or(self.base, |batch| batch.end);
        assert_eq!(end, log_end, "the tail misses batches");
        let first_undecided = self.batches.get(self.decided_count);
        assert!(first_undecided.is_none_or(|batch| batch.end > decided_end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail() -> Tail {
        let mut tail = Tail::new(10);
        for base in 10..15 {
            tail.push(Batch { base, end: base + 1, round: 1, size: 100, checksum: 0 });
        }
        tail
    }

    fn bases(tail: &Tail, from: u64) -> Vec<u64> {
        tail.from(from).map(|batch| batch.base).collect()
    }

    #[test]
    fn counts_what_is_undecided() {
        let mut tail = tail();
        assert_eq!((tail.undecided_count(), tail.undecided_size()), (5, 500));
        tail.decide(12);
        assert_eq!((tail.undecided_count(), tail.undecided_size()), (3, 300));
        tail.decide(11);
        assert_eq!(tail.undecided_count(), 3, "never goes back");
        tail.check(15, 12);
    }

    #[test]
    fn forgets_only_what_is_decided_and_not_needed() {
        let mut tail = tail();
        tail.forget(15, 0);
        assert_eq!(tail.base(), 10, "undecided batches stay");
        tail.decide(13);
        tail.forget(11, 8);
        assert_eq!((tail.base(), bases(&tail, 11)), (11, vec![11, 12, 13, 14]));
        tail.forget(0, 1);
        assert_eq!(tail.base(), 12, "a laggard holds no more than the cache");
        assert_eq!(bases(&tail, 14), vec![14]);
        assert_eq!(bases(&tail, 15), Vec::<u64>::new());
        tail.check(15, 13);
    }
}
