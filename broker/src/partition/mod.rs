//! One partition's replica on this broker: where the consensus core and the durable log meet.
//!
//! The core decides *what* is written and said, the log and the journal make it durable, and this
//! joins them: it carries out each output of the core, keeps the order of the replica's writes, and
//! tells the core when they are synced. Payload never enters the core; it waits here, in the order
//! of its offsets, for the core's word to append it.

mod append;
#[cfg(test)]
mod tests;
mod view;
mod waiters;
mod writes;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;

use synod_log::batch::Batch;
use synod_log::jobs::{BackgroundDone, BackgroundJob, SyncDone, SyncJob};
use synod_log::journal::{self, JournalError, JournalRecord, Vow};
use synod_log::key::PartitionKey;
use synod_log::producers::{ProducerBatch, ProducerCheck};
use synod_log::sync::JobPanicked;
use synod_log::{Log, LogConfig, LogError};
use synod_paxos::{
    AppointError, Ballot, Output, Proposal, ProposeError, Replica, ReplicaSet, Role,
};

use crate::config::Config;
use crate::metadata::TopicConfig;
use crate::shard::TrimError;
use crate::state_log::StateError;

pub(crate) use append::{
    Acks, AppendError, AppendItem, AppendOutcome, AppendRequest, AppendSlot, Appended,
    PendingAppend,
};
pub(crate) use view::PartitionView;
pub(crate) use waiters::Registration;
use writes::{Target, WriteStream};

/// What a partition asks of its shard; gathered over one turn of the shard's loop.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// To be made durable in the journal, in this order.
    pub(crate) journal: Vec<JournalRecord>,
    /// Marks that nobody waits for.
    pub(crate) lazy_marks: Vec<(PartitionKey, u64)>,
    /// Syncs to start.
    pub(crate) syncs: Vec<(PartitionKey, SyncJob)>,
    /// Upkeep to do where it does not block.
    pub(crate) background: Vec<(PartitionKey, BackgroundJob)>,
}

/// A producer's batch that is in the log but not durable enough to be answered.
#[derive(Debug)]
struct Waiting {
    end: u64,
    slot: AppendSlot,
    appended: Appended,
}

/// One replica.
#[derive(Debug)]
pub(crate) struct Partition {
    key: PartitionKey,
    log: Log,
    replica: Replica,
    view: Arc<PartitionView>,
    writes: WriteStream,
    /// Batches already in the log whose `Append` the core has yet to utter; at most one.
    written_ahead: Option<u64>,
    /// Producers that wait for the decision (`acks=all`), by offset.
    undecided: VecDeque<Waiting>,
    /// Producers that wait for the leader's own sync (`acks=1`), by offset.
    unsynced: VecDeque<Waiting>,
    /// A write is only told of when its durability mark is durable as well, because no peer could
    /// repair what rots before that.
    alone: bool,
    /// The last append found no space.
    disk_full: bool,
}

impl Partition {
    /// Joins a recovered log and its replica.
    pub(crate) fn new(
        key: PartitionKey,
        log: Log,
        replica: Replica,
        view: Arc<PartitionView>,
    ) -> Partition {
        Partition {
            key,
            log,
            replica,
            view,
            writes: WriteStream::default(),
            written_ahead: None,
            undecided: VecDeque::new(),
            unsynced: VecDeque::new(),
            alone: true,
            disk_full: false,
        }
    }

    pub(crate) fn view(&self) -> &Arc<PartitionView> {
        &self.view
    }

    pub(crate) fn key(&self) -> PartitionKey {
        self.key
    }

    /// Whether this replica leads with everything it adopted decided.
    pub(crate) fn is_ready(&self) -> bool {
        self.view.leading_round().is_some()
    }

    /// First offset that the log's syncs do not cover.
    pub(crate) fn durable_end(&self) -> u64 {
        self.log.durable_end()
    }

    /// First offset not known to be decided.
    pub(crate) fn decided_end(&self) -> u64 {
        self.replica.decided_end()
    }

    /// Takes an appointment to lead. One that was taken before is not news.
    ///
    /// # Errors
    /// The round is used up: the controller has to appoint another one.
    pub(crate) fn appoint(
        &mut self,
        ballot: Ballot,
        replicas: ReplicaSet,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        if self.replica.ballot() == ballot {
            return Ok(());
        }
        self.alone = replicas.voters().len() == 1;
        self.replica.handle_appointed(ballot, replicas)?;
        self.step(effects)
    }

