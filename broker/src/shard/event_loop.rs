//! A shard's loop: take all that arrived, step the partitions, start the writes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use synod_log::carrier::Carrier;
use synod_log::data_dir::DataDir;
use synod_log::journal::{Journal, JournalError, JournalRecord, PartitionDurable};
use synod_log::key::PartitionKey;
use synod_log::sync::SyncPool;
use synod_paxos::NodeId;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use super::appeals::Appeals;
use super::coordinators::Coordinators;
use super::events::{Event, Events};
use super::reconcile::Reconciler;
use super::syncs::Syncs;
use super::ticks::Clock;
use super::unwritten::Unwritten;
use super::{ShardRequest, TrimError};
use crate::broker::Broker;
use crate::config::Config;
use crate::control::{Control, METADATA_KEY};
use crate::limits::{REPLICA_TICK, SHARD_TURN};
use crate::metadata::ImageReader;
use crate::partition::{
    AppendError, AppendRequest, Effects, Outgoing, Partition, PartitionError, PendingAppend,
    Produced, ReplicaStatus,
};
use crate::peers::{Contacts, Links, PartitionMessage};

/// What a shard is made of.
#[derive(Debug)]
pub(crate) struct ShardParts {
    pub(crate) index: usize,
    pub(crate) broker: Arc<Broker>,
    pub(crate) inbox: mpsc::Receiver<ShardRequest>,
    pub(crate) image: ImageReader,
    pub(crate) storage: Storage,
    /// Says up to which image this shard has opened, changed and closed its partitions.
    pub(crate) settled: watch::Sender<u64>,
    /// The way to the same shard of the other brokers.
    pub(crate) links: Links,
    pub(crate) contacts: Arc<Contacts>,
    /// The controller and the metadata group's partition, on the shard that runs them.
    pub(crate) control: Option<Control>,
}

/// Where a shard's partitions are durable; shared by all shards.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    pub(crate) data_dir: Arc<DataDir>,
    pub(crate) journal: Journal,
    pub(crate) pool: Arc<SyncPool>,
    /// What the journal held of each partition when this start opened it.
    pub(crate) recovered: Arc<BTreeMap<PartitionKey, PartitionDurable>>,
    /// Random: what an earlier start carried is not taken for this one's.
    pub(crate) carrier_salt: u64,
}

impl Storage {
    /// A shard's carrier, without files as yet.
    fn new_carrier(&self, shard: usize, config: &Config) -> Carrier {
        let (device, dir) = (self.data_dir.storage().clone(), self.data_dir.carrier_path());
        Carrier::new(device, &dir, shard, self.carrier_salt, config.storage.carrier_size.0)
    }
}

/// A single-threaded event loop over some of the partitions.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(super) broker: Arc<Broker>,
    pub(super) inbox: mpsc::Receiver<ShardRequest>,
    image: ImageReader,
    pub(super) storage: Storage,
    pub(super) events: Arc<Events>,
    pub(super) coordinators: Coordinators,
    links: Links,
    pub(super) partitions: HashMap<PartitionKey, Partition>,
    pub(super) reconciler: Reconciler,
    pub(super) control: Option<Control>,
    pub(super) effects: Effects,
    pub(super) syncs: Syncs,
    pub(super) carrier: Carrier,
    /// Journal records that found the disk full.
    pub(super) unwritten: Unwritten,
    pub(super) clock: Clock,
    pub(super) appeals: Appeals,
}

impl Shard {
    pub(crate) fn new(parts: ShardParts) -> Shard {
        let events = Arc::new(Events::default());
        let carrier = parts.storage.new_carrier(parts.index, parts.broker.config());
        let reconciler = Reconciler::new(parts.index, parts.settled, events.clone());
        Shard {
            broker: parts.broker,
            inbox: parts.inbox,
            image: parts.image,
            storage: parts.storage,
            coordinators: Coordinators::default(),
            links: parts.links,
            partitions: HashMap::new(),
            reconciler,
            control: parts.control,
            effects: Effects::default(),
            syncs: Syncs::default(),
            carrier,
            unwritten: Unwritten::default(),
            clock: Clock::new(parts.contacts),
            appeals: Appeals::new(events.clone()),
            events,
        }
    }

