//! S18: quorums of live configurations intersect: no majority under one ballot's replica set can be
//! without a member of any majority under the next one's.

use std::collections::BTreeMap;

use synod_log::key::PartitionKey;
use synod_paxos::{Ballot, NodeId, ReplicaSet};

use crate::simulator::violation::{Checked, demand};

pub(crate) const NAME: &str = "S18 quorums intersect";

/// The replica sets of each partition's ballots.
#[derive(Debug, Default)]
pub(crate) struct Quorums {
    sets: BTreeMap<PartitionKey, BTreeMap<Ballot, ReplicaSet>>,
}

impl Quorums {
    /// A replica leads or stands in a ballot with this set.
    pub(crate) fn observe(
        &mut self,
        key: PartitionKey,
        ballot: Ballot,
        set: &ReplicaSet,
    ) -> Checked {
        let sets = self.sets.entry(key).or_default();
        if let Some(known) = sets.get(&ballot) {
            return demand(NAME, known == set, || {
                format!("{ballot} of {key} has two replica sets: {known:?}, {set:?}")
            });
        }
        let before = sets.range(..ballot).next_back();
        let after = sets.range(ballot..).next();
        for (other, theirs) in before.into_iter().chain(after) {
            demand(NAME, intersect(theirs, set), || {
                format!("{other} and {ballot} of {key} need not meet: {theirs:?}, {set:?}")
            })?;
        }
        sets.insert(ballot, set.clone());
        Ok(())
    }
}

/// Whether every quorum of one set shares a member with every quorum of the other.
fn intersect(one: &ReplicaSet, other: &ReplicaSet) -> bool {
    if one == other {
        return true;
    }
    let mut members: Vec<NodeId> = one.members().chain(other.members()).collect();
    members.sort_unstable();
    members.dedup();
    (0u32..1 << members.len()).all(|chosen| {
        let is_chosen =
            |node| members.binary_search(&node).is_ok_and(|place| chosen & 1 << place != 0);
        !one.is_quorum(is_chosen) || !other.is_quorum(|node| !is_chosen(node))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(nodes: &[u32]) -> ReplicaSet {
        ReplicaSet::new(&nodes.iter().map(|node| NodeId(*node)).collect::<Vec<_>>())
    }

    #[test]
    fn a_change_of_one_replica_is_safe_and_of_all_is_not() {
        assert!(intersect(&set(&[1, 2, 3]), &set(&[3, 2, 1])));
        assert!(intersect(&set(&[1, 2, 3]), &set(&[1, 2])));
        assert!(!intersect(&set(&[1, 2, 3]), &set(&[1, 4, 5])));
        assert!(!intersect(&set(&[1]), &set(&[2])));
        assert!(!intersect(&set(&[1, 2, 3, 4]), &set(&[3, 4, 5, 6])));
    }

    #[test]
    fn a_joint_set_meets_both_sides() {
        let joint = ReplicaSet::joint(
            &[NodeId(1), NodeId(2), NodeId(3)],
            &[NodeId(4), NodeId(5), NodeId(6)],
        );
        assert!(intersect(&set(&[1, 2, 3]), &joint) && intersect(&joint, &set(&[4, 5, 6])));
        let mut quorums = Quorums::default();
        let key = PartitionKey { topic: [1; 16], partition: 0 };
        let ballot = |round| Ballot::new(round, NodeId(1));
        assert!(quorums.observe(key, ballot(1), &set(&[1, 2, 3])).is_ok());
        assert!(quorums.observe(key, ballot(3), &set(&[4, 5, 6])).is_err());
        assert!(quorums.observe(key, ballot(2), &joint).is_ok());
        assert!(quorums.observe(key, ballot(3), &set(&[4, 5, 6])).is_ok());
        assert!(quorums.observe(key, ballot(3), &joint).is_err(), "one ballot, one set");
    }
}
