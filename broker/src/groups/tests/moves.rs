//! Another broker takes over in each state that a group can be in.

use super::*;

#[test]
fn sessions_begin_anew_after_a_move() {
    let mut lab = Lab::new();
    let members = lab.stable(2);
    lab.pass(9_500);
    lab.take_over();
    lab.pass(9_500);
    for member in &members {
        assert_eq!(lab.heartbeat(member), Ok(()), "nobody expired by the move");
    }
    lab.pass(10_100);
    assert_eq!(lab.heartbeat(&members[0]), Err(GroupError::UnknownMember));
    lab.pass(100);
    assert_eq!(lab.phase(), "Empty");
}

#[test]
fn a_move_while_members_gather() {
    let mut lab = Lab::new();
    let (id, waiting) = lab.send_join_anew();
    lab.take_over();
    assert_eq!(waiting.now().error, Some(GroupError::NotCoordinator));
    assert_eq!(lab.send_join(join(&id)).now().error, Some(GroupError::UnknownMember));
    let claims = lab.stable(1);
    assert_eq!(claims[0].generation, 1);
}

#[test]
fn a_move_during_a_rebalance() {
    let mut lab = Lab::new();
    let members = lab.stable(2);
    let (newcomer, waiting) = lab.send_join_anew();
    let rejoining = lab.send_join(join(&members[0].member));
    lab.take_over();
    assert_eq!(waiting.now().error, Some(GroupError::NotCoordinator));
    assert_eq!(rejoining.now().error, Some(GroupError::NotCoordinator));
    assert_eq!(lab.phase(), "Stable", "the last generation that was decided");
    assert_eq!(lab.heartbeat(&members[1]), Ok(()));
    assert_eq!(lab.send_join(join(&newcomer)).now().error, Some(GroupError::UnknownMember));
    assert_eq!(lab.send_commit(&members[1], 3).now(), Ok(vec![Ok(())]));
}

#[test]
fn a_move_while_assignments_are_due() {
    let mut lab = Lab::new();
    let members = lab.stable(2);
    let leader = lab.send_join(join(&members[0].member));
    let follower = lab.send_join(join(&members[1].member));
    assert_eq!(joined(&leader.now()).generation, 2);
    joined(&follower.now());
    let sync = lab.send_sync(claim(&members[1].member, 2), &[]);
    lab.take_over();
    assert_eq!(sync.now(), Err(GroupError::NotCoordinator));
    let next = claim(&members[1].member, 2);
    assert_eq!(lab.heartbeat(&next), Err(GroupError::IllegalGeneration));
    let mut again = lab.send_join(join(&members[0].member));
    assert!(again.is_waiting(), "they gather once more");
    lab.send_join(join(&members[1].member));
    assert_eq!(joined(&again.now()).generation, 2, "nobody had an assignment of it");
}

#[test]
fn a_move_while_assignments_are_on_their_way_into_the_log() {
    for decided in [true, false] {
        let mut lab = Lab::new();
        let members = lab.stable(1);
        let leader = lab.send_join(join(&members[0].member)).now();
        assert_eq!(joined(&leader).generation, 2);
        lab.deciding = false;
        let id = &members[0].member;
        let sync = lab.send_sync(claim(id, 2), &[(id, "new")]);
        if decided {
            // Chosen, but the old coordinator never hears of it.
            let proposal = lab.proposed.take().unwrap();
            lab.log.extend(proposal.records);
        }
        lab.deciding = true;
        lab.take_over();
        assert_eq!(sync.now(), Err(GroupError::NotCoordinator));
        let expected = if decided { Ok(()) } else { Err(GroupError::IllegalGeneration) };
        assert_eq!(lab.heartbeat(&claim(id, 2)), expected);
    }
}

#[test]
fn a_move_while_the_last_one_leaves() {
    let mut lab = Lab::new();
    let members = lab.stable(1);
    lab.deciding = false;
    let leaving = lab.send_leave(&members[0].member);
    lab.deciding = true;
    lab.take_over();
    assert_eq!(leaving.now(), Err(GroupError::NotCoordinator));
    assert_eq!(lab.heartbeat(&members[0]), Ok(()), "it never left, as far as anybody was told");
    lab.pass(10_200);
    assert_eq!(lab.phase(), "Empty");
}

#[test]
fn a_move_of_a_group_without_members_keeps_its_generation() {
    let mut lab = Lab::new();
    let members = lab.stable(1);
    assert_eq!(lab.send_leave(&members[0].member).now(), Ok(vec![Ok(())]));
    assert_eq!(lab.phase(), "Empty");
    lab.take_over();
    assert_eq!(lab.phase(), "Empty");
    assert_eq!(lab.heartbeat(&members[0]), Err(GroupError::UnknownMember));
    assert_eq!(lab.stable(1)[0].generation, 3, "2 was that without members");
}

