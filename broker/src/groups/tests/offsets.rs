//! Committed offsets: who may commit, what is kept, and for how long.

use std::time::Duration;

use synod_wire::Uuid;

use super::*;
use crate::groups::request::Forget;

fn outsider(group: &str) -> Claim {
    Claim { group: group.into(), generation: -1, ..Claim::default() }
}

#[test]
fn a_commit_is_there_when_it_is_answered_and_not_before() {
    let mut lab = Lab::new();
    lab.deciding = false;
    let mut commit = lab.send_commit(&outsider("g"), 7);
    assert!(commit.is_waiting());
    assert_eq!(lab.committed("g"), None);
    lab.deciding = true;
    lab.step();
    assert_eq!(commit.now(), Ok(vec![Ok(())]));
    assert_eq!(lab.committed("g"), Some(7));
    lab.take_over();
    assert_eq!(lab.committed("g"), Some(7));
    assert_eq!(lab.fetch_all("g").len(), 1);
    assert_eq!(lab.fetch_all("other"), []);
}

#[test]
fn commits_that_wait_share_one_batch() {
    let mut lab = Lab::new();
    lab.deciding = false;
    let commits: Vec<_> =
        (0..500).map(|group| lab.send_commit(&outsider(&format!("g{group}")), group)).collect();
    assert_eq!(lab.proposed.as_ref().unwrap().records.len(), 1, "the first was alone");
    lab.decide();
    lab.step();
    assert_eq!(lab.proposed.as_ref().unwrap().records.len(), 499);
    lab.decide();
    for commit in commits {
        assert_eq!(commit.now(), Ok(vec![Ok(())]));
    }
}

#[test]
fn only_the_current_generation_commits() {
    let mut lab = Lab::new();
    let members = lab.stable(1);
    assert_eq!(lab.send_commit(&members[0], 5).now(), Ok(vec![Ok(())]));
    for (claim, error) in [
        (outsider("g"), GroupError::UnknownMember),
        (claim(&members[0].member, 0), GroupError::IllegalGeneration),
        (claim(&members[0].member, 2), GroupError::IllegalGeneration),
        (claim(&members[0].member, -1), GroupError::IllegalGeneration),
        (claim(&"nobody".into(), 1), GroupError::UnknownMember),
        (Claim { instance: Some("i".into()), ..members[0].clone() }, GroupError::UnknownMember),
        (Claim { group: "none".into(), ..members[0].clone() }, GroupError::IllegalGeneration),
    ] {
        assert_eq!(lab.send_commit(&claim, 9).now(), Err(error), "{claim:?}");
    }
    let (_, waiting) = lab.send_join_anew();
    assert_eq!(lab.send_commit(&members[0], 6).now(), Ok(vec![Ok(())]), "before it joins again");
    let again = lab.send_join(join(&members[0].member)).now();
    assert_eq!(lab.send_commit(&members[0], 7).now(), Err(GroupError::IllegalGeneration));
    let current = claim(&members[0].member, joined(&again).generation);
    assert_eq!(lab.send_commit(&current, 8).now(), Err(GroupError::RebalanceInProgress));
    assert_eq!(lab.committed("g"), Some(6));
    joined(&waiting.now());
}

#[test]
fn an_empty_group_takes_commits_of_outsiders_only() {
    let mut lab = Lab::new();
    let members = lab.stable(1);
    lab.send_leave(&members[0].member);
    assert_eq!(lab.send_commit(&members[0], 1).now(), Err(GroupError::UnknownMember));
    assert_eq!(lab.send_commit(&outsider("g"), 2).now(), Ok(vec![Ok(())]));
    assert_eq!(lab.committed("g"), Some(2));
}

