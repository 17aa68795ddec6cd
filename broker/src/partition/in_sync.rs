//! Which followers keep up with their leader: what clients know as the in-sync replicas.
//!
//! Nothing about safety hangs on this. It decides when a produce request is refused because too few
//! replicas follow (`min.insync.replicas`), what metrics tell, and who may take leadership back.

use synod_paxos::{FollowerStatus, NodeId};

use crate::limits::IN_SYNC_LAG_TICKS;

/// The followers of a leader, as of the last tick.
#[derive(Debug)]
pub(super) struct InSync {
    /// The topic's `min.insync.replicas`.
    min_count: u32,
    followers: Vec<Follower>,
    /// What was decided at the tick before: who holds that by now keeps up.
    decided_before: u64,
}

#[derive(Debug)]
struct Follower {
    node: NodeId,
    in_contact: bool,
    /// Ticks since it last held everything that was decided one tick earlier.
    behind_ticks: u32,
    /// Ticks for which it has held that without a break.
    caught_up_ticks: u32,
}

impl InSync {
    pub(super) fn new(min_count: u32) -> InSync {
        InSync { min_count, followers: Vec::new(), decided_before: 0 }
    }

    pub(super) fn set_min_count(&mut self, min_count: u32) {
        self.min_count = min_count;
    }

    /// How many replicas of a set must hold a batch before its producer hears of it.
    pub(super) fn needed(&self, voter_count: usize) -> usize {
        (self.min_count as usize).min(voter_count)
    }

    /// Forgets everything: this replica does not lead.
    pub(super) fn clear(&mut self) {
        self.followers.clear();
    }

    /// Looks at the followers' progress. `ticks` tells whether time has passed since the last look;
    /// a follower not heard from for `silent_ticks` is out of contact.
    pub(super) fn watch(
        &mut self,
        statuses: &[(NodeId, FollowerStatus)],
        decided_end: u64,
        silent_ticks: u64,
        ticks: u32,
    ) {
        let wanted = if ticks == 0 { decided_end } else { self.decided_before };
        self.followers.retain(|known| statuses.iter().any(|(node, _)| *node == known.node));
        for (node, status) in statuses {
            let place = self.followers.iter().position(|known| known.node == *node);
            let place = place.unwrap_or_else(|| {
                self.followers.push(Follower {
                    node: *node,
                    in_contact: false,
                    behind_ticks: IN_SYNC_LAG_TICKS,
                    caught_up_ticks: 0,
                });
                self.followers.len() - 1
            });
            let follower = &mut self.followers[place];
            follower.in_contact = status.silent_ticks < silent_ticks;
            if follower.in_contact && status.match_end.is_some_and(|end| end >= wanted) {
                follower.behind_ticks = 0;
                follower.caught_up_ticks = follower.caught_up_ticks.saturating_add(ticks);
            } else {
                follower.behind_ticks = follower.behind_ticks.saturating_add(ticks);
                follower.caught_up_ticks = 0;
            }
        }
        if ticks > 0 {
            self.decided_before = decided_end;
        }
    }

    /// How many of the voters keep up, the leader included.
    pub(super) fn count(&self, is_voter: impl Fn(NodeId) -> bool) -> usize {
        let keeps_up = |follower: &&Follower| {
            follower.in_contact
                && follower.behind_ticks < IN_SYNC_LAG_TICKS
                && is_voter(follower.node)
        };
        1 + self.followers.iter().filter(keeps_up).count()
    }

    /// For how many ticks a follower has kept up without a break.
    pub(super) fn caught_up_ticks(&self, node: NodeId) -> u32 {
        let known = self.followers.iter().find(|follower| follower.node == node);
        known.map_or(0, |follower| follower.caught_up_ticks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(2);

    fn look(in_sync: &mut InSync, match_end: Option<u64>, silent_ticks: u64, decided_end: u64) {
        let status = FollowerStatus { match_end, silent_ticks, inflight_size: 0 };
        in_sync.watch(&[(NODE, status)], decided_end, 15, 1);
    }

    #[test]
    fn a_follower_counts_while_it_is_heard_and_does_not_lag_for_long() {
        let mut in_sync = InSync::new(3);
        let count = |in_sync: &InSync| in_sync.count(|_| true);
        assert_eq!(count(&in_sync), 1, "the leader alone");
        look(&mut in_sync, None, 0, 10);
        assert_eq!(count(&in_sync), 1, "it has adopted nothing");
        look(&mut in_sync, Some(10), 0, 20);
        assert_eq!(count(&in_sync), 2, "it holds what was decided a tick ago");
        assert_eq!(in_sync.count(|node| node != NODE), 1, "an observer");
        look(&mut in_sync, Some(10), 15, 20);
        assert_eq!(count(&in_sync), 1, "out of contact");
        look(&mut in_sync, Some(20), 0, 30);
        assert_eq!((count(&in_sync), in_sync.caught_up_ticks(NODE)), (2, 1));
        for end in 1..IN_SYNC_LAG_TICKS {
            look(&mut in_sync, Some(20), 0, 30 + u64::from(end));
            assert_eq!(count(&in_sync), 2, "a short lag");
        }
        look(&mut in_sync, Some(20), 0, 200);
        assert_eq!((count(&in_sync), in_sync.caught_up_ticks(NODE)), (1, 0));
        in_sync.clear();
        assert_eq!(in_sync.count(|_| true), 1);
    }

    #[test]
    fn more_than_there_are_means_all() {
        let in_sync = InSync::new(3);
        assert_eq!([1, 2, 3, 5].map(|voters| in_sync.needed(voters)), [1, 2, 3, 3]);
    }
}
