//! Random schedules of 3, 4 and 5 replicas: loss, repetition, reordering, crashes that lose any
//! suffix of the unsynced writes, corruption, trimming, changes of replicas.
//!
//! A failing seed is printed; rerun it alone with `SYNOD_SEED=n cargo test -p synod-paxos --test
//! schedules`. `SYNOD_SEEDS=n` runs that many instead of the usual number.

mod cluster;

use cluster::schedule::{Schedule, tight_config};

const SEED_COUNT: u64 = 2_000;

fn number(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "a test may read its environment")]
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn run(seed: u64) -> Result<u64, String> {
    let mut schedule = Schedule::new(seed, tight_config);
    schedule.run()?;
    Ok(schedule.trace)
}

#[test]
fn every_schedule_keeps_agreement_and_comes_back_to_life() {
    let seeds = match number("SYNOD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SYNOD_SEEDS").unwrap_or(SEED_COUNT),
    };
    for seed in seeds {
        if let Err(error) = run(seed) {
            panic!("seed {seed}: {error}\nrerun: SYNOD_SEED={seed}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed));
    }
}
