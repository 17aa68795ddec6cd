//! Metadata: asks for brokers, topics, partitions and their leaders.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str, Uuid};

api! {
    METADATA: MetadataRequest => MetadataResponse,
    versions 0..=12, flexible Some(9)
}

structs! {
    /// Asks for brokers, topics, partitions and their leaders.
    struct MetadataRequest {
        /// The topics wanted. Null: all; in version 0 the empty list means all.
        topics: Option<Vec<MetadataRequestTopic>> => 0.., default Some(Vec::new()), nullable 1..;
        /// Whether the broker may create topics that do not exist; up to version 3 it may.
        allow_auto_topic_creation: bool => 4.., default true;
        /// Whether to tell what the client may do to the cluster.
        include_cluster_authorized_operations: bool => 8..=10;
        /// Whether to tell what the client may do to the topics.
        include_topic_authorized_operations: bool => 8..;
    }

    /// One topic asked about, by name or id.
    struct MetadataRequestTopic {
        /// Id of the topic.
        topic_id: Uuid => 10..;
        /// The name.
        name: Option<Str> => 0.., default Some(Str::EMPTY), nullable 10..;
    }

    /// The answer to [`MetadataRequest`].
    struct MetadataResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 3..;
        /// The brokers that are alive.
        brokers: Vec<MetadataResponseBroker> => 0..;
        /// Id of the cluster.
        cluster_id: Option<Str> => 2..;
        /// The broker to send changes to; -1: none known.
        controller_id: i32 => 1.., default -1;
        /// The topics.
        topics: Vec<MetadataResponseTopic> => 0..;
        /// What the client may do to the cluster, as bits; `i32::MIN` when not asked for.
        cluster_authorized_operations: i32 => 8..=10, default i32::MIN;
        /// What went wrong, if anything.
        error_code: ErrorCode => 13..;
    }

    /// One broker.
    struct MetadataResponseBroker {
        /// The broker's id.
        node_id: i32 => 0..;
        /// Name or address to connect to.
        host: Str => 0..;
        /// Port to connect to.
        port: i32 => 0..;
        /// Rack or zone of the broker.
        rack: Option<Str> => 1..;
    }

    /// One partition.
    struct MetadataResponsePartition {
        /// What went wrong, if anything.
        error_code: ErrorCode => 0..;
        /// Index of the partition.
        partition_index: i32 => 0..;
        /// The leader's broker id; -1: none.
        leader_id: i32 => 0..;
        /// The leader epoch; -1: unknown.
        leader_epoch: i32 => 7.., default -1;
        /// Brokers that host it; the first is the preferred leader.
        replica_nodes: Vec<i32> => 0..;
        /// Replicas that follow closely.
        isr_nodes: Vec<i32> => 0..;
        /// Replicas whose broker is not alive.
        offline_replicas: Vec<i32> => 5..;
    }

    /// One topic.
    struct MetadataResponseTopic {
        /// What went wrong, if anything.
        error_code: ErrorCode => 0..;
        /// The name.
        name: Option<Str> => 0.., default Some(Str::EMPTY), nullable 12..;
        /// Id of the topic.
        topic_id: Uuid => 10..;
        /// Whether the broker uses the topic for itself.
        is_internal: bool => 1..;
        /// The partitions.
        partitions: Vec<MetadataResponsePartition> => 0..;
        /// What the client may do to the topic, as bits; `i32::MIN` when not asked for.
        topic_authorized_operations: i32 => 8.., default i32::MIN;
    }
}
