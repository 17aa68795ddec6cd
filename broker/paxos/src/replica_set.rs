//! Who votes, and what makes a quorum.

use crate::NodeId;
use crate::config::MAX_VOTERS;

/// The replicas of one partition, as carried by a ballot.
///
/// While replicas are being changed the set is *joint*: it names the new voters and the old ones,
/// and every quorum needs a majority of both. Observers receive everything and vote on nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaSet {
    voters: Vec<NodeId>,
    old_voters: Vec<NodeId>,
    observers: Vec<NodeId>,
}

impl ReplicaSet {
    /// A plain set; the first voter is the preferred leader.
    ///
    /// # Panics
    /// If there are no voters, more than [`MAX_VOTERS`], or a node is named twice.
    pub fn new(voters: &[NodeId]) -> ReplicaSet {
        ReplicaSet::joint(voters, &[])
    }

    /// A set under change: majorities of `voters` *and* of `old_voters` are needed. Without old
    /// voters it is a plain set.
    ///
    /// # Panics
    /// As [`ReplicaSet::new`].
    pub fn joint(voters: &[NodeId], old_voters: &[NodeId]) -> ReplicaSet {
        assert!(!voters.is_empty(), "a replica set needs a voter");
        for side in [voters, old_voters] {
            assert!(side.len() <= MAX_VOTERS, "too many voters");
            let twice = side.iter().enumerate().any(|(i, node)| side[..i].contains(node));
            assert!(!twice, "a voter is named twice");
        }
        ReplicaSet {
            voters: voters.to_vec(),
            old_voters: old_voters.to_vec(),
            observers: Vec::new(),
        }
    }

    /// Adds observers; nodes that vote are left out.
    pub fn with_observers(mut self, observers: &[NodeId]) -> ReplicaSet {
        self.observers = Vec::new();
        for node in observers {
            if !self.is_voter(*node) && !self.observers.contains(node) {
                self.observers.push(*node);
            }
        }
        self
    }

    /// The (new) voters in order of preference.
    pub fn voters(&self) -> &[NodeId] {
        &self.voters
    }

    /// The voters being replaced; empty in a plain set.
    pub fn old_voters(&self) -> &[NodeId] {
        &self.old_voters
    }

    /// Replicas that receive but do not vote.
    pub fn observers(&self) -> &[NodeId] {
        &self.observers
    }

    /// Whether `node` votes, on either side.
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.old_voters.contains(&node)
    }

    /// Every member once: new voters, then old ones, then observers.
    pub fn members(&self) -> impl Iterator<Item = NodeId> + '_ {
        let old = self.old_voters.iter().filter(|node| !self.voters.contains(node));
        self.voters.iter().chain(old).chain(&self.observers).copied()
    }

    /// Whether the nodes for which `has` holds contain a quorum.
    pub fn is_quorum(&self, has: impl Fn(NodeId) -> bool) -> bool {
        self.sides().all(|side| side.iter().filter(|node| has(**node)).count() >= majority(side))
    }

    /// Whether the nodes for which `has` holds leave no majority among the others, on either side:
    /// so neither a quorum of this set nor one of the old or the new voters alone.
    pub fn is_blocking(&self, has: impl Fn(NodeId) -> bool) -> bool {
        let others = |side: &[NodeId]| side.iter().filter(|node| !has(**node)).count();
        self.sides().all(|side| others(side) < majority(side))
    }

    /// The greatest end that a quorum has reached, given each voter's end; `None` while no quorum
    /// has one at all.
    pub fn quorum_end(&self, end_of: impl Fn(NodeId) -> Option<u64>) -> Option<u64> {
        self.sides().map(|side| majority_end(side, &end_of)).min().flatten()
    }

    fn sides(&self) -> impl Iterator<Item = &[NodeId]> {
        let old = (!self.old_voters.is_empty()).then_some(self.old_voters.as_slice());
        std::iter::once(self.voters.as_slice()).chain(old)
    }
}

fn majority(side: &[NodeId]) -> usize {
    side.len() / 2 + 1
}

