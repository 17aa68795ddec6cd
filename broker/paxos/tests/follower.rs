//! The acceptor's handlers, one message at a time.

mod cluster;

use cluster::{ballot, batches, messages, outputs, settle};
use synod_paxos::{
    Accept, Accepted, Adopt, Ballot, Copied, Decide, Durable, InputError, Message, Nack, NodeId,
    Output, Prepare, Read, Replica, ReplicaConfig, Role, RoundStart, WriteId,
};

const ME: NodeId = NodeId(1);
const LEADER: NodeId = NodeId(2);

/// The leader's ballot in most tests.
fn b5() -> Ballot {
    Ballot::new(5, LEADER)
}

fn prepare(ballot: Ballot) -> Message {
    Message::Prepare(Prepare {
        ballot,
        accepted_ballot: Ballot::ZERO,
        accepted_end: 0,
        decided_end: 0,
    })
}

fn adopt(from: u64, prev_round: Option<u32>, to: u64, round: u32) -> Adopt {
    Adopt {
        ballot: b5(),
        log_start: 0,
        from,
        prev_round,
        restart: false,
        batches: batches(from..to, round),
        adopted_end: to,
        decided_end: 0,
    }
}

fn accept(base: u64, end: u64, decided_end: u64) -> Message {
    Message::Accept(Accept { ballot: b5(), base, batches: batches(base..end, 5), decided_end })
}

fn decide(sent_end: u64, decided_end: u64, probe: bool) -> Message {
    Message::Decide(Decide { ballot: b5(), log_start: 0, sent_end, decided_end, probe })
}

/// A replica with a log of round 1 over `0..end`, accepted under ballot 1 of node 3.
fn with_log(end: u64) -> Replica {
    let durable = Durable {
        promised: ballot(1, 3),
        accepted_ballot: ballot(1, 3),
        log_end: end,
        rounds: if end > 0 { vec![RoundStart { round: 1, base: 0 }] } else { vec![] },
        ..Durable::default()
    };
    Replica::new(ReplicaConfig::new(ME), durable)
}

/// … that has promised ballot 5.
fn promised(end: u64) -> Replica {
    let mut replica = with_log(end);
    replica.handle_message(LEADER, prepare(b5())).expect("a sound message");
    settle(&mut replica);
    replica
}

/// … and adopted the leader's log, equal to its own.
fn following(end: u64) -> Replica {
    let mut replica = promised(end);
    let prev_round = (end > 0).then_some(1);
    let message = Message::Adopt(adopt(end, prev_round, end, 1));
    replica.handle_message(LEADER, message).expect("a sound message");
    settle(&mut replica);
    assert_eq!(replica.accepted_ballot(), b5());
    replica
}

fn only_message(replica: &mut Replica) -> Message {
    let mut sent = messages(replica);
    assert_eq!(sent.len(), 1, "{sent:?}");
    sent.remove(0).1
}

// ---- Prepare ---------------------------------------------------------------------------------

#[test]
fn a_promise_waits_for_the_vow_and_every_append_before_it() {
    let mut replica = following(2);
    replica.handle_message(LEADER, accept(2, 4, 0)).unwrap();
    let vow = prepare(ballot(6, 3));
    replica.handle_message(NodeId(3), vow).unwrap();
    let all = outputs(&mut replica);
    let appended = all.iter().find_map(|output| match output {
        Output::Append { write, .. } => Some(*write),
        _ => None,
    });
    let promise = all.iter().find_map(|output| match output {
        Output::Send { message: Message::Promise(promise), after, .. } => Some((promise, *after)),
        _ => None,
    });
    let (promise, after) = promise.expect("a promise");
    assert!(after > appended, "the append is earlier in the stream");
    assert_eq!(promise.durable_end, 4, "by then it is durable");
    assert_eq!(promise.accepted_ballot, b5());
}

#[test]
fn a_promise_again_needs_no_new_vow_but_waits_for_what_is_under_way() {
    let mut replica = with_log(2);
    replica.handle_message(LEADER, prepare(b5())).unwrap();
    replica.handle_message(LEADER, prepare(b5())).unwrap();
    let all = outputs(&mut replica);
    let vows = all.iter().filter(|output| matches!(output, Output::Vow { .. })).count();
    assert_eq!(vows, 1);
    let waits = |output: &&Output| matches!(output, Output::Send { after: Some(WriteId(1)), .. });
    assert_eq!(all.iter().filter(waits).count(), 2, "{all:?}");
}

