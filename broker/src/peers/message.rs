//! The messages that travel between brokers.

use bytes::Bytes;
use synod_log::key::PartitionKey;
use synod_paxos::Message;

/// What a replica says to another replica of its partition.
#[allow(dead_code, reason = "its users come next")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionMessage {
    pub(crate) key: PartitionKey,
    pub(crate) message: Message,
    /// The batches that the message describes: whole ones back to back, in as many pieces as they
    /// happen to lie in.
    pub(crate) payload: Vec<Bytes>,
}
