//! What can be asked of a group coordinator, and what it answers: free of the wire's messages.
//!
//! Whatever may outlive its request must not share the request's memory; whoever makes these
//! values from a frame detaches them.

use bytes::Bytes;
use synod_wire::Str;
use tokio::sync::oneshot;

use super::error::GroupError;
use super::record::{CommittedOffset, TopicPartition};

/// Where an answer goes; whoever asked may be gone.
pub type Reply<T> = oneshot::Sender<T>;

/// A request with the place for its answer.
#[derive(Debug)]
pub enum GroupRequest {
    /// Joins a group, or joins it again.
    Join(Box<Join>, Reply<JoinAnswer>),
    /// Asks for an assignment; the leader brings all of them.
    Sync(Box<Sync>, Reply<Result<Synced, GroupError>>),
    /// A member's sign of life.
    Heartbeat(Claim, Reply<Result<(), GroupError>>),
    /// Removes members.
    Leave(Leave, Reply<Result<Vec<Result<(), GroupError>>, GroupError>>),
    /// Commits offsets. One outcome for each, in their order.
    Commit(Commit, Reply<Result<Vec<Result<(), GroupError>>, GroupError>>),
    /// Asks for committed offsets.
    Fetch(Fetch, Reply<Result<Vec<Fetched>, GroupError>>),
    /// Describes groups; one answer for each, in their order.
    Describe(Vec<Str>, Reply<Result<Vec<Option<Described>>, GroupError>>),
    /// Lists groups.
    List(Reply<Result<Vec<Listed>, GroupError>>),
    /// Deletes groups; one outcome for each, in their order.
    Delete(Vec<Str>, Reply<Result<Vec<Result<(), GroupError>>, GroupError>>),
    /// Forgets committed offsets; one outcome for each, in their order.
    Forget(Forget, Reply<Result<Vec<Result<(), GroupError>>, GroupError>>),
}

impl GroupRequest {
    /// Answers with an error.
    pub fn refuse(self, error: GroupError) {
        // Whoever is gone does not wait for the answer.
        let _ = match self {
            Self::Join(join, reply) => reply.send(JoinAnswer::refused(error, join.member)).is_ok(),
            Self::Sync(_, reply) => reply.send(Err(error)).is_ok(),
            Self::Heartbeat(_, reply) => reply.send(Err(error)).is_ok(),
            Self::Leave(_, reply) => reply.send(Err(error)).is_ok(),
            Self::Commit(_, reply) => reply.send(Err(error)).is_ok(),
            Self::Fetch(_, reply) => reply.send(Err(error)).is_ok(),
            Self::Describe(_, reply) => reply.send(Err(error)).is_ok(),
            Self::List(reply) => reply.send(Err(error)).is_ok(),
            Self::Delete(_, reply) => reply.send(Err(error)).is_ok(),
            Self::Forget(_, reply) => reply.send(Err(error)).is_ok(),
        };
    }
}

/// One protocol that a member knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protocol {
    /// The name.
    pub name: Str,
    /// The member's metadata for it, opaque to the coordinator.
    pub metadata: Bytes,
}

/// A request to join.
#[derive(Clone, Debug, Default)]
pub struct Join {
    /// The group.
    pub group: Str,
    /// The member's id; empty when it has none yet.
    pub member: Str,
    /// Its static id, if it has one.
    pub instance: Option<Str>,
    /// The id that it gets if it needs one, drawn at random by whoever made the request.
    pub new_member: Str,
    /// Whether it can be told to come back with its new id.
    pub can_come_back: bool,
    /// Whether a leader can be told that no assignment is wanted.
    pub can_skip_assignment: bool,
    /// Its client id.
    pub client_id: Str,
    /// The host it connects from.
    pub client_host: Str,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// How long others wait for it to join again.
    pub rebalance_timeout_ms: i32,
    /// Type of the protocols.
    pub protocol_type: Str,
    /// The protocols, the one it likes best first.
    pub protocols: Vec<Protocol>,
}

