//! The Synod message-queue broker.

pub mod cli;
pub mod config;
pub mod http;
pub mod logging;
pub mod metadata;
pub mod metrics;
pub mod state_log;
