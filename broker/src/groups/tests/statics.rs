//! Members with static ids (KIP-345).

use super::*;

fn static_join(instance: &str, member: &str) -> Join {
    Join { instance: Some(instance.into()), can_skip_assignment: true, ..join(member) }
}

/// A stable group of static members `i0`, `i1`, …; the one with the smallest member id leads.
fn stable_statics(lab: &mut Lab, count: usize) -> Vec<Claim> {
    let waiting: Vec<_> =
        (0..count).map(|index| lab.send_join(static_join(&format!("i{index}"), ""))).collect();
    lab.pass(10_000);
    let mut claims = Vec::new();
    for (index, answer) in waiting.into_iter().enumerate() {
        let answer = answer.now();
        let generation = joined(&answer).generation;
        let instance = Some(format!("i{index}").into());
        claims.push(Claim { instance, ..claim(&answer.member, generation) });
    }
    let all: Vec<_> = claims.iter().map(|claim| (claim.member.clone(), "a")).collect();
    let all: Vec<_> = all.iter().map(|(id, bytes)| (id, *bytes)).collect();
    assert!(lab.send_sync(claims[0].clone(), &all).now().is_ok());
    for claim in &claims[1..] {
        assert!(lab.send_sync(claim.clone(), &[]).now().is_ok());
    }
    for claim in &claims {
        assert_eq!(lab.heartbeat(claim), Ok(()));
    }
    claims
}

#[test]
fn a_restarted_member_keeps_its_place_without_a_rebalance() {
    let mut lab = Lab::new();
    let old = stable_statics(&mut lab, 2);
    let answer = lab.send_join(static_join("i1", "")).now();
    assert_eq!(joined(&answer).generation, 1, "no rebalance");
    assert_ne!(answer.member, old[1].member);
    assert_eq!(lab.heartbeat(&old[1]), Err(GroupError::FencedInstance));
    let new = Claim { member: answer.member, ..old[1].clone() };
    assert_eq!(lab.heartbeat(&new), Ok(()));
    assert_eq!(lab.send_sync(new, &[]).now().unwrap().assignment, "a");
    let fenced = Err(GroupError::FencedInstance);
    assert_eq!(lab.send_sync(old[1].clone(), &[]).now().map(|_| ()), fenced);
    assert_eq!(lab.send_commit(&old[1], 1).now().map(|_| ()), fenced);
    let rejoin = lab.send_join(static_join("i1", &old[1].member)).now();
    assert_eq!(rejoin.error, Some(GroupError::FencedInstance));
    lab.take_over();
    assert_eq!(lab.heartbeat(&old[1]), Err(GroupError::FencedInstance), "decided, not just known");
}

#[test]
fn a_restarted_leader_need_not_assign() {
    let mut lab = Lab::new();
    let old = stable_statics(&mut lab, 2);
    let answer = lab.send_join(static_join("i0", "")).now();
    let told = joined(&answer);
    assert_eq!((told.leader.clone(), told.skip_assignment), (answer.member.clone(), true));
    assert_eq!(told.members.len(), 2);
    // A client that cannot be told so is not told that it leads.
    let older = Join { can_skip_assignment: false, ..static_join("i0", "") };
    let again = lab.send_join(older).now();
    assert_eq!(joined(&again).leader, answer.member);
    assert_eq!((joined(&again).skip_assignment, joined(&again).members.len()), (false, 0));
    assert_eq!(lab.heartbeat(&old[1]), Ok(()));
}

#[test]
fn a_replacement_that_cannot_be_written_did_not_happen() {
    let mut lab = Lab::new();
    let old = stable_statics(&mut lab, 1);
    lab.deciding = false;
    let mut answer = lab.send_join(static_join("i0", ""));
    assert!(answer.is_waiting());
    lab.refuse();
    assert_eq!(answer.now().error, Some(GroupError::NotAvailable));
    lab.deciding = true;
    assert_eq!(lab.heartbeat(&old[0]), Ok(()));
}

#[test]
fn another_protocol_of_a_restarted_member_rebalances() {
    let mut lab = Lab::new();
    let old = stable_statics(&mut lab, 1);
    let other = Join { protocols: protocols(&["roundrobin"]), ..static_join("i0", "") };
    assert_eq!(lab.send_join(other.clone()).now().error, None);
    assert_eq!(lab.phase(), "CompletingRebalance");
    let waiting = lab.send_join(other);
    assert_eq!(
        joined(&waiting.now()).generation,
        3,
        "while assignments are due, a rebalance again"
    );
    assert_eq!(lab.heartbeat(&old[0]), Err(GroupError::FencedInstance));
}

#[test]
fn a_static_member_that_is_away_is_waited_for_by_its_session() {
    let mut lab = Lab::new();
    let old = stable_statics(&mut lab, 2);
    let (_, waiting) = lab.send_join_anew();
    let mut first = lab.send_join(static_join("i0", &old[0].member));
    lab.pass(9_000);
    assert!(first.is_waiting(), "the second may come back");
    lab.pass(1_500);
    assert_eq!(joined(&first.now()).members.len(), 2, "its session has ended");
    joined(&waiting.now());
}

#[test]
fn when_only_static_members_are_left_and_none_joins_the_group_waits() {
    let mut lab = Lab::new();
    let long = |instance, member: &str| Join {
        session_timeout_ms: 120_000,
        rebalance_timeout_ms: 10_000,
        ..static_join(instance, member)
    };
    let answer = lab.send_join(long("i0", ""));
    lab.pass(3_100);
    let member = answer.now().member;
    let instance = Some("i0".into());
    let claim = Claim { instance, ..claim(&member, 1) };
    assert!(lab.send_sync(claim.clone(), &[]).now().is_ok());
    let newcomer = Join { rebalance_timeout_ms: 10_000, can_come_back: false, ..join("") };
    let waiting = lab.send_join(newcomer);
    let leave = Leave { group: "g".into(), members: vec![("m-0002".into(), None)] };
    lab.ask(|reply| GroupRequest::Leave(leave, reply));
    assert_eq!(waiting.now().error, Some(GroupError::UnknownMember));
    lab.pass(40_000);
    assert_eq!(lab.phase(), "PreparingRebalance");
    let back = lab.send_join(long("i0", &member)).now();
    assert_eq!(joined(&back).generation, 2);
}

#[test]
fn tools_remove_static_members_by_their_static_id() {
    let mut lab = Lab::new();
    let old = stable_statics(&mut lab, 2);
    let members = vec![
        ("".into(), Some("i1".into())),
        ("".into(), Some("i9".into())),
        (old[0].member.clone(), Some("i1".into())),
        ("".into(), None),
        (old[0].member.clone(), Some("i0".into())),
    ];
    let leave = Leave { group: "g".into(), members };
    let outcomes = lab.ask(|reply| GroupRequest::Leave(leave, reply)).now().unwrap();
    let unknown = Err(GroupError::UnknownMember);
    assert_eq!(outcomes, [Ok(()), unknown, unknown, unknown, Ok(())]);
    assert_eq!(lab.phase(), "Empty");
}
