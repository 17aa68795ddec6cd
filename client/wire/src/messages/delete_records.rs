//! DeleteRecords: trims partitions: drops the records before an offset.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    DELETE_RECORDS: DeleteRecordsRequest => DeleteRecordsResponse,
    versions 0..=2, flexible Some(2)
}

structs! {
    /// Trims partitions: drops the records before an offset.
    struct DeleteRecordsRequest {
        /// The topics.
        topics: Vec<DeleteRecordsTopic> => 0..;
        /// How long the broker may take, in ms.
        timeout_ms: i32 => 0..;
    }

    /// One partition to trim.
    struct DeleteRecordsPartition {
        /// Index of the partition.
        partition_index: i32 => 0..;
        /// Records before this offset go; -1: all before the high watermark.
        offset: i64 => 0..;
    }

    /// One topic to trim.
    struct DeleteRecordsTopic {
        /// The name.
        name: Str => 0..;
        /// The partitions.
        partitions: Vec<DeleteRecordsPartition> => 0..;
    }

    /// The answer to [`DeleteRecordsRequest`].
    struct DeleteRecordsResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 0..;
        /// The topics.
        topics: Vec<DeleteRecordsTopicResult> => 0..;
    }

    /// The outcome for one partition.
    struct DeleteRecordsPartitionResult {
        /// Index of the partition.
        partition_index: i32 => 0..;
        /// First offset that is still there.
        low_watermark: i64 => 0..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 0..;
    }

    /// The outcome for one topic.
    struct DeleteRecordsTopicResult {
        /// The name.
        name: Str => 0..;
        /// The partitions.
        partitions: Vec<DeleteRecordsPartitionResult> => 0..;
    }
}
