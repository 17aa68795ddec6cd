//! What the cluster has decided about itself, as one immutable value.
//!
//! [`MetadataImage`] is folded from the metadata log and nothing else, so every broker that has
//! read the log up to the same offset holds the same image. Cloning is cheap: parts are shared and
//! copied only where they change. The copy of a changed map costs one pointer pair per entry and
//! happens once per decided batch, however many records the batch has.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    ids::{BrokerId, TopicId},
    record::{ConfigScope, Endpoint, Listener, MetadataRecord},
};
use crate::planted::{PlantedBug, is_planted};
use crate::state_log::{EncodedRecord, StateError, StateMachine};

/// Settings that were set dynamically: name to canonical value.
pub type ConfigMap = BTreeMap<String, String>;

/// The folded metadata log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataImage {
    end: u64,
    cluster_id: Option<Arc<str>>,
    controller: Option<(BrokerId, u32)>,
    brokers: Arc<BTreeMap<BrokerId, BrokerImage>>,
    topics: Arc<BTreeMap<TopicId, Arc<TopicImage>>>,
    names: Arc<BTreeMap<Arc<str>, TopicId>>,
    broker_configs: Arc<BTreeMap<BrokerId, ConfigMap>>,
    default_configs: Arc<ConfigMap>,
    producer_id_end: u64,
    partition_count: usize,
}

/// A registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerImage {
    /// Its number.
    pub id: BrokerId,
    /// Its current life.
    pub incarnation: TopicId,
    /// Where it can be reached.
    pub endpoints: Arc<[Endpoint]>,
    /// Its failure domain.
    pub rack: Option<Arc<str>>,
    /// How many times its data directory has been started; 0: not told.
    pub start: u64,
    /// The controller hears nothing from it.
    pub lost: bool,
}

impl BrokerImage {
    /// The address of the given kind.
    #[must_use]
    pub fn endpoint(&self, listener: Listener) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.listener == listener)
    }
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicImage {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: Arc<str>,
    /// Its partitions by index.
    pub partitions: Vec<PartitionImage>,
    /// The settings that it overrides.
    pub configs: ConfigMap,
}

impl TopicImage {
    /// The metadata group's own log as a topic, for what asks for a topic's settings. It sets
    /// everything itself that an operator's defaults could make unfit for it.
    #[must_use]
    pub fn metadata_log() -> Self {
        let own = [
            ("cleanup.policy", ""),
            ("compression.type", "producer"),
            ("index.interval.bytes", "4096"),
            ("max.message.bytes", "2147483647"),
            ("message.timestamp.type", "CreateTime"),
            ("retention.bytes", "-1"),
            ("retention.ms", "-1"),
            ("segment.bytes", "134217728"),
            ("segment.ms", "9223372036854775807"),
        ];
        Self {
            id: TopicId::METADATA,
            name: "__cluster_metadata".into(),
            partitions: Vec::new(),
            configs: own.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        }
    }

    /// The partition of that index.
    #[must_use]
    pub fn partition(&self, index: u32) -> Option<&PartitionImage> {
        self.partitions.get(usize::try_from(index).ok()?)
    }
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionImage {
    /// The ordered replica set; the first is the preferred leader. Never empty.
    pub replicas: Arc<[BrokerId]>,
    /// The appointed leader, a member of the replica set.
    pub leader: BrokerId,
    /// The leader's round.
    pub round: u32,
    /// Offset of the metadata record that made this round: whoever has folded that knows of it.
    #[serde(default)]
    pub since: u64,
}

/// A record that does not follow from the records before it: a bug or a damaged log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metadata record at offset {offset} contradicts the log before it: {reason}")]
pub struct ApplyError {
    /// Where the record stands.
    pub offset: u64,
    /// What it contradicts.
    pub reason: &'static str,
}

impl MetadataImage {
    /// First offset of the metadata log that is not part of this image.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The cluster's stable id; `None` until the cluster has been formed.
    #[must_use]
    pub fn cluster_id(&self) -> Option<&Arc<str>> {
        self.cluster_id.as_ref()
    }

