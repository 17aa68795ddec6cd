//! ElectLeaders: moves leadership, as a rule to the preferred replicas.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    ELECT_LEADERS: ElectLeadersRequest => ElectLeadersResponse,
    versions 0..=2, flexible Some(2)
}

structs! {
    /// Moves leadership, as a rule to the preferred replicas.
    struct ElectLeadersRequest {
        /// 0: the preferred replica, 1: any replica.
        election_type: i8 => 1..;
        /// The partitions to elect leaders for; null: all.
        topic_partitions: Option<Vec<TopicPartitions>> => 0..;
        /// How long the broker may take, in ms.
        timeout_ms: i32 => 0.., default 60000;
    }

    /// Partitions of one topic.
    struct TopicPartitions {
        /// Name of the topic.
        topic: Str => 0..;
        /// The partitions.
        partitions: Vec<i32> => 0..;
    }

    /// The answer to [`ElectLeadersRequest`].
    struct ElectLeadersResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 0..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 1..;
        /// The outcome for each topic.
        replica_election_results: Vec<ReplicaElectionResult> => 0..;
    }

    /// The outcome for one partition.
    struct PartitionResult {
        /// Index of the partition.
        partition_id: i32 => 0..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 0..;
        /// More about the error, in words.
        error_message: Option<Str> => 0..;
    }

    /// The outcome for one topic.
    struct ReplicaElectionResult {
        /// Name of the topic.
        topic: Str => 0..;
        /// The outcome for each partition.
        partition_result: Vec<PartitionResult> => 0..;
    }
}
