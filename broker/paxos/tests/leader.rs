//! The proposer's handlers, one message at a time: candidate first, leader after.

mod cluster;

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

#[test]
fn prepares_wait_for_the_own_vow() {
    let mut replica = Replica::new(config(), Durable::default());
    replica.handle_appointed(b5(), set()).unwrap();
    let waits = |output: &&Output| matches!(output, Output::Send { after: Some(WriteId(1)), .. });
    assert_eq!(outputs(&mut replica).iter().filter(waits).count(), 2);
}

#[test]
fn promises_of_others_do_not_make_up_for_the_own_vow() {
    let mut replica = Replica::new(config(), Durable::default());
    replica.handle_appointed(b5(), set()).unwrap();
    take(&mut replica, B, Message::Promise(promise(Ballot::ZERO, 0)));
    take(&mut replica, C, Message::Promise(promise(Ballot::ZERO, 0)));
    assert_eq!(replica.role(), Role::Candidate);
    replica.handle_written(WriteId(1));
    assert_eq!(replica.role(), Role::Leader { ready: false, quorum: true });
}

#[test]
fn the_greatest_accepted_ballot_wins_over_the_longer_log() {
    let mut replica = candidate(6);
    let mut newer = promise(ballot(2, B.0), 3);
    newer.rounds.push(RoundStart { round: 2, base: 2 });
    take(&mut replica, B, Message::Promise(newer));
    let all = settle(&mut replica);
    assert!(matches!(all[0], Output::Truncate { end: 2, .. }), "{all:?}");
    let asks = all.iter().any(|output| {
        matches!(output, Output::Send { to: B, message: Message::Read(read), .. }
            if (read.from, read.end) == (2, 3))
    });
    assert!(asks, "{all:?}");
    let entries = Entries { ballot: b5(), from: 2, batches: batches(2..3, 2) };
    take(&mut replica, B, Message::Entries(entries));
    assert_eq!(replica.role(), Role::Leader { ready: false, quorum: true });
    assert_eq!(replica.log_end(), 3);
}

#[test]
fn of_equal_ballots_the_longer_log_wins_and_the_own_one_ties() {
    let mut replica = candidate(3);
    take(&mut replica, B, Message::Promise(promise(ballot(1, 9), 3)));
    assert_eq!(replica.role(), Role::Leader { ready: false, quorum: true }, "no copying");

    let mut replica = candidate(3);
    take(&mut replica, B, Message::Promise(promise(ballot(1, 9), 5)));
    assert_eq!(replica.role(), Role::Candidate);
    for (from, to) in [(3, 4), (3, 4), (4, 5)] {
        let entries = Entries { ballot: b5(), from, batches: batches(from..to, 1) };
        take(&mut replica, B, Message::Entries(entries));
    }
    assert_eq!(replica.log_end(), 5, "a repeated part does no harm");
    assert_eq!(replica.role(), Role::Leader { ready: false, quorum: true });
}

#[test]
fn entries_are_taken_from_the_chosen_source_only_and_not_beyond_it() {
    let mut replica = candidate(0);
    take(&mut replica, B, Message::Promise(promise(ballot(1, 9), 2)));
    let entries =
        |to| Message::Entries(Entries { ballot: b5(), from: 0, batches: batches(0..to, 1) });
    take(&mut replica, C, entries(2));
    assert_eq!(replica.log_end(), 0);
    assert_eq!(replica.handle_message(B, entries(3)), Err(InputError::MalformedBatches));
    take(&mut replica, B, entries(2));
    assert_eq!(replica.log_end(), 2);
}

#[test]
fn an_observer_neither_votes_nor_serves() {
    let mut replica = Replica::new(config(), Durable::default());
    replica.handle_appointed(b5(), set().with_observers(&[NodeId(7)])).unwrap();
    settle(&mut replica);
    take(&mut replica, NodeId(7), Message::Promise(promise(ballot(4, 9), 50)));
    assert_eq!(replica.role(), Role::Candidate);
    take(&mut replica, B, Message::Promise(promise(Ballot::ZERO, 0)));
    assert_eq!(replica.role(), Role::Leader { ready: false, quorum: true });
    assert_eq!(replica.log_end(), 0);
}

