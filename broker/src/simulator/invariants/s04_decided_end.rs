//! S4: a leader's decided end is at most what a majority holds durably under its ballot.

use synod_log::key::PartitionKey;
use synod_paxos::{Ballot, NodeId, ReplicaSet};

use crate::simulator::violation::{Checked, demand};

pub(crate) const NAME: &str = "S4 decided is durable on a majority";

/// What one replica's disk holds for sure.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    pub(crate) accepted: Ballot,
    pub(crate) durable_end: u64,
}

/// A leader under `ballot` moved its decided end to `end`.
pub(crate) fn check(
    key: PartitionKey,
    ballot: Ballot,
    set: &ReplicaSet,
    end: u64,
    held: impl Fn(NodeId) -> Held,
) -> Checked {
    // Whoever accepted a later ballot holds what was chosen under this one, by another check.
    let holds = |node| {
        let held = held(node);
        held.accepted > ballot || held.accepted == ballot && held.durable_end >= end
    };
    demand(NAME, set.is_quorum(holds), || {
        let all: Vec<(NodeId, Held)> = set.members().map(|node| (node, held(node))).collect();
        format!("{ballot} of {key} takes {end} for decided; held are {all:?}")
    })
}