#[test]
fn remarks_have_a_bound_and_offsets_none() {
    let mut lab = Lab::new();
    let offset = |offset, metadata: String| CommittedOffset {
        offset,
        metadata: metadata.into(),
        leader_epoch: Some(3),
        ..CommittedOffset::default()
    };
    let offsets = vec![
        (partition("t", 0), offset(-1, "ü".repeat(4096))),
        (partition("t", 1), offset(5, "x".repeat(4097))),
        (partition("t", -7), offset(i64::MIN, String::new())),
    ];
    let commit = Commit { claim: outsider("g"), retention_ms: Some(1), offsets };
    let outcomes = lab.ask(|reply| GroupRequest::Commit(commit, reply)).now().unwrap();
    assert_eq!(outcomes, [Ok(()), Err(GroupError::RemarkTooLarge), Ok(())]);
    let fetched = lab.fetch_all("g");
    let told: Vec<_> = fetched
        .iter()
        .map(|one| (one.partition.partition, one.offset.as_ref().unwrap().offset))
        .collect();
    assert_eq!(told, [(-7, i64::MIN), (0, -1)]);
    let many = (0..300).map(|p| (partition("t", p), offset(1, "x".repeat(4096)))).collect();
    let commit = Commit { claim: outsider("g"), retention_ms: None, offsets: many };
    let refused = lab.ask(|reply| GroupRequest::Commit(commit, reply)).now();
    assert_eq!(refused, Err(GroupError::CommitTooLarge));
}

#[test]
fn deleting_a_group_forgets_everything() {
    let mut lab = Lab::new();
    let members = lab.stable(1);
    lab.send_commit(&members[0], 5);
    lab.send_commit(&outsider("simple"), 5);
    let refused = Err(GroupError::NotEmpty);
    let missing = Err(GroupError::GroupNotFound);
    assert_eq!(lab.delete(&["g", "simple", "none"]), [refused, Ok(()), missing]);
    assert_eq!(lab.committed("simple"), None);
    lab.send_leave(&members[0].member);
    assert_eq!(lab.delete(&["g", "g"])[0], Ok(()));
    assert_eq!(lab.coordinator.state().group_count(), 0);
    assert_eq!(lab.phase(), "Dead");
}

#[test]
fn a_group_may_be_used_again_while_its_end_is_on_its_way() {
    let mut lab = Lab::new();
    let members = lab.stable(1);
    lab.deciding = false;
    let leaving = lab.send_leave(&members[0].member);
    let deleting = lab.ask(|reply| GroupRequest::Delete(vec!["g".into()], reply));
    let (id, mut waiting) = lab.send_join_anew();
    lab.deciding = true;
    lab.step();
    assert_eq!(leaving.now(), Ok(vec![Ok(())]));
    assert_eq!(deleting.now(), Ok(vec![Ok(())]));
    lab.pass(3_100);
    let generation = joined(&waiting.poll().unwrap()).generation;
    assert!(lab.send_sync(claim(&id, generation), &[(&id, "all")]).now().is_ok());
    assert_eq!(lab.phase(), "Stable");
}

#[test]
fn offsets_of_subscribed_topics_cannot_be_forgotten() {
    let mut lab = Lab::new();
    let members = lab.stable(1);
    lab.send_commit(&members[0], 5);
    let partitions = vec![partition("t", 0), partition("u", 0), partition("u", 0)];
    let forget = Forget { group: "g".into(), partitions };
    let outcomes = lab.ask(|reply| GroupRequest::Forget(forget.clone(), reply)).now().unwrap();
    assert_eq!(outcomes, [Err(GroupError::Subscribed), Ok(()), Ok(())]);
    assert_eq!(lab.committed("g"), Some(5));
    lab.send_leave(&members[0].member);
    let outcomes = lab.ask(|reply| GroupRequest::Forget(forget, reply)).now().unwrap();
    assert_eq!(outcomes, [Ok(()), Ok(()), Ok(())]);
    assert_eq!(lab.committed("g"), None);
    for (group, error) in [("none", GroupError::GroupNotFound), ("", GroupError::InvalidGroup)] {
        let forget = Forget { group: group.into(), partitions: Vec::new() };
        assert_eq!(lab.ask(|reply| GroupRequest::Forget(forget, reply)).now(), Err(error));
    }
    let connect = Join { protocol_type: "connect".into(), can_come_back: false, ..join("") };
    let connect = Join { group: "c".into(), ..connect };
    lab.send_join(connect);
    let forget = Forget { group: "c".into(), partitions: Vec::new() };
    let refused = lab.ask(|reply| GroupRequest::Forget(forget, reply)).now();
    assert_eq!(refused, Err(GroupError::NotEmpty));
}

