//! CreateTopics: creates topics.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str, Uuid};

api! {
    CREATE_TOPICS: CreateTopicsRequest => CreateTopicsResponse,
    versions 2..=7, flexible Some(5)
}

structs! {
    /// Creates topics.
    struct CreateTopicsRequest {
        /// The topics.
        topics: Vec<CreatableTopic> => 2..;
        /// How long the broker may take, in ms.
        timeout_ms: i32 => 2.., default 60000;
        /// Whether to only check the request and change nothing.
        validate_only: bool => 2..;
    }

    /// The brokers of one partition.
    struct CreatableReplicaAssignment {
        /// Index of the partition.
        partition_index: i32 => 2..;
        /// The brokers to host it; the first is the preferred leader.
        broker_ids: Vec<i32> => 2..;
    }

    /// One topic to create.
    struct CreatableTopic {
        /// The name.
        name: Str => 2..;
        /// Number of partitions; -1: the broker's default.
        num_partitions: i32 => 2..;
        /// Number of replicas; -1: the broker's default.
        replication_factor: i16 => 2..;
        /// Brokers per partition, chosen by hand; empty: the broker chooses.
        assignments: Vec<CreatableReplicaAssignment> => 2..;
        /// Configuration entries.
        configs: Vec<CreatableTopicConfig> => 2..;
    }

    /// One configuration entry of a topic to create.
    struct CreatableTopicConfig {
        /// The name.
        name: Str => 2..;
        /// The value.
        value: Option<Str> => 2..;
    }

    /// The answer to [`CreateTopicsRequest`].
    struct CreateTopicsResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 2..;
        /// The topics.
        topics: Vec<CreatableTopicResult> => 2..;
    }

    /// One configuration entry of a created topic.
    struct CreatableTopicConfigs {
        /// The name.
        name: Str => 5..;
        /// The value; null: none, or a secret.
        value: Option<Str> => 5..;
        /// Whether it cannot be changed.
        read_only: bool => 5..;
        /// Where the value comes from: 1 topic, 2 dynamic broker, 3 dynamic default, 4 static, 5
        /// default.
        config_source: i8 => 5.., default -1;
        /// Whether the value is a secret, and hence not shown.
        is_sensitive: bool => 5..;
    }

    /// The outcome for one topic.
    struct CreatableTopicResult {
        /// The name.
        name: Str => 2..;
        /// Id of the topic.
        topic_id: Uuid => 7..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 2..;
        /// More about the error, in words.
        error_message: Option<Str> => 2..;
        /// Why no configuration is shown, if so.
        topic_config_error_code: ErrorCode => 5.., tag 0;
        /// Number of partitions; -1: the broker's default.
        num_partitions: i32 => 5.., default -1;
        /// Number of replicas; -1: the broker's default.
        replication_factor: i16 => 5.., default -1;
        /// Configuration entries.
        configs: Option<Vec<CreatableTopicConfigs>> => 5..;
    }
}
