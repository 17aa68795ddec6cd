//! Phase 1: promises, the choice of a log, and its copy.

use super::*;

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

/// What was accepted by a damaged replica alone cannot have been chosen.
#[test]
fn a_damaged_replica_that_alone_accepted_the_latest_ballot_is_passed_over() {
    let mut replica = candidate(8);
    take(&mut replica, B, faulty(ballot(2, B.0), 3, 8));
    assert_eq!(replica.role(), Role::Candidate, "C may have accepted under ballot 2, too");
    take(&mut replica, C, Message::Promise(promise(ballot(1, 9), 6)));
    assert_eq!(
        (replica.role(), replica.log_end()),
        (Role::Leader { ready: false, quorum: true }, 8),
        "the log of ballot 1"
    );
}

#[test]
fn one_that_accepted_the_latest_ballot_and_is_whole_tells_how_far_it_was_accepted() {
    let mut replica = candidate(8);
    take(&mut replica, B, faulty(ballot(2, B.0), 3, 8));
    take(&mut replica, C, Message::Promise(promise(ballot(2, B.0), 5)));
    assert_eq!(
        (replica.role(), replica.log_end()),
        (Role::Leader { ready: false, quorum: true }, 5),
        "beyond that only B accepted anything under ballot 2"
    );
}

#[test]
fn an_older_ballot_is_not_passed_over_where_its_log_is_damaged_as_well() {
    let mut replica = candidate(5);
    take(&mut replica, B, faulty(ballot(2, B.0), 3, 8));
    take(&mut replica, C, faulty(ballot(1, 9), 3, 8));
    assert_eq!(replica.role(), Role::Candidate, "B and C may have had up to 8 chosen");

    let mut replica = candidate(8);
    take(&mut replica, B, faulty(ballot(2, B.0), 3, 8));
    take(&mut replica, C, faulty(ballot(1, 9), 3, 8));
    assert_eq!(
        (replica.role(), replica.log_end()),
        (Role::Leader { ready: false, quorum: true }, 8),
        "all that anybody claims is here"
    );
}

/// Batches chosen before the change needed nobody of the new voters.
#[test]
fn new_voters_deny_nothing_of_the_old_ones() {
    let mut replica = candidate(3);
    let joint = ReplicaSet::joint(&[ME, NodeId(4), NodeId(5)], &[ME, B, C]);
    replica.handle_appointed(Ballot::new(6, ME), joint).unwrap();
    settle(&mut replica);
    let under_6 = |promise| Promise { ballot: Ballot::new(6, ME), ..promise };
    let damaged = Promise { faulty_end: Some(8), ..promise(ballot(1, 9), 3) };
    take(&mut replica, B, Message::Promise(under_6(damaged)));
    for node in [4, 5] {
        take(&mut replica, NodeId(node), Message::Promise(under_6(promise(Ballot::ZERO, 0))));
    }
    assert_eq!(replica.role(), Role::Candidate, "B and C may have had up to 8 chosen");
    take(&mut replica, C, Message::Promise(under_6(promise(ballot(1, 9), 3))));
    assert_eq!(replica.role(), Role::Leader { ready: false, quorum: true });
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
