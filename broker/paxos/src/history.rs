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

    /// Cheap: the order of all starts is asserted as they are pushed.
    pub(crate) fn check(&self, end: u64) {
        assert!(self.starts.back().is_none_or(|l| l.base < end), "history reaches beyond the log");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(pairs: &[(u32, u64)]) -> Vec<RoundStart> {
        pairs.iter().map(|(round, base)| RoundStart { round: *round, base: *base }).collect()
    }

    fn history(pairs: &[(u32, u64)]) -> RoundHistory {
        RoundHistory::from_starts(&starts(pairs), u64::MAX)
    }

    /// A log as a list of rounds, one offset each.
    fn history_of(log: &[u32]) -> RoundHistory {
        let mut history = RoundHistory::default();
        for (offset, round) in log.iter().enumerate() {
            history.push(*round, offset as u64);
        }
        history
    }

    #[test]
    fn damaged_starts_are_dropped() {
        let history = RoundHistory::from_starts(&starts(&[(1, 0), (3, 5), (2, 7), (4, 5)]), 9);
        assert_eq!(history.since(0), starts(&[(1, 0), (3, 5)]));
        assert_eq!(RoundHistory::from_starts(&starts(&[(1, 0), (3, 9)]), 9).last_round(), 1);
    }

    #[test]
    fn rounds_of_offsets() {
        let history = history(&[(1, 0), (3, 5), (4, 9)]);
        let rounds: Vec<_> = [0, 4, 5, 8, 9, 100].map(|o| history.round_at(o)).into();
        assert_eq!(rounds, [1, 1, 3, 3, 4, 4].map(Some));
        assert_eq!(history.round_before(0), None);
        assert_eq!(history.round_before(5), Some(1));
        assert_eq!(RoundHistory::default().round_at(7), None);
    }

    #[test]
    fn truncate_and_trim() {
        let mut history = history(&[(1, 0), (3, 5), (4, 9)]);
        history.truncate(9);
        assert_eq!(history.last_round(), 3);
        history.trim(5);
        assert_eq!(history.round_before(5), Some(1), "the round before the start stays known");
        history.trim(6);
        assert_eq!(history.since(0), starts(&[(3, 5)]));
        history.truncate(5);
        assert_eq!(history.last_round(), 0);
    }

    #[test]
    #[should_panic(expected = "rounds fall")]
    fn rounds_never_fall() {
        history(&[(2, 0)]).push(1, 4);
    }

    #[test]
    fn since_begins_with_the_round_that_covers_the_offset() {
        let history = history(&[(1, 0), (3, 5), (4, 9)]);
        assert_eq!(history.since(7), starts(&[(3, 5), (4, 9)]));
        assert_eq!(history.since(9), starts(&[(4, 9)]));
        assert_eq!(history.since(0), starts(&[(1, 0), (3, 5), (4, 9)]));
    }

    #[test]
    fn no_common_round() {
        let history = history(&[(1, 0), (3, 5)]);
        assert_eq!(history.divergence(9, &starts(&[(2, 0)]), 9), None);
        assert_eq!(history.divergence(9, &[], 0), None);
        assert_eq!(RoundHistory::default().divergence(0, &starts(&[(1, 0)]), 4), None);
    }

    #[test]
    fn a_trimmed_log_meets_one_that_ends_at_its_start() {
        let trimmed = RoundHistory::from_starts(&starts(&[(1, 6)]), 14);
        assert_eq!(trimmed.divergence(14, &starts(&[(1, 0)]), 6), Some(6));
    }

    /// Logs as they can arise: each round extends some prefix of an earlier log. The divergence
    /// found from histories alone is the length of the longest common prefix, for every pair.
    #[test]
    fn divergence_is_the_longest_common_prefix() {
        let mut logs: Vec<Vec<u32>> = vec![vec![]];
        for round in 1..=4 {
            // The leader of a round adopts one log and extends it; replicas hold prefixes of that.
            let adopted = logs[(round as usize * 7) % logs.len()].clone();
            for extra in 1..=2 {
                let mut log = adopted.clone();
                log.extend(std::iter::repeat_n(round, extra));
                logs.push(log);
            }
        }
        let prefixes: Vec<&[u32]> =
            logs.iter().flat_map(|log| (0..=log.len()).map(|n| &log[..n])).collect();
        for a in &prefixes {
            for b in &prefixes {
                let common = a.iter().zip(*b).take_while(|(x, y)| x == y).count() as u64;
                let theirs = history_of(b).since(0);
                let found = history_of(a).divergence(a.len() as u64, &theirs, b.len() as u64);
                assert_eq!(found.unwrap_or(0), common, "{a:?} {b:?}");
            }
        }
    }
}
