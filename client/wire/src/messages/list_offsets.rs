//! ListOffsets: asks for offsets by time.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    LIST_OFFSETS: ListOffsetsRequest => ListOffsetsResponse,
    versions 1..=7, flexible Some(6)
}

structs! {
    /// Asks for offsets by time.
    struct ListOffsetsRequest {
        /// Broker id of a follower; -1: a consumer.
        replica_id: i32 => 1..;
        /// 0: everything decided; 1: not what belongs to open or aborted transactions.
        isolation_level: i8 => 2..;
        /// The topics.
        topics: Vec<ListOffsetsTopic> => 1..;
        /// How long the broker may take, in ms.
        timeout_ms: i32 => 10..;
    }

    /// One partition asked about.
    struct ListOffsetsPartition {
        /// Index of the partition.
        partition_index: i32 => 1..;
        /// The client's idea of the leader epoch; -1: none, do not compare.
        current_leader_epoch: i32 => 4.., default -1;
        /// A time in ms since 1970; -1: latest, -2: earliest, -3: that with the greatest timestamp.
        timestamp: i64 => 1..;
    }

    /// One topic asked about.
    struct ListOffsetsTopic {
        /// The name.
        name: Str => 1..;
        /// The partitions.
        partitions: Vec<ListOffsetsPartition> => 1..;
    }

    /// The answer to [`ListOffsetsRequest`].
    struct ListOffsetsResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 2..;
        /// The topics.
        topics: Vec<ListOffsetsTopicResponse> => 1..;
    }

    /// The offset found in one partition.
    struct ListOffsetsPartitionResponse {
        /// Index of the partition.
        partition_index: i32 => 1..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 1..;
        /// Timestamp of the record found; -1: none found.
        timestamp: i64 => 1.., default -1;
        /// Offset found; -1: none.
        offset: i64 => 1.., default -1;
        /// The leader epoch; -1: unknown.
        leader_epoch: i32 => 4.., default -1;
    }

    /// The offsets found in one topic.
    struct ListOffsetsTopicResponse {
        /// The name.
        name: Str => 1..;
        /// The partitions.
        partitions: Vec<ListOffsetsPartitionResponse> => 1..;
    }
}
