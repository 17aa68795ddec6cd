//! S17: corruption never spreads, and a faulty replica never denies: it does not promise as if it
//! had never held what it lost.

use std::collections::BTreeMap;

use synod_log::key::PartitionKey;
use synod_paxos::{Ballot, Durable, NodeId};

use crate::simulator::violation::{Checked, demand};

pub(crate) const NAME: &str = "S17 faulty never denies";

#[derive(Clone, Copy, Debug)]
struct Damaged {
    /// First damaged offset.
    from: u64,
    /// The durability mark when the damage was done.
    mark: u64,
    accepted: Ballot,
}

/// What was damaged on whose disk, and when.
#[derive(Debug, Default)]
pub(crate) struct Corruption {
    damaged: BTreeMap<(NodeId, PartitionKey), Damaged>,
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

    /// The replica starts with what it found.
    pub(crate) fn recovered(&self, node: NodeId, key: PartitionKey, durable: &Durable) -> Checked {
        let Some(damaged) = self.damaged.get(&(node, key)) else { return Ok(()) };
        let same = durable.accepted_ballot == damaged.accepted;
        let owned = durable.log_end >= damaged.mark
            || durable.faulty_end.is_some_and(|end| end >= damaged.mark);
        demand(NAME, !same || owned, || {
            format!("{node} denies what it held of {key}: {damaged:?}, found {durable:?}")
        })
    }
}
