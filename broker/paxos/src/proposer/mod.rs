//! The proposer: phase 1 makes a candidate, phase 2 a leader.

mod confirm;
mod feed;
mod phase1;
mod phase2;
mod progress;
mod tail;

pub(crate) use phase1::{Outcome, Phase1};
pub(crate) use phase2::Phase2;
pub use progress::FollowerStatus;

use crate::{Ballot, Role};

/// What a replica does as a proposer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Proposer {
    /// Nothing: it follows.
    Idle,
    /// It gathers promises and adopts the best log.
    Phase1(Phase1),
    /// It leads.
    Phase2(Phase2),
}

impl Proposer {
    pub(crate) fn role(&self) -> Role {
        match self {
            Proposer::Idle => Role::Follower,
            Proposer::Phase1(_) => Role::Candidate,
            Proposer::Phase2(phase) => {
                Role::Leader { ready: phase.is_ready(), quorum: phase.has_quorum() }
            }
        }
    }

    /// The ballot it proposes under, if any.
    pub(crate) fn ballot(&self) -> Option<Ballot> {
        match self {
            Proposer::Idle => None,
            Proposer::Phase1(phase) => Some(phase.ballot()),
            Proposer::Phase2(phase) => Some(phase.ballot()),
        }
    }
}
