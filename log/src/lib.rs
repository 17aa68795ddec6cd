//! One partition's durable log, and the broker's journal.

pub mod batch;
pub mod config;
mod cut;
pub mod data_dir;
pub mod epochs;
mod epochs_file;
pub mod error;
pub mod identity;
mod index;
mod index_block;
pub mod jobs;
pub mod journal;
pub mod key;
pub mod log;
pub mod log_error;
pub mod memory;
mod mmap;
pub mod os;
pub mod producers;
mod reader;
pub mod recovery;
mod retention;
mod seal;
mod segment;
mod snapshots;
mod start;
pub mod storage;
pub mod sync;
mod upkeep;
pub mod view;
mod walk;

pub use crate::config::LogConfig;
pub use crate::log::Log;
pub use crate::log_error::LogError;
pub use crate::recovery::RecoveryReport;
pub use crate::view::{LogView, Slice};