const HOUR_MS: u64 = 3_600_000;

fn keeping_for_an_hour() -> GroupConfig {
    GroupConfig { offsets_retention: Duration::from_secs(3_600), ..GroupConfig::default() }
}

#[test]
fn old_offsets_of_unused_groups_are_forgotten() {
    let mut lab = Lab::with(keeping_for_an_hour());
    let members = lab.stable(1);
    lab.send_commit(&members[0], 5);
    lab.send_commit(&outsider("simple"), 5);
    lab.send_leave(&members[0].member);
    lab.pass(HOUR_MS - 60_000);
    assert_eq!((lab.committed("g"), lab.committed("simple")), (Some(5), Some(5)));
    lab.send_commit(&outsider("late"), 5);
    lab.pass(11 * 60_000);
    assert_eq!((lab.committed("g"), lab.committed("simple")), (None, None));
    assert_eq!(lab.committed("late"), Some(5));
    assert_eq!(lab.phase(), "Dead", "nothing is left of the group");
    assert_eq!(lab.coordinator.state().group_count(), 1);
}

#[test]
fn offsets_in_use_are_kept_and_those_of_left_topics_are_not() {
    let mut lab = Lab::with(keeping_for_an_hour());
    let members = lab.stable(1);
    lab.send_commit(&members[0], 5);
    let offsets = vec![(partition("left", 0), CommittedOffset::default())];
    let commit = Commit { claim: members[0].clone(), retention_ms: None, offsets };
    lab.ask(|reply| GroupRequest::Commit(commit, reply));
    assert_eq!(lab.fetch_all("g").len(), 2);
    for _ in 0..(HOUR_MS / 9_000 + 100) {
        lab.pass(9_000);
        assert_eq!(lab.heartbeat(&members[0]), Ok(()));
    }
    let left = lab.fetch_all("g");
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].partition, partition("t", 0));
}

#[test]
fn a_jump_of_the_wall_clock_forgets_nothing() {
    let mut lab = Lab::with(keeping_for_an_hour());
    lab.send_commit(&outsider("g"), 5);
    lab.now.wall_ms += 365 * 24 * 3_600_000;
    lab.pass(20 * 60_000);
    assert_eq!(lab.committed("g"), Some(5));
    lab.take_over();
    lab.pass(20 * 60_000);
    assert_eq!(lab.committed("g"), Some(5), "nor after a move");
    lab.now.wall_ms = 0;
    lab.pass(40 * 60_000);
    assert_eq!(lab.committed("g"), Some(5), "nor does one into the past");
}

#[test]
fn an_offset_may_name_its_own_end() {
    let mut lab = Lab::new();
    let offsets = vec![(partition("t", 0), CommittedOffset::default())];
    let commit = Commit { claim: outsider("g"), retention_ms: Some(60_000), offsets };
    lab.ask(|reply| GroupRequest::Commit(commit, reply));
    lab.pass(HOUR_MS / 2);
    assert_eq!(lab.committed("g"), None);
}

#[test]
fn offsets_of_deleted_topics_are_forgotten() {
    let mut lab = Lab::new();
    let offset = |id| CommittedOffset { topic_id: Uuid([id; 16]), ..CommittedOffset::default() };
    let offsets = vec![
        (partition("gone", 0), offset(1)),
        (partition("here", 0), offset(2)),
        (partition("unknown", 0), CommittedOffset::default()),
    ];
    let commit = Commit { claim: outsider("g"), retention_ms: None, offsets };
    lab.ask(|reply| GroupRequest::Commit(commit, reply));
    lab.coordinator.forget_topics([Uuid([1; 16])].into());
    lab.step();
    let left: Vec<_> = lab.fetch_all("g").into_iter().map(|one| one.partition.topic).collect();
    assert_eq!(left, ["here", "unknown"]);
}
