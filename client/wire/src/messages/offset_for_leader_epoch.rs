//! OffsetForLeaderEpoch: asks where leader epochs ended, to detect divergence.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    OFFSET_FOR_LEADER_EPOCH: OffsetForLeaderEpochRequest => OffsetForLeaderEpochResponse,
    versions 2..=4, flexible Some(4)
}

structs! {
    /// Asks where leader epochs ended, to detect divergence.
    struct OffsetForLeaderEpochRequest {
        /// Broker id of a follower; -1: a consumer.
        replica_id: i32 => 3.., default -2;
        /// The topics.
        topics: Vec<OffsetForLeaderTopic> => 2..;
    }

    /// One partition asked about.
    struct OffsetForLeaderPartition {
        /// Index of the partition.
        partition: i32 => 2..;
        /// The client's idea of the leader epoch; -1: none, do not compare.
        current_leader_epoch: i32 => 2.., default -1;
        /// The leader epoch; -1: unknown.
        leader_epoch: i32 => 2..;
    }

    /// One topic asked about.
    struct OffsetForLeaderTopic {
        /// Name of the topic.
        topic: Str => 2..;
        /// The partitions.
        partitions: Vec<OffsetForLeaderPartition> => 2..;
    }

    /// The answer to [`OffsetForLeaderEpochRequest`].
    struct OffsetForLeaderEpochResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 2..;
        /// The topics.
        topics: Vec<OffsetForLeaderTopicResult> => 2..;
    }

    /// A leader epoch and its exclusive end.
    struct EpochEndOffset {
        /// What went wrong, if anything.
        error_code: ErrorCode => 2..;
        /// Index of the partition.
        partition: i32 => 2..;
        /// The leader epoch; -1: unknown.
        leader_epoch: i32 => 2.., default -1;
        /// Exclusive end of the leader epoch.
        end_offset: i64 => 2.., default -1;
    }

    /// The leader epoch ends of one topic.
    struct OffsetForLeaderTopicResult {
        /// Name of the topic.
        topic: Str => 2..;
        /// The partitions.
        partitions: Vec<EpochEndOffset> => 2..;
    }
}
