//! Members come, stay and go.

use super::*;
use crate::groups::Cause;
use crate::groups::request::{Described, Listed};

#[test]
fn a_first_member_waits_for_others_and_leads() {
    let mut lab = Lab::new();
    let (first, mut waiting) = lab.send_join_anew();
    lab.pass(2_900);
    assert!(waiting.is_waiting(), "the first generation waits for more members");
    let (second, mut also_waiting) = lab.send_join_anew();
    lab.pass(2_900);
    assert!(waiting.is_waiting() && also_waiting.is_waiting(), "and a little longer for each");
    assert_eq!(lab.phase(), "PreparingRebalance");
    lab.pass(3_200);
    let (leader, follower) = (waiting.now(), also_waiting.now());
    let told = joined(&leader);
    assert_eq!((told.generation, &told.leader), (1, &first));
    assert_eq!(told.protocol.as_deref(), Some("range"));
    assert_eq!(told.members.iter().map(|m| &m.id).collect::<Vec<_>>(), [&first, &second]);
    assert_eq!(told.members[1].metadata, metadata());
    assert_eq!((joined(&follower).generation, joined(&follower).members.len()), (1, 0));
    assert_eq!(lab.phase(), "CompletingRebalance");

    let mut sync = lab.send_sync(claim(&second, 1), &[]);
    assert!(sync.is_waiting(), "the leader's assignments are missing");
    let leading = lab.send_sync(claim(&first, 1), &[(&first, "one"), (&second, "two")]);
    assert_eq!(leading.now().unwrap().assignment, "one");
    let synced = sync.now().unwrap();
    assert_eq!(synced.assignment, "two");
    assert_eq!(synced.protocol.as_deref(), Some("range"));
    assert_eq!(lab.heartbeat(&claim(&second, 1)), Ok(()));
    let again = lab.send_sync(claim(&second, 1), &[]).now();
    assert_eq!(again.unwrap().assignment, "two", "a stable group tells again");
}

#[test]
fn assignments_are_told_only_when_they_are_decided() {
    let mut lab = Lab::prompt();
    let (id, waiting) = lab.send_join_anew();
    lab.pass(100);
    assert_eq!(joined(&waiting.now()).generation, 1);
    lab.deciding = false;
    let mut sync = lab.send_sync(claim(&id, 1), &[(&id, "all")]);
    assert!(sync.is_waiting());
    assert_eq!(lab.phase(), "CompletingRebalance");
    lab.deciding = true;
    lab.step();
    assert_eq!(sync.now().unwrap().assignment, "all");
}

#[test]
fn assignments_that_cannot_be_written_begin_another_rebalance() {
    let mut lab = Lab::prompt();
    let (id, waiting) = lab.send_join_anew();
    lab.pass(100);
    assert_eq!(joined(&waiting.now()).generation, 1);
    lab.deciding = false;
    let sync = lab.send_sync(claim(&id, 1), &[(&id, "all")]);
    lab.refuse();
    assert_eq!(sync.now(), Err(GroupError::NotAvailable));
    assert_eq!(lab.phase(), "PreparingRebalance");
    assert_eq!(lab.heartbeat(&claim(&id, 1)), Err(GroupError::RebalanceInProgress));
}

#[test]
fn assignments_too_large_for_a_record_are_refused() {
    let mut lab = Lab::prompt();
    let (id, waiting) = lab.send_join_anew();
    lab.pass(100);
    joined(&waiting.now());
    let assignments = vec![(id.clone(), Bytes::from(vec![0; 2 << 20]))];
    let sync = Sync { claim: claim(&id, 1), assignments, ..Sync::default() };
    let sync = lab.ask(|reply| GroupRequest::Sync(Box::new(sync), reply));
    assert_eq!(sync.now(), Err(GroupError::TooLarge));
    let mut large = join("");
    large.protocols[0].metadata = Bytes::from(vec![0; 8 << 20]);
    assert_eq!(lab.send_join(large).now().error, Some(GroupError::TooLarge));
}

#[test]
fn a_newcomer_makes_the_others_join_again() {
    let mut lab = Lab::new();
    let old = lab.stable(2);
    let (_, mut waiting) = lab.send_join_anew();
    assert_eq!(lab.phase(), "PreparingRebalance");
    assert_eq!(lab.heartbeat(&old[0]), Err(GroupError::RebalanceInProgress));
    assert_eq!(lab.send_sync(old[0].clone(), &[]).now(), Err(GroupError::RebalanceInProgress));
    let leader = lab.send_join(join(&old[0].member));
    assert!(waiting.is_waiting(), "one is still missing");
    let follower = lab.send_join(join(&old[1].member));
    for answer in [leader, follower, waiting] {
        assert_eq!(joined(&answer.now()).generation, 2);
    }
    assert_eq!(lab.heartbeat(&old[0]), Err(GroupError::IllegalGeneration));
}

