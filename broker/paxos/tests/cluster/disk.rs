//! One replica's disk: what is synced, and the ordered writes that are not yet.

use std::collections::VecDeque;

use synod_paxos::{Ballot, Batch, Durable, Output, RoundStart, WriteId};

/// A log as a list of batches, `[start, end)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Log {
    pub(crate) start: u64,
    pub(crate) batches: Vec<Batch>,
}

impl Log {
    pub(crate) fn end(&self) -> u64 {
        self.batches.last().map_or(self.start, |batch| batch.end)
    }

    pub(crate) fn holds(&self, batch: &Batch) -> bool {
        let at = self.batches.binary_search_by_key(&batch.base, |b| b.base);
        at.is_ok_and(|at| self.batches[at] == *batch)
    }

    pub(crate) fn truncate(&mut self, end: u64) {
        self.batches.retain(|batch| batch.end <= end);
        assert_eq!(self.end(), end.max(self.start), "truncation inside a batch");
    }

    /// Whole batches from the one at `from`, not beyond `end`, at least one.
    pub(crate) fn read(&self, from: u64, end: u64, max_size: u64) -> Vec<Batch> {
        let mut size = 0;
        let mut batches = Vec::new();
        for batch in self.batches.iter().filter(|b| b.base >= from && b.end <= end) {
            size += u64::from(batch.size);
            if size > max_size && !batches.is_empty() {
                break;
            }
            batches.push(*batch);
        }
        batches
    }

    fn rounds(&self) -> Vec<RoundStart> {
        let mut rounds: Vec<RoundStart> = Vec::new();
        for batch in &self.batches {
            if rounds.last().is_none_or(|last| last.round != batch.round) {
                rounds.push(RoundStart { round: batch.round, base: batch.base });
            }
        }
        rounds
    }
}

/// A write of the ordered stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Write {
    Vow { promised: Ballot, accepted_ballot: Ballot },
    Append(Vec<Batch>),
    Truncate(u64),
    Restart(u64),
}

impl Write {
    pub(crate) fn from_output(output: &Output) -> Option<(WriteId, Write)> {
        Some(match output {
            Output::Vow { write, promised, accepted_ballot } => {
                let (promised, accepted_ballot) = (*promised, *accepted_ballot);
                (*write, Write::Vow { promised, accepted_ballot })
            }
            Output::Append { write, batches } => (*write, Write::Append(batches.clone())),
            Output::Truncate { write, end } => (*write, Write::Truncate(*end)),
            Output::RestartLog { write, at } => (*write, Write::Restart(*at)),
            _ => return None,
        })
    }

    fn apply_to_log(&self, log: &mut Log) {
        match self {
            Write::Vow { .. } => {}
            Write::Append(batches) => {
                for batch in batches {
                    assert_eq!(batch.base, log.end(), "append leaves a gap");
                    log.batches.push(*batch);
                }
            }
            Write::Truncate(end) => log.truncate(*end),
            Write::Restart(at) => {
                log.start = *at;
                log.batches.clear();
            }
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    pub(crate) promised: Ballot,
    pub(crate) accepted_ballot: Ballot,
    pub(crate) log: Log,
    /// The durability mark: lies beyond the log's end only after corruption.
    pub(crate) mark: u64,
    /// The log with every pending write applied: what the process reads.
    pub(crate) visible: Log,
    pub(crate) pending: VecDeque<(WriteId, Write)>,
}

impl Disk {
    pub(crate) fn submit(&mut self, write: WriteId, what: Write) {
        what.apply_to_log(&mut self.visible);
        self.pending.push_back((write, what));
    }

    /// Makes the oldest pending write durable.
    pub(crate) fn sync_one(&mut self) -> Option<WriteId> {
        let (write, what) = self.pending.pop_front()?;
        what.apply_to_log(&mut self.log);
        match what {
            Write::Vow { promised, accepted_ballot } => {
                assert!(promised >= self.promised, "a vow goes back");
                assert!(accepted_ballot >= self.accepted_ballot, "an acceptance goes back");
                self.promised = promised;
                self.accepted_ballot = accepted_ballot;
            }
            Write::Append(_) => self.mark = self.mark.max(self.log.end()),
            Write::Truncate(end) => self.mark = self.mark.min(end),
            Write::Restart(at) => self.mark = self.mark.max(at),
        }
        Some(write)
    }

    /// A crash: some of the oldest pending writes reached the disk, all others are lost.
    pub(crate) fn crash(&mut self, kept: usize) {
        for _ in 0..kept {
            self.sync_one();
        }
        self.pending.clear();
        self.visible = self.log.clone();
    }

    /// Everything from the batch at `index` on becomes unreadable.
    pub(crate) fn corrupt(&mut self, index: usize) {
        self.log.batches.truncate(index);
        self.visible = self.log.clone();
    }

    pub(crate) fn trim(&mut self, start: u64) {
        for log in [&mut self.log, &mut self.visible] {
            if log.end() >= start {
                log.batches.retain(|batch| batch.base >= start);
                log.start = log.start.max(start);
            }
        }
    }

    pub(crate) fn recover(&self) -> Durable {
        Durable {
            promised: self.promised,
            accepted_ballot: self.accepted_ballot,
            log_start: self.log.start,
            log_end: self.log.end(),
            faulty_end: (self.mark > self.log.end()).then_some(self.mark),
            decided_end: 0,
            rounds: self.log.rounds(),
        }
    }

    /// Whether the synced log holds the batch, or held it before corruption.
    pub(crate) fn swears_to(&self, batch: &Batch) -> bool {
        let trimmed = batch.end <= self.log.start;
        let faulty = batch.base >= self.log.end() && batch.end <= self.mark;
        trimmed || faulty || self.log.holds(batch)
    }
}
