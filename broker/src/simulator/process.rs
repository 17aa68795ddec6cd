//! One broker's process: real partitions over the storage twin, stepped by simulated events.
//!
//! It does what a shard's loop does, in simulated time: all that arrived is handled in one turn,
//! then the turn's effects leave together. Whatever it holds is gone when the process ends.

use std::collections::{BTreeMap, BTreeSet};

use synod_log::carrier::{Carried, CarrierPreparation, CarrierRound};
use synod_log::data_dir::DataDir;
use synod_log::jobs::{BackgroundJob, SyncJob};
use synod_log::journal::{JournalError, JournalRecord};
use synod_log::key::PartitionKey;
use synod_paxos::{Ballot, NodeId, ReplicaSet};
use tokio::sync::oneshot;

use super::agenda::Micros;
use super::carrying::Carrying;
use super::control::Control;
use super::follow::Begun;
use super::journal::Journal;
use super::request::{Answered, Produce};
use crate::control::METADATA_KEY;
use crate::limits::DATA_TICKS;
use crate::metadata::ControllerRequest;
use crate::partition::{
    AppendItem, AppendOutcome, Effects, Ended, Partition, PartitionError, PendingAppend, Produced,
    Resignation,
};
use crate::peers::{ControlMessage, PartitionMessage};
use crate::shard::{OpenError, Unwritten, unopened};

/// What happens to a process.
#[derive(Debug)]
pub(crate) enum Input {
    /// Another broker's packet arrived.
    Packet(usize, Packet),
    Tick,
    Upkeep,
    /// A job's time is over.
    Job(u64),
    Journal,
    /// Marks have waited long enough for company.
    LazyMarks,
    Appoint(PartitionKey, Ballot, ReplicaSet),
    Produce(Produce),
    Trim(PartitionKey, Option<u64>),
    /// Somebody asks the controller, by way of this broker.
    Ask(ControllerRequest),
}

/// What brokers send each other.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    /// A sign of life, where a script appoints leaders.
    Heartbeat,
    Messages(Vec<PartitionMessage>),
    Control(Vec<ControlMessage>),
}

#[derive(Debug)]
enum Job {
    Sync(PartitionKey, SyncJob),
    Background(PartitionKey, BackgroundJob),
    Round(CarrierRound),
    Preparation(CarrierPreparation),
    /// Nothing has to be void.
    Voided(PartitionKey),
}

/// What a turn asks of the world.
#[derive(Debug, Default)]
pub(crate) struct Flushed {
    pub(crate) packets: BTreeMap<usize, Vec<PartitionMessage>>,
    pub(crate) control: BTreeMap<usize, Vec<ControlMessage>>,
    pub(crate) syncs: Vec<u64>,
    pub(crate) background: Vec<u64>,
    pub(crate) journal_began: bool,
    pub(crate) lazy_due: Option<Micros>,
    pub(crate) resignations: Vec<Resignation>,
    pub(crate) answers: Vec<Answered>,
}

/// A producer's batch that was not answered yet.
#[derive(Debug)]
struct Unanswered {
    produce: Produce,
    answer: oneshot::Receiver<Vec<AppendOutcome>>,
}

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    /// Counts the processes of a run: events of an earlier one are not for this one.
    pub(crate) life: u64,
    pub(crate) data_dir: DataDir,
    pub(crate) journal: Journal,
    pub(crate) partitions: BTreeMap<PartitionKey, Partition>,
    /// The real controller; without it a script appoints leaders.
    pub(crate) control: Option<Control>,
    pub(crate) effects: Effects,
    /// Partitions that this turn touched.
    pub(crate) touched: BTreeSet<PartitionKey>,
    /// Replicas whose incarnation ended, and that cannot begin another one yet.
    pub(crate) ended: BTreeMap<PartitionKey, Ended>,
    /// Partitions that wait for space to be opened.
    pub(crate) waiting: BTreeSet<PartitionKey>,
    /// Partitions that cannot be opened; they are not tried again before a restart.
    pub(crate) refused: BTreeSet<PartitionKey>,
    /// Incarnations that began since anybody looked.
    pub(crate) begun: Vec<Begun>,
    /// Partitions that were not opened, and why.
    pub(crate) unopened: Vec<(PartitionKey, OpenError)>,
    /// It is time to try them again.
    pub(crate) retries: bool,
    pub(crate) carrying: Carrying,
    unwritten: Unwritten,
    jobs: BTreeMap<u64, Job>,
    next_job: u64,
    contacts: BTreeMap<NodeId, Micros>,
    ticked_at: Micros,
    unanswered: Vec<Unanswered>,
}

