//! Where a replica stands, as operators are told.

use serde::Serialize;
use synod_paxos::{Ballot, Role};

use super::Partition;

/// One replica at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ReplicaStatus {
    role: RoleStatus,
    promised: BallotStatus,
    accepted: BallotStatus,
    log_start: u64,
    decided_end: u64,
    durable_end: u64,
    log_end: u64,
    /// Up to here it may have accepted what it cannot read.
    #[serde(skip_serializing_if = "Option::is_none")]
    faulty_end: Option<u64>,
}

/// What a replica does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum RoleStatus {
    Follower,
    Candidate,
    /// It leads, and what it adopted is not decided yet, or it hears of no majority.
    Unready,
    Leader,
    /// It had to stop, because of its disk, until it is opened anew.
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct BallotStatus {
    round: u32,
    node: u32,
}

impl From<Ballot> for BallotStatus {
    fn from(ballot: Ballot) -> BallotStatus {
        BallotStatus { round: ballot.round, node: ballot.node.0 }
    }
}

impl Partition {
    /// Where this replica stands.
    pub(crate) fn status(&self) -> ReplicaStatus {
        let role = match self.role() {
            _ if self.has_ended() => RoleStatus::Stopped,
            Role::Follower => RoleStatus::Follower,
            Role::Candidate => RoleStatus::Candidate,
            Role::Leader { quorum: true, .. } if self.is_ready() => RoleStatus::Leader,
            Role::Leader { .. } => RoleStatus::Unready,
        };
        ReplicaStatus {
            role,
            promised: self.replica.promised().into(),
            accepted: self.replica.accepted_ballot().into(),
            log_start: self.replica.log_start(),
            decided_end: self.replica.decided_end(),
            durable_end: self.replica.durable_end(),
            log_end: self.replica.log_end(),
            faulty_end: self.replica.faulty_end(),
        }
    }
}
