//! Async client for Kafka-compatible brokers, and Synod's command line.

pub mod cli;