impl Process {
    pub(crate) fn new(
        life: u64,
        data_dir: DataDir,
        journal: Journal,
        carrying: Carrying,
    ) -> Process {
        Process {
            life,
            data_dir,
            journal,
            touched: BTreeSet::new(),
            partitions: BTreeMap::new(),
            carrying,
            control: None,
            effects: Effects::default(),
            ended: BTreeMap::new(),
            waiting: BTreeSet::new(),
            refused: BTreeSet::new(),
            begun: Vec::new(),
            unopened: Vec::new(),
            retries: false,
            unwritten: Unwritten::default(),
            jobs: BTreeMap::new(),
            next_job: 0,
            contacts: BTreeMap::new(),
            ticked_at: 0,
            unanswered: Vec::new(),
        }
    }

    /// Handles one input.
    ///
    /// # Errors
    /// The process has to end.
    pub(crate) fn handle(
        &mut self,
        input: Input,
        now: Micros,
        wall_ms: i64,
    ) -> Result<(), PartitionError> {
        match input {
            Input::Packet(from, packet) => self.handle_packet(node(from), packet, now),
            Input::Tick => self.tick(now),
            Input::Upkeep => self.upkeep(wall_ms),
            Input::Job(job) => self.finish_job(job),
            Input::Journal => self.finish_journal(),
            Input::LazyMarks => Ok(()),
            Input::Appoint(key, ballot, set) => {
                let Some((partition, effects)) = self.partition(key) else { return Ok(()) };
                if ballot.node == partition.replica().node() {
                    partition.appoint(ballot, set, effects)
                } else {
                    partition.handle_appointed_elsewhere();
                    Ok(())
                }
            }
            Input::Produce(produce) => self.produce(produce, wall_ms),
            Input::Trim(key, before) => {
                let Some((partition, effects)) = self.partition(key) else { return Ok(()) };
                partition.trim(before, effects).map(drop)
            }
            Input::Ask(request) => {
                if let Some(control) = &mut self.control {
                    control.group.handle_request(request);
                }
                Ok(())
            }
        }
    }

    /// A replica that runs here, the metadata group's included.
    pub(crate) fn replica(&self, key: PartitionKey) -> Option<&Partition> {
        match &self.control {
            Some(control) if key == METADATA_KEY => Some(control.group.replica()),
            _ => self.partitions.get(&key),
        }
    }

    fn partition(&mut self, key: PartitionKey) -> Option<(&mut Partition, &mut Effects)> {
        let partition = match &mut self.control {
            Some(control) if key == METADATA_KEY => control.group.partition(),
            _ => self.partitions.get_mut(&key)?,
        };
        self.touched.insert(key);
        Some((partition, &mut self.effects))
    }

