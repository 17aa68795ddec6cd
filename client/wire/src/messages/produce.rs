//! Produce: appends record batches.

use bytes::Bytes;

use crate::schema::{api, structs};
use crate::{ErrorCode, Str, Uuid};

api! {
    PRODUCE: ProduceRequest => ProduceResponse,
    versions 3..=9, flexible Some(9)
}

structs! {
    /// Appends record batches.
    struct ProduceRequest {
        /// The transactional id; null: not transactional.
        transactional_id: Option<Str> => 3..;
        /// -1: answer when a majority has the batch durably; 1: when the leader has; 0: never.
        acks: i16 => 3..;
        /// How long the broker may take, in ms.
        timeout_ms: i32 => 3..;
        /// The topics to append to.
        topic_data: Vec<TopicProduceData> => 3..;
    }

    /// One partition to append to.
    struct PartitionProduceData {
        /// Index of the partition.
        index: i32 => 3..;
        /// One record batch; a slice of the frame.
        records: Option<Bytes> => 3..;
    }

    /// One topic to append to.
    struct TopicProduceData {
        /// The name.
        name: Str => 3..=12;
        /// Id of the topic.
        topic_id: Uuid => 13..;
        /// The partitions to append to.
        partition_data: Vec<PartitionProduceData> => 3..;
    }

    /// The answer to [`ProduceRequest`].
    struct ProduceResponse {
        /// The outcome for each item asked for.
        responses: Vec<TopicProduceResponse> => 3..;
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 3..;
        /// Addresses of the leaders named in the partitions.
        node_endpoints: Vec<NodeEndpoint> => 10.., tag 0;
    }

    /// One record refused.
    struct BatchIndexAndErrorMessage {
        /// Index of the record refused.
        batch_index: i32 => 8..;
        /// Why it was refused.
        batch_index_error_message: Option<Str> => 8..;
    }

    /// A leader and its epoch.
    struct LeaderIdAndEpoch {
        /// The leader's broker id; -1: none.
        leader_id: i32 => 10.., default -1;
        /// The leader epoch; -1: unknown.
        leader_epoch: i32 => 10.., default -1;
    }

    /// The address of a broker.
    struct NodeEndpoint {
        /// The broker's id.
        node_id: i32 => 10..;
        /// Name or address to connect to.
        host: Str => 10..;
        /// Port to connect to.
        port: i32 => 10..;
        /// Rack or zone of the broker.
        rack: Option<Str> => 10..;
    }

    /// The outcome for one partition.
    struct PartitionProduceResponse {
        /// Index of the partition.
        index: i32 => 3..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 3..;
        /// Offset of the first record of the batch appended.
        base_offset: i64 => 3..;
        /// When the broker appended the batch, if it stamps that; else -1.
        log_append_time_ms: i64 => 3.., default -1;
        /// First offset that is still there.
        log_start_offset: i64 => 5.., default -1;
        /// The records that were refused.
        record_errors: Vec<BatchIndexAndErrorMessage> => 8..;
        /// More about the error, in words.
        error_message: Option<Str> => 8..;
        /// The leader now, when the client has an outdated one.
        current_leader: LeaderIdAndEpoch => 10.., tag 0;
    }

    /// The outcome for one topic.
    struct TopicProduceResponse {
        /// The name.
        name: Str => 3..=12;
        /// Id of the topic.
        topic_id: Uuid => 13..;
        /// The partitions appended to.
        partition_responses: Vec<PartitionProduceResponse> => 3..;
    }
}