#[test]
fn who_does_not_join_again_in_time_is_out() {
    let mut lab = Lab::new();
    let old = lab.stable(3);
    let (newcomer, mut waiting) = lab.send_join_anew();
    let mut second = lab.send_join(join(&old[1].member));
    for _ in 0..29 {
        lab.pass(1_000);
        assert!(waiting.is_waiting() && second.is_waiting());
        for slow in [&old[0], &old[2]] {
            assert_eq!(lab.heartbeat(slow), Err(GroupError::RebalanceInProgress));
        }
    }
    lab.pass(1_000);
    let told = second.now();
    assert_eq!(joined(&told).leader, old[1].member, "a leader that stayed away leads no more");
    assert_eq!(joined(&told).members.len(), 2);
    assert_eq!(joined(&waiting.now()).leader, old[1].member);
    assert_eq!(lab.heartbeat(&old[0]), Err(GroupError::UnknownMember));
    assert_eq!(lab.send_join(join(&old[2].member)).now().error, Some(GroupError::UnknownMember));
    assert_eq!(lab.heartbeat(&claim(&newcomer, 2)), Ok(()));
}

#[test]
fn silence_ends_a_membership() {
    let mut lab = Lab::new();
    let members = lab.stable(2);
    for _ in 0..5 {
        lab.pass(1_900);
        assert_eq!(lab.heartbeat(&members[0]), Ok(()));
    }
    lab.pass(800);
    assert_eq!(lab.heartbeat(&members[0]), Err(GroupError::RebalanceInProgress));
    assert_eq!(lab.heartbeat(&members[1]), Err(GroupError::UnknownMember));
    let answer = lab.send_join(join(&members[0].member));
    assert_eq!(joined(&answer.now()).members.len(), 1);
}

#[test]
fn a_pause_of_the_process_expires_nobody() {
    let mut lab = Lab::new();
    let members = lab.stable(2);
    lab.now.mono_ms += 3_600_000;
    lab.coordinator.handle_tick(lab.now);
    lab.step();
    for member in &members {
        assert_eq!(lab.heartbeat(member), Ok(()));
    }
    lab.now.wall_ms += 10 * 365 * 86_400_000;
    lab.pass(1_000);
    lab.now.wall_ms = 0;
    lab.pass(1_000);
    for member in &members {
        assert_eq!(lab.heartbeat(member), Ok(()), "the wall clock has no say");
    }
}

#[test]
fn the_last_one_to_leave_empties_the_group() {
    let mut lab = Lab::new();
    let members = lab.stable(2);
    assert_eq!(lab.send_leave(&members[0].member).now(), Ok(vec![Ok(())]));
    let answer = lab.send_join(join(&members[1].member)).now();
    assert_eq!(joined(&answer).leader, members[1].member);
    assert_eq!(joined(&answer).generation, 2);
    lab.deciding = false;
    let mut leaving = lab.send_leave(&members[1].member);
    assert!(leaving.is_waiting(), "that the group is empty is not decided");
    lab.deciding = true;
    lab.step();
    assert_eq!(leaving.now(), Ok(vec![Ok(())]));
    assert_eq!(lab.phase(), "Empty");
    assert_eq!(lab.coordinator.state().group("g").unwrap().stored.as_ref().unwrap().generation, 3);
    assert!(lab.coordinator.groups.is_empty(), "the log knows all of it");
    let (_, waiting) = lab.send_join_anew();
    lab.pass(3_100);
    assert_eq!(joined(&waiting.now()).generation, 4, "generations are not used again");
    assert_eq!(lab.send_leave(&members[0].member).now(), Ok(vec![Err(GroupError::UnknownMember)]));
}

#[test]
fn an_empty_group_is_written_once_there_is_space() {
    let mut lab = Lab::new();
    let members = lab.stable(1);
    lab.deciding = false;
    let leaving = lab.send_leave(&members[0].member);
    lab.refuse();
    assert_eq!(leaving.now(), Err(GroupError::NotAvailable));
    assert_eq!(lab.phase(), "Empty");
    lab.deciding = true;
    lab.pass(100);
    let stored = lab.coordinator.state().group("g").unwrap().stored.clone().unwrap();
    assert_eq!((stored.generation, stored.members.len()), (2, 0));
}

#[test]
fn ids_that_nobody_comes_back_with_hold_nothing_up_for_ever() {
    let mut lab = Lab::new();
    let members = lab.stable(1);
    let pending = lab.send_join(join("")).now();
    assert_eq!(pending.error, Some(GroupError::MemberIdRequired));
    let other = join("");
    lab.send_join(Join { can_come_back: false, ..other });
    let mut again = lab.send_join(join(&members[0].member));
    assert!(again.is_waiting(), "the id was given out");
    lab.pass(10_100);
    assert_eq!(joined(&again.now()).members.len(), 2);
    let late = lab.send_join(join(&pending.member)).now();
    assert_eq!(late.error, Some(GroupError::UnknownMember));
}

