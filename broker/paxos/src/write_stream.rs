//! The ordered stream of a replica's writes, and what of it is durable.
//!
//! Vows and log writes of one partition form *one* stream: the runtime makes them durable in the
//! order of their ids, and a crash loses some suffix of those not yet reported as written.

use std::collections::VecDeque;

use crate::{Ballot, WriteId};

/// What the disk holds for sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Synced {
    pub(crate) promised: Ballot,
    pub(crate) accepted_ballot: Ballot,
    pub(crate) log_end: u64,
}

/// What a write changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Effect {
    Vow { promised: Ballot, accepted_ballot: Ballot },
    LogEnd(u64),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WriteStream {
    /// Id of the write issued last; 0 = none in this incarnation.
    issued: u64,
    /// Id up to which every write is synced.
    written: u64,
    synced: Synced,
    /// Effects of the writes `written + 1 ..= issued`.
    pending: VecDeque<Effect>,
}

impl WriteStream {
    pub(crate) fn new(synced: Synced) -> WriteStream {
        WriteStream { issued: 0, written: 0, synced, pending: VecDeque::new() }
    }

    pub(crate) fn issue(&mut self, effect: Effect) -> WriteId {
        self.issued += 1;
        self.pending.push_back(effect);
        WriteId(self.issued)
    }

    /// Notes that everything up to `write` is synced. Late reports are harmless.
    pub(crate) fn complete(&mut self, write: WriteId) {
        assert!(write.0 <= self.issued, "a write completed that was never issued");
        while self.written < write.0 {
            let Some(effect) = self.pending.pop_front() else { break };
            self.written += 1;
            match effect {
                Effect::Vow { promised, accepted_ballot } => {
                    self.synced.promised = promised;
                    self.synced.accepted_ballot = accepted_ballot;
                }
                Effect::LogEnd(end) => self.synced.log_end = end,
            }
        }
    }

    /// The write after which everything issued so far is durable; `None` if it is already.
    pub(crate) fn barrier(&self) -> Option<WriteId> {
        (self.written < self.issued).then_some(WriteId(self.issued))
    }

    /// Whether everything up to `write` is synced.
    pub(crate) fn is_written(&self, write: WriteId) -> bool {
        write.0 <= self.written
    }

    pub(crate) fn synced(&self) -> &Synced {
        &self.synced
    }

    pub(crate) fn check(&self) {
        assert_eq!(self.pending.len() as u64, self.issued - self.written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeId;

    fn stream() -> WriteStream {
        WriteStream::new(Synced {
            promised: Ballot::ZERO,
            accepted_ballot: Ballot::ZERO,
            log_end: 5,
        })
    }

    #[test]
    fn effects_take_place_in_order_when_written() {
        let mut writes = stream();
        let ballot = Ballot::new(1, NodeId(1));
        assert_eq!(writes.barrier(), None);
        let first = writes.issue(Effect::LogEnd(7));
        let second = writes.issue(Effect::Vow { promised: ballot, accepted_ballot: Ballot::ZERO });
        let third = writes.issue(Effect::LogEnd(6));
        assert_eq!(writes.barrier(), Some(third));
        assert_eq!(writes.synced().log_end, 5);

        writes.complete(first);
        assert_eq!(writes.synced().log_end, 7);
        assert_eq!(writes.synced().promised, Ballot::ZERO);
        assert!(writes.is_written(first) && !writes.is_written(second));

        writes.complete(third);
        assert_eq!(writes.synced().log_end, 6);
        assert_eq!(writes.synced().promised, ballot);
        assert_eq!(writes.barrier(), None);

        writes.complete(first);
        assert_eq!(writes.synced().log_end, 6, "a late report changes nothing");
        writes.check();
    }

    #[test]
    #[should_panic(expected = "never issued")]
    fn a_write_from_nowhere_is_a_bug_of_the_runtime() {
        stream().complete(WriteId(1));
    }
}
