//! One partition's replica on this broker: where the consensus core and the durable log meet.
//!
//! The core decides *what* is written and said, the log and the journal make it durable, and this
//! joins them: it carries out each output of the core, keeps the order of the replica's writes, and
//! tells the core when they are synced. Payload never enters the core; it waits here, in the order
//! of its offsets, for the core's word to append it.
//!
//! Sans-IO but for the log's own files: what takes time (syncs, journal records, messages) is asked
//! of the shard by [`Effects`], and reported by `handle_*`.
mod append;
mod appointment;
mod confirm;
mod effects;
mod in_sync;
mod outputs;
mod payload;
mod produce;
mod status;
mod storing;
#[cfg(test)]
mod tests;
mod upkeep;
mod view;
mod waiters;
mod writes;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use synod_log::batch::Batch;
use synod_log::journal::{self, JournalError, PartitionDurable, Vow};
use synod_log::key::PartitionKey;
use synod_log::sync::JobPanicked;
use synod_log::{Log, LogError};
use synod_paxos::{Ballot, Message, NodeId, Replica, Role, WriteId};

use crate::metadata::AdminError;
use crate::shard::OpenError;
use crate::state_log::StateError;

pub(crate) use append::{
    Acks, AppendError, AppendItem, AppendOutcome, AppendRequest, AppendSlot, Appended,
    PendingAppend, Produced,
};
use appointment::Appointment;
pub(crate) use effects::{Effects, Outgoing, Resignation};
use in_sync::InSync;
use payload::InHand;
use produce::Waiting;
pub(crate) use status::ReplicaStatus;
use storing::{Mark, WaitingCut};
pub(crate) use upkeep::{first_batch_base, log_config, replica_config};
pub(crate) use view::PartitionView;
pub(crate) use waiters::Registration;
use writes::WriteStream;

/// When a write to the log counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marks {
    /// Not before its durability mark is durable as well: nobody could repair what rots before
    /// that. For replica sets of one, and for the metadata group.
    BeforeAnswers,
    /// Once it is synced; the mark follows, because peers can repair.
    Lazy,
}

/// Why a replica's incarnation ended although the broker goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// A batch to be accepted found no space.
    DiskFull,
    /// Records that were acknowledged cannot be read; peers have them.
    Corrupt,
    /// The partition is no longer this broker's.
    Left,
}

/// What the next incarnation of a replica begins with.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) reason: EndReason,
    pub(crate) journaled: PartitionDurable,
    /// Offsets that cannot be read, as far as known.
    pub(crate) corrupt: Vec<Range<u64>>,
}

/// One replica.
#[derive(Debug)]
pub(crate) struct Partition {
    key: PartitionKey,
    log: Log,
    replica: Replica,
    view: Arc<PartitionView>,
    writes: WriteStream,
    marks: Marks,
    mark: Mark,
    /// The cut that waits.
    cut: Option<WaitingCut>,
    /// A carrier may hold something of the log.
    may_be_carried: bool,
    /// What the journal holds for sure.
    vow: Option<Vow>,
    /// From here on the log cannot be read; to be cut before anything is written to it.
    unreadable_from: Option<u64>,
    /// End of the batches in the log whose one `Append` the core has yet to utter.
    written_ahead: Option<u64>,
    /// Batches that the core is being told of, for the messages that follow at once.
    in_hand: InHand,
    /// Batches that came beside the message being handled.
    incoming: VecDeque<Batch>,
    /// Messages that wait for a write. Lost ones are repeated, so there may be a bound.
    held: VecDeque<(WriteId, NodeId, Message)>,
    /// Producers that wait for the decision (`acks=all`), by offset.
    undecided: VecDeque<Waiting>,
    /// Producers that wait for the leader's own sync (`acks=1`), by offset.
    unsynced: VecDeque<Waiting>,
    appointment: Option<Appointment>,
    in_sync: InSync,
    /// The last append found no space.
    disk_full: bool,
    /// Syncs and upkeep that other threads have not reported back.
    jobs_out: usize,
    ended: Option<EndReason>,
    /// Offsets found unreadable while running.
    corrupt: Vec<Range<u64>>,
    /// A peer's nonsense was logged in this tick.
    complained: bool,
    ticks: u64,
}