#[test]
fn lower_and_equal_rounds_of_others_are_refused() {
    let mut replica = promised(0);
    for refused in [ballot(4, 3), ballot(5, 3), ballot(5, 9)] {
        replica.handle_message(refused.node, prepare(refused)).unwrap();
        let nack = Message::Nack(Nack { ballot: refused, promised: b5() });
        assert_eq!(only_message(&mut replica), nack);
        assert_eq!(replica.promised(), b5());
    }
}

#[test]
fn a_refusal_does_not_tell_of_a_vow_that_is_not_durable() {
    let mut replica = with_log(0);
    replica.handle_message(LEADER, prepare(b5())).unwrap();
    outputs(&mut replica);
    replica.handle_message(NodeId(3), prepare(ballot(4, 3))).unwrap();
    let all = outputs(&mut replica);
    assert!(matches!(&all[..], [Output::Send { after: Some(WriteId(1)), .. }]), "{all:?}");
}

#[test]
fn a_promise_leaves_out_what_both_sides_know_to_be_decided() {
    let durable = Durable {
        promised: ballot(4, 3),
        accepted_ballot: ballot(4, 3),
        log_end: 30,
        decided_end: 25,
        rounds: vec![
            RoundStart { round: 1, base: 0 },
            RoundStart { round: 2, base: 10 },
            RoundStart { round: 4, base: 20 },
        ],
        ..Durable::default()
    };
    for (their_decided_end, expected) in [(0, 3), (10, 2), (19, 2), (25, 1), (99, 1)] {
        let mut replica = Replica::new(ReplicaConfig::new(ME), durable.clone());
        let message = Prepare {
            ballot: b5(),
            accepted_ballot: Ballot::ZERO,
            accepted_end: 0,
            decided_end: their_decided_end,
        };
        replica.handle_message(LEADER, Message::Prepare(message)).unwrap();
        let Message::Promise(promise) = only_message(&mut replica) else { panic!("no promise") };
        assert_eq!(promise.rounds.len(), expected, "decided there: {their_decided_end}");
    }
}

#[test]
fn a_promise_tells_of_what_is_faulty() {
    let durable = Durable { log_end: 4, faulty_end: Some(9), ..Durable::default() };
    let mut replica = Replica::new(ReplicaConfig::new(ME), durable);
    replica.handle_message(LEADER, prepare(b5())).unwrap();
    let Message::Promise(promise) = only_message(&mut replica) else { panic!("no promise") };
    assert_eq!((promise.durable_end, promise.faulty_end), (4, Some(9)));
}

// ---- Adopt -----------------------------------------------------------------------------------

#[test]
fn adopt_appends_first_and_notes_after() {
    let mut replica = promised(2);
    replica.handle_message(LEADER, Message::Adopt(adopt(2, Some(1), 4, 3))).unwrap();
    let all = outputs(&mut replica);
    assert!(matches!(all[0], Output::Append { write: WriteId(2), .. }), "{all:?}");
    assert!(matches!(all[1], Output::Vow { write: WriteId(3), .. }), "{all:?}");
    replica.handle_written(WriteId(2));
    assert_eq!(outputs(&mut replica), vec![], "not accepted before the vow is durable");
    replica.handle_written(WriteId(3));
    let accepted = Accepted { ballot: b5(), durable_end: 4, gap: None };
    assert_eq!(only_message(&mut replica), Message::Accepted(accepted));
}

#[test]
fn adopt_cuts_exactly_where_the_logs_part() {
    let mut replica = promised(6);
    let mut message = adopt(2, Some(1), 4, 1);
    message.batches.extend(batches(4..5, 3));
    message.adopted_end = 5;
    replica.handle_message(LEADER, Message::Adopt(message)).unwrap();
    let all = outputs(&mut replica);
    assert!(matches!(all[0], Output::Truncate { end: 4, .. }), "2..4 match: {all:?}");
    assert!(matches!(&all[1], Output::Append { batches, .. } if batches.len() == 1));
    assert_eq!(replica.log_end(), 5);
}

