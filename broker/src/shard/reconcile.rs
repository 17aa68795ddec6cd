//! Bringing a shard's partitions in line with the decided metadata.
//!
//! The image says which partitions this broker hosts, who leads them and how they are configured.
//! A reconciliation opens what is missing, closes and deletes what a decided record deleted,
//! applies changed settings and takes new appointments. Files are opened and removed on blocking
//! threads, so a shard goes on serving meanwhile.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use synod_log::key::PartitionKey;
use synod_log::{Log, LogConfig};
use synod_paxos::{Ballot, Durable, NodeId, Replica, ReplicaSet};
use tokio::sync::watch;

use super::event_loop::{Shard, Storage};
use super::events::{Event, Events};
use super::open::{Copies, OpenError, Past, open_partition, purge_deleted};
use super::shard_of;
use crate::metadata::{BrokerId, MetadataImage, PartitionImage, TopicId, TopicImage};
use crate::partition::{
    Marks, Partition, PartitionError, PartitionView, log_config, replica_config,
};

/// What a shard knows of the metadata it has to follow.
#[derive(Debug)]
pub(super) struct Reconciler {
    shard: usize,
    settled: watch::Sender<u64>,
    events: Arc<Events>,
    /// Topics as last reconciled.
    topics: HashMap<TopicId, Arc<TopicImage>>,
    /// Partitions whose files are being opened.
    opening: HashSet<PartitionKey>,
    /// Partitions whose files are being removed.
    deleting: HashSet<PartitionKey>,
    /// Partitions to be led here that are not ready to serve.
    unready: HashSet<PartitionKey>,
    /// The image that was reconciled last.
    image: Arc<MetadataImage>,
    /// Partitions that cannot be opened; they are not tried again before a restart.
    refused: HashSet<PartitionKey>,
    /// Partitions that were served before and are closed, with what their next incarnation begins
    /// with: the journal as it was at the start of the process is outdated for them.
    pub(super) pasts: HashMap<PartitionKey, Past>,
    /// Partitions that wait for space on the disk to be opened.
    pub(super) waiting: BTreeSet<PartitionKey>,
}

/// A partition's files after an attempt to open them.
#[derive(Debug)]
pub(crate) struct Opened {
    key: PartitionKey,
    result: Result<(Log, Durable), OpenError>,
}

impl Reconciler {
    pub(super) fn new(
        shard: usize,
        settled: watch::Sender<u64>,
        events: Arc<Events>,
    ) -> Reconciler {
        Reconciler {
            shard,
            settled,
            events,
            topics: HashMap::new(),
            opening: HashSet::new(),
            deleting: HashSet::new(),
            unready: HashSet::new(),
            image: Arc::default(),
            refused: HashSet::new(),
            pasts: HashMap::new(),
            waiting: BTreeSet::new(),
        }
    }

    /// A deleted partition is out of the way; with the last one the space is given back.
    pub(super) fn deleted(&mut self, storage: &Storage, key: PartitionKey) {
        self.deleting.remove(&key);
        if self.deleting.is_empty() {
            purge_deleted(&storage.pool, &storage.data_dir);
        }
    }

    /// The image that was carried out last.
    pub(super) fn image(&self) -> &Arc<MetadataImage> {
        &self.image
    }

    /// Opens or creates a partition's files on a blocking thread.
    pub(super) fn open(
        &mut self,
        storage: &Storage,
        key: PartitionKey,
        config: LogConfig,
        copies: Copies,
    ) {
        if !self.opening.insert(key) {
            return;
        }
        let past = self.pasts.get(&key).cloned().unwrap_or_else(|| {
            let journaled = storage.recovered.get(&key).copied().unwrap_or_default();
            Past { journaled, corrupt: Vec::new(), copies }
        });
        let (storage, events) = (storage.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            let result = open_partition(&storage, key, config, &past);
            events.push(Event::Opened(Box::new(Opened { key, result })));
        });
    }

    /// Partitions that should be served here and could not be opened.
    pub(super) fn unopened(&self) -> impl Iterator<Item = PartitionKey> + '_ {
        self.refused.iter().chain(&self.waiting).copied()
    }

    /// The mark of a partition that was served before and is closed.
    pub(super) fn past_mark(&self, key: PartitionKey) -> Option<u64> {
        // Whoever opens it raises the mark.
        let past = self.pasts.get(&key).filter(|_| !self.opening.contains(&key));
        past.map(|past| past.journaled.mark)
    }

    /// Whether an attempt to open the partition makes sense now.
    fn may_open(&self, key: PartitionKey) -> bool {
        !self.refused.contains(&key) && !self.waiting.contains(&key)
    }

    /// Removes a partition's files on a blocking thread. A crash before it is done leaves the
    /// deletion to the next start, which reads the same decided record.
    fn delete(&mut self, storage: &Storage, key: PartitionKey) {
        if !self.deleting.insert(key) {
            return;
        }
        let (storage, events) = (storage.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            match storage.data_dir.delete_partition(key) {
                Ok(()) => storage.journal.forget(key, None),
                Err(error) => {
                    tracing::error!(partition = %key, %error, "cannot remove a deleted partition");
                }
            }
            events.push(Event::Deleted(key));
        });
    }
}