    /// The broker that leads the metadata group, as far as this image knows.
    #[must_use]
    pub fn controller_id(&self) -> Option<BrokerId> {
        self.controller.map(|(broker, _)| broker)
    }

    /// The round in which [`MetadataImage::controller_id`] leads.
    #[must_use]
    pub fn controller_round(&self) -> Option<u32> {
        self.controller.map(|(_, round)| round)
    }

    /// The registered broker of that number.
    #[must_use]
    pub fn broker(&self, id: BrokerId) -> Option<&BrokerImage> {
        self.brokers.get(&id)
    }

    /// Whether that broker is registered and not lost.
    #[must_use]
    pub fn is_live(&self, id: BrokerId) -> bool {
        self.broker(id).is_some_and(|broker| !broker.lost)
    }

    /// All registered brokers by number.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = &BrokerImage> + Clone {
        self.brokers.values()
    }

    /// The topic of that name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.names.get(name).and_then(|id| self.topics.get(id))
    }

    /// The topic of that id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.topics.get(&id)
    }

    /// The id of the topic of that name.
    #[must_use]
    pub fn topic_id(&self, name: &str) -> Option<TopicId> {
        self.names.get(name).copied()
    }

    /// All topics, ordered by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> + Clone {
        self.names.values().filter_map(|id| self.topics.get(id))
    }

    /// How many topics there are.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// How many partitions all topics have together.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// The partition of that topic and index.
    #[must_use]
    pub fn partition(&self, topic: TopicId, index: u32) -> Option<&PartitionImage> {
        self.topics.get(&topic)?.partition(index)
    }

    /// Settings set for one broker.
    #[must_use]
    pub fn broker_configs(&self, broker: BrokerId) -> Option<&ConfigMap> {
        self.broker_configs.get(&broker)
    }

    /// Settings set for all brokers.
    #[must_use]
    pub fn default_configs(&self) -> &ConfigMap {
        &self.default_configs
    }

    /// The first producer id that no broker has been given.
    #[must_use]
    pub fn producer_id_end(&self) -> u64 {
        self.producer_id_end
    }

    /// The settings of one scope; empty if it has none.
    #[must_use]
    pub fn configs(&self, scope: ConfigScope) -> &ConfigMap {
        static NONE: ConfigMap = ConfigMap::new();
        match scope {
            ConfigScope::Topic(id) => self.topics.get(&id).map_or(&NONE, |topic| &topic.configs),
            ConfigScope::Broker(id) => self.broker_configs.get(&id).unwrap_or(&NONE),
            ConfigScope::AllBrokers => &self.default_configs,
        }
    }

    /// Folds the record at `offset` into the image. A refused record leaves the image as it was.
    ///
    /// # Errors
    /// The record contradicts the image. Whoever reads the log must then stop rather than guess.
    pub fn apply(&mut self, offset: u64, record: &MetadataRecord) -> Result<(), ApplyError> {
        let result = if offset == self.end {
            self.fold(record)
        } else {
            Err("its offset does not follow the one before")
        };
        result.map_err(|reason| ApplyError { offset, reason })?;
        self.end = offset + 1;
        Ok(())
    }

    fn fold(&mut self, record: &MetadataRecord) -> Result<(), &'static str> {
        if self.cluster_id.is_none() && !matches!(record, MetadataRecord::ClusterFormed { .. }) {
            return Err("the first record must form the cluster");
        }
        match record {
            MetadataRecord::ClusterFormed { cluster_id } => {
                ensure(self.cluster_id.is_none(), "the cluster is formed already")?;
                self.cluster_id = Some(cluster_id.as_str().into());
            }
            MetadataRecord::ControllerElected { broker, round } => {
                let newer = self.controller.is_none_or(|(_, old)| *round > old);
                ensure(newer, "a controller's round must be higher than the one before")?;
                self.controller = Some((*broker, *round));
            }
            MetadataRecord::BrokerRegistered { broker, incarnation, endpoints, rack, start } => {
                let image = BrokerImage {
                    id: *broker,
                    incarnation: *incarnation,
                    endpoints: endpoints.as_slice().into(),
                    rack: rack.as_deref().map(Into::into),
                    start: *start,
                    lost: false,
                };
                Arc::make_mut(&mut self.brokers).insert(*broker, image);
            }
            MetadataRecord::LeadershipRenewed { broker } => self.renew_leadership(*broker)?,
            MetadataRecord::TopicCreated { topic, name } => self.create_topic(*topic, name)?,
            MetadataRecord::PartitionCreated { topic, partition, replicas, leader, round } => {
                let image = partition_image(replicas, *leader, *round, self.end)?;
                let topic = self.topic_mut(*topic)?;
                let next = topic.partitions.len() as u64;
                ensure(u64::from(*partition) == next, "partitions must be created in order")?;
                topic.partitions.push(image);
                self.partition_count += 1;
            }
            MetadataRecord::Appointed { topic, partition, leader, round, replicas } => {
                let image = partition_image(replicas, *leader, *round, self.end)?;
                self.appoint(*topic, *partition, image)?;
            }
            MetadataRecord::BrokerLost { broker, incarnation } => {
                self.set_lost(*broker, *incarnation, true)?;
            }
            MetadataRecord::BrokerReturned { broker, incarnation } => {
                self.set_lost(*broker, *incarnation, false)?;
            }
            MetadataRecord::TopicDeleted { topic } => self.delete_topic(*topic)?,
            MetadataRecord::ConfigSet { resource, name, value } => {
                self.configs_mut(*resource)?.insert(name.clone(), value.clone());
            }
            MetadataRecord::ConfigRemoved { resource, name } => {
                self.configs_mut(*resource)?.remove(name);
                self.drop_empty_configs(*resource);
            }
            MetadataRecord::ProducerIdsAllocated { end, count, .. } => {
                let next = self.producer_id_end.checked_add(u64::from(*count));
                ensure(next == Some(*end), "producer ids are handed out in order")?;
                self.producer_id_end = *end;
            }
        }
        Ok(())
    }

    fn appoint(
        &mut self,
        topic: TopicId,
        partition: u32,
        mut image: PartitionImage,
    ) -> Result<(), &'static str> {
        let known = self.partition(topic, partition).ok_or("no such partition")?;
        let repeats = u32::from(is_planted(PlantedBug::RoundAppointedTwice));
        ensure(known.round < image.round + repeats, "rounds go up")?;
        if known.replicas == image.replicas {
            // As a rule only the leader changes: all images share one list.
            image.replicas = Arc::clone(&known.replicas);
        }
        self.topic_mut(topic)?.partitions[partition as usize] = image;
        Ok(())
    }

    fn set_lost(&mut self, id: BrokerId, life: TopicId, lost: bool) -> Result<(), &'static str> {
        let known = self.brokers.get(&id).ok_or("no such broker")?;
        ensure(known.incarnation == life, "another life of the broker is registered")?;
        ensure(known.lost != lost, "the broker is lost, or is not, already")?;
        if let Some(broker) = Arc::make_mut(&mut self.brokers).get_mut(&id) {
            broker.lost = lost;
        }
        Ok(())
    }

    fn create_topic(&mut self, id: TopicId, name: &str) -> Result<(), &'static str> {
        ensure(!self.names.contains_key(name), "a topic of that name exists")?;
        ensure(!self.topics.contains_key(&id), "a topic of that id exists")?;
        let name: Arc<str> = name.into();
        let topic = TopicImage {
            id,
            name: Arc::clone(&name),
            partitions: Vec::new(),
            configs: ConfigMap::new(),
        };
        Arc::make_mut(&mut self.names).insert(name, id);
        Arc::make_mut(&mut self.topics).insert(id, Arc::new(topic));
        Ok(())
    }

    fn delete_topic(&mut self, id: TopicId) -> Result<(), &'static str> {
        ensure(self.topics.contains_key(&id), "no such topic")?;
        if let Some(topic) = Arc::make_mut(&mut self.topics).remove(&id) {
            Arc::make_mut(&mut self.names).remove(&topic.name);
            self.partition_count -= topic.partitions.len();
        }
        Ok(())
    }

    /// One round more for every partition that `broker` leads; all or none.
    fn renew_leadership(&mut self, broker: BrokerId) -> Result<(), &'static str> {
        let led = |partition: &PartitionImage| partition.leader == broker;
        let exhausted = |p: &PartitionImage| led(p) && p.round >= MAX_ROUND;
        let partitions = self.topics.values().flat_map(|topic| &topic.partitions);
        ensure(!partitions.clone().any(exhausted), "a partition's rounds are used up")?;
        if !partitions.clone().any(led) {
            return Ok(());
        }
        for topic in Arc::make_mut(&mut self.topics).values_mut() {
            if topic.partitions.iter().any(led) {
                for partition in Arc::make_mut(topic).partitions.iter_mut().filter(|p| led(p)) {
                    partition.round += 1;
                    partition.since = self.end;
                }
            }
        }
        Ok(())
    }

    fn topic_mut(&mut self, id: TopicId) -> Result<&mut TopicImage, &'static str> {
        ensure(self.topics.contains_key(&id), "no such topic")?;
        let topic = Arc::make_mut(&mut self.topics).get_mut(&id).ok_or("no such topic")?;
        Ok(Arc::make_mut(topic))
    }

    fn configs_mut(&mut self, scope: ConfigScope) -> Result<&mut ConfigMap, &'static str> {
        Ok(match scope {
            ConfigScope::Topic(id) => &mut self.topic_mut(id)?.configs,
            ConfigScope::Broker(id) => {
                Arc::make_mut(&mut self.broker_configs).entry(id).or_default()
            }
            ConfigScope::AllBrokers => Arc::make_mut(&mut self.default_configs),
        })
    }

    fn drop_empty_configs(&mut self, scope: ConfigScope) {
        if let ConfigScope::Broker(id) = scope
            && self.broker_configs.get(&id).is_some_and(BTreeMap::is_empty)
        {
            Arc::make_mut(&mut self.broker_configs).remove(&id);
        }
    }
}

