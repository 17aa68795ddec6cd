//! Who leads: node ids and ballots.

use std::fmt;

/// A Paxos member. The broker converts it from and to Kafka's broker id in one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// One totally ordered attempt to lead a partition.
///
/// `Ord` and `Eq` come from the same fields. At most one ballot per round can ever gather a
/// quorum, because a replica promises a round only once (see [`Ballot::may_replace`]); so the
/// round alone names the leader, and Kafka's `leader_epoch` is the round. Rounds fit an `i32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// The ballot's number; 0 means "none yet".
    pub round: u32,
    /// The replica that leads it.
    pub node: NodeId,
}

impl Ballot {
    /// The ballot before every other: nothing promised, nothing accepted.
    pub const ZERO: Ballot = Ballot { round: 0, node: NodeId(0) };

    /// The ballot of `round`, to be led by `node`.
    pub const fn new(round: u32, node: NodeId) -> Ballot {
        Ballot { round, node }
    }

    /// Whether a replica that promised `promised` may promise this ballot: its round is strictly
    /// higher, or it is the identical ballot again.
    pub const fn may_replace(self, promised: Ballot) -> bool {
        self.round > promised.round
            || (self.round == promised.round && self.node.0 == promised.node.0)
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.round, self.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ballot(round: u32, node: u32) -> Ballot {
        Ballot::new(round, NodeId(node))
    }

    #[test]
    fn order_is_round_then_node() {
        assert!(ballot(1, 9) < ballot(2, 1));
        assert!(ballot(2, 1) < ballot(2, 2));
        assert!(Ballot::ZERO < ballot(1, 0));
    }

    #[test]
    fn a_round_is_promised_to_one_node_only() {
        assert!(ballot(2, 1).may_replace(ballot(1, 9)));
        assert!(ballot(2, 1).may_replace(ballot(2, 1)));
        assert!(!ballot(2, 2).may_replace(ballot(2, 1)), "same round, greater node");
        assert!(!ballot(2, 1).may_replace(ballot(2, 2)), "same round, smaller node");
        assert!(!ballot(1, 9).may_replace(ballot(2, 1)));
    }

    #[test]
    fn display_is_short() {
        assert_eq!(ballot(7, 3).to_string(), "7.n3");
    }
}