#[test]
fn members_need_a_protocol_in_common() {
    let mut lab = Lab::new();
    let members = lab.stable(1);
    let refused = Some(GroupError::InconsistentProtocol);
    let other = Join { protocols: protocols(&["sticky"]), ..join("") };
    assert_eq!(lab.send_join(other).now().error, refused);
    let other = Join { protocol_type: "connect".into(), ..join("") };
    assert_eq!(lab.send_join(other).now().error, refused);
    let other = Join { protocols: Vec::new(), ..join(&members[0].member) };
    assert_eq!(lab.send_join(other).now().error, refused);
    let nothing = Join { group: "h".into(), protocol_type: "".into(), ..join("") };
    assert_eq!(lab.send_join(nothing).now().error, refused);
    // One who knows only the second protocol decides it for all.
    let narrow = Join { protocols: protocols(&["roundrobin"]), can_come_back: false, ..join("") };
    let waiting = lab.send_join(narrow);
    lab.send_join(join(&members[0].member));
    assert_eq!(joined(&waiting.now()).protocol.as_deref(), Some("roundrobin"));
}

#[test]
fn a_sync_must_name_the_groups_protocols() {
    let mut lab = Lab::new();
    let members = lab.stable(1);
    let mut sync = Sync { claim: members[0].clone(), ..Sync::default() };
    sync.protocol = Some("roundrobin".into());
    let answer = lab.ask(|reply| GroupRequest::Sync(Box::new(sync.clone()), reply)).now();
    assert_eq!(answer, Err(GroupError::InconsistentProtocol));
    sync.protocol = Some("range".into());
    sync.protocol_type = Some("consumer".into());
    assert!(lab.ask(|reply| GroupRequest::Sync(Box::new(sync), reply)).now().is_ok());
    for (claim, error) in [
        (claim(&members[0].member, 9), GroupError::IllegalGeneration),
        (claim(&"nobody".into(), 1), GroupError::UnknownMember),
        (Claim { group: "none".into(), ..members[0].clone() }, GroupError::UnknownMember),
        (Claim { group: "".into(), ..members[0].clone() }, GroupError::InvalidGroup),
    ] {
        assert_eq!(lab.heartbeat(&claim), Err(error));
        assert_eq!(lab.send_sync(claim, &[]).now(), Err(error));
    }
}

#[test]
fn who_never_syncs_is_out() {
    let mut lab = Lab::new();
    let (first, one) = lab.send_join_anew();
    let (second, two) = lab.send_join_anew();
    lab.pass(6_100);
    joined(&one.now());
    joined(&two.now());
    assert!(lab.send_sync(claim(&first, 1), &[(&first, "all")]).now().is_ok());
    for _ in 0..30 {
        lab.pass(1_000);
        let _ = (lab.heartbeat(&claim(&first, 1)), lab.heartbeat(&claim(&second, 1)));
    }
    assert_eq!(lab.heartbeat(&claim(&second, 1)), Err(GroupError::UnknownMember));
    assert_eq!(lab.phase(), "PreparingRebalance");
}

#[test]
fn time_outs_and_names_are_checked() {
    let mut lab = Lab::new();
    for (session_timeout_ms, error) in [
        (5_999, GroupError::InvalidSessionTimeout),
        (1_800_001, GroupError::InvalidSessionTimeout),
        (-1, GroupError::InvalidSessionTimeout),
        (6_000, GroupError::MemberIdRequired),
        (1_800_000, GroupError::MemberIdRequired),
    ] {
        let answer = lab.send_join(Join { session_timeout_ms, ..join("") }).now();
        assert_eq!(answer.error, Some(error), "{session_timeout_ms}");
    }
    let nameless = Join { group: "".into(), ..join("") };
    assert_eq!(lab.send_join(nameless).now().error, Some(GroupError::InvalidGroup));
    let stranger = Join { group: "new".into(), ..join("stranger") };
    assert_eq!(lab.send_join(stranger).now().error, Some(GroupError::UnknownMember));
}

#[test]
fn a_full_group_takes_nobody() {
    let config = GroupConfig { max_size: 2, ..GroupConfig::default() };
    let mut lab = Lab::with(config);
    let members = lab.stable(2);
    let answer = lab.send_join(join("")).now();
    assert_eq!((answer.error, answer.member), (Some(GroupError::GroupFull), "".into()));
    assert_eq!(lab.heartbeat(&members[1]), Ok(()));
    lab.config = Arc::new(GroupConfig { max_size: 1, ..GroupConfig::default() });
    lab.take_over();
    assert_eq!(lab.phase(), "PreparingRebalance", "too large for this coordinator");
    let mut first = lab.send_join(join(&members[0].member));
    assert!(first.is_waiting());
    let second = lab.send_join(join(&members[1].member)).now();
    assert_eq!(second.error, Some(GroupError::GroupFull));
    assert_eq!(joined(&first.now()).members.len(), 1);
}

