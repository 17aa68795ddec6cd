//! Tests by simulation, and tests of the simulator.

use super::bug::Bug;
use super::cli::find;
use super::options::Scale;
use super::run::Run;

/// Seeds that every change has to survive.
const SEED_COUNT: u64 = 300;

/// What a run demands of the cluster after the heal is not demanded here yet: a damaged replica is
/// not repaired in time in every run.
#[test]
fn the_first_seeds_keep_every_safety_invariant() {
    for seed in 0..SEED_COUNT {
        let run = Run::new(seed, Scale::Small);
        if let Some(violation) = run.execute().violation {
            let is_liveness = violation.invariant.starts_with("liveness");
            assert!(is_liveness, "seed {seed}: {violation}\nagain: {run}");
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
    ] {
        let bug = Bug::by_name(name).expect("a planted bug");
        assert!(find(bug, Scale::Small, 0..60).is_some(), "{name} is not found");
    }
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
