//! The messages that travel between brokers.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use synod_log::key::PartitionKey;
use synod_paxos::{Heartbeat, Message, NodeId};

use super::form::HeartbeatForm;

/// What a replica says to another replica of its partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionMessage {
    pub(crate) key: PartitionKey,
    pub(crate) message: Message,
    /// The batches that the message describes: whole ones back to back, in as many pieces as they
    /// happen to lie in.
    pub(crate) payload: Vec<Bytes>,
}

/// Bytes that a batch descriptor takes in a header at most, and about what all else takes.
const BATCH_FORM_SIZE: usize = 40;
const MESSAGE_FORM_SIZE: usize = 160;

impl PartitionMessage {
    /// Bytes of batches that travel beside the message.
    pub(crate) fn payload_size(&self) -> usize {
        self.payload.iter().map(Bytes::len).sum()
    }

    /// About what the message takes in memory and on the way, never less than its payload.
    pub(crate) fn cost(&self) -> usize {
        let described = match &self.message {
            Message::Promise(promise) => promise.rounds.len(),
            message => message.batches().len(),
        };
        MESSAGE_FORM_SIZE + described * BATCH_FORM_SIZE + self.payload_size()
    }
}

/// What brokers say to each other on their control connections. The connections of shards carry
/// `Partition` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ControlMessage {
    /// I am here, and this is whom I hear.
    Heartbeat(BrokerHeartbeat),
    /// A message between replicas of the metadata group.
    Partition(PartitionMessage),
    /// A request to the controller, in the controller's own form.
    Request { id: u64, body: Bytes },
    /// The controller's answer to the request of that id.
    Answer { id: u64, body: Bytes },
    /// Where groups stand in partitions that the receiver leads: how far behind is that?
    LagQuestion(Vec<LagAsked>),
    /// The answer; what the sender does not lead is left out.
    LagAnswer(Vec<LagTold>),
}

/// A place in a partition at which a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct LagAsked {
    pub(crate) topic: [u8; 16],
    pub(crate) partition: u32,
    pub(crate) offset: u64,
}

impl LagAsked {
    pub(crate) fn key(&self) -> PartitionKey {
        PartitionKey { topic: self.topic, partition: self.partition }
    }
}

/// What the partition's leader says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LagTold {
    pub(crate) asked: LagAsked,
    /// First offset that there is.
    pub(crate) log_start: u64,
    pub(crate) high_watermark: u64,
    /// When the first record at or behind the place was written, in ms since 1970, if there is one.
    pub(crate) time_ms: Option<i64>,
}

impl ControlMessage {
    pub(crate) fn is_about_lag(&self) -> bool {
        matches!(self, ControlMessage::LagQuestion(_) | ControlMessage::LagAnswer(_))
    }

    /// About what the message takes in memory and on the way.
    pub(crate) fn cost(&self) -> usize {
        match self {
            ControlMessage::Heartbeat(heartbeat) => {
                MESSAGE_FORM_SIZE + 8 * heartbeat.hears.len() + 40 * heartbeat.linked.len()
            }
            ControlMessage::Partition(message) => message.cost(),
            ControlMessage::Request { body, .. } | ControlMessage::Answer { body, .. } => {
                MESSAGE_FORM_SIZE + body.len()
            }
            ControlMessage::LagQuestion(asked) => MESSAGE_FORM_SIZE + size_of_val(&asked[..]),
            ControlMessage::LagAnswer(told) => MESSAGE_FORM_SIZE + size_of_val(&told[..]),
        }
    }
}

/// A broker's sign of life, with what the controller needs to judge who reaches whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BrokerHeartbeat {
    /// The sender's part in the metadata group's election.
    #[serde(with = "HeartbeatForm")]
    pub(crate) election: Heartbeat,
    /// The brokers that the sender has heard lately.
    #[serde(with = "super::form::node_ids")]
    pub(crate) hears: Vec<NodeId>,
    /// The brokers that the sender hears and that hear it.
    pub(crate) linked: Vec<LinkedPeer>,
    /// The sender's start.
    pub(crate) incarnation: Incarnation,
    /// How far the sender has folded the metadata log.
    pub(crate) metadata_end: u64,
}

/// What a broker tells of one that it is linked to, for those that are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinkedPeer {
    /// The other broker.
    pub(crate) node: u32,
    /// What tells its present start apart.
    pub(crate) random: [u8; 16],
    /// How far it has folded the metadata log.
    pub(crate) metadata_end: u64,
}

/// One start of a broker's process. Ordered by start within one data directory.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub(crate) struct Incarnation {
    /// How often the data directory has been started, this start included.
    pub(crate) start: u64,
    /// Drawn at this start: tells apart two processes that run on copies of one directory.
    pub(crate) random: [u8; 16],
}

/// What a connection carries. Each broker dials every other once per channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Channel {
    /// Nothing: the dialer only wants to know who is there.
    Probe,
    /// Heartbeats, the metadata group, requests to the controller. Never behind bulk data.
    Control,
    /// Partition messages of one of the dialer's shards.
    Shard(u16),
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Channel::Probe => f.write_str("probe"),
            Channel::Control => f.write_str("control"),
            Channel::Shard(index) => write!(f, "shard {index}"),
        }
    }
}
