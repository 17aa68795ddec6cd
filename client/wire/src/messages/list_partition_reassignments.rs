//! ListPartitionReassignments: asks for the replica moves under way.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    LIST_PARTITION_REASSIGNMENTS: ListPartitionReassignmentsRequest => ListPartitionReassignmentsResponse,
    versions 0..=0, flexible Some(0)
}

structs! {
    /// Asks for the replica moves under way.
    struct ListPartitionReassignmentsRequest {
        /// How long the broker may take, in ms.
        timeout_ms: i32 => 0.., default 60000;
        /// The topics wanted; null: all.
        topics: Option<Vec<ListPartitionReassignmentsTopics>> => 0..;
    }

    /// One topic asked about.
    struct ListPartitionReassignmentsTopics {
        /// The name.
        name: Str => 0..;
        /// Indexes of the partitions.
        partition_indexes: Vec<i32> => 0..;
    }

    /// The answer to [`ListPartitionReassignmentsRequest`].
    struct ListPartitionReassignmentsResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 0..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 0..;
        /// More about the error, in words.
        error_message: Option<Str> => 0..;
        /// The topics.
        topics: Vec<OngoingTopicReassignment> => 0..;
    }

    /// One partition that is being moved.
    struct OngoingPartitionReassignment {
        /// Index of the partition.
        partition_index: i32 => 0..;
        /// Brokers that host it now.
        replicas: Vec<i32> => 0..;
        /// Brokers that are being added.
        adding_replicas: Vec<i32> => 0..;
        /// Brokers that are being removed.
        removing_replicas: Vec<i32> => 0..;
    }

    /// One topic with partitions that are being moved.
    struct OngoingTopicReassignment {
        /// The name.
        name: Str => 0..;
        /// The partitions.
        partitions: Vec<OngoingPartitionReassignment> => 0..;
    }
}
