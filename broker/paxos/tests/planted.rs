//! Tests of the tests: every planted bug is found by the random schedules within 1,000 seeds.

mod cluster;

use cluster::schedule::{Schedule, tight_config};
use synod_paxos::PlantedBug;

const SEED_COUNT: u64 = 1_000;

/// The first seed that finds the bug, and how.
fn find(bug: PlantedBug) -> Option<(u64, String)> {
    (0..SEED_COUNT).find_map(|seed| {
        let configure = |node| {
            let mut config = tight_config(node);
            config.bug = Some(bug);
            config
        };
        // A bug may as well trip an assertion inside the core: that counts, too.
        let run = std::panic::catch_unwind(|| Schedule::new(seed, configure).run());
        match run {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some((seed, error)),
            Err(_) => Some((seed, "an assertion failed".into())),
        }
    })
}

#[test]
fn every_planted_bug_is_found() {
    std::panic::set_hook(Box::new(|_| {}));
    let found: Vec<_> = PlantedBug::ALL.iter().map(|bug| (*bug, find(*bug))).collect();
    drop(std::panic::take_hook());
    for (bug, first) in &found {
        match first {
            Some((seed, error)) => println!("{bug:?}: seed {seed}: {error}"),
            None => println!("{bug:?}: NOT FOUND"),
        }
    }
    let missed: Vec<_> = found.iter().filter(|(_, first)| first.is_none()).collect();
    assert!(missed.is_empty(), "not found within {SEED_COUNT} seeds: {missed:?}");
}