#[test]
fn adopt_cuts_what_lies_beyond_the_leaders_log() {
    let mut replica = promised(6);
    replica.handle_message(LEADER, Message::Adopt(adopt(4, Some(1), 4, 1))).unwrap();
    let all = outputs(&mut replica);
    assert!(matches!(all[0], Output::Truncate { end: 4, .. }), "{all:?}");
    assert_eq!(replica.log_end(), 4);
}

#[test]
fn adopt_over_matching_entries_cuts_nothing() {
    let mut replica = promised(6);
    replica.handle_message(LEADER, Message::Adopt(adopt(2, Some(1), 6, 1))).unwrap();
    let all = outputs(&mut replica);
    assert!(all.iter().all(|output| !matches!(output, Output::Truncate { .. })), "{all:?}");
    assert_eq!(replica.accepted_ballot(), b5());
}

#[test]
fn adopt_without_proof_is_answered_with_where_one_stands() {
    for (from, prev_round) in [(7, Some(1)), (4, Some(2)), (4, None)] {
        let mut replica = promised(6);
        replica
            .handle_message(LEADER, Message::Adopt(adopt(from, prev_round, from + 1, 3)))
            .unwrap();
        let Message::Promise(promise) = only_message(&mut replica) else { panic!("no promise") };
        assert_eq!((promise.ballot, promise.durable_end), (b5(), 6));
        assert_eq!((replica.log_end(), replica.accepted_ballot()), (6, ballot(1, 3)));
    }
}

#[test]
fn complaints_are_not_repeated_until_a_tick() {
    let mut replica = promised(6);
    let bad = Message::Adopt(adopt(9, Some(1), 10, 3));
    for expected in [1, 0, 0] {
        replica.handle_message(LEADER, bad.clone()).unwrap();
        assert_eq!(messages(&mut replica).len(), expected);
    }
    replica.handle_tick();
    replica.handle_message(LEADER, bad).unwrap();
    assert_eq!(messages(&mut replica).len(), 1);
}

#[test]
fn a_part_of_an_adoption_is_not_accepted() {
    let mut replica = promised(2);
    let mut part = adopt(2, Some(1), 4, 3);
    part.adopted_end = 6;
    part.decided_end = 6;
    replica.handle_message(LEADER, Message::Adopt(part)).unwrap();
    let sent: Vec<_> = settle(&mut replica)
        .into_iter()
        .filter_map(|output| match output {
            Output::Send { message, after, .. } => Some((message, after)),
            _ => None,
        })
        .collect();
    let copied = Message::Copied(Copied { ballot: b5(), end: 4 });
    assert_eq!(sent, vec![(copied, Some(WriteId(2)))]);
    assert_eq!(replica.accepted_ballot(), ballot(1, 3));
    assert_eq!(replica.decided_end(), 4, "but what it has is known to be decided");

    replica.handle_message(LEADER, Message::Adopt(adopt(4, Some(3), 6, 3))).unwrap();
    settle(&mut replica);
    assert_eq!(replica.accepted_ballot(), b5());
}

#[test]
fn adopt_again_is_answered_with_what_is_synced() {
    let mut replica = following(2);
    replica.handle_message(LEADER, accept(2, 4, 0)).unwrap();
    outputs(&mut replica);
    replica.handle_message(LEADER, Message::Adopt(adopt(2, Some(1), 2, 1))).unwrap();
    let accepted = Accepted { ballot: b5(), durable_end: 2, gap: None };
    assert_eq!(only_message(&mut replica), Message::Accepted(accepted));
    assert_eq!(replica.log_end(), 4, "nothing is cut");
}

#[test]
fn a_log_that_ends_before_the_leaders_start_begins_anew_there() {
    let mut replica = promised(4);
    let mut message = adopt(10, Some(3), 12, 3);
    message.log_start = 10;
    message.restart = true;
    replica.handle_message(LEADER, Message::Adopt(message)).unwrap();
    let all = settle(&mut replica);
    assert!(matches!(all[0], Output::RestartLog { at: 10, .. }), "{all:?}");
    assert_eq!(all[1], Output::Decided { end: 10 });
    assert_eq!((replica.log_start(), replica.log_end()), (10, 12));
    assert_eq!(replica.accepted_ballot(), b5());
}

