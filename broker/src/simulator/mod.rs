//! The deterministic simulator: a cluster of real replicas from one seed.
//!
//! What is real: the consensus core, the partitions that join it to the durable log, the log, its
//! recovery, the journal's store, the data directory. What is simulated: the devices below them
//! (the storage twin), the network, the time, the machines, the clients. A seed draws how large the
//! cluster is, how bad the network, and what goes wrong when; the same seed is the same run.
//!
//! A run has two phases. While faults strike, every turn of every broker is held against the
//! [`invariants`]. Then everything heals, and the cluster has to come back to life in time.
//!
//! ```text
//! cli, run, shrink    one seed or many, failing ones made smaller
//! options, fault      what a seed draws before it runs
//! world               the agenda: what happens next, and to whom
//! machine, process    one broker: a disk that stays, a process that comes and goes
//! journal             group commit in simulated time
//! network             delay, loss, repetition, reordering, cuts
//! controller          who is appointed
//! clients, history    what is asked of brokers, and what they answered
//! observe             what replicas hold, after each turn
//! liveness            what has to happen after the faults
//! bug                 what can be planted to prove that it is found
//! ```

mod admin;
mod agenda;
mod bug;
mod carrying;
mod cli;
mod clients;
mod control;
mod controller;
mod entry;
mod fault;
mod follow;
mod history;
mod invariants;
mod journal;
mod liveness;
mod machine;
mod network;
mod observe;
mod options;
mod process;
mod random;
mod request;
mod run;
mod schedule;
mod setting;
mod shrink;
mod strike;
#[cfg(test)]
mod tests;
mod trace;
mod violation;
mod world;

pub use cli::main;
