//! Typed refusals of the core's entry points. None of them changes the replica.

use std::error::Error;
use std::fmt;

use crate::{Ballot, NodeId};

/// Why a proposal was not taken. Nothing was appended: each of these is a definite refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposeError {
    /// This replica does not lead.
    NotLeader {
        /// Who most likely leads, if anything is known of that.
        hint: Option<NodeId>,
    },
    /// This replica leads, but the log it adopted is not decided under its ballot yet. Retry.
    NotReady,
    /// The leader has not heard from a quorum for the check-quorum time. Retry.
    QuorumLost,
    /// As much is undecided as the limits allow. Retry when some of it is decided.
    WindowFull,
}

impl fmt::Display for ProposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProposeError::NotLeader { hint: Some(node) } => {
                write!(f, "not the leader; try {node}")
            }
            ProposeError::NotLeader { hint: None } => f.write_str("not the leader"),
            ProposeError::NotReady => f.write_str("the adopted log is not decided yet"),
            ProposeError::QuorumLost => f.write_str("no contact with a quorum"),
            ProposeError::WindowFull => f.write_str("too much is undecided"),
        }
    }
}

impl Error for ProposeError {}

/// Why an appointment was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppointError {
    /// The round is not above what this replica promised: perhaps it led that very ballot before a
    /// restart, and a ballot is never resumed. The controller has to appoint a higher round.
    Stale {
        /// What this replica has promised.
        promised: Ballot,
    },
    /// The ballot names another node, or the replica set has no such voter.
    NotMine,
}

impl fmt::Display for AppointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppointError::Stale { promised } => {
                write!(f, "appointed round is not above the promised ballot {promised}")
            }
            AppointError::NotMine => f.write_str("the appointment is not for a voter of this node"),
        }
    }
}

impl Error for AppointError {}

/// Why an input was dropped as malformed. A peer that sends such a thing is broken or lying; the
/// replica did not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputError {
    /// The message's ballot belongs to another node than its sender.
    WrongSender,
    /// Batches are empty, overlap, leave gaps, or their rounds fall or exceed the ballot.
    MalformedBatches,
    /// The ends that a promise tells of contradict each other.
    MalformedPromise,
    /// Obeying would overwrite what is decided here: two different values would be chosen. Never
    /// happens while every replica keeps what it swore; the replica refuses and keeps its log.
    ContradictsDecided,
    /// An answer to a question that was never asked, or no longer matters.
    Unexpected,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InputError::WrongSender => "sender does not own the ballot",
            InputError::MalformedBatches => "batches are not contiguous",
            InputError::MalformedPromise => "the promise contradicts itself",
            InputError::ContradictsDecided => "contradicts what is decided here",
            InputError::Unexpected => "unexpected answer",
        })
    }
}

impl Error for InputError {}