impl Partition {
    /// Joins a recovered log and its replica.
    pub(crate) fn new(
        key: PartitionKey,
        log: Log,
        replica: Replica,
        view: Arc<PartitionView>,
        marks: Marks,
    ) -> Partition {
        let readable = log.faulty().is_none() && log.end() == replica.log_end();
        let vow = Vow {
            promised: journal_ballot(replica.promised()),
            accepted: journal_ballot(replica.accepted_ballot()),
        };
        let durable_end = log.durable_end();
        Partition {
            key,
            writes: WriteStream::default(),
            marks,
            mark: Mark::new(replica.faulty_end().map_or(durable_end, |end| end.max(durable_end))),
            cut: None,
            may_be_carried: false,
            vow: (vow != Vow::default()).then_some(vow),
            unreadable_from: (!readable).then_some(replica.log_end()),
            written_ahead: None,
            in_hand: InHand::default(),
            incoming: VecDeque::new(),
            held: VecDeque::new(),
            undecided: VecDeque::new(),
            unsynced: VecDeque::new(),
            appointment: None,
            in_sync: InSync::new(view.config().min_in_sync_replicas),
            disk_full: false,
            jobs_out: 0,
            ended: None,
            corrupt: Vec::new(),
            complained: false,
            ticks: 0,
            log,
            replica,
            view,
        }
    }

    pub(crate) fn view(&self) -> &Arc<PartitionView> {
        &self.view
    }

    pub(crate) fn key(&self) -> PartitionKey {
        self.key
    }

    /// The consensus core, for looking at.
    pub(crate) fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The log, for looking at.
    #[cfg(any(test, feature = "simulator"))]
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// What this replica does.
    pub(crate) fn role(&self) -> Role {
        if self.ended.is_some() { Role::Follower } else { self.replica.role() }
    }

    /// The ballot it leads or stands for, else the one it promised.
    pub(crate) fn ballot(&self) -> Ballot {
        self.replica.ballot()
    }

    /// Whether this replica leads with everything it adopted decided.
    pub(crate) fn is_ready(&self) -> bool {
        self.view.leading_round().is_some()
    }

    /// The durability mark that the journal should hold.
    pub(crate) fn mark(&self) -> u64 {
        self.mark.wanted()
    }

    /// First offset not known to be decided, as far as the log can be read.
    pub(crate) fn decided_end(&self) -> u64 {
        self.view.high_watermark()
    }

    /// Shows what is decided once it stands in the log. The core knows earlier: while its writes
    /// wait for their turn, the log still holds what they overrule.
    fn show_decided(&mut self) {
        if !self.writes.has_cut() {
            let readable_end = self.unreadable_from.unwrap_or(u64::MAX).min(self.log.end());
            let end = self.replica.decided_end().min(readable_end);
            self.view.advance_high_watermark(end.max(self.view.high_watermark()));
        }
    }

    /// Takes a message of a peer with the batches that it describes. What does not fit together is
    /// dropped: a peer is not to be trusted with this broker's life.
    ///
    /// # Errors
    /// The log failed for good.
    pub(crate) fn handle_message(
        &mut self,
        from: NodeId,
        message: Message,
        payload: Vec<Bytes>,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        if self.ended.is_some() {
            return Ok(());
        }
        match payload::parse(payload, message.batches()) {
            Ok(batches) => self.incoming = batches.into(),
            Err(error) => {
                self.complain(from, &error.to_string());
                return Ok(());
            }
        }
        if let Err(error) = self.replica.handle_message(from, message) {
            self.complain(from, &error.to_string());
        }
        let result = self.step(effects);
        self.incoming.clear();
        result
    }

