//! S17: corruption never spreads, and a faulty replica never denies: it does not promise as if it
//! had never held what it lost. A sound one does not call itself faulty, and none comes back with
//! more than it had: what was cut stays cut.

use std::collections::{BTreeMap, BTreeSet};

use synod_log::key::PartitionKey;
use synod_paxos::{Ballot, Durable, NodeId};

use crate::simulator::violation::{Checked, demand};

pub(crate) const NAME: &str = "S17 faulty never denies";
const NAME_SOUND: &str = "S17 sound is not faulty";
const NAME_CUT: &str = "S17 cut stays cut";

#[derive(Clone, Copy, Debug)]
struct Damaged {
    /// First damaged offset.
    from: u64,
    /// The durability mark when the damage was done, less what was overruled since.
    mark: u64,
    accepted: Ballot,
}

/// What was damaged on whose disk, and when.
#[derive(Debug, Default)]
pub(crate) struct Corruption {
    damaged: BTreeMap<(NodeId, PartitionKey), Damaged>,
    /// Where each replica's log ended when it was last looked at.
    ends: BTreeMap<(NodeId, PartitionKey), u64>,
    /// Whose device refused a read that it could have answered.
    refused: BTreeSet<NodeId>,
}

impl Corruption {
    pub(crate) fn note(
        &mut self,
        node: NodeId,
        key: PartitionKey,
        from: u64,
        mark: u64,
        accepted: Ballot,
    ) {
        let known = self.damaged.get(&(node, key)).copied();
        let from = known.map_or(from, |known| known.from.min(from));
        self.damaged.insert((node, key), Damaged { from, mark, accepted });
    }

    pub(crate) fn is_damaged(&self, node: NodeId, key: PartitionKey) -> bool {
        self.damaged.contains_key(&(node, key))
    }

    /// How many replicas of a partition are damaged.
    pub(crate) fn count(&self, key: PartitionKey) -> usize {
        self.damaged.keys().filter(|(_, other)| *other == key).count()
    }

    /// A replica's log ends at `end`. Nobody knows how much is written after a turn that failed.
    pub(crate) fn note_end(&mut self, node: NodeId, key: PartitionKey, end: u64, failed: bool) {
        self.ends.insert((node, key), if failed { u64::MAX } else { end });
    }

    /// A replica's durability mark after a turn. One that cuts what it lost, or what stood on that,
    /// as a later leader's log tells it to, lowers the mark: then it owes only the rest.
    pub(crate) fn note_mark(
        &mut self,
        node: NodeId,
        key: PartitionKey,
        promised: Ballot,
        mark: u64,
    ) {
        let Some(damaged) = self.damaged.get_mut(&(node, key)) else { return };
        if promised > damaged.accepted {
            damaged.mark = damaged.mark.min(mark);
        }
    }

    /// A read of a node's device fails although nothing is damaged.
    pub(crate) fn note_refused(&mut self, node: NodeId) {
        self.refused.insert(node);
    }

    /// The replica starts with what it found.
    pub(crate) fn recovered(&self, node: NodeId, key: PartitionKey, durable: &Durable) -> Checked {
        let end = self.ends.get(&(node, key)).copied().unwrap_or(0);
        demand(NAME_CUT, durable.log_end <= end, || {
            format!("{node} had {key} up to {end}, and comes back with {durable:?}")
        })?;
        let excused = self.is_damaged(node, key) || self.refused.contains(&node);
        demand(NAME_SOUND, durable.faulty_end.is_none() || excused, || {
            format!("{node} takes a sound {key} for damaged: {durable:?}")
        })?;
        let Some(damaged) = self.damaged.get(&(node, key)) else { return Ok(()) };
        let same = durable.accepted_ballot == damaged.accepted;
        let owned = durable.log_end >= damaged.mark
            || durable.faulty_end.is_some_and(|end| end >= damaged.mark);
        demand(NAME, !same || owned, || {
            format!("{node} denies what it held of {key}: {damaged:?}, found {durable:?}")
        })
    }
}