impl Shard {
    /// Follows a newer image.
    pub(super) fn reconcile(&mut self, image: &Arc<MetadataImage>) -> Result<(), PartitionError> {
        // Until this start is registered the image is still being replayed, and what it says of
        // leaders is about earlier lives of this broker.
        if !self.broker.is_registered(image) {
            return Ok(());
        }
        let defaults_changed = self.reconciler.image.default_configs() != image.default_configs()
            || self.reconciler.image.broker_configs(self.broker.id())
                != image.broker_configs(self.broker.id());
        let gone: Vec<TopicId> = self
            .reconciler
            .topics
            .keys()
            .filter(|id| image.topic_by_id(**id).is_none())
            .copied()
            .collect();
        for topic in gone {
            self.drop_topic(topic);
        }
        for topic in image.topics() {
            let known = self.reconciler.topics.get(&topic.id);
            if defaults_changed || known.is_none_or(|known| !Arc::ptr_eq(known, topic)) {
                self.reconcile_topic(image, topic)?;
            }
        }
        self.drop_leftovers(image);
        self.coordinators.follow(image, self.reconciler.shard, self.broker.shard_count());
        self.reconciler.image = image.clone();
        self.report_settled();
        Ok(())
    }

    fn reconcile_topic(
        &mut self,
        image: &MetadataImage,
        topic: &Arc<TopicImage>,
    ) -> Result<(), PartitionError> {
        let config = Arc::new(self.broker.topic_config(image, topic));
        for (index, partition) in (0u32..).zip(&topic.partitions) {
            let key = PartitionKey { topic: topic.id.bytes(), partition: index };
            if !self.is_mine(key) {
                continue;
            }
            let is_replica = partition.replicas.contains(&self.broker.id());
            if let Some(open) = self.partitions.get_mut(&key) {
                if !is_replica {
                    open.leave();
                    continue;
                }
                open.configure(&config, self.broker.config());
                self.appoint(key, partition)?;
            } else if is_replica && self.reconciler.may_open(key) {
                let config = log_config(&config, self.broker.config());
                self.reconciler.open(&self.storage, key, config, copies(partition));
            }
        }
        self.reconciler.topics.insert(topic.id, topic.clone());
        Ok(())
    }

    /// Opens a partition anew, if it is still this broker's.
    pub(super) fn reopen(&mut self, key: PartitionKey) {
        let image = self.reconciler.image.clone();
        let Some(topic) = image.topic_by_id(TopicId::from_bytes(key.topic)) else { return };
        let entry = topic.partition(key.partition);
        let Some(entry) = entry.filter(|entry| entry.replicas.contains(&self.broker.id())) else {
            return;
        };
        let config = log_config(&self.broker.topic_config(&image, topic), self.broker.config());
        self.reconciler.open(&self.storage, key, config, copies(entry));
    }

    fn is_mine(&self, key: PartitionKey) -> bool {
        shard_of(key, self.broker.shard_count()) == self.reconciler.shard
    }

