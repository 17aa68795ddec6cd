//! S3: what was said is durable. Promised and accepted ballots and accepted ends that a replica
//! told of never go back, over any crash; and promised is never below accepted.

use std::collections::BTreeMap;

use synod_log::journal::PartitionDurable;
use synod_log::key::PartitionKey;
use synod_paxos::{Ballot, Durable, Message, NodeId};

use crate::simulator::violation::{Checked, demand};

pub(crate) const NAME: &str = "S3 said is durable";

#[derive(Clone, Copy, Debug, Default)]
struct Said {
    promised: Ballot,
    /// The greatest end accepted under the greatest accepted ballot.
    accepted: (Ballot, u64),
}

/// The most that each replica ever said of itself.
#[derive(Debug, Default)]
pub(crate) struct Vows {
    said: BTreeMap<(NodeId, PartitionKey), Said>,
}

impl Vows {
    /// A message leaves a broker whose journal holds `journaled`.
    pub(crate) fn sent(
        &mut self,
        node: NodeId,
        key: PartitionKey,
        message: &Message,
        journaled: PartitionDurable,
    ) -> Checked {
        let said = self.said.entry((node, key)).or_default();
        let vow = journaled.vow.unwrap_or_default();
        let (promised, accepted) = match message {
            Message::Promise(promise) => {
                (promise.ballot, (promise.accepted_ballot, promise.durable_end))
            }
            Message::Accepted(accepted) => {
                (accepted.ballot, (accepted.ballot, accepted.durable_end))
            }
            // What a candidate asks for, it has vowed itself.
            Message::Prepare(prepare) => (prepare.ballot, (Ballot::ZERO, 0)),
            _ => return Ok(()),
        };
        let holds = ballot(vow.promised) >= promised && ballot(vow.accepted) >= accepted.0;
        demand(NAME, holds, || {
            format!("{node} says {message:?} of {key}, its journal holds {vow:?}")
        })?;
        said.promised = said.promised.max(promised);
        said.accepted = said.accepted.max(accepted);
        Ok(())
    }

    /// A replica comes back with what it found on its disk.
    pub(crate) fn recovered(
        &self,
        node: NodeId,
        key: PartitionKey,
        durable: &Durable,
        damaged: bool,
    ) -> Checked {
        let ordered = durable.promised >= durable.accepted_ballot;
        demand(NAME, ordered, || format!("{node} accepted beyond its promise: {durable:?}"))?;
        let Some(said) = self.said.get(&(node, key)) else { return Ok(()) };
        demand(NAME, durable.promised >= said.promised, || {
            format!("{node} forgot a promise of {key}: said {said:?}, found {durable:?}")
        })?;
        let (accepted, end) = said.accepted;
        let held = durable.log_end.max(durable.faulty_end.unwrap_or(0));
        // A later leader may have cut what was not chosen, and its own log is not here yet. What
        // was chosen is looked at whenever something is decided, and at the end.
        let cut = durable.promised > accepted;
        let holds = durable.accepted_ballot > accepted
            || durable.accepted_ballot == accepted && (held >= end || damaged || cut);
        demand(NAME, holds, || {
            format!("{node} lost what it accepted of {key}: said {said:?}, found {durable:?}")
        })
    }
}

pub(crate) fn ballot(ballot: synod_log::journal::Ballot) -> Ballot {
    Ballot { round: ballot.round, node: NodeId(ballot.node) }
}