/// Members that died without a word hold their places until their sessions end, and no longer.
#[test]
fn a_group_full_of_the_dead_has_room_once_their_sessions_end() {
    let mut lab = Lab::with(GroupConfig { max_size: 3, ..GroupConfig::default() });
    let dead = lab.stable(3);
    let still_full = lab.send_join(join("")).now();
    assert_eq!(still_full.error, Some(GroupError::GroupFull));
    lab.pass(10_100);
    assert_eq!(lab.phase(), "Empty");
    for claim in &dead {
        assert_eq!(lab.heartbeat(claim), Err(GroupError::UnknownMember));
    }
    let (newcomer, waiting) = lab.send_join_anew();
    lab.pass(6_100);
    let answer = waiting.now();
    let answer = joined(&answer);
    assert_eq!((answer.members.len(), &answer.leader), (1, &newcomer));
    assert!(answer.generation > dead[0].generation);
}

#[test]
fn joins_again_while_nothing_changed_are_answered_at_once() {
    let mut lab = Lab::new();
    let members = lab.stable(2);
    let follower = lab.send_join(join(&members[1].member)).now();
    assert_eq!((joined(&follower).generation, lab.phase()), (1, "Stable"));
    let changed = Join { protocols: protocols(&["range"]), ..join(&members[1].member) };
    let mut waiting = lab.send_join(changed);
    assert!(waiting.is_waiting(), "another subscription needs a rebalance");
    let leader = lab.send_join(join(&members[0].member)).now();
    assert_eq!(joined(&leader).generation, 2);
    let again = lab.send_join(join(&members[0].member)).now();
    assert_eq!(joined(&again).members.len(), 2, "the leader may ask again before it syncs");
    assert_eq!(joined(&waiting.now()).generation, 2);
    let mut alone = lab.send_join(join(&members[0].member));
    assert_eq!(joined(&alone.poll().unwrap()).generation, 2);
}

#[test]
fn a_leader_that_joins_again_wants_a_rebalance() {
    let mut lab = Lab::new();
    let members = lab.stable(1);
    let answer = lab.send_join(join(&members[0].member)).now();
    assert_eq!(joined(&answer).generation, 2);
}

#[test]
fn tools_see_groups_and_members() {
    let mut lab = Lab::new();
    let members = lab.stable(2);
    lab.send_commit(&Claim { group: "simple".into(), generation: -1, ..Claim::default() }, 1);
    let names = vec!["g".into(), "simple".into(), "none".into()];
    let described = lab.ask(|reply| GroupRequest::Describe(names, reply)).now().unwrap();
    let group = described[0].as_ref().unwrap();
    assert_eq!((group.state, group.protocol.as_str()), ("Stable", "range"));
    assert_eq!(group.members[1].id, members[1].member);
    assert_eq!(
        (&group.members[0].metadata, &group.members[0].assignment[..]),
        (&metadata(), &b"a"[..])
    );
    assert_eq!(described[1], Some(Described { state: "Empty", ..Described::default() }));
    assert_eq!(described[2], None);
    let listed = lab.ask(GroupRequest::List).now().unwrap();
    let one = |group: &str, kind: &str, state| Listed {
        group: group.into(),
        protocol_type: kind.into(),
        state,
    };
    assert_eq!(listed, [one("g", "consumer", "Stable"), one("simple", "", "Empty")]);
}

#[test]
fn a_rebalance_knows_whose_doing_it_is() {
    let mut lab = Lab::new();
    let members = lab.stable(3);
    let trigger = |lab: &Lab| lab.coordinator.groups["g"].rebalance.clone().unwrap().trigger;
    assert!(lab.coordinator.groups["g"].rebalance.is_none(), "it is over");
    lab.send_leave(&members[2].member);
    assert_eq!(trigger(&lab), Cause::Left.by(&members[2].member));
    for claim in &members[..2] {
        lab.send_join(join(&claim.member));
    }
    lab.pass(1_000);
    let (newcomer, _waiting) = lab.send_join_anew();
    assert_eq!(trigger(&lab), Cause::Left.by(&members[2].member), "not yet over");
    assert_eq!(lab.coordinator.groups["g"].members.len(), 3, "{newcomer} is one of them");
    let mut lab = Lab::new();
    let members = lab.stable(2);
    let silent = &members[1];
    for _ in 0..12 {
        lab.pass(1_000);
        let _ = lab.heartbeat(&members[0]);
    }
    assert_eq!(trigger(&lab), Cause::SessionTimedOut.by(&silent.member));
}
