//! One partition's durable log, and the broker's journal.

pub mod batch;
pub mod check;
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

pub use crate::batch::{Batch, BatchError, BatchHeader};
pub use crate::config::LogConfig;
pub use crate::data_dir::{ClusterClaim, DataDir, DataDirError};
pub use crate::epochs::{EpochHistory, EpochStart};
pub use crate::error::{LockError, is_disk_full};
pub use crate::identity::{ClusterId, Identity};
pub use crate::jobs::{BackgroundDone, BackgroundJob, SyncDone, SyncJob};
pub use crate::journal::{
    Ballot, Journal, JournalConfig, JournalDone, JournalError, JournalOpenError, JournalRecord,
    OpenedJournal, PartitionDurable, Vow,
};
pub use crate::key::PartitionKey;
pub use crate::log::Log;
pub use crate::log_error::{Damage, LogError};
pub use crate::memory::MemoryStorage;
pub use crate::os::OsStorage;
pub use crate::producers::{ProducerBatch, ProducerCheck, ProducerState, ProducerStates};
pub use crate::recovery::RecoveryReport;
pub use crate::storage::{File, Storage};
pub use crate::sync::{JobPanicked, JobReport, SyncPool};
pub use crate::view::{LogView, Slice};
