//! CreatePartitions: adds partitions to topics.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    CREATE_PARTITIONS: CreatePartitionsRequest => CreatePartitionsResponse,
    versions 0..=3, flexible Some(2)
}

structs! {
    /// Adds partitions to topics.
    struct CreatePartitionsRequest {
        /// The topics.
        topics: Vec<CreatePartitionsTopic> => 0..;
        /// How long the broker may take, in ms.
        timeout_ms: i32 => 0..;
        /// Whether to only check the request and change nothing.
        validate_only: bool => 0..;
    }

    /// The brokers of one new partition.
    struct CreatePartitionsAssignment {
        /// The brokers to host it; the first is the preferred leader.
        broker_ids: Vec<i32> => 0..;
    }

    /// One topic to extend.
    struct CreatePartitionsTopic {
        /// The name.
        name: Str => 0..;
        /// The number of partitions wanted in all.
        count: i32 => 0..;
        /// Brokers per new partition, chosen by hand; null: the broker chooses.
        assignments: Option<Vec<CreatePartitionsAssignment>> => 0..;
    }

    /// The answer to [`CreatePartitionsRequest`].
    struct CreatePartitionsResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 0..;
        /// The outcome for each item asked for.
        results: Vec<CreatePartitionsTopicResult> => 0..;
    }

    /// The outcome for one topic.
    struct CreatePartitionsTopicResult {
        /// The name.
        name: Str => 0..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 0..;
        /// More about the error, in words.
        error_message: Option<Str> => 0..;
    }
}