#[test]
fn strangers_do_not_vote() {
    let mut replica = candidate(0);
    take(&mut replica, NodeId(9), Message::Promise(promise(Ballot::ZERO, 0)));
    assert_eq!(replica.role(), Role::Candidate);
}

#[test]
fn a_joint_set_needs_promises_of_both_sides() {
    let mut replica = Replica::new(config(), Durable::default());
    let joint = ReplicaSet::joint(&[ME, B, C], &[NodeId(4), NodeId(5), NodeId(6)]);
    replica.handle_appointed(b5(), joint).unwrap();
    settle(&mut replica);
    for node in [2, 3, 4] {
        take(&mut replica, NodeId(node), Message::Promise(promise(Ballot::ZERO, 0)));
        assert_eq!(replica.role(), Role::Candidate);
    }
    take(&mut replica, NodeId(5), Message::Promise(promise(Ballot::ZERO, 0)));
    assert_eq!(replica.role(), Role::Leader { ready: false, quorum: true });
}

fn faulty(accepted_ballot: Ballot, end: u64, faulty_end: u64) -> Message {
    let mut promise = promise(accepted_ballot, end);
    promise.faulty_end = Some(faulty_end);
    Message::Promise(promise)
}

#[test]
fn what_is_faulty_is_waited_for() {
    let mut replica = candidate(3);
    take(&mut replica, B, faulty(ballot(1, 9), 3, 8));
    assert_eq!(replica.role(), Role::Candidate, "C may have accepted it, too");
    // C has it.
    take(&mut replica, C, Message::Promise(promise(ballot(1, 9), 8)));
    let entries = Entries { ballot: b5(), from: 3, batches: batches(3..8, 1) };
    take(&mut replica, C, Message::Entries(entries));
    assert_eq!(
        (replica.role(), replica.log_end()),
        (Role::Leader { ready: false, quorum: true }, 8)
    );
}

#[test]
fn what_is_faulty_is_discarded_when_two_of_three_surely_never_accepted_it() {
    let mut replica = candidate(3);
    take(&mut replica, B, faulty(ballot(1, 9), 3, 8));
    take(&mut replica, C, Message::Promise(promise(ballot(1, 9), 3)));
    assert_eq!(
        (replica.role(), replica.log_end()),
        (Role::Leader { ready: false, quorum: true }, 3)
    );
}

#[test]
fn faulty_claims_of_two_are_never_discarded() {
    let mut replica = candidate(3);
    take(&mut replica, B, faulty(ballot(1, 9), 3, 8));
    take(&mut replica, C, faulty(ballot(1, 9), 2, 8));
    for _ in 0..100 {
        replica.handle_tick();
    }
    assert_eq!(replica.role(), Role::Candidate);
}

#[test]
fn faulty_claims_under_an_older_ballot_are_answered_by_a_newer_log() {
    let mut replica = candidate(3);
    let mut newer = promise(ballot(2, B.0), 9);
    newer.rounds.push(RoundStart { round: 2, base: 5 });
    take(&mut replica, C, faulty(ballot(1, 9), 0, 50));
    assert_eq!(replica.role(), Role::Candidate);
    take(&mut replica, B, Message::Promise(newer));
    let all = outputs(&mut replica);
    let reads = all
        .iter()
        .any(|output| matches!(output, Output::Send { to: B, message: Message::Read(_), .. }));
    assert!(reads, "the newer log holds all that was chosen before it: {all:?}");
}

