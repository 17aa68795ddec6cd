//! Random schedules of 3, 4 and 5 replicas: loss, repetition, reordering, crashes that lose any
//! suffix of the unsynced writes, corruption, trimming, changes of replicas.
//!
//! A failing seed is printed; rerun it alone with `SYNOD_SEED=n cargo test -p synod-paxos --test
//! schedules`, and with `SYNOD_TRACE=1` to see every output. `SYNOD_SEEDS=n` runs that many instead
//! of the usual number.

mod cluster;

use std::collections::BTreeMap;

use cluster::schedule::{Schedule, tight_config};

const SEED_COUNT: u64 = 2_000;

/// What the schedules have to come upon, or they prove little.
const SITUATIONS: [&str; 15] = [
    "adopt with batches",
    "adopt with restart",
    "copied",
    "decided",
    "entries",
    "faulty promise",
    "gap",
    "leader ready",
    "log restarted",
    "nack",
    "quorum lost",
    "read",
    "trim hint",
    "truncation",
    "append",
];

fn number(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "a test may read its environment")]
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn run(seed: u64) -> Result<Schedule, String> {
    let mut schedule = Schedule::new(seed, tight_config);
    schedule.traced = number("SYNOD_TRACE").is_some();
    schedule.run()?;
    Ok(schedule)
}

#[test]
fn every_schedule_keeps_agreement_and_comes_back_to_life() {
    let seeds = match number("SYNOD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SYNOD_SEEDS").unwrap_or(SEED_COUNT),
    };
    let alone = seeds.end - seeds.start == 1;
    let mut reached = BTreeMap::new();
    for seed in seeds {
        match run(seed) {
            Ok(schedule) => {
                for (what, count) in schedule.reached {
                    *reached.entry(what).or_insert(0) += count;
                }
            }
            Err(error) => panic!("seed {seed}: {error}\nrerun: SYNOD_SEED={seed}"),
        }
    }
    println!("{reached:#?}");
    for what in SITUATIONS {
        assert!(alone || reached.contains_key(what), "no schedule reached: {what}");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..20 {
        let trace = || run(seed).map(|schedule| (schedule.trace, schedule.reached));
        assert_eq!(trace(), trace());
    }
}
