//! An in-memory cluster of real replicas: disks that lose unsynced writes, a network that loses,
//! repeats and reorders, and the invariants to hold all of it against.

#![allow(dead_code, reason = "every test uses another part")]

pub(crate) mod disk;
pub(crate) mod invariants;
pub(crate) mod node;
pub(crate) mod random;
pub(crate) mod schedule;