#[test]
fn decided_ends_are_learned_from_promises() {
    let mut replica = candidate(6);
    let mut knowing = promise(ballot(1, 9), 4);
    knowing.decided_end = 4;
    take(&mut replica, B, Message::Promise(knowing));
    assert_eq!(replica.decided_end(), 4, "the high watermark does not go back");
    assert_eq!(replica.handle_propose(&[proposal()]), Err(ProposeError::NotReady));
}

#[test]
fn a_higher_round_ends_the_candidacy_and_an_equal_one_does_not() {
    let mut replica = candidate(0);
    let nack = |promised| Message::Nack(Nack { ballot: b5(), promised });
    take(&mut replica, B, nack(ballot(5, B.0)));
    assert_eq!(replica.role(), Role::Candidate);
    take(&mut replica, B, nack(ballot(6, C.0)));
    assert_eq!((replica.role(), replica.leader_hint()), (Role::Follower, Some(C)));
}

#[test]
fn prepares_are_repeated_to_the_silent_only() {
    let mut replica = candidate(3);
    take(&mut replica, B, faulty(ballot(1, 9), 3, 8));
    settle(&mut replica);
    replica.handle_tick();
    replica.handle_tick();
    let silent: Vec<_> = messages(&mut replica).into_iter().map(|(to, _)| to).collect();
    assert_eq!(silent, vec![C]);
}

#[test]
fn a_candidate_gives_up_on_a_source_that_died() {
    let mut replica = candidate(0);
    take(&mut replica, B, Message::Promise(promise(ballot(1, 9), 2)));
    for _ in 0..config().check_quorum_ticks * 2 {
        replica.handle_tick();
    }
    assert_eq!(replica.role(), Role::Follower, "another round may find another source");
}

#[test]
fn a_source_that_lacks_what_is_decided_is_not_followed() {
    let durable = Durable {
        promised: ballot(1, 9),
        accepted_ballot: ballot(1, 9),
        log_end: 6,
        decided_end: 6,
        rounds: vec![RoundStart { round: 1, base: 0 }],
        ..Durable::default()
    };
    let mut replica = Replica::new(config(), durable);
    replica.handle_appointed(b5(), set()).unwrap();
    settle(&mut replica);
    take(&mut replica, B, Message::Promise(promise(ballot(2, 9), 3)));
    assert_eq!((replica.role(), replica.log_end()), (Role::Candidate, 6));
}

// ---- phase 2: adoption -----------------------------------------------------------------------

#[test]
fn the_adopted_log_is_decided_only_under_the_own_ballot() {
    let mut replica = candidate(4);
    take(&mut replica, B, Message::Promise(promise(ballot(1, 9), 4)));
    take(&mut replica, C, Message::Promise(promise(ballot(1, 9), 4)));
    settle(&mut replica);
    assert_eq!(replica.decided_end(), 0, "all three hold it, accepted under an older ballot");
    take(&mut replica, B, accepted(4));
    assert_eq!(replica.decided_end(), 4);
    assert_eq!(replica.role(), Role::Leader { ready: true, quorum: true });
}

#[test]
fn the_own_acceptance_counts_when_its_vow_is_durable() {
    let mut replica = candidate(0);
    take(&mut replica, B, Message::Promise(promise(Ballot::ZERO, 0)));
    take(&mut replica, B, accepted(0));
    assert_eq!(replica.role(), Role::Leader { ready: false, quorum: true });
    replica.handle_written(WriteId(2));
    assert_eq!(replica.role(), Role::Leader { ready: true, quorum: true });
}

#[test]
fn a_late_promise_is_adopted_and_then_fed() {
    let mut replica = leader();
    propose(&mut replica, 2);
    settle(&mut replica);
    take(&mut replica, C, Message::Promise(promise(ballot(1, 9), 3)));
    let all = outputs(&mut replica);
    let kinds: Vec<_> = all
        .iter()
        .filter_map(|output| match output {
            Output::Send { to: C, message: Message::Adopt(m), .. } => {
                Some(("adopt", m.from, m.adopted_end))
            }
            Output::Send { to: C, message: Message::Accept(m), .. } => {
                Some(("accept", m.base, m.base + m.batches.len() as u64))
            }
            _ => None,
        })
        .collect();
    assert_eq!(kinds, vec![("adopt", 0, 0), ("accept", 0, 2)], "what it holds diverges");
}

