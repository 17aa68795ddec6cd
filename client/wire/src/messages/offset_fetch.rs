//! OffsetFetch: asks for committed offsets.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str, Uuid};

api! {
    OFFSET_FETCH: OffsetFetchRequest => OffsetFetchResponse,
    versions 1..=8, flexible Some(6)
}

structs! {
    /// Asks for committed offsets.
    struct OffsetFetchRequest {
        /// The group.
        group_id: Str => 1..=7;
        /// The topics wanted; null: all.
        topics: Option<Vec<OffsetFetchRequestTopic>> => 1..=7, default Some(Vec::new()), nullable 2..;
        /// The groups.
        groups: Vec<OffsetFetchRequestGroup> => 8..;
        /// Whether to refuse to answer while a transaction holds offsets back.
        require_stable: bool => 7..;
    }

    /// One group asked about, from version 8.
    struct OffsetFetchRequestGroup {
        /// The group.
        group_id: Str => 8..;
        /// The member's id; empty when it has none yet.
        member_id: Option<Str> => 9..;
        /// The member's epoch; -1: not a member.
        member_epoch: i32 => 9.., default -1;
        /// The topics wanted; null: all.
        topics: Option<Vec<OffsetFetchRequestTopics>> => 8.., default Some(Vec::new());
    }

    /// One topic asked about, up to version 7.
    struct OffsetFetchRequestTopic {
        /// The name.
        name: Str => 1..=7;
        /// Indexes of the partitions.
        partition_indexes: Vec<i32> => 1..=7;
    }

    /// One topic asked about, from version 8.
    struct OffsetFetchRequestTopics {
        /// The name.
        name: Str => 8..=9;
        /// Id of the topic.
        topic_id: Uuid => 10..;
        /// Indexes of the partitions.
        partition_indexes: Vec<i32> => 8..;
    }

    /// The answer to [`OffsetFetchRequest`].
    struct OffsetFetchResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 3..;
        /// The topics.
        topics: Vec<OffsetFetchResponseTopic> => 1..=7;
        /// What went wrong, if anything.
        error_code: ErrorCode => 2..=7;
        /// The groups.
        groups: Vec<OffsetFetchResponseGroup> => 8..;
    }

    /// The offsets of one group, from version 8.
    struct OffsetFetchResponseGroup {
        /// The group.
        group_id: Str => 8..;
        /// The topics.
        topics: Vec<OffsetFetchResponseTopics> => 8..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 8..;
    }

    /// One committed offset, up to version 7.
    struct OffsetFetchResponsePartition {
        /// Index of the partition.
        partition_index: i32 => 1..=7;
        /// The committed offset; -1 when there is none.
        committed_offset: i64 => 1..=7;
        /// Leader epoch of the last record consumed; -1: unknown.
        committed_leader_epoch: i32 => 5..=7, default -1;
        /// The consumer's own remark.
        metadata: Option<Str> => 1..=7, default Some(Str::EMPTY);
        /// What went wrong, if anything.
        error_code: ErrorCode => 1..=7;
    }

    /// One committed offset, from version 8.
    struct OffsetFetchResponsePartitions {
        /// Index of the partition.
        partition_index: i32 => 8..;
        /// The committed offset; -1 when there is none.
        committed_offset: i64 => 8..;
        /// Leader epoch of the last record consumed; -1: unknown.
        committed_leader_epoch: i32 => 8.., default -1;
        /// The consumer's own remark.
        metadata: Option<Str> => 8.., default Some(Str::EMPTY);
        /// What went wrong, if anything.
        error_code: ErrorCode => 8..;
    }

    /// The offsets of one topic, up to version 7.
    struct OffsetFetchResponseTopic {
        /// The name.
        name: Str => 1..=7;
        /// The partitions.
        partitions: Vec<OffsetFetchResponsePartition> => 1..=7;
    }

    /// The offsets of one topic, from version 8.
    struct OffsetFetchResponseTopics {
        /// The name.
        name: Str => 8..=9;
        /// Id of the topic.
        topic_id: Uuid => 10..;
        /// The partitions.
        partitions: Vec<OffsetFetchResponsePartitions> => 8..;
    }
}
