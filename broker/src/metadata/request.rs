//! What can be asked of the controller, and what it answers: free of the wire's types.

use serde::{Deserialize, Serialize};

use super::{
    BrokerId, TopicId, TopicImage, error::AdminError, image::PartitionImage, record::Endpoint,
};

/// Creates topics; each succeeds or fails by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTopics {
    /// The topics.
    pub topics: Vec<NewTopic>,
    /// Check everything and create nothing.
    pub validate_only: bool,
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTopic {
    /// The id it will have, drawn at random by whoever made the request.
    pub id: TopicId,
    /// Its name, unchecked.
    pub name: String,
    /// How many partitions, unchecked; `None`: the broker's default.
    pub partition_count: Option<i32>,
    /// How many replicas each, unchecked; `None`: the broker's default.
    pub replication_factor: Option<i16>,
    /// Replica sets chosen by the client, as (partition, brokers); empty: the controller chooses.
    pub assignments: Vec<(i32, Vec<i32>)>,
    /// Settings of its own; a `None` value is an error that only the controller reports.
    pub configs: Vec<(String, Option<String>)>,
}

impl NewTopic {
    /// A topic with the broker's defaults.
    #[must_use]
    pub fn with_defaults(id: TopicId, name: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            partition_count: None,
            replication_factor: None,
            assignments: Vec::new(),
            configs: Vec::new(),
        }
    }
}

/// Names a topic to delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopicRef {
    /// By name.
    Name(String),
    /// By id.
    Id(TopicId),
}

/// A topic that was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedTopic {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: String,
}

/// Adds partitions to topics; each succeeds or fails by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatePartitions {
    /// The topics.
    pub topics: Vec<MorePartitions>,
    /// Check everything and create nothing.
    pub validate_only: bool,
}

/// How a topic is to grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MorePartitions {
    /// The topic's name.
    pub name: String,
    /// How many partitions it shall have in all, unchecked.
    pub count: i32,
    /// Replica sets of the new partitions in order; `None`: the controller chooses.
    pub assignments: Option<Vec<Vec<i32>>>,
}

/// Changes settings; each resource succeeds or fails by itself and as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterConfigs {
    /// The changes, at most one per resource.
    pub resources: Vec<ResourceChange>,
    /// Check everything and change nothing.
    pub validate_only: bool,
}

/// Changes to one resource's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceChange {
    /// Whose settings.
    pub resource: ConfigResource,
    /// Drop all settings of its own that `changes` does not name (the older API's meaning).
    pub replace: bool,
    /// What changes, at most one change per name.
    pub changes: Vec<ConfigChange>,
}

/// Whose settings a request is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConfigResource {
    /// The topic of that name.
    Topic(String),
    /// The broker of that number.
    Broker(BrokerId),
    /// All brokers.
    AllBrokers,
}

/// A change of one setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// The setting's name.
    pub name: String,
    /// What to do.
    pub operation: ConfigOperation,
}

/// What to do with a setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigOperation {
    /// Give it this value.
    Set(String),
    /// Take its own value away.
    Delete,
    /// Add items to the end of a list.
    Append(String),
    /// Take items out of a list.
    Subtract(String),
}

/// Says that a broker's process has started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterBroker {
    /// The broker's number.
    pub broker: BrokerId,
    /// Drawn at random at each start of the process.
    pub incarnation: TopicId,
    /// Where it can be reached.
    pub endpoints: Vec<Endpoint>,
    /// Its failure domain.
    pub rack: Option<String>,
    /// How many times its data directory has been started; 0: not known.
    pub start: u64,
}

/// Why a broker does not lead a partition that it was appointed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResignReason {
    /// It led, and heard from no majority any more.
    QuorumLost,
    /// No majority promised to follow it.
    PromisesMissing,
    /// Its replica has promised a higher round than it was appointed in.
    Stale {
        /// That round.
        promised_round: u32,
    },
    /// Its own log is damaged.
    Faulty,
}

/// A leader that gave up one partition, as the controller remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resigned {
    /// The appointed leader.
    pub broker: BrokerId,
    /// The round of its appointment.
    pub round: u32,
    /// Why.
    pub reason: ResignReason,
    /// Until when this holds unless it is said again.
    pub until_tick: u64,
}

impl Resigned {
    /// Whether it speaks of the leader that is appointed now.
    #[must_use]
    pub fn is_of(&self, partition: &PartitionImage) -> bool {
        (self.broker, self.round) == (partition.leader, partition.round)
    }
}

/// Tells the controller that this broker cannot lead partitions it was appointed for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resign {
    /// The appointed leader, who asks.
    pub broker: BrokerId,
    /// The partitions, with round and reason.
    pub partitions: Vec<(TopicId, u32, u32, ResignReason)>,
}

/// A partition as its leader knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LedPartition {
    /// The topic.
    pub topic: TopicId,
    /// The partition's index.
    pub partition: u32,
    /// The round in which it is led.
    pub round: u32,
}

/// A leader nominates the preferred replicas of partitions: they have caught up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnLeadership {
    /// The present leader, who asks.
    pub broker: BrokerId,
    /// The partitions.
    pub partitions: Vec<LedPartition>,
}

/// A broker is about to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShutDown {
    /// The broker, who asks.
    pub broker: BrokerId,
    /// Its life.
    pub incarnation: TopicId,
}

/// Moves leaders on an operator's request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElectLeaders {
    /// Only to the preferred replicas; else to any, where the leader cannot lead.
    pub preferred: bool,
    /// Topic names and indexes, unchecked; `None`: all partitions.
    pub partitions: Option<Vec<(String, i32)>>,
}

/// What became of one partition's election.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElectionOutcome {
    /// The topic's name.
    pub topic: String,
    /// The partition's index.
    pub partition: i32,
    /// Whether it has a new leader.
    pub outcome: Result<(), AdminError>,
}

/// Begins a controller's work in a round of the metadata group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginControl {
    /// The new controller.
    pub broker: BrokerId,
    /// Its round in the metadata group.
    pub round: u32,
    /// The id that the cluster gets if it has none yet: 22 characters of url-safe base64.
    pub new_cluster_id: String,
}

/// A block of producer ids, for one broker alone and for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerIdBlock {
    /// The first id.
    pub start: u64,
    /// How many there are.
    pub count: u32,
}

/// One outcome per item of a request, in the request's order.
pub type Outcomes<T> = Vec<Result<T, AdminError>>;

/// What creating a topic answers: the topic as it then is (or would be).
pub type CreatedTopic = TopicImage;