    fn handle_packet(
        &mut self,
        from: NodeId,
        packet: Packet,
        now: Micros,
    ) -> Result<(), PartitionError> {
        match packet {
            Packet::Heartbeat => {
                self.contacts.insert(from, now);
            }
            Packet::Control(messages) => {
                for message in messages {
                    if matches!(message, ControlMessage::Heartbeat(_)) {
                        self.contacts.insert(from, now);
                    }
                    if let Some(control) = &mut self.control {
                        control.group.handle_message(from, message, &mut self.effects)?;
                    }
                }
            }
            Packet::Messages(messages) => {
                for PartitionMessage { key, message, payload } in messages {
                    if let Some((partition, effects)) = self.partition(key) {
                        partition.handle_message(from, message, payload, effects)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn tick(&mut self, now: Micros) -> Result<(), PartitionError> {
        if let Some(control) = &mut self.control {
            control.ticks += 1;
            control.group.handle_tick(&mut self.effects)?;
            if let Some(refusal) = control.group.refusal() {
                return Err(PartitionError::Refused(refusal.clone()));
            }
            if !control.ticks.is_multiple_of(DATA_TICKS) {
                return Ok(());
            }
        }
        let (contacts, since) = (&self.contacts, self.ticked_at);
        let heard = |peer: NodeId| contacts.get(&peer).is_some_and(|at| *at >= since);
        for (key, partition) in &mut self.partitions {
            // Far more often than a broker does, so that a run sees what it finds.
            partition.scrub_next();
            partition.tick(&heard, &mut self.effects)?;
            self.touched.insert(*key);
        }
        self.ticked_at = now;
        if let Some(control) = &self.control {
            let (image, me) = (&control.followed, control.broker);
            let missing = self.waiting.iter().chain(&self.refused);
            self.effects.resignations.extend(missing.filter_map(|key| unopened(*key, image, me)));
        }
        Ok(())
    }

    fn upkeep(&mut self, wall_ms: i64) -> Result<(), PartitionError> {
        self.retries = true;
        self.carrying.carrier.tick();
        let (partitions, control) = (&self.partitions, &self.control);
        let again = self.unwritten.take(|key| match control {
            Some(control) if key == METADATA_KEY => Some(control.group.mark()),
            _ => partitions.get(&key).map(Partition::mark),
        });
        self.effects.journal.splice(0..0, again);
        for (key, partition) in &mut self.partitions {
            partition.upkeep(wall_ms, false, &mut self.effects)?;
            self.touched.insert(*key);
        }
        if let Some(control) = &mut self.control {
            let metadata = control.group.partition();
            metadata.scrub_next();
            metadata.upkeep(wall_ms, false, &mut self.effects)?;
        }
        self.nominate();
        Ok(())
    }

    fn produce(&mut self, produce: Produce, wall_ms: i64) -> Result<(), PartitionError> {
        let (reply, answer) = oneshot::channel();
        let share = produce.share.clone();
        let item =
            AppendItem { key: produce.key, batch: produce.batch.clone(), log_append_time: false };
        let acks = produce.acks;
        let key = produce.key;
        let Some(slot) = PendingAppend::slots(1, Some(reply), share).next() else { return Ok(()) };
        self.unanswered.push(Unanswered { produce, answer });
        match self.partition(key) {
            Some((partition, effects)) => {
                partition.append([Produced { item, acks, slot }], wall_ms, effects)
            }
            None => {
                slot.fill(Err(crate::partition::AppendError::NotHosted));
                Ok(())
            }
        }
    }

    // ---- the device --------------------------------------------------------------------------

    fn finish_job(&mut self, job: u64) -> Result<(), PartitionError> {
        match self.jobs.remove(&job) {
            Some(Job::Sync(key, job)) => {
                let done = job.run();
                let Some((partition, effects)) = self.partition(key) else { return Ok(()) };
                partition.handle_synced(done, effects)
            }
            Some(Job::Round(round)) => {
                for carried in self.carrying.carrier.handle_done(round.run())? {
                    match carried {
                        Carried::Synced(key, done) => {
                            if let Some((partition, effects)) = self.partition(key) {
                                partition.handle_synced(done, effects)?;
                            }
                        }
                        Carried::Voided(key) => self.handle_voided(key)?,
                    }
                }
                Ok(())
            }
            Some(Job::Preparation(job)) => Ok(self.carrying.carrier.handle_prepared(job.run())?),
            Some(Job::Voided(key)) => self.handle_voided(key),
            Some(Job::Background(key, job)) => {
                let done = job.run();
                if done.is_settle() {
                    self.carrying.carrier.handle_settled(key);
                }
                let Some((partition, effects)) = self.partition(key) else { return Ok(()) };
                partition.handle_background(done, effects)
            }
            None => Ok(()),
        }
    }

    fn handle_voided(&mut self, key: PartitionKey) -> Result<(), PartitionError> {
        let Some((partition, effects)) = self.partition(key) else { return Ok(()) };
        partition.handle_voided(effects)
    }

    /// Has the logs settled that hold a file of the carrier, and then their marks journaled.
    fn settle_carried(&mut self) {
        while let Some((key, end)) = self.carrying.carrier.poll_settle() {
            let partition = self.partition(key);
            if partition.is_none_or(|(partition, effects)| partition.settle_log(end, effects)) {
                self.carrying.carrier.handle_settled(key);
            }
        }
        for key in self.carrying.carrier.poll_marks() {
            let open = self.partition(key).map(|(partition, _)| partition.mark());
            let closed = || self.ended.get(&key).map(|ended| ended.journaled.mark);
            if let Some(durable_end) = open.or_else(closed) {
                self.effects.journal.push(JournalRecord::Mark { key, durable_end });
            }
        }
    }

    /// Gives the job a number.
    fn begin_job(&mut self, job: Job) -> u64 {
        let number = self.next_job;
        self.jobs.insert(number, job);
        self.next_job += 1;
        number
    }

    fn finish_journal(&mut self) -> Result<(), PartitionError> {
        for (records, result) in self.journal.finish()? {
            match result {
                Ok(()) => {
                    for record in &records {
                        let Some(key) = record.key() else { continue };
                        if let JournalRecord::Mark { durable_end, .. } = record {
                            self.carrying.carrier.note_mark(key, *durable_end);
                        }
                        if let Some((partition, effects)) = self.partition(key) {
                            partition.handle_journaled(record, effects)?;
                        }
                    }
                }
                Err(JournalError::DiskFull) => self.unwritten.add(records),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Replicas whose incarnation is over: taken out of service, to be opened anew.
    pub(crate) fn take_ended(&mut self) -> BTreeMap<PartitionKey, Ended> {
        let mut over = match std::mem::take(&mut self.retries) {
            true => std::mem::take(&mut self.ended),
            false => BTreeMap::new(),
        };
        for key in &std::mem::take(&mut self.touched) {
            let Some(ended) = self.partitions.get(key).and_then(Partition::poll_ended) else {
                continue;
            };
            if let Some(partition) = self.partitions.remove(key) {
                drop(partition.close());
                over.insert(*key, ended);
            }
        }
        over
    }

    /// Begins what the turn asked for.
    pub(crate) fn flush(&mut self, now: Micros) -> Flushed {
        let mut flushed = Flushed::default();
        self.settle_carried();
        let effects = &mut self.effects;
        if !self.unwritten.is_empty() {
            self.unwritten.add(effects.journal.drain(..));
        }
        if !effects.journal.is_empty() {
            self.journal.submit(std::mem::take(&mut effects.journal));
        }
        self.journal.submit_lazy(effects.lazy_marks.drain(..), now);
        flushed.journal_began = self.journal.begin(now);
        flushed.lazy_due = self.journal.poll_lazy_due();
        let mut syncs = self.carrying.carry(std::mem::take(&mut effects.syncs));
        let voids = std::mem::take(&mut effects.voids);
        for key in voids {
            if !self.carrying.carrier.void(key) {
                flushed.syncs.push(self.begin_job(Job::Voided(key)));
            }
        }
        if let Some(round) = self.carrying.carrier.poll_round() {
            flushed.syncs.push(self.begin_job(Job::Round(round)));
        }
        syncs.append(&mut self.carrying.carrier.take_refused());
        for (key, job) in syncs {
            flushed.syncs.push(self.begin_job(Job::Sync(key, job)));
        }
        for (key, job) in std::mem::take(&mut self.effects.background) {
            flushed.background.push(self.begin_job(Job::Background(key, job)));
        }
        if let Some(preparation) = self.carrying.carrier.poll_preparation() {
            flushed.background.push(self.begin_job(Job::Preparation(preparation)));
        }
        let effects = &mut self.effects;
        for outgoing in effects.messages.drain(..) {
            let to = outgoing.to.0 as usize - 1;
            flushed.packets.entry(to).or_default().push(outgoing.message);
        }
        for (to, message) in self.control.iter_mut().flat_map(|it| it.group.take_messages()) {
            flushed.control.entry(to.0 as usize - 1).or_default().push(message);
        }
        if self.control.is_none() {
            flushed.resignations = std::mem::take(&mut effects.resignations);
        }
        flushed.answers = self.take_answers();
        flushed
    }

    /// Whatever was answered, and what was dropped without an answer.
    fn take_answers(&mut self) -> Vec<Answered> {
        let mut answers = Vec::new();
        self.unanswered.retain_mut(|unanswered| {
            let outcome = match unanswered.answer.try_recv() {
                Ok(outcomes) => outcomes.into_iter().next(),
                Err(oneshot::error::TryRecvError::Empty) => return true,
                Err(oneshot::error::TryRecvError::Closed) => None,
            };
            answers.push(Answered { produce: unanswered.produce.clone(), outcome });
            false
        });
        answers
    }

    /// What was asked of it and not answered, when it ends.
    pub(crate) fn into_unanswered(self) -> Vec<Produce> {
        self.unanswered.into_iter().map(|unanswered| unanswered.produce).collect()
    }

    /// The process is about to end. Some of what is under way at the device goes on until
    /// `operation` fails: run in some order, and nobody hears of it.
    pub(crate) fn abandon_jobs(&mut self, first: u64) {
        if first.is_multiple_of(2) && self.journal.is_busy() {
            // What it did shows after the restart only.
            drop(self.journal.finish());
        }
        let skipped = (first / 2 % 3) as usize;
        for (_, job) in std::mem::take(&mut self.jobs).into_iter().skip(skipped) {
            match job {
                Job::Sync(_, job) => drop(job.run()),
                Job::Background(_, job) => drop(job.run()),
                Job::Round(job) => drop(job.run()),
                Job::Preparation(job) => drop(job.run()),
                Job::Voided(_) => {}
            }
        }
        if first % 2 == 1 && self.journal.is_busy() {
            drop(self.journal.finish());
        }
    }

    /// How much waits in it.
    pub(crate) fn waiting_count(&self) -> usize {
        self.jobs.len() + self.unanswered.len()
    }
}

/// The node of a broker, by its place in the cluster.
pub(crate) fn node(broker: usize) -> NodeId {
    NodeId(broker as u32 + 1)
}
