//! Phase 2: adoption, the pipeline, and the end of a leadership.

use super::*;

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
fn a_follower_that_lost_what_it_adopted_gets_all_of_it_again() {
    let mut config = config();
    config.window_batch_count = 2;
    let mut replica = candidate_with(config, 6);
    take(&mut replica, B, Message::Promise(promise(ballot(1, 9), 6)));
    settle(&mut replica);
    take(&mut replica, B, accepted(6));
    outputs(&mut replica);
    take(&mut replica, B, gap(0));
    for from in [0, 2, 4] {
        let all = outputs(&mut replica);
        let [Output::Read { read, from: at, .. }] = all[..] else { panic!("{all:?}") };
        assert_eq!(at, from);
        replica.handle_read(read, batches(from..from + 2, 1)).unwrap();
        assert_eq!(accepts(&messages(&mut replica), B), vec![(from, from + 2)]);
        take(&mut replica, B, accepted(from + 2));
    }
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
