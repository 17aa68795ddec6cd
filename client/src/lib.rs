//! Async client for Kafka-compatible brokers, and Synod's command line.
//!
//! * [`Cluster`] finds the brokers and keeps connections to them; everything else is built on it.
//! * [`producer::Producer`] writes records: idempotent, batched, with back-pressure.
//! * [`consumer::Consumer`] reads partitions.
//! * [`admin::Admin`] creates and changes topics.
//! * [`history::History`] judges what clients saw: is it what the cluster promised?
//! * [`Connection`] sends any single request to any broker.
//! * [`cli`] is the command line.
//!
//! ```no_run
//! use synod_client::producer::{Producer, ProducerConfig, ProducerRecord};
//! use synod_client::{ClientConfig, Cluster};
//!
//! # async fn example() -> Result<(), synod_client::Error> {
//! let cluster = Cluster::connect(ClientConfig::new(["localhost:9092"])).await?;
//! let producer = Producer::new(cluster, ProducerConfig::default())?;
//! producer.send(ProducerRecord::new("orders").value("apples")).await?.await?;
//! # Ok(())
//! # }
//! ```
//!
//! All of it is cancellation-safe: a future that is dropped leaves nothing half done in the client.
//! What comes from brokers is bounded before memory is given to it, and never trusted.

#![deny(missing_docs)]
// Requests are built so that they stay valid when the codec's messages gain fields.
#![allow(clippy::needless_update)]

mod backoff;
mod config;
mod connection;
mod coordinator;
mod error;

pub mod admin;
pub mod cli;
pub mod cluster;
pub mod consumer;
pub mod history;
pub mod producer;

pub use cluster::Cluster;
pub use config::ClientConfig;
pub use connection::{Connection, Pending};
pub use error::{Error, Remedy};
pub use synod_wire as wire;
pub use synod_wire::batch::Compression;

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
