//! OffsetDelete: deletes committed offsets.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    OFFSET_DELETE: OffsetDeleteRequest => OffsetDeleteResponse,
    versions 0..=0, flexible None
}

structs! {
    /// Deletes committed offsets.
    struct OffsetDeleteRequest {
        /// The group.
        group_id: Str => 0..;
        /// The topics.
        topics: Vec<OffsetDeleteRequestTopic> => 0..;
    }

    /// One topic whose offsets go.
    struct OffsetDeleteRequestTopic {
        /// The name.
        name: Str => 0..;
        /// The partitions.
        partitions: Vec<OffsetDeleteRequestPartition> => 0..;
    }

    /// One partition whose offset goes.
    struct OffsetDeleteRequestPartition {
        /// Index of the partition.
        partition_index: i32 => 0..;
    }

    /// The answer to [`OffsetDeleteRequest`].
    struct OffsetDeleteResponse {
        /// What went wrong, if anything.
        error_code: ErrorCode => 0..;
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 0..;
        /// The topics.
        topics: Vec<OffsetDeleteResponseTopic> => 0..;
    }

    /// The outcome for one topic.
    struct OffsetDeleteResponseTopic {
        /// The name.
        name: Str => 0..;
        /// The partitions.
        partitions: Vec<OffsetDeleteResponsePartition> => 0..;
    }

    /// The outcome for one partition.
    struct OffsetDeleteResponsePartition {
        /// Index of the partition.
        partition_index: i32 => 0..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 0..;
    }
}
