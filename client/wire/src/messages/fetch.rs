//! Fetch: reads record batches.

use crate::schema::{api, structs};
use crate::{ErrorCode, Records, Str, Uuid};

api! {
    FETCH: FetchRequest => FetchResponse,
    versions 4..=12, flexible Some(12)
}

structs! {
    /// Reads record batches.
    struct FetchRequest {
        /// Id of the cluster.
        cluster_id: Option<Str> => 12.., tag 0;
        /// Broker id of a follower; -1: a consumer.
        replica_id: i32 => 4..=14, default -1;
        /// Who fetches, if it is a follower.
        replica_state: ReplicaState => 15.., tag 1;
        /// How long to wait for `min_bytes`.
        max_wait_ms: i32 => 4..;
        /// Answer as soon as this many bytes are there.
        min_bytes: i32 => 4..;
        /// Bytes to return at most, in all; one batch is returned even if larger.
        max_bytes: i32 => 4.., default i32::MAX;
        /// 0: everything decided; 1: not what belongs to open or aborted transactions.
        isolation_level: i8 => 4..;
        /// The fetch session; 0: none.
        session_id: i32 => 7..;
        /// Number of the request within the session; -1: no session, 0: a new one.
        session_epoch: i32 => 7.., default -1;
        /// The topics.
        topics: Vec<FetchTopic> => 4..;
        /// Partitions to drop from the fetch session.
        forgotten_topics_data: Vec<ForgottenTopic> => 7..;
        /// Rack or zone of the consumer.
        rack_id: Str => 11..;
    }

    /// One partition to read.
    struct FetchPartition {
        /// Index of the partition.
        partition: i32 => 4..;
        /// The client's idea of the leader epoch; -1: none, do not compare.
        current_leader_epoch: i32 => 9.., default -1;
        /// First offset wanted.
        fetch_offset: i64 => 4..;
        /// Leader epoch of the last record the client has; -1: unknown.
        last_fetched_epoch: i32 => 12.., default -1;
        /// First offset that is still there.
        log_start_offset: i64 => 5.., default -1;
        /// Bytes to return at most from this partition; one batch is returned even if larger.
        partition_max_bytes: i32 => 4..;
        /// Directory of the follower's replica.
        replica_directory_id: Uuid => 17.., tag 0;
        /// Exclusive end of what consumers may read.
        high_watermark: i64 => 18.., default i64::MAX, tag 1;
    }

    /// One topic to read.
    struct FetchTopic {
        /// Name of the topic.
        topic: Str => 4..=12;
        /// Id of the topic.
        topic_id: Uuid => 13..;
        /// The partitions.
        partitions: Vec<FetchPartition> => 4..;
    }

    /// One topic to drop from the session.
    struct ForgottenTopic {
        /// Name of the topic.
        topic: Str => 7..=12;
        /// Id of the topic.
        topic_id: Uuid => 13..;
        /// The partitions.
        partitions: Vec<i32> => 7..;
    }

    /// A follower that fetches.
    struct ReplicaState {
        /// Broker id of a follower; -1: a consumer.
        replica_id: i32 => 15.., default -1;
        /// Incarnation of the follower; -1: none.
        replica_epoch: i64 => 15.., default -1;
    }

    /// The answer to [`FetchRequest`].
    struct FetchResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 4..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 7..;
        /// The fetch session; 0: none.
        session_id: i32 => 7..;
        /// The outcome for each item asked for.
        responses: Vec<FetchableTopicResponse> => 4..;
        /// Addresses of the leaders named in the partitions.
        node_endpoints: Vec<NodeEndpoint> => 16.., tag 0;
    }

    /// One aborted transaction.
    struct AbortedTransaction {
        /// The producer id; -1: none.
        producer_id: i64 => 4..;
        /// First offset of the transaction.
        first_offset: i64 => 4..;
    }

    /// A leader epoch and its exclusive end.
    struct EpochEndOffset {
        /// The leader epoch.
        epoch: i32 => 12.., default -1;
        /// Exclusive end of the leader epoch.
        end_offset: i64 => 12.., default -1;
    }

    /// What was read from one topic.
    struct FetchableTopicResponse {
        /// Name of the topic.
        topic: Str => 4..=12;
        /// Id of the topic.
        topic_id: Uuid => 13..;
        /// The partitions.
        partitions: Vec<PartitionData> => 4..;
    }

    /// A leader and its epoch.
    struct LeaderIdAndEpoch {
        /// The leader's broker id; -1: none.
        leader_id: i32 => 12.., default -1;
        /// The leader epoch; -1: unknown.
        leader_epoch: i32 => 12.., default -1;
    }

    /// The address of a broker.
    struct NodeEndpoint {
        /// The broker's id.
        node_id: i32 => 16..;
        /// Name or address to connect to.
        host: Str => 16..;
        /// Port to connect to.
        port: i32 => 16..;
        /// Rack or zone of the broker.
        rack: Option<Str> => 16..;
    }

    /// What was read from one partition.
    struct PartitionData {
        /// Index of the partition.
        partition_index: i32 => 4..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 4..;
        /// Exclusive end of what consumers may read.
        high_watermark: i64 => 4..;
        /// Exclusive end of what transactions no longer hold back.
        last_stable_offset: i64 => 4.., default -1;
        /// First offset that is still there.
        log_start_offset: i64 => 5.., default -1;
        /// Where the client's log and this one part.
        diverging_epoch: EpochEndOffset => 12.., tag 0;
        /// The leader now, when the client has an outdated one.
        current_leader: LeaderIdAndEpoch => 12.., tag 1;
        /// The snapshot to fetch instead.
        snapshot_id: SnapshotId => 12.., tag 2;
        /// Aborted transactions in the range returned, for read_committed consumers.
        aborted_transactions: Option<Vec<AbortedTransaction>> => 4..;
        /// The broker to fetch from instead; -1: this one.
        preferred_read_replica: i32 => 11.., default -1;
        /// Whole record batches; never null on the wire.
        records: Records => 4..;
    }

    /// A snapshot of the metadata log.
    struct SnapshotId {
        /// Exclusive end of the leader epoch.
        end_offset: i64 => 4.., default -1;
        /// The leader epoch.
        epoch: i32 => 4.., default -1;
    }
}
