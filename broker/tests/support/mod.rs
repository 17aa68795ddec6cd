//! What the tests against a live broker share: the broker process, raw Kafka connections,
//! hand-made record batches and the list of expected differences.
//!
//! Frames are built and read with `kafka-protocol`, not with Synod's own codec: a mistake made
//! alike in both directions of our codec would otherwise go unseen.

// Each test binary uses its own part of this module.
#![allow(dead_code)]

pub(crate) mod batch;
pub(crate) mod broker;
pub(crate) mod cli;
pub(crate) mod cluster;
pub(crate) mod differences;
pub(crate) mod random;
pub(crate) mod wire;