#[test]
fn a_move_while_a_group_is_deleted() {
    for decided in [true, false] {
        let mut lab = Lab::new();
        let claim = Claim { group: "g".into(), generation: -1, ..Claim::default() };
        assert_eq!(lab.send_commit(&claim, 1).now(), Ok(vec![Ok(())]));
        lab.deciding = false;
        let deleted = lab.ask(|reply| GroupRequest::Delete(vec!["g".into()], reply));
        if decided {
            let proposal = lab.proposed.take().unwrap();
            lab.log.extend(proposal.records);
        }
        lab.deciding = true;
        lab.take_over();
        assert_eq!(deleted.now(), Err(GroupError::NotCoordinator));
        let (phase, committed) = if decided { ("Dead", None) } else { ("Empty", Some(1)) };
        assert_eq!((lab.phase(), lab.committed("g")), (phase, committed));
        lab.take_over();
        assert_eq!((lab.phase(), lab.committed("g")), (phase, committed));
    }
}

#[test]
fn commits_under_way_are_unknown_and_then_one_or_the_other() {
    let mut lab = Lab::new();
    let claim = Claim { group: "g".into(), generation: -1, ..Claim::default() };
    lab.deciding = false;
    let first = lab.send_commit(&claim, 1);
    let second = lab.send_commit(&claim, 2);
    lab.deciding = true;
    lab.take_over();
    assert_eq!(first.now(), Err(GroupError::NotCoordinator));
    assert_eq!(second.now(), Err(GroupError::NotCoordinator));
    assert_eq!(lab.committed("g"), None);
}

#[test]
fn a_deposed_coordinator_tells_no_offsets() {
    let mut lab = Lab::new();
    let claim = Claim { group: "g".into(), generation: -1, ..Claim::default() };
    assert_eq!(lab.send_commit(&claim, 1).now(), Ok(vec![Ok(())]));
    // Nobody answers any more: it was deposed, and others may have committed since.
    lab.confirming = false;
    let fetch = || Fetch { group: "g".into(), partitions: Some(vec![partition("t", 0)]) };
    let mut first = lab.ask(|reply| GroupRequest::Fetch(fetch(), reply));
    let mut second = lab.ask(|reply| GroupRequest::Fetch(fetch(), reply));
    let mut absent = lab.ask(|reply| GroupRequest::Delete(vec!["absent".into()], reply));
    lab.pass(1_000);
    assert!(first.is_waiting() && second.is_waiting() && absent.is_waiting());
    lab.take_over();
    assert_eq!(first.now(), Err(GroupError::NotCoordinator));
    assert_eq!(second.now(), Err(GroupError::NotCoordinator));
    assert_eq!(absent.now(), Err(GroupError::NotCoordinator));
    lab.confirming = true;
    assert_eq!(lab.committed("g"), Some(1), "its successor knows");
}

#[test]
fn without_a_quorum_offsets_are_not_available() {
    let mut lab = Lab::new();
    lab.confirming = false;
    let fetch = Fetch { group: "g".into(), partitions: None };
    let waiting = lab.ask(|reply| GroupRequest::Fetch(fetch, reply));
    lab.coordinator.reads_mut().handle_unconfirmed();
    assert_eq!(waiting.now(), Err(GroupError::NotAvailable));
    lab.confirming = true;
    assert_eq!(lab.fetch_all("g"), []);
}

#[test]
fn requests_before_the_log_is_read_are_told_so() {
    let mut lab = Lab::new();
    let state = GroupsState::default();
    lab.coordinator = Coordinator::new(state, 0, lab.config.clone(), Arc::default());
    assert_eq!(lab.heartbeat(&claim(&"m".into(), 1)), Err(GroupError::Loading));
    let answer = lab.send_join(join("m")).now();
    assert_eq!((answer.error, answer.member), (Some(GroupError::Loading), "m".into()));
    assert_eq!(lab.ask(GroupRequest::List).now(), Err(GroupError::Loading));
}

#[test]
fn a_damaged_record_is_an_error_and_an_unknown_one_is_not() {
    let mut lab = Lab::new();
    let record = |key: &'static [u8]| EncodedRecord {
        key: Some(Bytes::from_static(key)),
        value: Some(Bytes::from_static(b"?")),
    };
    let newer = record(b"\0\x63anything");
    lab.coordinator.handle_decided(0, &[newer]).expect("passed over");
    assert!(lab.coordinator.handle_decided(1, &[record(b"\0\x01\0\x05g")]).is_err());
    assert!(lab.coordinator.handle_decided(1, &[record(b"\0\x02\0\x01g")]).is_err());
}
