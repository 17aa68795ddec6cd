//! What is known of the cluster: brokers, topics, leaders.

use std::collections::BTreeMap;
use std::sync::Arc;

use synod_wire::messages::metadata::{
    MetadataResponse, MetadataResponsePartition, MetadataResponseTopic,
};
use synod_wire::{ErrorCode, Uuid};

/// A broker as the cluster advertises it.
///
/// ```
/// use synod_client::cluster::Broker;
/// let broker = Broker { id: 1, host: "::1".into(), port: 9092, rack: None };
/// assert_eq!(broker.address(), "[::1]:9092");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Its id.
    pub id: i32,
    /// Advertised host name or address.
    pub host: Arc<str>,
    /// Advertised port.
    pub port: i32,
    /// Its rack, if it has one.
    pub rack: Option<Arc<str>>,
}

impl Broker {
    /// `host:port`, an IPv6 address in brackets.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// A partition of a topic.
///
/// ```no_run
/// # async fn example(cluster: synod_client::Cluster) -> Result<(), synod_client::Error> {
/// for partition in &cluster.topic("orders", false).await?.partitions {
///     let behind = partition.replicas.len() - partition.in_sync.len();
///     println!("{}: leader {:?}, {behind} replicas behind", partition.index, partition.leader);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number.
    pub index: i32,
    /// Broker that leads it, if any does.
    pub leader: Option<i32>,
    /// The round in which that leader leads; -1 if the broker does not say.
    pub leader_epoch: i32,
    /// Brokers that have it, preferred leader first.
    pub replicas: Vec<i32>,
    /// Brokers in sync with the leader.
    pub in_sync: Vec<i32>,
    /// Replicas that are down.
    pub offline: Vec<i32>,
    /// What is wrong with it, or [`ErrorCode::NONE`].
    pub error: ErrorCode,
}

/// A topic and its partitions.
///
/// ```no_run
/// # async fn example(cluster: synod_client::Cluster) -> Result<(), synod_client::Error> {
/// let topic = cluster.topic("orders", false).await?;
/// if let Some(partition) = topic.partition(0) {
///     println!("{} of {} is led by {:?}", partition.index, topic.name, partition.leader);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id; zero with brokers that have none.
    pub id: Uuid,
    /// Whether it belongs to the cluster itself.
    pub is_internal: bool,
    /// Its partitions in order of their numbers.
    pub partitions: Vec<Partition>,
}

impl Topic {
    /// The partition with this number.
    pub fn partition(&self, index: i32) -> Option<&Partition> {
        // Numbers are dense in a whole answer; search only when they are not.
        let at = usize::try_from(index).ok()?;
        match self.partitions.get(at) {
            Some(partition) if partition.index == index => Some(partition),
            _ => self.partitions.iter().find(|partition| partition.index == index),
        }
    }
}

/// A picture of the cluster at one moment. Never changes; ask for a new one.
///
/// ```no_run
/// # async fn example(cluster: synod_client::Cluster) -> Result<(), synod_client::Error> {
/// let metadata = cluster.all_topics().await?;
/// for topic in metadata.topics() {
///     println!("{}: {} partitions", topic.name, topic.partitions.len());
/// }
/// println!("{} brokers, controller {:?}", metadata.brokers().len(), metadata.controller());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    pub(super) cluster_id: Option<Arc<str>>,
    pub(super) controller: Option<i32>,
    pub(super) brokers: BTreeMap<i32, Broker>,
    pub(super) topics: BTreeMap<Arc<str>, Arc<Topic>>,
    /// Topics that were asked for and have an error instead.
    pub(super) errors: BTreeMap<Arc<str>, ErrorCode>,
}

impl Metadata {
    /// The cluster's id.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// The broker that takes administrative requests.
    pub fn controller(&self) -> Option<i32> {
        self.controller
    }

    /// All live brokers in order of their ids.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = &Broker> {
        self.brokers.values()
    }

    /// The broker with this id.
    pub fn broker(&self, id: i32) -> Option<&Broker> {
        self.brokers.get(&id)
    }

    /// The known topics in order of their names.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    /// The topic with this name, if it was asked for and exists.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    /// Why there is no such topic, if it was asked for.
    ///
    /// ```no_run
    /// # async fn example(cluster: synod_client::Cluster) -> Result<(), synod_client::Error> {
    /// let metadata = cluster.refresh_metadata().await?;
    /// if let Some(code) = metadata.topic_error("orders") {
    ///     println!("{}: {}", code.name(), code.message());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn topic_error(&self, name: &str) -> Option<ErrorCode> {
        self.errors.get(name).copied()
    }

    /// The leader of a partition, if known.
    ///
    /// ```no_run
    /// # async fn example(cluster: synod_client::Cluster) -> Result<(), synod_client::Error> {
    /// cluster.topic("orders", false).await?;
    /// let metadata = cluster.metadata();
    /// let (leader, round) = (metadata.leader("orders", 0), metadata.leader_epoch("orders", 0));
    /// println!("led by {leader:?} in round {round}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        self.topics.get(topic)?.partition(partition)?.leader
    }

    /// The round in which a partition's leader leads; -1 if unknown.
    pub fn leader_epoch(&self, topic: &str, partition: i32) -> i32 {
        let known = self.topics.get(topic).and_then(|topic| topic.partition(partition));
        known.map_or(-1, |partition| partition.leader_epoch)
    }

    /// This picture brought up to date by an answer. `whole` says that the answer lists every
    /// topic, so that others are gone; else topics it does not mention stay.
    pub(super) fn updated(&self, response: MetadataResponse, whole: bool) -> Self {
        let mut next = Self {
            cluster_id: response.cluster_id.map(|id| Arc::from(&*id)).or(self.cluster_id.clone()),
            controller: Some(response.controller_id).filter(|&id| id >= 0),
            brokers: BTreeMap::new(),
            topics: if whole { BTreeMap::new() } else { self.topics.clone() },
            errors: if whole { BTreeMap::new() } else { self.errors.clone() },
        };
        for broker in response.brokers {
            let (id, rack) = (broker.node_id, broker.rack.map(|rack| Arc::from(&*rack)));
            let broker = Broker { id, host: Arc::from(&*broker.host), port: broker.port, rack };
            next.brokers.insert(id, broker);
        }
        for topic in response.topics {
            let Some(name) = topic.name.as_deref() else { continue };
            let name: Arc<str> = name.into();
            if topic.error_code == ErrorCode::NONE {
                let known = self.topics.get(&name).map(|known| &**known);
                next.errors.remove(&name);
                next.topics.insert(name.clone(), Arc::new(merge(name, topic, known)));
            } else {
                next.topics.remove(&name);
                next.errors.insert(name, topic.error_code);
            }
        }
        next
    }
}

