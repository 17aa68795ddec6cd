//! The Synod message-queue broker.

mod api;
mod broker;
mod budget;
pub mod cli;
pub mod config;
mod context;
mod control;
pub mod demo;
mod directory;
pub mod groups;
pub mod http;
mod limits;
pub mod logging;
pub mod metadata;
pub mod metrics;
mod net;
mod partition;
mod peers;
mod planted;
mod producer_ids;
pub mod server;
mod shard;
#[cfg(any(test, feature = "simulator"))]
pub mod simulator;
pub mod state_log;
