//! The log is kept short, and nothing that holds is lost by it.

use super::*;

const LARGE: u64 = 1 << 40;

/// What the log folds to from an offset on.
fn fold_from(lab: &Lab, start: u64) -> GroupsState {
    let mut state = GroupsState::default();
    for (offset, record) in (0..).zip(&lab.log).skip(usize::try_from(start).expect("small")) {
        let record = GroupsState::decode(record).expect("a record");
        state.apply(offset, &record).expect("it applies");
    }
    state
}

fn outsider(group: u32) -> Claim {
    Claim { group: format!("o{group}").into(), generation: -1, ..Claim::default() }
}

/// Commits offsets of two hundred partitions.
fn commit_many(lab: &mut Lab, group: u32) {
    let offset = |index| (partition("t", index), CommittedOffset::default());
    let offsets = (0..200).map(offset).collect();
    let commit = Commit { claim: outsider(group), retention_ms: None, offsets };
    let outcomes = lab.ask(|reply| GroupRequest::Commit(commit, reply)).now();
    assert_eq!(outcomes.map(|all| all.len()), Ok(200));
}

#[test]
fn what_holds_is_written_again_while_work_goes_on() {
    let mut lab = Lab::new();
    lab.stable(2);
    for group in 0..8 {
        commit_many(&mut lab, group);
        commit_many(&mut lab, group);
    }
    lab.pass(1_000);
    let before = lab.log.len() as u64;
    for round in 0..8u32 {
        lab.coordinator.keep_short(LARGE);
        lab.step();
        // Groups come, go and commit meanwhile.
        lab.send_commit(&outsider(round), i64::from(round));
        lab.send_commit(&outsider(100 + round), 5);
        lab.delete(&[&format!("o{}", 7 - round)]);
        lab.send_join_anew();
        if lab.coordinator.useless_before() > 0 {
            break;
        }
    }
    assert_eq!(lab.coordinator.useless_before(), before, "nothing from before is of use");
    assert!(fold_from(&lab, before) == *lab.coordinator.state());
    assert!(fold_from(&lab, before / 2) == *lab.coordinator.state(), "wherever a replica begins");
}

#[test]
fn a_log_that_is_small_or_full_of_what_holds_is_left_alone() {
    let mut lab = Lab::new();
    for group in 0..200 {
        lab.send_commit(&outsider(group), 1);
    }
    let before = lab.log.len();
    lab.coordinator.keep_short(1 << 20);
    lab.pass(61_000);
    lab.coordinator.keep_short(33 << 20);
    lab.step();
    assert!(lab.log.len() > before, "33 MiB for two hundred offsets is waste");
    let mut lab = Lab::new();
    lab.send_commit(&outsider(1), 1);
    lab.coordinator.keep_short(1 << 20);
    lab.step();
    assert_eq!(lab.log.len(), 1);
    assert_eq!(lab.coordinator.useless_before(), 0);
}

/// The head that is dropped stays on the disk until it fills a segment.
#[test]
fn a_log_that_did_not_grow_is_not_written_again() {
    let mut lab = Lab::new();
    lab.send_commit(&outsider(1), 1);
    let look = |lab: &mut Lab, size| {
        for _ in 0..3 {
            lab.coordinator.keep_short(size);
            lab.step();
        }
        lab.pass(61_000);
        lab.log.len()
    };
    assert_eq!(look(&mut lab, 90 << 20), 2);
    assert_eq!(look(&mut lab, 91 << 20), 2, "it grew by one MiB");
    assert_eq!(look(&mut lab, 130 << 20), 3, "it grew by forty");
    assert_eq!(look(&mut lab, 30 << 20), 3, "a segment was dropped");
    assert_eq!(look(&mut lab, 60 << 20), 3);
    assert_eq!(look(&mut lab, 70 << 20), 4);
}

#[test]
fn a_chunk_that_is_refused_ends_the_rewrite() {
    let mut lab = Lab::new();
    lab.send_commit(&outsider(1), 1);
    lab.deciding = false;
    lab.coordinator.keep_short(LARGE);
    lab.step();
    lab.refuse();
    lab.deciding = true;
    for _ in 0..3 {
        lab.coordinator.keep_short(LARGE);
        lab.step();
    }
    assert_eq!(lab.coordinator.useless_before(), 0);
    lab.pass(61_000);
    for _ in 0..3 {
        lab.coordinator.keep_short(LARGE);
        lab.step();
    }
    assert_eq!(lab.coordinator.useless_before(), 1);
}