#[test]
fn a_follower_that_accepted_unheard_counts_at_once() {
    let mut replica = leader();
    propose(&mut replica, 3);
    settle(&mut replica);
    let mut knowing = promise(b5(), 3);
    knowing.rounds = vec![RoundStart { round: 5, base: 0 }];
    take(&mut replica, C, Message::Promise(knowing));
    assert_eq!(replica.decided_end(), 3);
}

#[test]
fn an_amnesiac_follower_is_prepared_anew() {
    let mut replica = leader();
    let nack = Message::Nack(Nack { ballot: b5(), promised: Ballot::ZERO });
    take(&mut replica, B, nack);
    let sent = messages(&mut replica);
    assert!(matches!(&sent[..], [(B, Message::Prepare(_))]), "{sent:?}");
    assert_eq!(replica.role(), Role::Leader { ready: true, quorum: true });
}

// ---- phase 2: pipeline -----------------------------------------------------------------------

#[test]
fn proposals_are_sent_at_once_and_decided_by_any_quorum() {
    let mut replica = leader();
    propose(&mut replica, 1);
    propose(&mut replica, 2);
    assert_eq!(accepts(&messages(&mut replica), B), vec![(0, 1), (1, 3)]);
    take(&mut replica, B, accepted(1));
    assert_eq!(replica.decided_end(), 0, "one of three");
    replica.handle_written(WriteId(4));
    assert_eq!((replica.durable_end(), replica.decided_end()), (3, 1));
    take(&mut replica, B, accepted(3));
    assert_eq!(replica.decided_end(), 3);
}

#[test]
fn the_quorum_need_not_include_the_leaders_own_disk() {
    let mut replica = leader();
    take(&mut replica, C, Message::Promise(promise(Ballot::ZERO, 0)));
    take(&mut replica, C, accepted(0));
    propose(&mut replica, 1);
    take(&mut replica, B, accepted(1));
    take(&mut replica, C, accepted(1));
    assert_eq!((replica.durable_end(), replica.decided_end()), (0, 1));
}

#[test]
fn the_window_bounds_what_is_under_way_to_a_follower() {
    let mut config = config();
    config.window_batch_count = 2;
    let mut replica = leader_with(config);
    propose(&mut replica, 5);
    assert_eq!(accepts(&messages(&mut replica), B), vec![(0, 2)]);
    take(&mut replica, B, accepted(1));
    assert_eq!(accepts(&messages(&mut replica), B), vec![(2, 3)]);
    take(&mut replica, B, accepted(3));
    assert_eq!(accepts(&messages(&mut replica), B), vec![(3, 5)]);
}

#[test]
fn the_window_counts_bytes_but_lets_any_batch_through_alone() {
    let mut config = config();
    config.window_size = 250;
    let mut replica = leader_with(config);
    let huge = Proposal { size: 9_999, ..proposal() };
    replica.handle_propose(&[proposal(), proposal(), huge, proposal()]).unwrap();
    assert_eq!(accepts(&messages(&mut replica), B), vec![(0, 2), (2, 3)], "one may overshoot");
    take(&mut replica, B, accepted(2));
    assert_eq!(accepts(&messages(&mut replica), B), vec![], "the huge one fills the window");
    take(&mut replica, B, accepted(3));
    assert_eq!(accepts(&messages(&mut replica), B), vec![(3, 4)]);
}

#[test]
fn one_message_holds_no_more_than_its_size() {
    let mut config = config();
    config.message_size = 200;
    let mut replica = leader_with(config);
    propose(&mut replica, 5);
    assert_eq!(accepts(&messages(&mut replica), B), vec![(0, 2), (2, 4), (4, 5)]);
}

