//! The one ordered stream of a replica's writes.
//!
//! What holds for a replica without peers, and no further: reports are ordered here, submissions
//! are not. With peers, a vow must not reach the journal before the log writes uttered ahead of it
//! are synced, nor the reverse, and a truncation takes back what was durable (contract 2 of the
//! core).

use std::collections::VecDeque;

use synod_paxos::WriteId;

/// What makes a write durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The next journal record of this partition that was submitted for a write.
    Vow,
    /// The log's sync up to this offset.
    Log(u64),
}

/// Writes under way, in the order in which the core uttered them. Vows and log writes become
/// durable on different paths; the core hears of a write only when all before it are durable, too.
#[derive(Debug, Default)]
pub(super) struct WriteStream {
    pending: VecDeque<(WriteId, Target)>,
    /// Journal records that became durable and whose writes have not been completed.
    vows_durable: usize,
    log_durable: u64,
}

impl WriteStream {
    pub(super) fn push(&mut self, write: WriteId, target: Target) {
        self.pending.push_back((write, target));
    }

    /// The oldest journal record that was under way is durable.
    pub(super) fn vow_durable(&mut self) {
        self.vows_durable += 1;
    }

    /// The log is durable up to `end`.
    pub(super) fn log_durable(&mut self, end: u64) {
        self.log_durable = self.log_durable.max(end);
    }

    /// The newest write that is durable with all before it, if there is news.
    pub(super) fn complete(&mut self) -> Option<WriteId> {
        let mut completed = None;
        while let Some(&(write, target)) = self.pending.front() {
            match target {
                Target::Vow if self.vows_durable > 0 => self.vows_durable -= 1,
                Target::Log(end) if end <= self.log_durable => {}
                _ => break,
            }
            self.pending.pop_front();
            completed = Some(write);
        }
        completed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_completes_only_behind_all_before_it() {
        let mut writes = WriteStream::default();
        writes.push(WriteId(1), Target::Vow);
        writes.push(WriteId(2), Target::Log(10));
        writes.push(WriteId(3), Target::Vow);
        writes.push(WriteId(4), Target::Log(12));
        writes.log_durable(11);
        assert_eq!(writes.complete(), None, "the vow is missing");
        writes.vow_durable();
        assert_eq!(writes.complete(), Some(WriteId(2)));
        assert_eq!(writes.complete(), None);
        writes.log_durable(12);
        assert_eq!(writes.complete(), None, "the second vow is missing");
        writes.vow_durable();
        assert_eq!(writes.complete(), Some(WriteId(4)));
    }
}