    /// Takes a partition into service.
    pub(super) fn install(&mut self, opened: Opened) -> Result<(), PartitionError> {
        let Opened { key, result } = opened;
        self.reconciler.opening.remove(&key);
        let (log, durable) = match result {
            Ok(opened) => opened,
            Err(error) if error.is_disk_full() => {
                tracing::warn!(partition = %key, "the disk is full: the partition is opened later");
                self.reconciler.waiting.insert(key);
                self.report_settled();
                return Ok(());
            }
            // What is on the device is not known any more.
            Err(error) if error.is_device_failure() => return Err(error.into()),
            Err(error) => {
                tracing::error!(partition = %key, %error, "cannot open the partition");
                self.reconciler.refused.insert(key);
                self.report_settled();
                return Ok(());
            }
        };
        let image = self.reconciler.image.clone();
        let topic_id = TopicId::from_bytes(key.topic);
        let Some(topic) = image.topic_by_id(topic_id) else {
            // Deleted while it was being opened.
            drop(log);
            self.reconciler.delete(&self.storage, key);
            return Ok(());
        };
        let config = Arc::new(self.broker.topic_config(&image, topic));
        let view = Arc::new(PartitionView::new(
            key,
            self.reconciler.shard,
            log.view(),
            config.clone(),
            self.broker.metrics().topic(&topic.name),
        ));
        self.reconciler.pasts.remove(&key);
        let replica = Replica::new(replica_config(NodeId(self.broker.id().0)), durable);
        let marks = match topic.partition(key.partition).map(copies) {
            Some(Copies::Several) => Marks::Lazy,
            Some(Copies::One) | None => Marks::BeforeAnswers,
        };
        let mut partition = Partition::new(key, log, replica, view.clone(), marks);
        partition.configure(&config, self.broker.config());
        partition.set_may_be_carried(self.carrier.holds(key));
        self.partitions.insert(key, partition);
        self.broker.directory().update([view], []);
        if let Some(partition) = topic.partition(key.partition) {
            self.appoint(key, partition)?;
        }
        Ok(())
    }

    /// Takes the appointment that the image shows, if it is this broker's.
    fn appoint(&mut self, key: PartitionKey, image: &PartitionImage) -> Result<(), PartitionError> {
        let me = self.broker.id();
        let Some(partition) = self.partitions.get_mut(&key) else { return Ok(()) };
        if image.leader != me {
            partition.handle_appointed_elsewhere();
            return Ok(());
        }
        let ballot = Ballot { round: image.round, node: NodeId(me.0) };
        partition.appoint(ballot, replica_set(&image.replicas), &mut self.effects)?;
        if !partition.is_ready() && partition.can_become_ready() {
            self.reconciler.unready.insert(key);
        }
        Ok(())
    }

    /// Closes the partitions of a deleted topic and removes their files.
    fn drop_topic(&mut self, topic: TopicId) {
        let keys: Vec<PartitionKey> =
            self.partitions.keys().filter(|key| key.topic == topic.bytes()).copied().collect();
        self.coordinators.topic_deleted(topic);
        self.broker.directory().update([], keys.iter().map(|key| (topic, key.partition)));
        for key in keys {
            if let Some(partition) = self.partitions.remove(&key) {
                drop(partition.close());
            }
            self.effects.voids.push(key);
            self.reconciler.unready.remove(&key);
            self.reconciler.pasts.remove(&key);
            self.reconciler.waiting.remove(&key);
            self.reconciler.delete(&self.storage, key);
        }
        if let Some(topic) = self.reconciler.topics.remove(&topic) {
            self.broker.metrics().forget_topic(&topic.name);
        }
    }

    /// Removes directories whose topic a decided record deleted in an earlier life, and names those
    /// that no record speaks of, which stay.
    fn drop_leftovers(&mut self, image: &MetadataImage) {
        for key in self.broker.take_leftovers(self.reconciler.shard) {
            let topic = TopicId::from_bytes(key.topic);
            if self.broker.deleted().may_remove(image, topic) {
                self.reconciler.delete(&self.storage, key);
            } else if image.topic_by_id(topic).is_none() {
                tracing::warn!(partition = %key, "a directory of an unknown partition is left alone");
            }
        }
    }

    /// Says how far the metadata is carried out, once nothing of it is under way any more.
    pub(super) fn report_settled(&mut self) {
        let partitions = &self.partitions;
        let is_coming = |p: &Partition| !p.is_ready() && p.can_become_ready();
        self.reconciler.unready.retain(|key| partitions.get(key).is_some_and(is_coming));
        if self.reconciler.opening.is_empty() && self.reconciler.unready.is_empty() {
            let end = self.reconciler.image.end();
            self.reconciler.settled.send_if_modified(|settled| {
                let news = *settled < end;
                *settled = end;
                news
            });
        }
    }
}

/// Whether a partition has other replicas.
pub(crate) fn copies(partition: &PartitionImage) -> Copies {
    if partition.replicas.len() > 1 { Copies::Several } else { Copies::One }
}

/// The replica set in the core's words.
pub(crate) fn replica_set(replicas: &[BrokerId]) -> ReplicaSet {
    let voters: Vec<NodeId> = replicas.iter().map(|id| NodeId(id.0)).collect();
    ReplicaSet::new(&voters)
}
