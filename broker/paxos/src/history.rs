//! Which round first proposed what: the log as a short list of round starts.
//!
//! A leader proposes under its own round only, contiguously, on top of the log it adopted; and it
//! never resumes a ballot after a restart. So `(round, offset)` names one batch for ever, and two
//! logs that hold the same round at the same offset are equal up to there. That is all the core
//! needs to compare logs whose batches it does not know.

use std::collections::VecDeque;

/// A round and the offset of its first batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoundStart {
    /// The round.
    pub round: u32,
    /// Base offset of the first batch proposed in it.
    pub base: u64,
}

/// Round starts of one log, both numbers strictly rising. The log's end is kept elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RoundHistory {
    starts: VecDeque<RoundStart>,
}

impl RoundHistory {
    /// Takes round starts in order; drops those that do not rise (damaged hints from a disk).
    pub(crate) fn from_starts(starts: &[RoundStart], end: u64) -> RoundHistory {
        let mut history = RoundHistory::default();
        for start in starts.iter().filter(|start| start.base < end) {
            let rises =
                history.starts.back().is_none_or(|l| start.round > l.round && start.base > l.base);
            if rises {
                history.starts.push_back(*start);
            }
        }
        history
    }

    /// The round of the newest batch, 0 if there is none.
    pub(crate) fn last_round(&self) -> u32 {
        self.starts.back().map_or(0, |start| start.round)
    }

    /// Notes that the batch at `base` is of `round`.
    pub(crate) fn push(&mut self, round: u32, base: u64) {
        match self.starts.back() {
            Some(last) if last.round == round => {}
            last => {
                assert!(last.is_none_or(|l| round > l.round && base > l.base), "rounds fall");
                self.starts.push_back(RoundStart { round, base });
            }
        }
    }

    /// Forgets everything at and after `end`.
    pub(crate) fn truncate(&mut self, end: u64) {
        while self.starts.back().is_some_and(|start| start.base >= end) {
            self.starts.pop_back();
        }
    }

    /// Forgets what is not needed to know the round of the offset just before `start`.
    pub(crate) fn trim(&mut self, start: u64) {
        while self.starts.get(1).is_some_and(|second| second.base < start) {
            self.starts.pop_front();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.starts.clear();
    }

    /// The round of the batch that holds `offset`, for an offset before the log's end.
    pub(crate) fn round_at(&self, offset: u64) -> Option<u32> {
        let after = self.starts.partition_point(|start| start.base <= offset);
        after.checked_sub(1).map(|i| self.starts[i].round)
    }

    /// The round of the batch that ends at `offset`.
    pub(crate) fn round_before(&self, offset: u64) -> Option<u32> {
        offset.checked_sub(1).and_then(|last| self.round_at(last))
    }

    /// The starts of every round found at or after `offset`.
    pub(crate) fn since(&self, offset: u64) -> Vec<RoundStart> {
        let after = self.starts.partition_point(|start| start.base <= offset);
        self.starts.range(after.saturating_sub(1)..).copied().collect()
    }

    /// Where this log (ending at `end`) and another (with `theirs`, ending at `their_end`) part:
    /// they provably agree on everything before the answer. `None` if no common round is known.
    pub(crate) fn divergence(
        &self,
        end: u64,
        theirs: &[RoundStart],
        their_end: u64,
    ) -> Option<u64> {
        let mut segment_end = their_end;
        for start in theirs.iter().rev() {
            if let Some(own_end) = self.end_of(start.round, end) {
                let common = own_end.min(segment_end);
                if common > start.base {
                    return Some(common);
                }
            }
            segment_end = segment_end.min(start.base);
        }
        None
    }

    /// Where `round` ends in this log, if it occurs.
    fn end_of(&self, round: u32, end: u64) -> Option<u64> {
        let at = self.starts.binary_search_by_key(&round, |start| start.round).ok()?;
        Some(self.starts.get(at + 1).map_or(end, |next| next.base))
    }

    pub(crate) fn check(&self, end: u64) {
        let mut last: Option<&RoundStart> = None;
        for start in &self.starts {
            assert!(last.is_none_or(|l| l.round < start.round && l.base < start.base));
            last = Some(start);
        }
        assert!(last.is_none_or(|l| l.base < end), "history reaches beyond the log");
    }
}
