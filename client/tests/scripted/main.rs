//! The client against brokers that misbehave on purpose.

// As in the client: messages gain fields.
#![allow(clippy::needless_update)]
// A helper that fails fails its test.
#![allow(clippy::unwrap_used)]

mod admin;
mod cancel;
mod connection;
mod consumer;
mod failover;
mod fake;
mod group;
mod model;
mod producer;
mod sessions;
mod world;