    /// Takes a producer's batch; `slot` is filled when it is as durable as `acks` asks.
    ///
    /// # Errors
    /// The log failed for good. Refusals go to the slot instead.
    pub(crate) fn append(
        &mut self,
        item: AppendItem,
        acks: Acks,
        now_ms: i64,
        slot: AppendSlot,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        let mut batch = item.batch;
        let appended = |base_offset, log_append_time, view: &PartitionView| Appended {
            base_offset,
            log_append_time,
            log_start_offset: view.log().start(),
        };
        match self.log.producers().check(&ProducerBatch::from(batch.header())) {
            ProducerCheck::Append => {}
            ProducerCheck::Duplicate(original) => {
                let end = original.base_offset + u64::from(original.last_offset_delta) + 1;
                // Kafka tells the batch's own time of a repeat, whatever the topic's setting.
                let time = Some(original.timestamp);
                let appended = appended(original.base_offset, time, &self.view);
                self.wait(Waiting { end, slot, appended }, acks);
                self.settle();
                return Ok(());
            }
            // Kafka answers a repeat that is too old to be remembered as out of order, too.
            ProducerCheck::OldDuplicate | ProducerCheck::OutOfOrder { .. } => {
                slot.fill(Err(AppendError::OutOfOrderSequence));
                return Ok(());
            }
            ProducerCheck::OldEpoch { .. } => {
                slot.fill(Err(AppendError::InvalidProducerEpoch));
                return Ok(());
            }
        }
        if item.log_append_time {
            batch.set_log_append_time(now_ms);
        }
        match self.propose(batch, effects)? {
            Ok((base_offset, end)) => {
                let time = item.log_append_time.then_some(now_ms);
                let appended = appended(base_offset, time, &self.view);
                self.wait(Waiting { end, slot, appended }, acks);
                self.settle();
            }
            Err(refusal) => slot.fill(Err(refusal)),
        }
        Ok(())
    }

    /// Stamps a batch, writes it to the log and proposes it. The log comes first: a full disk is
    /// then an ordinary refusal, of which the core never hears.
    pub(crate) fn propose(
        &mut self,
        mut batch: Batch,
        effects: &mut Effects,
    ) -> Result<Result<(u64, u64), AppendError>, PartitionError> {
        let header = batch.header();
        let Ok(count) = u32::try_from(header.offset_count()) else {
            return Ok(Err(AppendError::Busy));
        };
        let Ok(size) = u32::try_from(batch.size()) else { return Ok(Err(AppendError::Busy)) };
        let proposal = Proposal { count, size, checksum: header.crc() };
        let ballot = match self.replica.check_propose(1) {
            Ok(ballot) => ballot,
            Err(refusal) => return Ok(Err(self.refusal(refusal))),
        };
        let base_offset = self.log.end();
        batch.stamp(base_offset, leader_epoch(ballot));
        match self.log.append(std::slice::from_ref(&batch)) {
            Ok(()) => self.note_disk(false),
            Err(LogError::DiskFull { .. }) => {
                self.note_disk(true);
                return Ok(Err(AppendError::DiskFull));
            }
            Err(LogError::Faulty(_)) => return Ok(Err(AppendError::Faulty)),
            Err(error) => return Err(error.into()),
        }
        let end = self.log.end();
        self.written_ahead = Some(end);
        let range = self
            .replica
            .handle_propose(&[proposal])
            .unwrap_or_else(|refusal| unreachable!("checked before: {refusal}"));
        assert_eq!(range, base_offset..end, "core and log agree on offsets");
        self.step(effects)?;
        assert!(self.written_ahead.is_none(), "the core appends what it took");
        Ok(Ok((base_offset, end)))
    }

    /// Tells the operator when a full disk begins and ends to refuse this partition's producers.
    fn note_disk(&mut self, full: bool) {
        if full && !self.disk_full {
            tracing::warn!(partition = %self.key, "the disk is full: producers are refused");
        } else if !full && self.disk_full {
            tracing::info!(partition = %self.key, "there is space again: producers are served");
        }
        self.disk_full = full;
    }

    fn refusal(&self, refusal: ProposeError) -> AppendError {
        match refusal {
            ProposeError::NotLeader { .. } if self.log.faulty().is_some() => AppendError::Faulty,
            ProposeError::NotLeader { .. } => AppendError::NotLeader,
            ProposeError::NotReady => AppendError::NotReady,
            ProposeError::QuorumLost => AppendError::NotEnoughReplicas,
            ProposeError::WindowFull => AppendError::Busy,
        }
    }

