//! Real brokers under real faults, judged by what their clients saw.
//!
//! Each test starts a cluster of `synod serve` processes on loopback, joined by a proxy for each
//! directed link, and kills, pauses and cuts while recording clients work. What took how long is
//! printed, not judged: only bounds that catch a cluster that does not come back fail a test.
//! `docs/testing.md` tells the variables that make the runs longer, and how to get figures.

#[path = "../support/mod.rs"]
mod support;

mod aimed;
mod answers;
mod cluster;
mod costs;
mod damage;
mod demo;
mod disk;
mod failover;
mod figures;
mod follower;
mod frames;
mod full_disk;
mod groups;
mod look;
mod outage;
mod power_cut;
mod probe;
mod scrape;
mod suite;
mod tamper;

use std::env;
use std::time::Duration;

/// A number from the environment.
fn variable(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// The time that a promise allows. Unoptimized builds get twice as long: they are several times
/// slower, and most of what is promised is detection, which takes as long in any build.
fn promised(limit: Duration) -> Duration {
    if cfg!(debug_assertions) { limit * 2 } else { limit }
}
