//! The state that a replica's three parts share: vows, log pointers, write stream, outputs.
//!
//! Everything that changes the disk goes through here, so that the in-memory state, the write
//! stream and the outputs never disagree.

use std::collections::{BTreeMap, VecDeque};

use crate::planted::PlantedBug;
use crate::prefix_log::PrefixLog;
use crate::write_stream::{Effect, Synced, WriteStream};
use crate::{
    Ballot, Batch, Durable, InputError, Message, Nack, NodeId, Output, ReadId, ReplicaConfig,
    WriteId,
};

/// Whom a read of the own log is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reader {
    /// A candidate that asked for a suffix.
    Candidate { node: NodeId, ballot: Ballot },
    /// A follower that lags behind what the leader remembers.
    Follower { node: NodeId },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Core {
    pub(crate) config: ReplicaConfig,
    /// The highest ballot promised. In memory; durable when its vow is written.
    pub(crate) promised: Ballot,
    /// The ballot under which the whole log is accepted, likewise.
    pub(crate) accepted_ballot: Ballot,
    /// A higher ballot that a peer refused the own one for; only a hint to who leads.
    pub(crate) superseding: Ballot,
    pub(crate) log: PrefixLog,
    pub(crate) writes: WriteStream,
    /// Ticks seen in this incarnation.
    pub(crate) tick: u64,
    /// A refusal was answered already; the next one waits for a tick or for progress, so that a
    /// thousand refused pipelined messages do not cause a thousand resends.
    pub(crate) complained: bool,
    reads: BTreeMap<ReadId, Reader>,
    next_read: u64,
    outputs: VecDeque<Output>,
}

impl Core {
    pub(crate) fn new(config: ReplicaConfig, durable: &Durable) -> Core {
        let log = PrefixLog::from_durable(durable);
        let synced = Synced {
            promised: durable.promised,
            accepted_ballot: durable.accepted_ballot,
            log_end: log.end(),
        };
        Core {
            config,
            promised: durable.promised,
            accepted_ballot: durable.accepted_ballot,
            superseding: Ballot::ZERO,
            log,
            writes: WriteStream::new(synced),
            tick: 0,
            complained: false,
            reads: BTreeMap::new(),
            next_read: 1,
            outputs: VecDeque::new(),
        }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.config.node
    }

    pub(crate) fn planted(&self, bug: PlantedBug) -> bool {
        self.config.planted(bug)
    }

    // ---- outputs -----------------------------------------------------------------------------

    pub(crate) fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Sends a message that tells of nothing that is not durable yet.
    pub(crate) fn send(&mut self, to: NodeId, message: Message) {
        self.send_after(to, message, None);
    }

    /// Sends a message once the write `after` is synced.
    pub(crate) fn send_after(&mut self, to: NodeId, message: Message, after: Option<WriteId>) {
        assert_ne!(to, self.node(), "a replica does not message itself");
        self.emit(Output::Send { to, message, after });
    }

    pub(crate) fn nack(&mut self, to: NodeId, ballot: Ballot) {
        let nack = Nack { ballot, promised: self.promised };
        // The refusal may tell of a vow that is still on its way to the disk.
        self.send_after(to, Message::Nack(nack), self.writes.barrier());
    }

    // ---- writes ------------------------------------------------------------------------------

    /// Writes the vow as it stands now.
    pub(crate) fn write_vow(&mut self) -> WriteId {
        let (promised, accepted_ballot) = (self.promised, self.accepted_ballot);
        let write = self.writes.issue(Effect::Vow { promised, accepted_ballot });
        self.emit(Output::Vow { write, promised, accepted_ballot });
        write
    }

    pub(crate) fn append(&mut self, batches: Vec<Batch>) {
        self.log.append(&batches);
        let write = self.writes.issue(Effect::LogEnd(self.log.end()));
        self.emit(Output::Append { write, batches });
        self.complained = false;
    }

    pub(crate) fn truncate(&mut self, end: u64) {
        self.log.truncate(end);
        let write = self.writes.issue(Effect::LogEnd(end));
        self.emit(Output::Truncate { write, end });
    }

