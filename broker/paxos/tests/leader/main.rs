//! The proposer's handlers, one message at a time: candidate first, leader after.

mod candidate;
#[path = "../cluster/mod.rs"]
mod cluster;
mod confirming;
mod leading;

use cluster::{ballot, batches, messages, outputs, settle};
use synod_paxos::{
    Accept, Accepted, Ballot, Durable, Entries, InputError, Message, Nack, NodeId, Output, Promise,
    Proposal, ProposeError, Replica, ReplicaConfig, ReplicaSet, Role, RoundStart, WriteId,
};

const ME: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

/// The ballot led in most tests.
fn b5() -> Ballot {
    Ballot::new(5, ME)
}

fn set() -> ReplicaSet {
    ReplicaSet::new(&[ME, B, C])
}

fn config() -> ReplicaConfig {
    let mut config = ReplicaConfig::new(ME);
    config.heartbeat_ticks = 0;
    config
}

/// A promise of a log of round 1 over `0..end`, accepted under the ballot.
fn promise(accepted_ballot: Ballot, end: u64) -> Promise {
    Promise {
        ballot: b5(),
        accepted_ballot,
        log_start: 0,
        durable_end: end,
        faulty_end: None,
        decided_end: 0,
        rounds: if end > 0 { vec![RoundStart { round: 1, base: 0 }] } else { vec![] },
    }
}

fn accepted(durable_end: u64) -> Message {
    Message::Accepted(Accepted { ballot: b5(), durable_end, gap: None })
}

fn gap(durable_end: u64) -> Message {
    Message::Accepted(Accepted { ballot: b5(), durable_end, gap: Some(durable_end) })
}

fn proposal() -> Proposal {
    Proposal { count: 1, size: 100, checksum: 0 }
}

/// A candidate of ballot 5 with a log of round 1 over `0..end`; its own vow is durable.
fn candidate_with(config: ReplicaConfig, end: u64) -> Replica {
    let durable = Durable {
        promised: ballot(1, 9),
        accepted_ballot: if end > 0 { ballot(1, 9) } else { Ballot::ZERO },
        log_end: end,
        rounds: promise(ballot(1, 9), end).rounds,
        ..Durable::default()
    };
    let mut replica = Replica::new(config, durable);
    replica.handle_appointed(b5(), set()).expect("a sound appointment");
    settle(&mut replica);
    replica
}

fn candidate(end: u64) -> Replica {
    candidate_with(config(), end)
}

/// A leader of ballot 5 with an empty log, ready; B follows, C has not answered.
fn leader_with(config: ReplicaConfig) -> Replica {
    let mut replica = candidate_with(config, 0);
    take(&mut replica, B, Message::Promise(promise(Ballot::ZERO, 0)));
    settle(&mut replica);
    take(&mut replica, B, accepted(0));
    settle(&mut replica);
    assert_eq!(replica.role(), Role::Leader { ready: true, quorum: true });
    replica
}

fn leader() -> Replica {
    leader_with(config())
}

fn take(replica: &mut Replica, from: NodeId, message: Message) {
    assert_eq!(replica.handle_message(from, message), Ok(()));
}

fn propose(replica: &mut Replica, count: usize) {
    replica.handle_propose(&vec![proposal(); count]).expect("a ready leader");
}

/// The accepts among the messages to a node, as their offsets.
fn accepts(messages: &[(NodeId, Message)], node: NodeId) -> Vec<(u64, u64)> {
    let to = messages.iter().filter(|(to, _)| *to == node);
    to.filter_map(|(_, message)| match message {
        Message::Accept(Accept { base, batches, .. }) => {
            Some((*base, batches.last().map_or(*base, |batch| batch.end)))
        }
        _ => None,
    })
    .collect()
}

// ---- phase 1 ---------------------------------------------------------------------------------
