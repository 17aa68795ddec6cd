//! OffsetCommit: commits offsets of a consumer group.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str, Uuid};

api! {
    OFFSET_COMMIT: OffsetCommitRequest => OffsetCommitResponse,
    versions 2..=8, flexible Some(8)
}

structs! {
    /// Commits offsets of a consumer group.
    struct OffsetCommitRequest {
        /// The group.
        group_id: Str => 2..;
        /// The group's generation; -1: the committer is not a member.
        generation_id_or_member_epoch: i32 => 2.., default -1;
        /// The member's id; empty when it has none yet.
        member_id: Str => 2..;
        /// The member's static id, if it has one.
        group_instance_id: Option<Str> => 7..;
        /// How long to keep the offsets; -1: the broker's default.
        retention_time_ms: i64 => 2..=4, default -1;
        /// The topics.
        topics: Vec<OffsetCommitRequestTopic> => 2..;
    }

    /// One offset to commit.
    struct OffsetCommitRequestPartition {
        /// Index of the partition.
        partition_index: i32 => 2..;
        /// The committed offset; -1 when there is none.
        committed_offset: i64 => 2..;
        /// Leader epoch of the last record consumed; -1: unknown.
        committed_leader_epoch: i32 => 6.., default -1;
        /// The consumer's own remark.
        committed_metadata: Option<Str> => 2.., default Some(Str::EMPTY);
    }

    /// The offsets to commit for one topic.
    struct OffsetCommitRequestTopic {
        /// The name.
        name: Str => 2..=9;
        /// Id of the topic.
        topic_id: Uuid => 10..;
        /// The partitions.
        partitions: Vec<OffsetCommitRequestPartition> => 2..;
    }

    /// The answer to [`OffsetCommitRequest`].
    struct OffsetCommitResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 3..;
        /// The topics.
        topics: Vec<OffsetCommitResponseTopic> => 2..;
    }

    /// The outcome for one partition.
    struct OffsetCommitResponsePartition {
        /// Index of the partition.
        partition_index: i32 => 2..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 2..;
    }

    /// The outcome for one topic.
    struct OffsetCommitResponseTopic {
        /// The name.
        name: Str => 2..=9;
        /// Id of the topic.
        topic_id: Uuid => 10..;
        /// The partitions.
        partitions: Vec<OffsetCommitResponsePartition> => 2..;
    }
}
