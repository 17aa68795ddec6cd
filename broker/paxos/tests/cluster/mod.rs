//! An in-memory cluster of real replicas: disks that lose unsynced writes, a network that loses,
//! repeats and reorders, and the invariants to hold all of it against.

#![allow(dead_code, reason = "every test uses another part")]

pub(crate) mod disk;
pub(crate) mod invariants;
pub(crate) mod node;
pub(crate) mod random;
pub(crate) mod schedule;

use synod_paxos::{Ballot, Batch, Message, NodeId, Output, Replica};

pub(crate) fn ballot(round: u32, node: u32) -> Ballot {
    Ballot::new(round, NodeId(node))
}

/// Batches of one record each over the offsets, of one round; the offset is the value.
pub(crate) fn batches(offsets: std::ops::Range<u64>, round: u32) -> Vec<Batch> {
    let batch = |base| Batch { base, end: base + 1, round, size: 100, checksum: base as u32 };
    offsets.map(batch).collect()
}

pub(crate) fn outputs(replica: &mut Replica) -> Vec<Output> {
    std::iter::from_fn(|| replica.poll_output()).collect()
}

/// The messages among the outputs, whatever they wait for.
pub(crate) fn messages(replica: &mut Replica) -> Vec<(NodeId, Message)> {
    let sent = outputs(replica).into_iter().filter_map(|output| match output {
        Output::Send { to, message, .. } => Some((to, message)),
        _ => None,
    });
    sent.collect()
}

/// Drains the outputs and makes every write among them durable, until there are none left.
pub(crate) fn settle(replica: &mut Replica) -> Vec<Output> {
    let mut all = Vec::new();
    loop {
        let more = outputs(replica);
        let last = more.iter().rev().find_map(|output| match output {
            Output::Vow { write, .. }
            | Output::Append { write, .. }
            | Output::Truncate { write, .. }
            | Output::RestartLog { write, .. } => Some(*write),
            _ => None,
        });
        all.extend(more);
        match last {
            Some(write) => replica.handle_written(write),
            None => return all,
        }
    }
}
