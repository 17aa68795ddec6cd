//! The Synod message-queue broker.

pub mod config;
pub mod metadata;
pub mod state_log;
