//! Shards: single-threaded event loops, each of which owns some of the partitions.
//!
//! A partition's replica is touched by its shard alone, so nothing on the produce path takes a
//! lock. The same thread runs client connections; a request changes threads only when its
//! partition lives on another shard.

mod appeals;
mod carrying;
mod coordinators;
mod event_loop;
mod events;
mod open;
mod reconcile;
mod reopen;
mod syncs;
mod ticks;
mod unwritten;

use synod_log::key::PartitionKey;
use synod_paxos::NodeId;
use tokio::sync::{mpsc, oneshot};

use crate::groups::GroupRequest;
use crate::partition::{AppendRequest, ReplicaStatus};
use crate::peers::{InboundShare, PartitionMessage};

#[cfg(any(test, feature = "simulator"))]
pub(crate) use appeals::{nominee, unopened};
pub(crate) use event_loop::{Shard, ShardParts, Storage, unix_time_ms};
#[cfg(any(test, feature = "simulator"))]
pub(crate) use open::recover;
pub(crate) use open::{Copies, OpenError, Past, open_partition, purge_deleted};
#[cfg(any(test, feature = "simulator"))]
pub(crate) use reconcile::{copies, replica_set};
#[cfg(any(test, feature = "simulator"))]
pub(crate) use unwritten::Unwritten;

/// What a shard is asked from elsewhere.
#[derive(Debug)]
pub(crate) enum ShardRequest {
    /// Append producers' batches.
    Append(AppendRequest),
    /// Drop the records of a partition before an offset; `None` is the high watermark.
    Trim { key: PartitionKey, before: Option<u64>, reply: oneshot::Sender<Result<u64, TrimError>> },
    /// Messages of another broker's replicas. The share goes once they are processed.
    Peer { from: NodeId, messages: Vec<PartitionMessage>, share: InboundShare },
    /// A request to the coordinator of the groups of one partition of the offsets topic.
    Group { key: PartitionKey, request: GroupRequest },
    /// Tell where all replicas of this shard stand, the metadata group's included.
    Describe { reply: oneshot::Sender<Vec<(PartitionKey, ReplicaStatus)>> },
    /// Sync everything, close all partitions and end the loop.
    Stop { reply: oneshot::Sender<()> },
}

/// Why a partition was not trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TrimError {
    #[error("the partition is not hosted here")]
    NotHosted,
    #[error("this broker does not lead the partition")]
    NotLeader,
    #[error("the offset is beyond the high watermark")]
    OutOfRange,
    #[error("the offset is not synced on the leader yet")]
    NotSynced,
    #[error("the disk is full")]
    DiskFull,
}

/// The way into a shard. Bounded: a full inbox holds its senders back.
#[derive(Clone, Debug)]
pub(crate) struct ShardHandle {
    inbox: mpsc::Sender<ShardRequest>,
}

impl ShardHandle {
    pub(crate) fn new(inbox: mpsc::Sender<ShardRequest>) -> ShardHandle {
        ShardHandle { inbox }
    }

    /// Hands a request over; `false` once the shard has stopped.
    pub(crate) async fn send(&self, request: ShardRequest) -> bool {
        self.inbox.send(request).await.is_ok()
    }
}

/// The shard that owns a partition. Partitions of one topic are spread over all shards, each topic
/// beginning at a shard of its own.
pub(crate) fn shard_of(key: PartitionKey, shard_count: usize) -> usize {
    let topic =
        key.topic.iter().fold(0usize, |sum, &byte| sum.wrapping_mul(31) + usize::from(byte));
    topic.wrapping_add(key.partition as usize) % shard_count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_a_topic_spread_evenly() {
        let mut counts = [0; 4];
        for partition in 0..400 {
            counts[shard_of(PartitionKey { topic: *b"0123456789abcdef", partition }, 4)] += 1;
        }
        assert_eq!(counts, [100; 4]);
    }
}