    /// Runs until it is asked to stop.
    ///
    /// # Errors
    /// A write or sync failed for good. What is durable is not known any more, so the process has
    /// to end without answering anything else.
    pub(crate) async fn run(mut self) -> Result<(), PartitionError> {
        let mut tick = tokio::time::interval(REPLICA_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reports = Vec::new();
        let mut requests = Vec::new();
        let mut appends = Vec::new();
        if let Some(control) = &mut self.control {
            control.start(&mut self.effects)?;
        }
        loop {
            self.flush();
            if self.sync_here().await? {
                continue;
            }
            let mut image = None;
            let mut ticked = false;
            tokio::select! {
                () = self.events.ready() => {}
                _ = self.inbox.recv_many(&mut requests, SHARD_TURN) => {}
                changed = self.image.changed() => image = changed,
                () = Control::ready(&mut self.control) => {}
                _ = tick.tick() => ticked = true,
            }
            // Whatever else has arrived meanwhile shares this turn, its writes and its syncs.
            self.events.take(&mut reports);
            while requests.len() < SHARD_TURN
                && let Ok(request) = self.inbox.try_recv()
            {
                requests.push(request);
            }
            for event in reports.drain(..) {
                self.handle_event(event)?;
            }
            let now_ms = unix_time_ms();
            for request in requests.drain(..) {
                match request {
                    ShardRequest::Append(request) => appends.push(request),
                    ShardRequest::Trim { key, before, reply } => self.trim(key, before, reply)?,
                    ShardRequest::Group { key, request } => self.group_request(key, request),
                    ShardRequest::Describe { reply } => self.describe(reply),
                    ShardRequest::Peer { from, messages, share } => {
                        self.hear(from, messages)?;
                        drop(share);
                    }
                    ShardRequest::Stop { reply } => {
                        self.stop(reply);
                        return Ok(());
                    }
                }
            }
            self.append(appends.drain(..), now_ms)?;
            if let Some(image) = image {
                self.reconcile(&image)?;
            }
            if ticked {
                self.tick(now_ms)?;
            }
            self.step_groups()?;
            if let Some(control) = &mut self.control {
                control.step(&mut self.effects)?;
            }
            self.report_settled();
        }
    }

    pub(super) fn handle_event(&mut self, event: Event) -> Result<(), PartitionError> {
        match event {
            Event::Synced(key, report) => {
                self.note_sync(report.took);
                if let Some((partition, effects)) = self.partition(key) {
                    partition.handle_synced(report.result?, effects)?;
                }
            }
            Event::Carried(report) => self.handle_carried(report)?,
            Event::Voided(key) => self.handle_voided(key)?,
            Event::CarrierPrepared(prepared) => self.handle_prepared(prepared)?,
            Event::Journaled(records, Ok(())) => {
                for record in &records {
                    if let JournalRecord::Mark { key, durable_end } = record {
                        self.carrier.note_mark(*key, *durable_end);
                    }
                    let key = record.key();
                    if let Some((partition, effects)) = key.and_then(|key| self.partition(key)) {
                        partition.handle_journaled(record, effects)?;
                    }
                }
            }
            // Whoever waits for these records goes on waiting; the tick tries them again.
            Event::Journaled(records, Err(JournalError::DiskFull)) => {
                tracing::warn!(count = records.len(), "the disk is full: journal records wait");
                self.unwritten.add(records);
            }
            Event::Journaled(_, Err(error)) => return Err(error.into()),
            Event::Background(key, done) => {
                let done = done?;
                if done.is_settle() {
                    self.carrier.handle_settled(key);
                }
                if let Some((partition, effects)) = self.partition(key) {
                    partition.handle_background(done, effects)?;
                }
            }
            Event::Opened(opened) => self.install(*opened)?,
            Event::MetadataOpened(result) => {
                if let Some(control) = &mut self.control {
                    control.handle_reopened(*result)?;
                    let may_be_carried = self.carrier.holds(METADATA_KEY);
                    control.partition().set_may_be_carried(may_be_carried);
                }
            }
            Event::GroupsLoaded(key, round, loaded) => self.groups_loaded(key, round, *loaded),
            Event::Deleted(key) => self.reconciler.deleted(&self.storage, key),
            Event::Answered(appeal) => self.appeals.answered(appeal),
        }
        Ok(())
    }

    /// A partition of this shard, the metadata group's included, and where its effects go.
    pub(super) fn partition(
        &mut self,
        key: PartitionKey,
    ) -> Option<(&mut Partition, &mut Effects)> {
        let own = self.control.as_mut().map(Control::partition).filter(|own| own.key() == key);
        let partition = match own {
            Some(own) => Some(own),
            None => self.partitions.get_mut(&key),
        };
        partition.map(|partition| (partition, &mut self.effects))
    }

    /// Appends the batches of a turn, those of one partition together.
    fn append(
        &mut self,
        requests: impl Iterator<Item = AppendRequest>,
        now_ms: i64,
    ) -> Result<(), PartitionError> {
        let mut runs: BTreeMap<PartitionKey, Vec<Produced>> = BTreeMap::new();
        for AppendRequest { items, acks, reply, share } in requests {
            let slots = PendingAppend::slots(items.len(), reply, share);
            for (item, slot) in items.into_iter().zip(slots) {
                runs.entry(item.key).or_default().push(Produced { item, acks, slot });
            }
        }
        for (key, run) in runs {
            match self.partitions.get_mut(&key) {
                Some(partition) => partition.append(run, now_ms, &mut self.effects)?,
                None => run.into_iter().for_each(|it| it.slot.fill(Err(AppendError::NotHosted))),
            }
        }
        Ok(())
    }

    fn trim(
        &mut self,
        key: PartitionKey,
        before: Option<u64>,
        reply: oneshot::Sender<Result<u64, TrimError>>,
    ) -> Result<(), PartitionError> {
        let outcome = match self.partitions.get_mut(&key) {
            None => Err(TrimError::NotHosted),
            Some(partition) => partition.trim(before, &mut self.effects)?,
        };
        // A client that is gone does not wait for its answer.
        let _ = reply.send(outcome);
        Ok(())
    }

    fn describe(&mut self, reply: oneshot::Sender<Vec<(PartitionKey, ReplicaStatus)>>) {
        let own = self.control.as_mut().map(|control| control.partition().status());
        let data = self.partitions.iter().map(|(key, partition)| (*key, partition.status()));
        // Whoever asked may be gone.
        let _ =
            reply.send(own.map(|status| (METADATA_KEY, status)).into_iter().chain(data).collect());
    }

    /// Hands messages of another broker's replicas to those of this shard. It may not have heard of
    /// a partition yet; whoever sent the message repeats it.
    fn hear(
        &mut self,
        from: NodeId,
        messages: Vec<PartitionMessage>,
    ) -> Result<(), PartitionError> {
        for PartitionMessage { key, message, payload } in messages {
            match self.partitions.get_mut(&key) {
                Some(partition) => {
                    partition.handle_message(from, message, payload, &mut self.effects)?;
                }
                None => tracing::debug!(partition = %key, %from, "a message for no replica here"),
            }
        }
        Ok(())
    }

    /// Sends the messages and starts the writes that this turn asked for.
    fn flush(&mut self) {
        self.settle_carried();
        self.send_messages();
        self.start_syncs();
        self.prepare_carrier();
        self.appeals.send(&self.broker, &mut self.effects.resignations);
        let effects = &mut self.effects;
        if !self.unwritten.is_empty() {
            self.unwritten.add(effects.journal.drain(..));
        }
        if !effects.journal.is_empty() {
            let records = std::mem::take(&mut effects.journal);
            let (events, submitted) = (self.events.clone(), records.clone());
            self.storage.journal.submit(
                records,
                Some(Box::new(move |result| events.push(Event::Journaled(submitted, result)))),
            );
        }
        if !effects.lazy_marks.is_empty() {
            self.storage.journal.submit_lazy(effects.lazy_marks.drain(..));
        }
        for (key, job) in effects.background.drain(..) {
            let events = self.events.clone();
            self.storage.pool.submit_background(
                move || job.run(),
                move |report| events.push(Event::Background(key, report.result)),
            );
        }
    }

    /// One hand-over per receiver, whatever the number of partitions.
    fn send_messages(&mut self) {
        let mut by_receiver: Vec<(NodeId, Vec<PartitionMessage>)> = Vec::new();
        for Outgoing { to, message } in self.effects.messages.drain(..) {
            match by_receiver.iter_mut().find(|(receiver, _)| *receiver == to) {
                Some((_, messages)) => messages.push(message),
                None => by_receiver.push((to, vec![message])),
            }
        }
        for (receiver, messages) in by_receiver {
            self.links.send(receiver, messages);
        }
    }

    /// Closes all partitions. What was appended is synced, and the marks say so; nobody is told.
    fn stop(mut self, reply: oneshot::Sender<()>) {
        let mut marks = Vec::new();
        for (key, partition) in self.partitions.drain() {
            match partition.stop() {
                Ok(mark) => marks.extend(mark),
                Err(error) => {
                    tracing::warn!(partition = %key, %error, "the log was not closed cleanly");
                }
            }
        }
        marks.extend(self.control.take().and_then(Control::close));
        self.storage.journal.submit_lazy(marks);
        let _ = reply.send(());
    }
}

/// Milliseconds since the Unix epoch by the wall clock: for timestamps, never for safety.
pub(crate) fn unix_time_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