    pub(crate) fn restart_log(&mut self, at: u64) {
        let cuts = self.log.end() > at;
        self.log.restart(at);
        let write = self.writes.issue(Effect::LogEnd(at));
        self.emit(Output::RestartLog { write, at });
        self.emit(Output::Decided { end: at });
        if cuts {
            // The diverging log reached beyond the new one: its durability mark has to come down.
            self.truncate(at);
        }
    }

    /// Notes that the whole log is now accepted under the promised ballot. The log writes that
    /// made it so come earlier in the stream: a crash in between leaves the older ballot standing
    /// over a log that holds every chosen batch the replica ever had.
    pub(crate) fn note_accepted(&mut self) {
        self.accepted_ballot = self.promised;
        self.write_vow();
        if self.log.faulty_end().is_some() {
            // Whatever was faulty beyond this end is overruled, but only from here on: before the
            // vow is durable the durability mark has to keep telling of it.
            self.log.forget_faulty();
            let end = self.log.end();
            self.truncate(end);
        }
        self.complained = false;
    }

    /// Lays `batches`, part of the log of a leader or source, over the own log, which equals that
    /// log below the first of them: skips what is held already, cuts at the first difference,
    /// appends the rest.
    pub(crate) fn overlay(&mut self, mut batches: Vec<Batch>) -> Result<(), InputError> {
        let mut held = batches.iter().take_while(|batch| self.log.holds(batch)).count();
        if self.planted(PlantedBug::TruncateMatching) {
            held = batches.iter().take_while(|b| b.end <= self.log.decided_end()).count();
        }
        batches.drain(..held);
        let Some(first) = batches.first() else { return Ok(()) };
        if first.base < self.log.decided_end() {
            return Err(InputError::ContradictsDecided);
        }
        if first.base > self.log.end() {
            return Err(InputError::MalformedBatches);
        }
        let below = self.log.history().round_before(first.base).unwrap_or(0);
        if first.round < below {
            return Err(InputError::MalformedBatches);
        }
        if first.base < self.log.end() {
            self.truncate(first.base);
        }
        self.append(batches);
        Ok(())
    }

    /// Learns a decided end; anything beyond the own log is learned later.
    pub(crate) fn decide(&mut self, end: u64) {
        if self.log.decide(end) {
            self.emit(Output::Decided { end: self.log.decided_end() });
        }
    }

    // ---- reads -------------------------------------------------------------------------------

    /// Reads the own log for `reader`; replaces an earlier read for the same reader.
    pub(crate) fn read(&mut self, reader: Reader, from: u64, end: u64, max_size: u64) -> ReadId {
        assert!(self.log.start() <= from && from < end && end <= self.log.end());
        self.reads.retain(|_, other| match (*other, reader) {
            (Reader::Candidate { .. }, Reader::Candidate { .. }) => false,
            (other, reader) => other != reader,
        });
        let read = ReadId(self.next_read);
        self.next_read += 1;
        self.reads.insert(read, reader);
        self.emit(Output::Read { read, from, end, max_size });
        read
    }

    pub(crate) fn take_reader(&mut self, read: ReadId) -> Option<Reader> {
        self.reads.remove(&read)
    }

    /// Forgets the reads of a leader that leads no longer.
    pub(crate) fn drop_follower_reads(&mut self) {
        self.reads.retain(|_, reader| matches!(reader, Reader::Candidate { .. }));
    }

    // ---- invariants --------------------------------------------------------------------------

    /// Asserts the chain of pointers; see the crate's front page.
    pub(crate) fn check(&self) {
        let synced = self.writes.synced();
        assert!(self.accepted_ballot <= self.promised, "accepted beyond the promise");
        assert!(synced.promised <= self.promised, "a vow was taken back");
        assert!(synced.accepted_ballot <= self.accepted_ballot, "an acceptance was taken back");
        assert!(synced.accepted_ballot <= synced.promised);
        assert!(self.log.history().last_round() <= self.promised.round, "a round from the future");
        self.log.check();
        self.writes.check();
        if self.writes.barrier().is_none() {
            assert_eq!(synced.log_end, self.log.end());
            assert_eq!(synced.promised, self.promised);
            assert_eq!(synced.accepted_ballot, self.accepted_ballot);
        }
    }
}
