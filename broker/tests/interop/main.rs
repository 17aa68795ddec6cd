//! Clients that nobody here wrote, in pinned versions, against a live broker.
//!
//! Each client is installed once into `target/interop`; a registry that cannot be reached fails the
//! test that needs it. `SYNOD_INTEROP_BROKERS=host:port` aims the suite at a broker that is already
//! running, for example a real Apache Kafka.

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod assignors;
mod client;
mod coordinator;
mod corpus;
mod endure;
mod groups;
mod install;
mod kcat;
mod libraries;
mod matrix;
mod members;
mod mid_rebalance;
mod offsets_log;
mod real_text;
mod rewritten;
mod tools;
mod world;

use std::time::{SystemTime, UNIX_EPOCH};

/// A topic name that no earlier run used, for brokers that outlive the run.
fn fresh(name: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    format!("{name}-{:x}", now.as_nanos())
}
