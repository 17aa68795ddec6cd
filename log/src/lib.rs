//! One partition's durable log, and the broker's journal.
//!
//! ```text
//! data_dir    whose directory it is, its lock, its partitions
//! carrier     small appends of many logs, one sync for all of them
//! journal     vows and durability marks of all partitions, one sync for many
//! log         one partition: segments of record batches, indexes, producers, recovery
//! view        what readers of a log share, without its owner
//! jobs, sync  what may block, and the threads that do it
//! storage     the seam to the device: os is the real one, memory its fault-injecting twin
//! ```
//!
//! Nothing here knows of Paxos, of requests or of an async runtime. The caller brings those
//! together and owes this package three things:
//!
//! 1. A log's `durable_end` moves only with a finished sync job, or one that a carrier has done.
//!    Only when the log's own files are synced is a durability mark given to the journal. Before a
//!    truncation cuts synced entries, the lower mark is durable, and what was carried is void.
//! 2. After a failed write or sync of anything, the data directory is marked suspect and the
//!    process ends. A full disk is not such a failure: refuse appends, keep serving.
//! 3. What may block runs on the threads of `sync`, and so do reads that are not resident.

pub mod batch;
pub mod carrier;
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
#[cfg(feature = "planted-bugs")]
pub mod planted;
#[cfg(not(feature = "planted-bugs"))]
mod planted;
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
mod unsynced;
mod upkeep;
pub mod view;
mod walk;

pub use crate::batch::{Batch, BatchError, BatchHeader};
pub use crate::carrier::{Carrier, CarrierError};
pub use crate::config::LogConfig;
pub use crate::data_dir::{ClaimedDir, ClusterClaim, DataDir, DataDirError};
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
