//! S2: at most one leader per round.

use std::collections::BTreeMap;

use synod_log::key::PartitionKey;
use synod_paxos::{Ballot, Role};

use crate::simulator::violation::{Checked, demand};

pub(crate) const NAME: &str = "S2 one leader per round";

/// Who led which round.
#[derive(Debug, Default)]
pub(crate) struct OneLeader {
    led: BTreeMap<(PartitionKey, u32), Ballot>,
    /// Whom the real controller appointed last.
    appointed: BTreeMap<PartitionKey, Ballot>,
}

impl OneLeader {
    pub(crate) fn observe(&mut self, key: PartitionKey, role: Role, ballot: Ballot) -> Checked {
        if !matches!(role, Role::Leader { .. }) {
            return Ok(());
        }
        let first = *self.led.entry((key, ballot.round)).or_insert(ballot);
        demand(NAME, first == ballot, || format!("{first} and {ballot} both led {key}"))
    }

    /// The controller decided on a leader: in a round of its own, unless it is the known one.
    pub(crate) fn appointed(&mut self, key: PartitionKey, ballot: Ballot) -> Checked {
        let last = self.appointed.insert(key, ballot).unwrap_or_default();
        demand(NAME, last == ballot || last.round < ballot.round, || {
            format!("{ballot} was appointed for {key} after {last}")
        })
    }
}
