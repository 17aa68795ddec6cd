//! How a journal fails.

use std::io;
use std::sync::Arc;

use crate::identity::Identity;
use crate::key::PartitionKey;

/// Why a submission did not become durable.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// A write or sync failed. Final: what was submitted since may or may not be on the device, and
    /// nothing more is taken. The process has to end.
    #[error("the journal failed and takes nothing more: {0}")]
    Failed(Arc<io::Error>),
    /// There was no space for the submission. Nothing was written; later submissions may succeed.
    #[error("no space for the journal to grow")]
    DiskFull,
    /// The submission does not fit a frame. Nothing was written.
    #[error("a journal submission of {size} bytes, more than {limit}")]
    TooLarge {
        /// Encoded size of the records.
        size: usize,
        /// The largest size.
        limit: usize,
    },
    /// A vow or an incarnation would go back: the caller's mistake. Nothing was written.
    #[error("a journal record goes back on an earlier one{}", match .key {
        Some(key) => format!(" of partition {key}"),
        None => String::new(),
    })]
    Regression {
        /// The partition of the vow.
        key: Option<PartitionKey>,
    },
    /// The journal was closed before.
    #[error("the journal is closed")]
    Closed,
}

/// Why a journal could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum JournalOpenError {
    /// The storage reported an error.
    #[error("journal: {0}")]
    Io(#[from] io::Error),
    /// Neither copy of the header is intact.
    #[error("not a journal, or its header is damaged")]
    BadHeader,
    /// A newer build wrote it.
    #[error("the journal has format {found}, this build reads up to {supported}")]
    NewerFormat {
        /// The file's format.
        found: u32,
        /// The newest that this build reads.
        supported: u32,
    },
    /// Another node wrote it.
    #[error("the journal belongs to {found}, not to {expected}")]
    Foreign {
        /// Who wrote it.
        found: Identity,
        /// Who opens it.
        expected: Identity,
    },
    /// Something that was synced is damaged or missing. The journal holds promises to other nodes;
    /// going on without one of them could lose acknowledged records elsewhere, so nothing is
    /// guessed.
    #[error(
        "the journal is damaged at byte {position}: {reason}; this node's promises are lost. \
         Restore the file, or let the node join anew with an empty data directory"
    )]
    Damaged {
        /// Where the damage begins.
        position: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The file is longer than any journal gets.
    #[error("the journal has {0} bytes, more than any journal gets")]
    TooLong(u64),
    /// The journal could not note that it was opened.
    #[error(transparent)]
    Write(#[from] JournalError),
    /// The journal's thread did not start.
    #[error("the journal's thread did not start: {0}")]
    Thread(io::Error),
}
