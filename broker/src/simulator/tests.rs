//! Tests by simulation, and tests of the simulator.

use clap::Parser as _;

use super::bug::Bug;
use super::cli::{Arguments, find, run_of};
use super::options::Scale;
use super::run::{Outcome, Run};
use super::schedule::{Schedule, Shape, calm_hour};
use super::shrink::shrink;

/// Seeds that every change has to survive.
const SEED_COUNT: u64 = 300;

/// Small seeds beyond the first that failed once, each for another reason.
const SEEDS: [u64; 8] = [673, 1253, 1769, 1783, 1867, 1956, 2180, 2864];
/// The same with the brokers' own controller.
const GOVERNED_SEEDS: [u64; 4] = [44, 77, 88, 245];

#[test]
fn seeds_that_failed_once_do_not_again() {
    let scripted = SEEDS.map(|seed| Run::new(seed, Scale::Small));
    let governed =
        GOVERNED_SEEDS.map(|seed| Run { governed: true, ..Run::new(seed, Scale::Small) });
    for run in scripted.into_iter().chain(governed) {
        if let Some(violation) = run.execute().violation {
            panic!("{violation}\nagain: {run}");
        }
    }
}

#[test]
fn the_first_seeds_keep_every_invariant_and_come_back_to_life() {
    for seed in 0..SEED_COUNT {
        let run = Run::new(seed, Scale::Small);
        if let Some(violation) = run.execute().violation {
            panic!("seed {seed}: {violation}\nagain: {run}");
        }
    }
}

#[test]
fn what_is_carried_keeps_every_invariant() {
    for seed in 0..60 {
        let run = Run { carries: true, ..Run::new(seed, Scale::Small) };
        if let Some(violation) = run.execute().violation {
            panic!("seed {seed}: {violation}\nagain: {run}");
        }
    }
}

/// The simulator can fail: bugs that are planted on purpose break its invariants, which hold in the
/// same runs without them. The sweep's `--bugs` looks for all of them.
#[test]
fn planted_bugs_are_found() {
    for name in [
        "ack-before-sync",
        "vow-not-synced",
        "truncate-matching",
        "majority-minus-one",
        "accept-over-gap",
        "dedup-forgotten",
        "messages-not-held",
        "unknown-incarnation-votes",
        "orphan-directory-deleted",
        "round-appointed-twice",
        "carrier-reused-early",
        "void-not-written",
    ] {
        let bug = Bug::by_name(name).expect("a planted bug");
        assert!(find(bug, Scale::Small, 0..60).is_some(), "{name} is not found");
    }
}

/// A failing seed becomes a few faults that still fail in the same way, and the printed command
/// runs just that again.
#[test]
fn a_failing_run_shrinks_to_a_command_that_fails_again() {
    let bug = Bug::by_name("vow-not-synced").expect("a planted bug");
    let (seed, outcome) = find(bug, Scale::Small, 0..60).expect("a seed that finds it");
    let run = Run { bug: Some(bug), ..Run::new(seed, Scale::Small) };
    let (small, shrunk) = shrink(&run, &outcome);
    assert!(small.faults().len() < run.faults().len(), "{small} is as large as {run}");
    let command = small.to_string();
    let (_, words) = command.split_once(" -- ").expect("a program and its arguments");
    let words = ["synod-simulator"].into_iter().chain(words.split(' '));
    let again = run_of(&Arguments::parse_from(words)).expect("a seed").execute();
    assert_eq!(again.trace_hash, shrunk.trace_hash);
    let invariant = |outcome: &Outcome| outcome.violation.as_ref().map(|v| v.invariant);
    assert_eq!(invariant(&again), invariant(&outcome));
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..10 {
        let trace = || {
            let outcome = Run::new(seed, Scale::Small).execute();
            (outcome.trace_hash, outcome.event_count, outcome.acked_count, outcome.ended_at)
        };
        assert_eq!(trace(), trace(), "seed {seed}");
    }
}

/// Every shape around every broker of three, lasting and flapping; each around one broker or
/// another of five. The sweep's `--schedules` runs all of them, from many seeds.
#[test]
fn a_connected_replica_leads_however_the_network_parts() {
    for (number, schedule) in Schedule::all().into_iter().enumerate() {
        if schedule.broker_count == 3 || number / 2 % 6 == 0 {
            let outcome = schedule.run(number as u64, None, false);
            assert!(outcome.is_ok(), "schedule {number}: {schedule}: {outcome:?}");
        }
    }
}

/// Seven in a chain have no majority. When it is back, some are heard a moment later than others,
/// and are not lost for that.
#[test]
fn seven_that_flap_move_few_leaders() {
    let mut schedules = Schedule::all().into_iter();
    let chain = schedules
        .find(|it| it.broker_count == 7 && it.shape == Shape::Chain && it.flaps)
        .expect("a chain of seven");
    for seed in [102, 104] {
        assert_eq!(chain.run(seed, None, false), Ok(()), "seed {seed}");
    }
}

/// The schedules can fail, too.
#[test]
fn a_controller_that_ignores_who_reaches_whom_is_found() {
    let bug = Bug::by_name("connectivity-ignored");
    let schedules = Schedule::all().into_iter().filter(|it| !it.flaps && it.broker_count == 5);
    let mut found = schedules.filter(|it| it.run(1, bug, false).is_err());
    assert!(found.next().is_some());
}

#[test]
fn an_hour_without_faults_sees_no_new_round() {
    assert_eq!(calm_hour(1, 3), Ok(()));
}
