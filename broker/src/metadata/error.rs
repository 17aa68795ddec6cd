//! Why the controller refused an administrative request, in the broker's own words.
//!
//! Kafka's error codes are chosen from [`AdminErrorKind`] in one place at the wire edge.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A refusal with its kind, which decides the wire's error code, and a sentence for the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct AdminError {
    /// What sort of refusal it is.
    pub kind: AdminErrorKind,
    /// One sentence that says what is wrong and, where possible, what to do.
    pub message: String,
}

impl AdminError {
    /// Joins a kind and its sentence.
    #[must_use]
    pub fn new(kind: AdminErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string() }
    }
}

impl From<std::io::Error> for AdminError {
    /// The operating system's random source failed: nothing was done.
    fn from(error: std::io::Error) -> Self {
        Self::new(AdminErrorKind::Busy, error)
    }
}

/// The sorts of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminErrorKind {
    /// The topic's name breaks a rule, or collides with another name.
    InvalidTopicName,
    /// A topic of that name exists.
    TopicExists,
    /// No topic has that name.
    UnknownTopic,
    /// No topic has that id.
    UnknownTopicId,
    /// The number of partitions cannot be.
    InvalidPartitionCount,
    /// The number of replicas cannot be.
    InvalidReplicationFactor,
    /// The given replica lists cannot be.
    InvalidReplicaAssignment,
    /// A setting is unknown, or its value is not allowed.
    InvalidConfig,
    /// The request contradicts itself or asks for something that does not exist.
    InvalidRequest,
    /// The request is beyond a limit.
    LimitExceeded,
    /// Deleting topics is switched off.
    TopicDeletionDisabled,
    /// No such broker.
    UnknownBroker,
    /// The preferred leader cannot lead now.
    PreferredLeaderNotAvailable,
    /// No replica can lead now.
    EligibleLeadersNotAvailable,
    /// The partition has the leader that was asked for.
    ElectionNotNeeded,
    /// The request came from an incarnation of a broker that has been replaced.
    StaleIncarnation,
    /// This broker does not lead the metadata group; nothing was done.
    NotController,
    /// The request was proposed, and whether it was decided is not known.
    OutcomeUnknown,
    /// Too many requests wait; nothing was done.
    Busy,
}