/// The greatest end that a majority of `side` has reached. `None` sorts below every end.
fn majority_end(side: &[NodeId], end_of: &impl Fn(NodeId) -> Option<u64>) -> Option<u64> {
    if let [only] = side {
        return end_of(*only);
    }
    let mut ends = [None; MAX_VOTERS];
    let ends = &mut ends[..side.len()];
    for (end, node) in ends.iter_mut().zip(side) {
        *end = end_of(*node);
    }
    ends.sort_unstable();
    ends[side.len() - majority(side)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[u32]) -> Vec<NodeId> {
        ids.iter().map(|id| NodeId(*id)).collect()
    }

    fn set(ids: &[u32]) -> ReplicaSet {
        ReplicaSet::new(&nodes(ids))
    }

    fn in_mask(mask: u32) -> impl Fn(NodeId) -> bool {
        move |node| mask & (1 << node.0) != 0
    }

    /// Every pair of quorums of every plain set up to seven intersects, and a quorum is exactly
    /// what its complement cannot block.
    #[test]
    fn plain_quorums_intersect_and_are_majorities() {
        for n in 1..=7_u32 {
            let set = set(&(0..n).collect::<Vec<_>>());
            let quorums: Vec<u32> =
                (0..1 << n).filter(|mask| set.is_quorum(in_mask(*mask))).collect();
            for a in &quorums {
                assert!(a.count_ones() * 2 > n, "{a:b} of {n} is no majority");
                assert!(quorums.iter().all(|b| a & b != 0), "quorums of {n} miss each other");
            }
            let majorities = (0..1_u32 << n).filter(|mask| mask.count_ones() * 2 > n).count();
            assert_eq!(quorums.len(), majorities);
            for mask in 0..1_u32 << n {
                let others = !mask & ((1 << n) - 1);
                assert_eq!(set.is_blocking(in_mask(mask)), !set.is_quorum(in_mask(others)));
            }
        }
    }

    /// Every joint quorum meets every quorum of the old set alone and of the new set alone: for
    /// all pairs of sets over five nodes.
    #[test]
    fn joint_quorums_meet_both_sides() {
        let subsets: Vec<Vec<NodeId>> = (1..1_u32 << 5)
            .map(|mask| (0..5).filter(|i| mask & (1 << i) != 0).map(NodeId).collect())
            .collect();
        for new in &subsets {
            for old in &subsets {
                let joint = ReplicaSet::joint(new, old);
                let new_set = ReplicaSet::new(new);
                let old_set = ReplicaSet::new(old);
                for mask in 0..1_u32 << 5 {
                    let quorum = joint.is_quorum(in_mask(mask));
                    let both = new_set.is_quorum(in_mask(mask)) && old_set.is_quorum(in_mask(mask));
                    assert_eq!(quorum, both, "{mask:b} in {joint:?}");
                }
            }
        }
    }

    /// `quorum_end` against its definition, over every assignment of a few ends.
    #[test]
    fn quorum_end_is_the_greatest_end_a_quorum_reached() {
        let ends = [None, Some(0), Some(3), Some(7)];
        for n in 1..=5_u32 {
            for joint in [false, true] {
                let all = nodes(&(0..n).collect::<Vec<_>>());
                let old = nodes(&(1..n + 1).collect::<Vec<_>>());
                let set = if joint { ReplicaSet::joint(&all, &old) } else { ReplicaSet::new(&all) };
                let slots = n + u32::from(joint);
                for assignment in 0..4_u32.pow(slots) {
                    let end_of = |node: NodeId| ends[(assignment / 4_u32.pow(node.0) % 4) as usize];
                    let expected = ends
                        .iter()
                        .flatten()
                        .filter(|end| set.is_quorum(|node| end_of(node) >= Some(**end)))
                        .max();
                    assert_eq!(set.quorum_end(end_of), expected.copied());
                }
            }
        }
    }

    #[test]
    fn surely_never_accepted_needs_two_of_three_and_three_of_five() {
        assert!(!set(&[0, 1, 2]).is_blocking(in_mask(0b001)));
        assert!(set(&[0, 1, 2]).is_blocking(in_mask(0b011)));
        assert!(!set(&[0, 1, 2, 3, 4]).is_blocking(in_mask(0b00011)));
        assert!(set(&[0, 1, 2, 3, 4]).is_blocking(in_mask(0b00111)));
        assert!(set(&[0, 1, 2, 3]).is_blocking(in_mask(0b0011)));
        assert!(set(&[0]).is_blocking(in_mask(0b1)));
    }

    /// What was chosen before a change began needed the old voters alone.
    #[test]
    fn a_joint_set_is_blocked_on_both_sides_or_not_at_all() {
        let joint = ReplicaSet::joint(&nodes(&[3, 4, 5]), &nodes(&[0, 1, 2]));
        assert!(!joint.is_blocking(in_mask(0b111_000)), "a majority of the old voters is left");
        assert!(!joint.is_blocking(in_mask(0b000_111)), "a majority of the new voters is left");
        assert!(!joint.is_blocking(in_mask(0b111_001)));
        assert!(joint.is_blocking(in_mask(0b011_110)));
    }

    #[test]
    fn members_and_observers() {
        let set = ReplicaSet::joint(&nodes(&[1, 2, 3]), &nodes(&[2, 3, 4]))
            .with_observers(&nodes(&[3, 5, 5]));
        assert_eq!(set.members().collect::<Vec<_>>(), nodes(&[1, 2, 3, 4, 5]));
        assert!(set.is_voter(NodeId(4)) && !set.is_voter(NodeId(5)));
        assert_eq!(set.observers(), nodes(&[5]));
    }

    #[test]
    #[should_panic(expected = "named twice")]
    fn a_voter_counts_once() {
        set(&[1, 1]);
    }
}