/// The greatest round: it is Kafka's leader epoch on the wire, a signed 32-bit number.
pub const MAX_ROUND: u32 = i32::MAX as u32;

fn partition_image(
    replicas: &[BrokerId],
    leader: BrokerId,
    round: u32,
    since: u64,
) -> Result<PartitionImage, &'static str> {
    ensure(replicas.contains(&leader), "the leader must be one of the replicas")?;
    ensure(round <= MAX_ROUND, "the round is out of range")?;
    Ok(PartitionImage { replicas: replicas.into(), leader, round, since })
}

fn ensure(condition: bool, reason: &'static str) -> Result<(), &'static str> {
    if condition { Ok(()) } else { Err(reason) }
}

impl StateMachine for MetadataImage {
    type Record = MetadataRecord;

    fn apply(&mut self, offset: u64, record: &MetadataRecord) -> Result<(), StateError> {
        Ok(self.apply(offset, record)?)
    }

    fn encode(record: &MetadataRecord) -> EncodedRecord {
        EncodedRecord { key: None, value: Some(record.encode()) }
    }

    fn decode(record: &EncodedRecord) -> Result<MetadataRecord, StateError> {
        let value = record.value.as_deref().ok_or("metadata record without a value")?;
        Ok(MetadataRecord::decode(value)?)
    }
}

#[cfg(test)]
mod tests;