#[test]
fn a_restart_is_not_obeyed_where_the_log_goes_on_after_all() {
    // Matching entries at the leader's start.
    let mut replica = promised(6);
    let mut message = adopt(4, None, 6, 1);
    message.log_start = 4;
    message.restart = true;
    replica.handle_message(LEADER, Message::Adopt(message.clone())).unwrap();
    settle(&mut replica);
    assert_eq!((replica.log_start(), replica.log_end()), (0, 6));

    // Accepted under the leader's own ballot: the leader judged by an old answer.
    let mut replica = following(6);
    replica.handle_message(LEADER, accept(6, 9, 0)).unwrap();
    settle(&mut replica);
    message.from = 8;
    message.log_start = 8;
    message.adopted_end = 8;
    message.batches.clear();
    replica.handle_message(LEADER, Message::Adopt(message)).unwrap();
    settle(&mut replica);
    assert_eq!((replica.log_start(), replica.log_end()), (0, 9), "nothing accepted is cut");
}

#[test]
fn a_restart_lowers_the_mark_only_if_the_longer_log_diverged() {
    let mut replica = promised(12);
    let mut message = adopt(10, Some(3), 11, 3);
    message.log_start = 10;
    message.restart = true;
    replica.handle_message(LEADER, Message::Adopt(message.clone())).unwrap();
    let all = settle(&mut replica);
    assert!(all.iter().any(|output| matches!(output, Output::Truncate { end: 10, .. })), "{all:?}");

    let mut replica = promised(4);
    replica.handle_message(LEADER, Message::Adopt(message)).unwrap();
    let all = settle(&mut replica);
    assert!(all.iter().all(|output| !matches!(output, Output::Truncate { .. })), "{all:?}");
}

