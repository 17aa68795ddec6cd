//! The Synod message-queue broker.

pub mod config;