#[test]
fn a_slow_follower_neither_slows_the_quorum_nor_holds_memory() {
    let mut config = config();
    config.window_batch_count = 4;
    config.cached_batch_count = 4;
    let mut replica = leader_with(config);
    take(&mut replica, C, Message::Promise(promise(Ballot::ZERO, 0)));
    take(&mut replica, C, accepted(0));
    outputs(&mut replica);
    for end in 1..=100 {
        propose(&mut replica, 1);
        settle(&mut replica);
        take(&mut replica, B, accepted(end));
        assert_eq!(replica.decided_end(), end);
    }
    outputs(&mut replica);
    // C wakes up: what was forgotten is read from the log.
    take(&mut replica, C, accepted(4));
    let all = outputs(&mut replica);
    let [Output::Read { read, from: 4, end: 96, .. }] = all[..] else { panic!("{all:?}") };
    replica.handle_read(read, batches(4..8, 5)).unwrap();
    assert_eq!(accepts(&messages(&mut replica), C), vec![(4, 8)]);
}

#[test]
fn a_gap_is_filled_from_where_the_follower_stands() {
    let mut replica = leader();
    propose(&mut replica, 1);
    propose(&mut replica, 1);
    propose(&mut replica, 1);
    messages(&mut replica);
    take(&mut replica, B, gap(1));
    assert_eq!(accepts(&messages(&mut replica), B), vec![(1, 3)]);
}

#[test]
fn reads_that_fail_or_come_late_do_no_harm() {
    let mut config = config();
    config.cached_batch_count = 0;
    let mut replica = leader_with(config);
    propose(&mut replica, 4);
    settle(&mut replica);
    take(&mut replica, B, accepted(4));
    outputs(&mut replica);
    take(&mut replica, B, gap(2));
    let all = outputs(&mut replica);
    let [Output::Read { read, from: 2, end: 4, .. }] = all[..] else { panic!("{all:?}") };
    replica.handle_read(read, vec![]).unwrap();
    assert_eq!(messages(&mut replica), vec![], "unreadable: the next tick tries again");
    replica.handle_read(read, batches(2..4, 5)).unwrap();
    assert_eq!(messages(&mut replica), vec![], "answered already");
}

#[test]
fn a_read_that_does_not_fit_is_refused() {
    let mut config = config();
    config.cached_batch_count = 0;
    let mut replica = leader_with(config);
    propose(&mut replica, 4);
    settle(&mut replica);
    take(&mut replica, B, accepted(4));
    outputs(&mut replica);
    take(&mut replica, B, gap(2));
    let all = outputs(&mut replica);
    let [Output::Read { read, .. }] = all[..] else { panic!("{all:?}") };
    let error = replica.handle_read(read, batches(1..4, 5));
    assert_eq!(error, Err(InputError::MalformedBatches));
}

#[test]
fn a_follower_below_the_log_start_is_told_to_begin_there() {
    let mut replica = leader();
    propose(&mut replica, 6);
    settle(&mut replica);
    take(&mut replica, B, accepted(6));
    replica.handle_trimmed(5);
    outputs(&mut replica);
    take(&mut replica, C, Message::Promise(promise(Ballot::ZERO, 0)));
    let sent = messages(&mut replica);
    let Some((C, Message::Adopt(adopt))) = sent.first() else { panic!("{sent:?}") };
    assert_eq!((adopt.log_start, adopt.from, adopt.restart), (5, 5, true));
}

#[test]
fn decided_is_told_once_when_the_pipeline_is_empty() {
    let mut replica = leader();
    propose(&mut replica, 1);
    propose(&mut replica, 1);
    settle(&mut replica);
    take(&mut replica, B, accepted(1));
    let sent = messages(&mut replica);
    assert_eq!(sent, vec![], "another accept is under way, its answer will do");
    take(&mut replica, B, accepted(2));
    let sent = messages(&mut replica);
    assert!(matches!(&sent[..], [(B, Message::Decide(m))] if m.decided_end == 2), "{sent:?}");
    take(&mut replica, B, accepted(2));
    assert_eq!(messages(&mut replica), vec![]);
}