#[test]
fn what_was_faulty_is_given_up_only_after_the_acceptance_is_noted() {
    let durable = Durable {
        promised: b5(),
        accepted_ballot: ballot(1, 3),
        log_end: 2,
        faulty_end: Some(9),
        rounds: vec![RoundStart { round: 1, base: 0 }],
        ..Durable::default()
    };
    let mut replica = Replica::new(ReplicaConfig::new(ME), durable);
    replica.handle_message(LEADER, Message::Adopt(adopt(2, Some(1), 4, 3))).unwrap();
    let kinds: Vec<_> = outputs(&mut replica)
        .into_iter()
        .map(|output| match output {
            Output::Append { .. } => "append",
            Output::Vow { .. } => "vow",
            Output::Truncate { end: 4, .. } => "lower the mark",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, vec!["append", "vow", "lower the mark"]);
    assert_eq!(replica.faulty_end(), None);
}

#[test]
fn what_was_accepted_under_the_same_ballot_stays_faulty_until_it_is_back() {
    let durable = Durable {
        promised: b5(),
        accepted_ballot: b5(),
        log_end: 2,
        faulty_end: Some(9),
        rounds: vec![RoundStart { round: 1, base: 0 }],
        ..Durable::default()
    };
    let mut replica = Replica::new(ReplicaConfig::new(ME), durable);
    replica.handle_message(LEADER, Message::Adopt(adopt(2, Some(1), 4, 3))).unwrap();
    settle(&mut replica);
    assert_eq!((replica.log_end(), replica.faulty_end()), (4, Some(9)));
    replica.handle_message(LEADER, accept(4, 8, 0)).unwrap();
    assert_eq!(replica.faulty_end(), Some(9));
    replica.handle_message(LEADER, accept(8, 10, 0)).unwrap();
    assert_eq!(replica.faulty_end(), None, "it is here again");
}

// ---- Accept ----------------------------------------------------------------------------------

#[test]
fn accepted_is_told_when_synced_and_once_for_many() {
    let mut replica = following(0);
    for base in 0..10 {
        replica.handle_message(LEADER, accept(base, base + 1, 0)).unwrap();
    }
    let all = outputs(&mut replica);
    assert!(all.iter().all(|output| matches!(output, Output::Append { .. })), "{all:?}");
    let Some(Output::Append { write, .. }) = all.last() else { panic!("no append") };
    replica.handle_written(*write);
    let accepted = Accepted { ballot: b5(), durable_end: 10, gap: None };
    assert_eq!(only_message(&mut replica), Message::Accepted(accepted));
}

#[test]
fn accept_is_taken_only_under_the_accepted_ballot() {
    let mut replica = promised(2);
    replica.handle_message(LEADER, accept(2, 3, 2)).unwrap();
    let sent = only_message(&mut replica);
    assert!(matches!(sent, Message::Promise(_)), "promised, not adopted: {sent:?}");
    assert_eq!((replica.log_end(), replica.decided_end()), (2, 0));
}

#[test]
fn accept_over_a_gap_is_refused_once() {
    let mut replica = following(2);
    replica.handle_message(LEADER, accept(5, 6, 2)).unwrap();
    let accepted = Accepted { ballot: b5(), durable_end: 2, gap: Some(2) };
    assert_eq!(only_message(&mut replica), Message::Accepted(accepted));
    assert_eq!(replica.log_end(), 2);
    replica.handle_message(LEADER, accept(6, 7, 2)).unwrap();
    assert_eq!(messages(&mut replica), vec![]);
    // Progress ends the silence.
    replica.handle_message(LEADER, accept(2, 3, 2)).unwrap();
    settle(&mut replica);
    replica.handle_message(LEADER, accept(7, 8, 2)).unwrap();
    assert!(matches!(only_message(&mut replica), Message::Accepted(m) if m.gap == Some(3)));
}

#[test]
fn a_repeated_accept_is_answered_and_an_overlapping_one_completed() {
    let mut replica = following(0);
    replica.handle_message(LEADER, accept(0, 4, 0)).unwrap();
    settle(&mut replica);
    replica.handle_message(LEADER, accept(1, 3, 0)).unwrap();
    let accepted = Accepted { ballot: b5(), durable_end: 4, gap: None };
    assert_eq!(only_message(&mut replica), Message::Accepted(accepted));
    replica.handle_message(LEADER, accept(2, 6, 0)).unwrap();
    let all = outputs(&mut replica);
    assert!(matches!(&all[0], Output::Append { batches, .. } if batches[0].base == 4), "{all:?}");
    assert_eq!(replica.log_end(), 6);
}

#[test]
fn a_superseded_leader_is_refused_and_teaches_nothing() {
    let mut replica = following(4);
    replica.handle_message(NodeId(3), prepare(ballot(6, 3))).unwrap();
    settle(&mut replica);
    for message in [accept(4, 5, 4), decide(4, 4, true)] {
        replica.handle_message(LEADER, message).unwrap();
        let nack = Nack { ballot: b5(), promised: ballot(6, 3) };
        assert_eq!(only_message(&mut replica), Message::Nack(nack));
        assert_eq!((replica.log_end(), replica.decided_end()), (4, 0));
    }
}

#[test]
fn nothing_is_accepted_for_a_leader_superseded_before_the_sync() {
    let mut replica = following(0);
    replica.handle_message(LEADER, accept(0, 3, 0)).unwrap();
    outputs(&mut replica);
    replica.handle_message(NodeId(3), prepare(ballot(6, 3))).unwrap();
    let sent: Vec<_> = settle(&mut replica)
        .into_iter()
        .filter(|output| matches!(output, Output::Send { message: Message::Accepted(_), .. }))
        .collect();
    assert_eq!(sent, vec![], "its promise tells the new leader of them");
}

#[test]
fn a_restarted_follower_goes_on_from_its_durable_end() {
    let durable = Durable {
        promised: b5(),
        accepted_ballot: b5(),
        log_end: 3,
        rounds: vec![RoundStart { round: 5, base: 0 }],
        ..Durable::default()
    };
    let mut replica = Replica::new(ReplicaConfig::new(ME), durable);
    replica.handle_message(LEADER, accept(3, 5, 3)).unwrap();
    assert_eq!((replica.log_end(), replica.decided_end()), (5, 3));
}

// ---- Decide and Read -------------------------------------------------------------------------

#[test]
fn decided_never_exceeds_the_log_nor_goes_back() {
    let mut replica = following(3);
    replica.handle_message(LEADER, decide(3, 2, false)).unwrap();
    assert_eq!(outputs(&mut replica), vec![Output::Decided { end: 2 }]);
    replica.handle_message(LEADER, decide(3, 1, false)).unwrap();
    assert_eq!(outputs(&mut replica), vec![]);
    replica.handle_message(LEADER, decide(3, 99, false)).unwrap();
    assert_eq!(outputs(&mut replica), vec![Output::Decided { end: 3 }]);
}

#[test]
fn a_probe_is_answered_and_shows_what_was_lost() {
    let mut replica = following(3);
    replica.handle_message(LEADER, decide(3, 3, true)).unwrap();
    let accepted = Accepted { ballot: b5(), durable_end: 3, gap: None };
    assert_eq!(only_message(&mut replica), Message::Accepted(accepted));
    replica.handle_message(LEADER, decide(8, 3, true)).unwrap();
    let accepted = Accepted { ballot: b5(), durable_end: 3, gap: Some(3) };
    assert_eq!(only_message(&mut replica), Message::Accepted(accepted));
}

#[test]
fn the_leaders_log_start_is_a_hint_to_trim() {
    let mut replica = following(5);
    let message = Decide { ballot: b5(), log_start: 4, sent_end: 5, decided_end: 5, probe: false };
    replica.handle_message(LEADER, Message::Decide(message)).unwrap();
    let all = outputs(&mut replica);
    assert_eq!(all, vec![Output::Decided { end: 5 }, Output::TrimHint { start: 4 }]);
    assert_eq!(replica.log_start(), 0, "the runtime decides");
}

#[test]
fn a_candidate_is_served_from_the_log() {
    let mut replica = promised(6);
    let read = Message::Read(Read { ballot: b5(), from: 2, end: 99 });
    replica.handle_message(LEADER, read).unwrap();
    let all = outputs(&mut replica);
    let [Output::Read { read, from: 2, end: 6, .. }] = all[..] else { panic!("{all:?}") };
    replica.handle_read(read, batches(2..5, 1)).unwrap();
    let Message::Entries(entries) = only_message(&mut replica) else { panic!("no entries") };
    assert_eq!((entries.from, entries.batches.len()), (2, 3));
}

#[test]
fn a_superseded_candidate_is_not_served() {
    let mut replica = promised(6);
    replica.handle_message(LEADER, Message::Read(Read { ballot: b5(), from: 2, end: 6 })).unwrap();
    let all = outputs(&mut replica);
    let [Output::Read { read, .. }] = all[..] else { panic!("{all:?}") };
    replica.handle_message(NodeId(3), prepare(ballot(6, 3))).unwrap();
    settle(&mut replica);
    replica.handle_read(read, batches(2..6, 1)).unwrap();
    assert_eq!(outputs(&mut replica), vec![]);
    replica.handle_message(LEADER, Message::Read(Read { ballot: b5(), from: 2, end: 6 })).unwrap();
    assert!(matches!(only_message(&mut replica), Message::Nack(_)));
}

// ---- what a follower is not ------------------------------------------------------------------

#[test]
fn a_follower_ignores_what_is_for_a_proposer() {
    let mut replica = following(2);
    let accepted = Message::Accepted(Accepted { ballot: b5(), durable_end: 2, gap: None });
    replica.handle_message(NodeId(3), accepted).unwrap();
    let nack = Message::Nack(Nack { ballot: b5(), promised: ballot(9, 3) });
    replica.handle_message(NodeId(3), nack).unwrap();
    assert_eq!(outputs(&mut replica), vec![]);
    assert_eq!(replica.role(), Role::Follower);
}

#[test]
fn a_demand_must_come_from_the_ballots_node() {
    let mut replica = following(2);
    let before = replica.clone();
    for message in [prepare(ballot(9, 3)), accept(2, 3, 2), decide(2, 2, true)] {
        assert_eq!(replica.handle_message(NodeId(7), message), Err(InputError::WrongSender));
    }
    let own = prepare(Ballot::new(9, ME));
    assert_eq!(replica.handle_message(ME, own), Err(InputError::WrongSender));
    assert_eq!(replica, before);
}
