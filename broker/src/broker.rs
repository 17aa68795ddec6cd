//! What all threads of a broker share.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use synod_log::key::PartitionKey;
use tokio::sync::watch;

use crate::api::fetch::Sessions;
use crate::budget::Budget;
use crate::config::Config;
use crate::directory::Directory;
use crate::groups::{GroupCounters, Overviews};
use crate::metadata::{
    BrokerId, ConfigView, ControllerHandle, ImageReader, MetadataImage, StaticConfigs, TopicConfig,
    TopicId, TopicImage,
};
use crate::metrics::Metrics;
use crate::planted::{PlantedBug, is_planted};
use crate::producer_ids::ProducerIds;
use crate::shard::ShardHandle;

/// A running broker's shared state. Everything in it is read without a lock on the request path.
#[derive(Debug)]
pub(crate) struct Broker {
    parts: BrokerParts,
    budget: Budget,
    directory: Directory,
    sessions: Sessions,
    producer_ids: ProducerIds,
    group_counters: Arc<GroupCounters>,
    group_overviews: Overviews,
    /// Held while the offsets topic is being created.
    offsets_topic: tokio::sync::Mutex<()>,
    leftovers: Mutex<Vec<PartitionKey>>,
    stopping: watch::Sender<bool>,
}

/// What a [`Broker`] is made of.
#[derive(Debug)]
pub(crate) struct BrokerParts {
    pub(crate) id: BrokerId,
    pub(crate) incarnation: TopicId,
    pub(crate) config: Arc<Config>,
    pub(crate) statics: Arc<StaticConfigs>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) image: ImageReader,
    pub(crate) controller: ControllerHandle,
    pub(crate) deleted: Arc<DeletedTopics>,
    pub(crate) shards: Vec<ShardHandle>,
    /// Up to which image each shard has carried the metadata out.
    pub(crate) settled: Vec<watch::Receiver<u64>>,
    /// Partition directories found at the start.
    pub(crate) leftovers: Vec<PartitionKey>,
    /// Where Kafka clients connect.
    pub(crate) kafka_address: SocketAddr,
}

/// Topics that decided records deleted, as far as this process has seen.
#[derive(Debug, Default)]
pub(crate) struct DeletedTopics(Mutex<HashSet<TopicId>>);

impl DeletedTopics {
    pub(crate) fn note(&self, topic: TopicId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(topic);
    }

    /// Whether a directory that was found at the start may go: no topic is there for it, because a
    /// decided record deleted it. Others stay, whatever they are.
    pub(crate) fn may_remove(&self, image: &MetadataImage, topic: TopicId) -> bool {
        if image.topic_by_id(topic).is_some() {
            return false;
        }
        let deleted = self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&topic);
        deleted || is_planted(PlantedBug::OrphanDirectoryDeleted)
    }
}

impl Broker {
    pub(crate) fn new(mut parts: BrokerParts) -> Broker {
        let limits = &parts.config.limits;
        let budget = Budget::new(limits.in_flight_size.bytes());
        let leftovers = Mutex::new(std::mem::take(&mut parts.leftovers));
        Broker {
            parts,
            budget,
            directory: Directory::default(),
            sessions: Sessions::new(crate::limits::FETCH_SESSIONS),
            producer_ids: ProducerIds::default(),
            group_counters: Arc::default(),
            group_overviews: Overviews::default(),
            offsets_topic: tokio::sync::Mutex::default(),
            leftovers,
            stopping: watch::Sender::new(false),
        }
    }

    pub(crate) fn id(&self) -> BrokerId {
        self.parts.id
    }

    /// This start of the broker.
    pub(crate) fn incarnation(&self) -> TopicId {
        self.parts.incarnation
    }

    pub(crate) fn config(&self) -> &Arc<Config> {
        &self.parts.config
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.parts.metrics
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    pub(crate) fn producer_ids(&self) -> &ProducerIds {
        &self.producer_ids
    }

    pub(crate) fn group_counters(&self) -> &Arc<GroupCounters> {
        &self.group_counters
    }

    pub(crate) fn group_overviews(&self) -> &Overviews {
        &self.group_overviews
    }

    pub(crate) fn offsets_topic(&self) -> &tokio::sync::Mutex<()> {
        &self.offsets_topic
    }

    pub(crate) fn controller(&self) -> &ControllerHandle {
        &self.parts.controller
    }

    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        self.parts.image.image()
    }

    pub(crate) fn image_reader(&self) -> &ImageReader {
        &self.parts.image
    }

    pub(crate) fn statics(&self) -> &Arc<StaticConfigs> {
        &self.parts.statics
    }

    pub(crate) fn kafka_address(&self) -> SocketAddr {
        self.parts.kafka_address
    }

    pub(crate) fn shard(&self, index: usize) -> &ShardHandle {
        &self.parts.shards[index]
    }

    pub(crate) fn shards(&self) -> &[ShardHandle] {
        &self.parts.shards
    }

    pub(crate) fn shard_count(&self) -> usize {
        self.parts.shards.len()
    }

    /// Whether `image` knows this very start of the broker.
    pub(crate) fn is_registered(&self, image: &MetadataImage) -> bool {
        image.broker(self.id()).is_some_and(|broker| broker.incarnation == self.parts.incarnation)
    }

    /// The settings in force for a topic.
    pub(crate) fn topic_config(&self, image: &MetadataImage, topic: &TopicImage) -> TopicConfig {
        let view = ConfigView { image, statics: &self.parts.statics, broker: self.id() };
        TopicConfig::new(topic, &view)
    }

    /// Takes the directories found at the start that belong to a shard; none the second time.
    pub(crate) fn take_leftovers(&self, shard: usize) -> Vec<PartitionKey> {
        let mut leftovers = self.leftovers.lock().unwrap_or_else(PoisonError::into_inner);
        let count = self.shard_count();
        leftovers.extract_if(.., |key| crate::shard::shard_of(*key, count) == shard).collect()
    }

    /// The topics that decided records deleted.
    pub(crate) fn deleted(&self) -> &DeletedTopics {
        &self.parts.deleted
    }

    /// Waits until every shard has carried out the metadata up to `end`: partitions are open, led
    /// and ready. Gives up after `timeout`; false then.
    pub(crate) async fn settled(&self, end: u64, timeout: Duration) -> bool {
        let all = async {
            for settled in &self.parts.settled {
                let mut settled = settled.clone();
                if settled.wait_for(|settled| *settled >= end).await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(timeout, all).await.unwrap_or(false)
    }

    /// Becomes true when the broker begins to stop.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Makes connections finish what is under way and close.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }
}