    fn wait(&mut self, waiting: Waiting, acks: Acks) {
        match acks {
            Acks::All => self.undecided.push_back(waiting),
            Acks::Leader => self.unsynced.push_back(waiting),
            Acks::None => waiting.slot.fill(Ok(waiting.appended)),
        }
    }

    /// Takes a sync's result.
    ///
    /// # Errors
    /// The sync failed: nothing is known of what is durable any more.
    pub(crate) fn handle_synced(
        &mut self,
        done: SyncDone,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        let durable_end = self.log.handle_synced(done)?;
        if self.alone {
            effects.journal.push(JournalRecord::Mark { key: self.key, durable_end });
        } else {
            effects.lazy_marks.push((self.key, durable_end));
            self.writes.log_durable(durable_end);
        }
        self.step(effects)
    }

    /// Takes the news that a record of this partition is durable in the journal.
    ///
    /// # Errors
    /// As [`Partition::handle_synced`].
    pub(crate) fn handle_journaled(
        &mut self,
        record: &JournalRecord,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        match record {
            JournalRecord::Vow { .. } => self.writes.vow_durable(),
            JournalRecord::Mark { durable_end, .. } => self.writes.log_durable(*durable_end),
            other => unreachable!("no partition journals {other:?}"),
        }
        self.step(effects)
    }

    /// Tells the core what is durable and carries out what it wants, until it wants nothing.
    fn step(&mut self, effects: &mut Effects) -> Result<(), PartitionError> {
        loop {
            if let Some(write) = self.writes.complete() {
                self.replica.handle_written(write);
            }
            let Some(output) = self.replica.poll_output() else { break };
            self.carry_out(output, effects)?;
        }
        self.settle();
        if let Some(job) = self.log.poll_sync() {
            effects.syncs.push((self.key, job));
        }
        while let Some(job) = self.log.poll_background() {
            effects.background.push((self.key, job));
        }
        Ok(())
    }

    fn carry_out(&mut self, output: Output, effects: &mut Effects) -> Result<(), PartitionError> {
        match output {
            Output::Vow { write, promised, accepted_ballot } => {
                let vow = Vow {
                    promised: journal_ballot(promised),
                    accepted: journal_ballot(accepted_ballot),
                };
                effects.journal.push(JournalRecord::Vow { key: self.key, vow });
                self.writes.push(write, Target::Vow);
            }
            Output::Append { write, batches } => {
                let end = batches.last().map(|batch| batch.end);
                assert!(end.is_some() && end == self.written_ahead.take(), "only what was written");
                self.writes.push(write, Target::Log(self.log.end()));
            }
            Output::Truncate { .. } | Output::RestartLog { .. } => {
                unreachable!("a replica without peers has nothing to diverge from")
            }
            Output::Decided { end } => self.view.advance_high_watermark(end),
            Output::RoleChanged { role, ballot } => self.change_role(role, ballot),
            Output::Send { to, message, .. } => {
                // Only replica sets of one broker are appointed so far.
                tracing::error!(partition = %self.key, %to, ?message, "no link to this peer");
            }
            Output::Read { .. } | Output::TrimHint { .. } => {
                tracing::error!(partition = %self.key, "output for a replica set of several brokers");
            }
        }
        Ok(())
    }

    fn change_role(&mut self, role: Role, ballot: Ballot) {
        tracing::debug!(partition = %self.key, ?role, %ballot, "role changed");
        let serving = matches!(role, Role::Leader { ready: true, .. });
        self.view.set_leading_round(serving.then_some(ballot.round));
        if !matches!(role, Role::Leader { .. }) {
            for waiting in self.undecided.drain(..).chain(self.unsynced.drain(..)) {
                waiting.slot.fill(Err(AppendError::Unknown));
            }
        }
    }

    /// Answers the producers whose batches are durable enough now.
    fn settle(&mut self) {
        let decided_end = self.replica.decided_end();
        while self.undecided.front().is_some_and(|waiting| waiting.end <= decided_end) {
            answer_front(&mut self.undecided);
        }
        let synced_end = self.replica.durable_end();
        while self.unsynced.front().is_some_and(|waiting| waiting.end <= synced_end) {
            answer_front(&mut self.unsynced);
        }
    }

