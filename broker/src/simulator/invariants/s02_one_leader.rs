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
}

impl OneLeader {
    pub(crate) fn observe(&mut self, key: PartitionKey, role: Role, ballot: Ballot) -> Checked {
        if !matches!(role, Role::Leader { .. }) {
            return Ok(());
        }
        let first = *self.led.entry((key, ballot.round)).or_insert(ballot);
        demand(NAME, first == ballot, || format!("{first} and {ballot} both led {key}"))
    }
}