/// The answer to [`Join`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinAnswer {
    /// What went wrong, if anything.
    pub error: Option<GroupError>,
    /// The member's id.
    pub member: Str,
    /// The generation that it is part of.
    pub joined: Option<Joined>,
}

/// A generation as told to one member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Its number.
    pub generation: i32,
    /// Type of the protocols.
    pub protocol_type: Option<Str>,
    /// The protocol in use.
    pub protocol: Option<Str>,
    /// The leader's member id.
    pub leader: Str,
    /// Whether the leader must not compute assignments.
    pub skip_assignment: bool,
    /// All members; told to the leader only.
    pub members: Vec<JoinedMember>,
}

/// One member as told to the leader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub id: Str,
    /// Its static id, if it has one.
    pub instance: Option<Str>,
    /// Its metadata for the protocol in use.
    pub metadata: Bytes,
}

impl JoinAnswer {
    /// An answer that is an error.
    #[must_use]
    pub fn refused(error: GroupError, member: Str) -> Self {
        Self { error: Some(error), member, joined: None }
    }
}

/// Who a member says it is.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    /// The group.
    pub group: Str,
    /// The member's id.
    pub member: Str,
    /// Its static id, if it has one.
    pub instance: Option<Str>,
    /// The generation that it believes in; negative: none.
    pub generation: i32,
}

/// A request for an assignment.
#[derive(Clone, Debug, Default)]
pub struct Sync {
    /// Who asks.
    pub claim: Claim,
    /// The type of the protocols that it believes in.
    pub protocol_type: Option<Str>,
    /// The protocol that it believes in.
    pub protocol: Option<Str>,
    /// Assignments by member id, from the leader.
    pub assignments: Vec<(Str, Bytes)>,
}

/// The answer to [`Sync`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// Type of the protocols.
    pub protocol_type: Option<Str>,
    /// The protocol in use.
    pub protocol: Option<Str>,
    /// The member's assignment.
    pub assignment: Bytes,
}

/// A request to remove members.
#[derive(Clone, Debug, Default)]
pub struct Leave {
    /// The group.
    pub group: Str,
    /// Member ids, empty for "whoever has the static id", and static ids.
    pub members: Vec<(Str, Option<Str>)>,
}

/// A request to commit offsets.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Who commits.
    pub claim: Claim,
    /// How long the offsets hold, in ms; `None`: as configured.
    pub retention_ms: Option<i64>,
    /// The offsets. Their times are the coordinator's to fill in.
    pub offsets: Vec<(TopicPartition, CommittedOffset)>,
}

/// A request for committed offsets.
#[derive(Clone, Debug, Default)]
pub struct Fetch {
    /// The group.
    pub group: Str,
    /// Of what; `None`: all there are.
    pub partitions: Option<Vec<TopicPartition>>,
}

/// One answer to [`Fetch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Of what.
    pub partition: TopicPartition,
    /// The committed offset, if there is one.
    pub offset: Option<std::sync::Arc<CommittedOffset>>,
}

/// A request to forget committed offsets.
#[derive(Clone, Debug, Default)]
pub struct Forget {
    /// The group.
    pub group: Str,
    /// Of what.
    pub partitions: Vec<TopicPartition>,
}

/// What is listed of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The group.
    pub group: Str,
    /// Type of its protocols; empty: none.
    pub protocol_type: Str,
    /// Its state, as a word.
    pub state: &'static str,
}

/// What is told of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// Its state, as a word.
    pub state: &'static str,
    /// Type of its protocols; empty: none.
    pub protocol_type: Str,
    /// The protocol in use, while it is stable.
    pub protocol: Str,
    /// Its members.
    pub members: Vec<DescribedMember>,
}

/// What is told of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribedMember {
    /// Its id.
    pub id: Str,
    /// Its static id, if it has one.
    pub instance: Option<Str>,
    /// Its client id.
    pub client_id: Str,
    /// The host it connects from.
    pub client_host: Str,
    /// Its metadata for the protocol in use, while the group is stable.
    pub metadata: Bytes,
    /// Its assignment.
    pub assignment: Bytes,
}
