//! DescribeLogDirs: asks for the sizes of partitions in the data directories.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    DESCRIBE_LOG_DIRS: DescribeLogDirsRequest => DescribeLogDirsResponse,
    versions 1..=4, flexible Some(2)
}

structs! {
    /// Asks for the sizes of partitions in the data directories.
    struct DescribeLogDirsRequest {
        /// The topics wanted; null: all.
        topics: Option<Vec<DescribableLogDirTopic>> => 1..;
        /// Synod's own: tell where each replica stands, the metadata group's included.
        synod: bool => 2.., tag 21337;
    }

    /// One topic asked about.
    struct DescribableLogDirTopic {
        /// Name of the topic.
        topic: Str => 1..;
        /// The partitions.
        partitions: Vec<i32> => 1..;
    }

    /// The answer to [`DescribeLogDirsRequest`].
    struct DescribeLogDirsResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 1..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 3..;
        /// The outcome for each item asked for.
        results: Vec<DescribeLogDirsResult> => 1..;
    }

    /// One partition in a directory.
    struct DescribeLogDirsPartition {
        /// Index of the partition.
        partition_index: i32 => 1..;
        /// Bytes on disk.
        partition_size: i64 => 1..;
        /// How far the replica is behind, in records.
        offset_lag: i64 => 1..;
        /// Whether it is a copy being made to move the partition to another directory.
        is_future_key: bool => 1..;
        /// Synod's own: where the replica stands, as JSON; only when asked for.
        synod: Str => 2.., tag 21337;
    }

    /// One data directory.
    struct DescribeLogDirsResult {
        /// What went wrong, if anything.
        error_code: ErrorCode => 1..;
        /// Path of the data directory.
        log_dir: Str => 1..;
        /// The topics.
        topics: Vec<DescribeLogDirsTopic> => 1..;
        /// Size of the volume; -1: unknown.
        total_bytes: i64 => 4.., default -1;
        /// Free bytes of the volume; -1: unknown.
        usable_bytes: i64 => 4.., default -1;
    }

    /// One topic in a directory.
    struct DescribeLogDirsTopic {
        /// The name.
        name: Str => 1..;
        /// The partitions.
        partitions: Vec<DescribeLogDirsPartition> => 1..;
    }
}