    /// Logs a peer's nonsense, once between two ticks.
    fn complain(&mut self, from: NodeId, error: &str) {
        if !std::mem::replace(&mut self.complained, true) {
            tracing::warn!(partition = %self.key, %from, error, "a peer's message is dropped");
        }
    }

    /// A tick passed. `heard` tells whether a broker was heard from since the last one.
    ///
    /// # Errors
    /// The log failed for good.
    pub(crate) fn tick(
        &mut self,
        heard: &dyn Fn(NodeId) -> bool,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        self.complained = false;
        self.ticks += 1;
        if self.ended.is_none() {
            if let Some(appointment) = &self.appointment {
                for peer in appointment.peers.iter().filter(|peer| heard(**peer)) {
                    self.replica.handle_contact(*peer);
                }
            }
            self.replica.handle_tick();
            self.step(effects)?;
            self.watch_followers();
        } else {
            self.settle_ended(effects)?;
        }
        self.check_appointment(effects);
        Ok(())
    }

    /// Carries out what the core wants and tells it what is durable, until neither has news.
    fn step(&mut self, effects: &mut Effects) -> Result<(), PartitionError> {
        while self.ended.is_none() {
            while let Some(output) = self.replica.poll_output() {
                self.carry_out(output, effects)?;
            }
            self.start_writes(effects)?;
            self.show_decided();
            let Some(write) = self.writes.complete(self.synced_end()) else { break };
            self.replica.handle_written(write);
            self.release(write, effects);
        }
        self.publish_role();
        self.settle();
        self.poll_jobs(effects);
        Ok(())
    }

    fn poll_jobs(&mut self, effects: &mut Effects) {
        if self.ended.is_some() {
            return;
        }
        if let Some(job) = self.poll_sync() {
            effects.syncs.push((self.key, job));
            self.jobs_out += 1;
        }
        while let Some(job) = self.log.poll_background() {
            effects.background.push((self.key, job));
            self.jobs_out += 1;
        }
    }

    /// Ends this incarnation: no write is retried and nothing more is said. Whoever waits hears
    /// that the outcome is unknown.
    fn end(&mut self, reason: EndReason) {
        if self.ended.is_none() {
            tracing::warn!(partition = %self.key, ?reason, "the replica stops until it is reopened");
            self.ended = Some(reason);
            self.held.clear();
            self.give_up_waiting();
            self.view.set_leading_round(None);
        }
    }

    /// Stops serving a partition that is no longer this broker's.
    pub(crate) fn leave(&mut self) {
        self.end(EndReason::Left);
    }

    /// Whether this incarnation ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// If this incarnation ended and nothing of it is under way any more: what the next one begins
    /// with. The owner drops this one and opens the log anew.
    pub(crate) fn poll_ended(&self) -> Option<Ended> {
        let reason = self.ended.clone()?;
        let quiet = self.jobs_out == 0
            && self.cut.is_none()
            && self.is_settled()
            && !self.writes.has_vow_under_way();
        quiet.then(|| {
            let journaled = PartitionDurable { vow: self.vow, mark: self.mark(), start: 0 };
            let corrupt = self.log.corrupt().iter().chain(&self.corrupt).cloned().collect();
            Ended { reason, journaled, corrupt }
        })
    }

    /// Ends this incarnation's service: whoever waits hears that the outcome is unknown.
    pub(crate) fn close(mut self) -> Log {
        self.view.close();
        self.give_up_waiting();
        self.log
    }
}

fn journal_ballot(ballot: Ballot) -> journal::Ballot {
    journal::Ballot { round: ballot.round, node: ballot.node.0 }
}

/// Why a partition cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PartitionError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Panicked(#[from] JobPanicked),
    #[error("a partition cannot be opened: {0}")]
    Open(Box<OpenError>),
    #[error("the metadata log cannot be folded: {0}")]
    State(StateError),
    #[error("the cluster does not take this start of the broker: {0}")]
    Refused(AdminError),
}
