//! Real brokers under real faults, judged by what their clients saw.
//!
//! Each test starts a cluster of `synod serve` processes on loopback, joined by a proxy for each
//! directed link, and kills, pauses and cuts while recording clients work. What took how long is
//! printed, not judged: only bounds that catch a cluster that does not come back fail a test.
//! `docs/testing.md` tells the variables that make the runs longer, and how to get figures.

#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod disk;
mod failover;
mod figures;
mod groups;
mod network;
mod outage;
mod power_cut;
mod probe;
mod suite;

use std::env;

/// A number from the environment.
fn variable(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}
