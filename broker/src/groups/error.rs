//! Why a group coordinator refuses.

/// A refusal; which of Kafka's codes it is, the API layer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum GroupError {
    /// Another broker coordinates the group.
    #[error("this broker does not coordinate the group")]
    NotCoordinator,
    /// The coordinator's state is being read from its log.
    #[error("the coordinator is loading")]
    Loading,
    /// The coordinator's log takes no records.
    #[error("the coordinator cannot write at the moment")]
    NotAvailable,
    /// Too many requests wait, or a bound on what is kept is reached.
    #[error("the coordinator is busy")]
    Busy,
    /// The group's name is not one.
    #[error("invalid group id")]
    InvalidGroup,
    /// The session time-out is outside the configured range.
    #[error("invalid session time-out")]
    InvalidSessionTimeout,
    /// The group has no such member.
    #[error("unknown member")]
    UnknownMember,
    /// Another member has the static id by now.
    #[error("fenced by a newer member with the same static id")]
    FencedInstance,
    /// The group is in another generation.
    #[error("another generation")]
    IllegalGeneration,
    /// The member and the group have no protocol in common.
    #[error("no protocol in common")]
    InconsistentProtocol,
    /// The group is rebalancing.
    #[error("a rebalance is in progress")]
    RebalanceInProgress,
    /// The member has to join again with the id that it was given.
    #[error("join again with the member id")]
    MemberIdRequired,
    /// The group has as many members as it may have.
    #[error("the group is full")]
    GroupFull,
    /// There is no such group.
    #[error("no such group")]
    GroupNotFound,
    /// The group has members.
    #[error("the group is not empty")]
    NotEmpty,
    /// The group's members subscribe to the topic.
    #[error("the group is subscribed to the topic")]
    Subscribed,
    /// The remark beside a committed offset is too long.
    #[error("offset metadata too large")]
    RemarkTooLarge,
    /// The group's description, or a member's, does not fit into a record.
    #[error("too large for a record")]
    TooLarge,
    /// The offsets of one request do not fit into a batch.
    #[error("too many offsets in one request")]
    CommitTooLarge,
}