// ---- time ------------------------------------------------------------------------------------

#[test]
fn a_silent_quorum_stops_proposals_and_any_contact_brings_them_back() {
    let mut replica = leader();
    for _ in 0..config().check_quorum_ticks {
        replica.handle_tick();
    }
    assert_eq!(replica.role(), Role::Leader { ready: true, quorum: false });
    assert_eq!(replica.handle_propose(&[proposal()]), Err(ProposeError::QuorumLost));
    replica.handle_contact(C);
    replica.handle_tick();
    assert_eq!(replica.role(), Role::Leader { ready: true, quorum: true });
    assert!(replica.handle_propose(&[proposal()]).is_ok());
}

#[test]
fn an_idle_leader_is_silent_unless_heartbeats_are_on() {
    let mut replica = leader();
    take(&mut replica, C, Message::Promise(promise(Ballot::ZERO, 0)));
    take(&mut replica, C, accepted(0));
    settle(&mut replica);
    for _ in 0..50 {
        replica.handle_tick();
    }
    let sent = messages(&mut replica);
    assert_eq!(sent, vec![]);

    let mut config = config();
    config.heartbeat_ticks = 5;
    let mut replica = leader_with(config);
    for _ in 0..10 {
        replica.handle_tick();
    }
    let probes = messages(&mut replica).into_iter().filter(|(to, message)| {
        *to == B && matches!(message, Message::Decide(decide) if decide.probe)
    });
    assert_eq!(probes.count(), 2);
}

#[test]
fn an_unanswered_accept_is_followed_by_a_probe_not_by_itself() {
    let mut replica = leader();
    propose(&mut replica, 1);
    messages(&mut replica);
    replica.handle_tick();
    assert_eq!(messages(&mut replica), vec![]);
    replica.handle_tick();
    let sent: Vec<_> = messages(&mut replica).into_iter().filter(|(to, _)| *to == B).collect();
    assert!(
        matches!(&sent[..], [(B, Message::Decide(m))] if m.probe && m.sent_end == 1),
        "{sent:?}"
    );
}

// ---- losing the lead -------------------------------------------------------------------------

#[test]
fn a_superseded_leader_steps_down_and_decides_nothing_more() {
    let mut replica = leader();
    propose(&mut replica, 1);
    take(&mut replica, B, Message::Nack(Nack { ballot: b5(), promised: ballot(6, C.0) }));
    assert_eq!(replica.role(), Role::Follower);
    let hint = Some(C);
    assert_eq!(replica.handle_propose(&[proposal()]), Err(ProposeError::NotLeader { hint }));
    take(&mut replica, B, accepted(1));
    settle(&mut replica);
    assert_eq!(replica.decided_end(), 0);
}

#[test]
fn answers_of_another_ballot_are_ignored() {
    let mut replica = leader();
    propose(&mut replica, 1);
    settle(&mut replica);
    let old = Accepted { ballot: ballot(4, ME.0), durable_end: 1, gap: None };
    take(&mut replica, B, Message::Accepted(old));
    assert_eq!(replica.decided_end(), 0);
}

#[test]
fn impossible_answers_are_refused() {
    let mut replica = leader();
    propose(&mut replica, 1);
    settle(&mut replica);
    let error = replica.handle_message(B, accepted(9));
    assert_eq!(error, Err(InputError::ContradictsDecided), "more than was ever sent");
    let mut promise = promise(Ballot::ZERO, 3);
    promise.decided_end = 4;
    let error = replica.handle_message(C, Message::Promise(promise));
    assert_eq!(error, Err(InputError::MalformedPromise));
    assert_eq!(replica.decided_end(), 0);
}
