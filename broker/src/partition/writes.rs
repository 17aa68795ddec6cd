//! The one ordered stream of a replica's writes.
//!
//! Vows go to the journal and batches to the log, and the core demands that they become durable in
//! the order in which it uttered them (contract 2 of its front page). So a write starts only when
//! nothing before it could be overtaken: appends in a row share their syncs, vows in a row share
//! the journal's, and everything else waits until all before it is durable.

use std::collections::VecDeque;

use synod_log::batch::Batch;
use synod_log::journal::Vow;
use synod_paxos::WriteId;

/// What is to be done.
#[derive(Debug)]
pub(super) enum Write {
    /// Make a vow durable in the journal.
    Vow(Vow),
    /// Append batches to the log; the first of them continues it.
    Append { end: u64, batches: Vec<Batch> },
    /// Cut the log.
    Cut(Cut),
}

/// How the log is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Drop what is at and beyond this offset.
    Truncate { end: u64 },
    /// Drop everything and begin an empty log here.
    Restart { at: u64 },
}

/// A write that was given to the journal or the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Started {
    Vow,
    /// Durable when the log is up to there.
    Append {
        end: u64,
    },
    /// Durable when it is done.
    Cut,
}

/// Writes that are not durable, in the order in which the core uttered them.
#[derive(Debug, Default)]
pub(super) struct WriteStream {
    /// Writes under way: vows only, appends only, or a single cut.
    started: VecDeque<(WriteId, Started)>,
    /// Writes that wait for those under way. Their payload is bounded by what a leader keeps in
    /// flight to one follower.
    waiting: VecDeque<(WriteId, Write)>,
    /// Vows under way that became durable and were not completed.
    vows_durable: usize,
    cut_done: bool,
}

impl WriteStream {
    /// Takes a write to be started when its turn comes.
    pub(super) fn push(&mut self, id: WriteId, write: Write) {
        self.waiting.push_back((id, write));
    }

    /// Takes an append that is in the log already, which needs [`WriteStream::takes_appends`].
    pub(super) fn push_appended(&mut self, id: WriteId, end: u64) {
        assert!(self.takes_appends(), "an append overtook what has to be durable before it");
        self.started.push_back((id, Started::Append { end }));
    }

    /// Whether an append would start at once.
    pub(super) fn takes_appends(&self) -> bool {
        let joins = self.started.back().is_none_or(|(_, last)| is_append(*last));
        joins && self.waiting.is_empty()
    }

    /// Whether the log as it is may differ from the log as the core takes it to be by more than
    /// its end.
    pub(super) fn has_cut(&self) -> bool {
        self.started.iter().any(|(_, started)| *started == Started::Cut)
            || self.waiting.iter().any(|(_, write)| matches!(write, Write::Cut(_)))
    }

    /// Whether the journal still has to tell of a vow.
    pub(super) fn has_vow_under_way(&self) -> bool {
        let vows = self.started.iter().filter(|(_, started)| *started == Started::Vow);
        vows.count() > self.vows_durable
    }

    /// The next write whose turn has come; it counts as under way from here on.
    pub(super) fn start_next(&mut self) -> Option<Write> {
        let (id, write) = self.waiting.front()?;
        let started = match write {
            Write::Vow(_) => Started::Vow,
            Write::Append { end, .. } => Started::Append { end: *end },
            Write::Cut(_) => Started::Cut,
        };
        let may_start = match self.started.back() {
            None => true,
            Some((_, Started::Vow)) => started == Started::Vow,
            Some((_, Started::Append { .. })) => is_append(started),
            Some((_, Started::Cut)) => false,
        };
        if !may_start {
            return None;
        }
        self.started.push_back((*id, started));
        self.waiting.pop_front().map(|(_, write)| write)
    }

    /// The oldest vow that was under way is durable.
    pub(super) fn vow_durable(&mut self) {
        self.vows_durable += 1;
    }

    /// The cut that was under way is durable.
    pub(super) fn cut_done(&mut self) {
        self.cut_done = true;
    }

    /// The newest write that is durable with all before it, if there is news. `log_durable_end`
    /// is how far the log as it is now is durable.
    pub(super) fn complete(&mut self, log_durable_end: u64) -> Option<WriteId> {
        let mut completed = None;
        while let Some(&(id, started)) = self.started.front() {
            match started {
                Started::Vow if self.vows_durable > 0 => self.vows_durable -= 1,
                Started::Append { end } if end <= log_durable_end => {}
                Started::Cut if self.cut_done => self.cut_done = false,
                _ => break,
            }
            self.started.pop_front();
            completed = Some(id);
        }
        completed
    }
}

fn is_append(started: Started) -> bool {
    matches!(started, Started::Append { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(end: u64) -> Write {
        Write::Append { end, batches: Vec::new() }
    }

    fn vow() -> Write {
        Write::Vow(Vow::default())
    }

    /// Starts all that may start; tells how many.
    fn start(writes: &mut WriteStream) -> usize {
        std::iter::from_fn(|| writes.start_next()).count()
    }

    #[test]
    fn a_write_starts_only_when_it_cannot_overtake() {
        let mut writes = WriteStream::default();
        writes.push(WriteId(1), append(5));
        writes.push(WriteId(2), append(10));
        writes.push(WriteId(3), vow());
        writes.push(WriteId(4), vow());
        writes.push(WriteId(5), append(12));
        assert_eq!(start(&mut writes), 2, "appends in a row");
        assert_eq!(writes.complete(7), Some(WriteId(1)));
        assert_eq!(start(&mut writes), 0, "one is not durable");
        assert_eq!(writes.complete(10), Some(WriteId(2)));
        assert_eq!(start(&mut writes), 2, "vows in a row");
        assert!(writes.has_vow_under_way() && !writes.takes_appends());
        writes.vow_durable();
        assert_eq!(writes.complete(10), Some(WriteId(3)));
        assert_eq!(start(&mut writes), 0, "a vow is not durable");
        writes.vow_durable();
        assert_eq!(writes.complete(10), Some(WriteId(4)));
        assert!(!writes.has_vow_under_way());
        assert_eq!(start(&mut writes), 1);
        assert!(writes.takes_appends());
        writes.push_appended(WriteId(6), 13);
        assert_eq!(writes.complete(12), Some(WriteId(5)));
        assert_eq!(writes.complete(13), Some(WriteId(6)));
    }

    #[test]
    fn a_cut_is_alone() {
        let mut writes = WriteStream::default();
        writes.push(WriteId(1), append(5));
        writes.push(WriteId(2), Write::Cut(Cut::Truncate { end: 3 }));
        writes.push(WriteId(3), append(4));
        assert_eq!(start(&mut writes), 1);
        assert!(writes.has_cut());
        assert_eq!(writes.complete(5), Some(WriteId(1)));
        assert_eq!(start(&mut writes), 1);
        assert_eq!(writes.complete(5), None, "the cut is not done");
        assert_eq!(start(&mut writes), 0);
        writes.cut_done();
        assert_eq!(writes.complete(3), Some(WriteId(2)));
        assert!(!writes.has_cut());
        assert_eq!(start(&mut writes), 1);
        assert_eq!(writes.complete(3), None, "what was durable before the cut is gone");
        assert_eq!(writes.complete(4), Some(WriteId(3)));
    }

    #[test]
    #[should_panic(expected = "overtook")]
    fn a_leader_does_not_write_ahead_of_its_vow() {
        let mut writes = WriteStream::default();
        writes.push(WriteId(1), vow());
        assert_eq!(start(&mut writes), 1);
        writes.push_appended(WriteId(2), 5);
    }
}
