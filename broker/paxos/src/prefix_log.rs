//! The log pointers of one replica, and the operations that move them.
//!
//! ```text
//!   start ≤ decided_end ≤ end < faulty_end (if any)
//! ```
//!
//! All of them speak of the log as it is when every write issued so far is done; what of it is
//! synced already is the write stream's matter.

use crate::history::RoundHistory;
use crate::{Batch, Durable};

/// An unbroken run of batches `[start, end)`, known by its ends and its round history.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PrefixLog {
    start: u64,
    end: u64,
    decided_end: u64,
    faulty_end: Option<u64>,
    history: RoundHistory,
}

impl PrefixLog {
    pub(crate) fn from_durable(durable: &Durable) -> PrefixLog {
        let start = durable.log_start;
        let end = durable.log_end.max(start);
        PrefixLog {
            start,
            end,
            decided_end: durable.decided_end.clamp(start, end),
            faulty_end: durable.faulty_end.filter(|faulty_end| *faulty_end > end),
            history: RoundHistory::from_starts(&durable.rounds, end),
        }
    }

    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn decided_end(&self) -> u64 {
        self.decided_end
    }

    pub(crate) fn faulty_end(&self) -> Option<u64> {
        self.faulty_end
    }

    pub(crate) fn history(&self) -> &RoundHistory {
        &self.history
    }

    /// Whether this log provably equals, below `from`, a log that holds everything decided and
    /// whose batch that ends at `from` is of `prev_round`.
    pub(crate) fn is_proved_below(&self, from: u64, prev_round: Option<u32>) -> bool {
        let decided = from <= self.decided_end;
        let same_batch = from <= self.end
            && prev_round.is_some()
            && self.history.round_before(from) == prev_round;
        decided || same_batch
    }

    /// Whether this log holds `batch`.
    pub(crate) fn holds(&self, batch: &Batch) -> bool {
        let decided = batch.end <= self.decided_end;
        let same = batch.end <= self.end && self.history.round_at(batch.base) == Some(batch.round);
        decided || same
    }

    pub(crate) fn append(&mut self, batches: &[Batch]) {
        for batch in batches {
            assert_eq!(batch.base, self.end, "append leaves a gap");
            assert!(batch.end > batch.base, "empty batch");
            self.history.push(batch.round, batch.base);
            self.end = batch.end;
        }
        if self.faulty_end.is_some_and(|faulty_end| faulty_end <= self.end) {
            self.faulty_end = None;
        }
    }

    /// Cuts a diverging suffix. What was faulty behind it is overruled with it.
    pub(crate) fn truncate(&mut self, end: u64) {
        assert!(self.decided_end <= end && end <= self.end, "truncation of decided offsets");
        self.end = end;
        self.faulty_end = None;
        self.history.truncate(end);
    }

    /// Begins an empty log at `at`, everything before which is decided.
    pub(crate) fn restart(&mut self, at: u64) {
        assert!(at >= self.decided_end, "restart below decided offsets");
        if self.end > at {
            // Whatever was faulty stood on a suffix that diverges.
            self.faulty_end = None;
        }
        self.faulty_end = self.faulty_end.filter(|faulty_end| *faulty_end > at);
        self.start = at;
        self.end = at;
        self.decided_end = at;
        self.history.clear();
    }

    /// Gives up the claim that something beyond the end may have been accepted.
    pub(crate) fn forget_faulty(&mut self) {
        self.faulty_end = None;
    }

    /// Learns that everything before `end` is decided; true if that is news.
    pub(crate) fn decide(&mut self, end: u64) -> bool {
        let end = end.min(self.end);
        let news = end > self.decided_end;
        if news {
            self.decided_end = end;
        }
        news
    }

    pub(crate) fn trim(&mut self, start: u64) {
        assert!(start <= self.decided_end, "trim beyond what is decided");
        if start > self.start {
            self.start = start;
            self.history.trim(start);
        }
    }

    pub(crate) fn check(&self) {
        assert!(self.start <= self.decided_end, "log start beyond decided end");
        assert!(self.decided_end <= self.end, "decided end beyond log end");
        assert!(self.faulty_end.is_none_or(|faulty_end| faulty_end > self.end));
        self.history.check(self.end);
    }
}
