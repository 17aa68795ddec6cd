//! Which of Kafka's error codes stands for which refusal.

use synod_log::LogError;
use synod_wire::ErrorCode;

use super::fetch::SessionError;
use crate::groups::GroupError;
use crate::metadata::{AdminError, AdminErrorKind};
use crate::partition::AppendError;
use crate::shard::TrimError;

/// The code of an administrative refusal.
pub(crate) fn of_admin_error(error: &AdminError) -> ErrorCode {
    match error.kind {
        AdminErrorKind::InvalidTopicName => ErrorCode::INVALID_TOPIC_EXCEPTION,
        AdminErrorKind::TopicExists => ErrorCode::TOPIC_ALREADY_EXISTS,
        AdminErrorKind::UnknownTopic => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        AdminErrorKind::UnknownTopicId => ErrorCode::UNKNOWN_TOPIC_ID,
        AdminErrorKind::InvalidPartitionCount => ErrorCode::INVALID_PARTITIONS,
        AdminErrorKind::InvalidReplicationFactor => ErrorCode::INVALID_REPLICATION_FACTOR,
        AdminErrorKind::InvalidReplicaAssignment => ErrorCode::INVALID_REPLICA_ASSIGNMENT,
        AdminErrorKind::InvalidConfig => ErrorCode::INVALID_CONFIG,
        AdminErrorKind::InvalidRequest => ErrorCode::INVALID_REQUEST,
        AdminErrorKind::LimitExceeded => ErrorCode::POLICY_VIOLATION,
        AdminErrorKind::TopicDeletionDisabled => ErrorCode::TOPIC_DELETION_DISABLED,
        AdminErrorKind::UnknownBroker => ErrorCode::BROKER_ID_NOT_REGISTERED,
        AdminErrorKind::PreferredLeaderNotAvailable => ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE,
        AdminErrorKind::EligibleLeadersNotAvailable => ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE,
        AdminErrorKind::ElectionNotNeeded => ErrorCode::ELECTION_NOT_NEEDED,
        AdminErrorKind::StaleIncarnation => ErrorCode::STALE_BROKER_EPOCH,
        AdminErrorKind::NotController => ErrorCode::NOT_CONTROLLER,
        AdminErrorKind::OutcomeUnknown => ErrorCode::REQUEST_TIMED_OUT,
        AdminErrorKind::Busy => ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
    }
}

/// The code of a group coordinator's refusal.
pub(crate) fn of_group_error(error: GroupError) -> ErrorCode {
    match error {
        GroupError::NotCoordinator => ErrorCode::NOT_COORDINATOR,
        GroupError::Loading | GroupError::Busy => ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        GroupError::NotAvailable => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        GroupError::InvalidGroup => ErrorCode::INVALID_GROUP_ID,
        GroupError::InvalidSessionTimeout => ErrorCode::INVALID_SESSION_TIMEOUT,
        GroupError::UnknownMember => ErrorCode::UNKNOWN_MEMBER_ID,
        GroupError::FencedInstance => ErrorCode::FENCED_INSTANCE_ID,
        GroupError::IllegalGeneration => ErrorCode::ILLEGAL_GENERATION,
        GroupError::InconsistentProtocol => ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
        GroupError::RebalanceInProgress => ErrorCode::REBALANCE_IN_PROGRESS,
        GroupError::MemberIdRequired => ErrorCode::MEMBER_ID_REQUIRED,
        GroupError::GroupFull => ErrorCode::GROUP_MAX_SIZE_REACHED,
        GroupError::GroupNotFound => ErrorCode::GROUP_ID_NOT_FOUND,
        GroupError::NotEmpty => ErrorCode::NON_EMPTY_GROUP,
        GroupError::Subscribed => ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC,
        GroupError::RemarkTooLarge => ErrorCode::OFFSET_METADATA_TOO_LARGE,
        // As Kafka answers what does not fit into its log.
        GroupError::TooLarge => ErrorCode::UNKNOWN_SERVER_ERROR,
        GroupError::CommitTooLarge => ErrorCode::INVALID_COMMIT_OFFSET_SIZE,
    }
}

/// The code for a batch that was not appended, or not certainly.
///
/// Only codes after which a producer sends the very same batch again stand for an unknown outcome.
pub(crate) fn of_append_error(error: AppendError) -> ErrorCode {
    match error {
        AppendError::NotHosted | AppendError::NotLeader | AppendError::NotReady => {
            ErrorCode::NOT_LEADER_OR_FOLLOWER
        }
        AppendError::Unknown => ErrorCode::REQUEST_TIMED_OUT,
        AppendError::NotEnoughReplicas => ErrorCode::NOT_ENOUGH_REPLICAS,
        AppendError::NotEnoughReplicasAfterAppend => ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        AppendError::Busy => ErrorCode::REQUEST_TIMED_OUT,
        AppendError::OutOfOrderSequence => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        AppendError::InvalidProducerEpoch => ErrorCode::INVALID_PRODUCER_EPOCH,
        AppendError::DiskFull | AppendError::Faulty => ErrorCode::KAFKA_STORAGE_ERROR,
    }
}

/// The code for a log that cannot be read.
pub(crate) fn of_log_error(error: &LogError) -> ErrorCode {
    match error {
        LogError::OutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
        // Not a retriable code: where no other broker can help, a consumer that is told decides
        // itself whether to step over the damage.
        LogError::Corrupt { .. } => ErrorCode::CORRUPT_MESSAGE,
        _ => ErrorCode::KAFKA_STORAGE_ERROR,
    }
}

/// The code for a partition that was not trimmed.
pub(crate) fn of_trim_error(error: TrimError) -> ErrorCode {
    match error {
        TrimError::NotHosted | TrimError::NotLeader => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        TrimError::OutOfRange => ErrorCode::OFFSET_OUT_OF_RANGE,
        TrimError::NotSynced => ErrorCode::REQUEST_TIMED_OUT,
        TrimError::DiskFull => ErrorCode::KAFKA_STORAGE_ERROR,
    }
}

/// The code for a request that does not fit its fetch session.
pub(crate) fn of_session_error(error: SessionError) -> ErrorCode {
    match error {
        SessionError::NotFound => ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
        SessionError::InvalidEpoch => ErrorCode::INVALID_FETCH_SESSION_EPOCH,
    }
}
