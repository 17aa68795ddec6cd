//! How carried batches are lost, or cannot be brought to their logs.

use std::io;
use std::path::PathBuf;

use crate::journal::JournalError;
use crate::log_error::LogError;

/// Why what a carrier holds could not be brought to the logs. A start ends with it.
#[derive(Debug, thiserror::Error)]
pub enum CarrierError {
    /// The storage reported an error.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A newer build wrote it.
    #[error("{} has format {found}, this build reads up to {supported}", .path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that this build reads.
        supported: u32,
    },
    /// Something that was synced is damaged, and nothing is left that says of which partitions it
    /// was. Going on could lose acknowledged records unnoticed.
    #[error(
        "{} is damaged at byte {position}: {reason}; acknowledged records are lost. Restore the \
         file; without it, remove the carrier's files or let the node join anew with an empty \
         data directory",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        position: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The file is longer than any carrier's gets.
    #[error("{} has {size} bytes, more than any carrier's file gets", .path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// A log could not take its batches.
    #[error("a carried partition: {0}")]
    Log(#[from] LogError),
    /// The journal could not take the marks.
    #[error("marks of carried partitions: {0}")]
    Journal(#[from] JournalError),
}