/// The topic of an answer, except that a leader known from a later round is kept: a broker that
/// lags behind must not turn the client back.
fn merge(name: Arc<str>, topic: MetadataResponseTopic, known: Option<&Topic>) -> Topic {
    let same = known.filter(|known| known.id == topic.topic_id);
    let mut partitions: Vec<_> = topic
        .partitions
        .into_iter()
        .map(|answered| {
            let known = same.and_then(|topic| topic.partition(answered.partition_index));
            match known {
                Some(known)
                    if answered.leader_epoch >= 0 && known.leader_epoch > answered.leader_epoch =>
                {
                    known.clone()
                }
                _ => partition(answered),
            }
        })
        .collect();
    partitions.sort_by_key(|partition| partition.index);
    Topic { name, id: topic.topic_id, is_internal: topic.is_internal, partitions }
}

fn partition(answered: MetadataResponsePartition) -> Partition {
    Partition {
        index: answered.partition_index,
        leader: Some(answered.leader_id).filter(|&id| id >= 0),
        leader_epoch: answered.leader_epoch,
        replicas: answered.replica_nodes,
        in_sync: answered.isr_nodes,
        offline: answered.offline_replicas,
        error: answered.error_code,
    }
}

#[cfg(test)]
mod tests {
    use synod_wire::messages::metadata::MetadataResponseBroker;

    use super::*;

    fn answer(topic: &str, leader: i32, epoch: i32) -> MetadataResponse {
        MetadataResponse {
            controller_id: 1,
            brokers: vec![MetadataResponseBroker {
                node_id: 1,
                host: "h".into(),
                port: 9,
                ..MetadataResponseBroker::default()
            }],
            topics: vec![MetadataResponseTopic {
                name: Some(topic.into()),
                partitions: vec![MetadataResponsePartition {
                    leader_id: leader,
                    leader_epoch: epoch,
                    ..MetadataResponsePartition::default()
                }],
                ..MetadataResponseTopic::default()
            }],
            ..MetadataResponse::default()
        }
    }

    #[test]
    fn a_lagging_broker_does_not_turn_the_leader_back() {
        let metadata = Metadata::default().updated(answer("t", 1, 5), false);
        assert_eq!(metadata.updated(answer("t", 2, 4), false).leader("t", 0), Some(1));
        assert_eq!(metadata.updated(answer("t", 2, 6), false).leader("t", 0), Some(2));
        assert_eq!(metadata.updated(answer("t", -1, 6), false).leader("t", 0), None);
        // Brokers without epochs are believed as they answer.
        assert_eq!(metadata.updated(answer("t", 2, -1), false).leader("t", 0), Some(2));
    }

    #[test]
    fn a_topic_made_anew_starts_anew() {
        let metadata = Metadata::default().updated(answer("t", 1, 5), false);
        let mut again = answer("t", 2, 0);
        again.topics[0].topic_id = "AAAAAAAAAAAAAAAAAAAAAQ".parse().unwrap();
        assert_eq!(metadata.updated(again, false).leader("t", 0), Some(2));
    }

    #[test]
    fn other_topics_stay_unless_the_answer_is_whole() {
        let metadata = Metadata::default().updated(answer("a", 1, 0), false);
        let both = metadata.updated(answer("b", 1, 0), false);
        assert!(both.topic("a").is_some() && both.topic("b").is_some());
        let whole = metadata.updated(answer("b", 1, 0), true);
        assert!(whole.topic("a").is_none() && whole.topic("b").is_some());
    }

    #[test]
    fn an_error_replaces_the_topic_and_the_topic_the_error() {
        let mut gone = answer("t", 1, 0);
        gone.topics[0].error_code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        let metadata = Metadata::default().updated(answer("t", 1, 0), false).updated(gone, false);
        assert!(metadata.topic("t").is_none());
        assert_eq!(metadata.topic_error("t"), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        let back = metadata.updated(answer("t", 1, 0), false);
        assert!(back.topic("t").is_some() && back.topic_error("t").is_none());
    }

    #[test]
    fn ipv6_addresses_get_brackets() {
        let broker = Broker { id: 1, host: "::1".into(), port: 9, rack: None };
        assert_eq!(broker.address(), "[::1]:9");
    }
}