    /// Takes the result of upkeep.
    ///
    /// # Errors
    /// As [`Partition::handle_synced`].
    pub(crate) fn handle_background(
        &mut self,
        done: BackgroundDone,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        self.log.handle_background(done)?;
        self.step(effects)
    }

    /// Has the next sealed segment checked in the background; false if there is none.
    pub(crate) fn scrub_next(&mut self) -> bool {
        self.log.scrub_next()
    }

    /// Applies the topic's settings.
    pub(crate) fn configure(&mut self, config: &Arc<TopicConfig>, broker: &Config) {
        self.log.set_config(log_config(config, broker));
        self.view.set_config(config.clone());
    }

    /// Ages segments and producers; with `retain` also drops what is too old or too much.
    ///
    /// # Errors
    /// As [`Partition::handle_synced`].
    pub(crate) fn upkeep(
        &mut self,
        now_ms: i64,
        retain: bool,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        self.log.tick(now_ms);
        if retain && self.is_ready() {
            let before = self.log.start();
            self.log.retain(now_ms, self.replica.decided_end())?;
            self.note_trimmed(before);
        }
        self.step(effects)
    }

    /// Drops the records before an offset; `None` is the high watermark. Returns the log's start.
    ///
    /// # Errors
    /// As [`Partition::handle_synced`]; refusals are the inner error.
    pub(crate) fn trim(
        &mut self,
        before: Option<u64>,
        effects: &mut Effects,
    ) -> Result<Result<u64, TrimError>, PartitionError> {
        if !self.is_ready() {
            return Ok(Err(TrimError::NotLeader));
        }
        let decided_end = self.replica.decided_end();
        let new_start = before.unwrap_or(decided_end);
        if new_start > decided_end {
            return Ok(Err(TrimError::OutOfRange));
        }
        let start = self.log.start();
        if new_start > start {
            match self.log.trim(new_start) {
                Ok(()) => self.note_trimmed(start),
                Err(LogError::DiskFull { .. }) => return Ok(Err(TrimError::DiskFull)),
                Err(error) => return Err(error.into()),
            }
            self.step(effects)?;
        }
        Ok(Ok(self.log.start()))
    }

    fn note_trimmed(&mut self, before: u64) {
        let start = self.log.start();
        if start > before {
            tracing::info!(partition = %self.key, from = before, to = start, "trimmed");
            self.replica.handle_trimmed(first_batch_base(&self.log));
        }
    }

    /// Whether leading is only a matter of time.
    pub(crate) fn can_become_ready(&self) -> bool {
        self.log.faulty().is_none()
    }

    /// Ends this incarnation's service: whoever waits hears that the outcome is unknown.
    pub(crate) fn close(mut self) -> Log {
        self.view.close();
        for waiting in self.undecided.drain(..).chain(self.unsynced.drain(..)) {
            waiting.slot.fill(Err(AppendError::Unknown));
        }
        self.log
    }
}

fn answer_front(queue: &mut VecDeque<Waiting>) {
    if let Some(Waiting { slot, appended, .. }) = queue.pop_front() {
        slot.fill(Ok(appended));
    }
}

/// Base offset of the first batch that the log holds, some of whose records may be trimmed: the
/// core knows whole batches only. The log's end where there is none.
pub(crate) fn first_batch_base(log: &Log) -> u64 {
    let start = log.start();
    let first = log.view().read(start, 0, true, log.durable_end());
    first.map_or(start, |slice| slice.first_offset)
}

/// The log's settings as the topic and the broker set them.
pub(crate) fn log_config(topic: &TopicConfig, broker: &Config) -> LogConfig {
    let ms = |age: std::time::Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let at_least_one = |size: u32| NonZeroU32::new(size).unwrap_or(NonZeroU32::MIN);
    LogConfig {
        segment_size: at_least_one(topic.segment_size),
        segment_ms: Some(ms(topic.segment_age)),
        retention_ms: topic.retention.filter(|_| topic.delete).map(ms),
        retention_size: topic.retention_size.filter(|_| topic.delete),
        index_interval_size: at_least_one(topic.index_interval_size),
        producer_expiration_ms: ms(broker.producer_id_expiration),
        ..LogConfig::default()
    }
}

/// The round as the batch header carries it.
fn leader_epoch(ballot: Ballot) -> i32 {
    i32::try_from(ballot.round)
        .unwrap_or_else(|_| unreachable!("rounds are bounded at appointment"))
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
    #[error(transparent)]
    Appoint(#[from] AppointError),
    #[error("the metadata log cannot be folded: {0}")]
    State(StateError),
}
