//! What can go wrong in a partition's log.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::batch::BatchError;

/// Why an operation on a [`Log`](crate::Log) or [`LogView`](crate::LogView) failed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The device has no space for the batches. Nothing was appended; a later append may succeed.
    #[error("no space left on the device for {}", .path.display())]
    DiskFull {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// The offset lies before the log's start or beyond the given end.
    #[error("offset {offset} is outside {}..{}", .held.start, .held.end)]
    OutOfRange {
        /// What was asked for.
        offset: u64,
        /// What the log holds.
        held: Range<u64>,
    },
    /// The offset is not the boundary of two batches.
    #[error("offset {offset} lies inside a batch")]
    InsideBatch {
        /// What was asked for.
        offset: u64,
    },
    /// Batches are not contiguous to the log's end, or their leader epochs run backwards.
    #[error("batch at offset {base_offset}, leader epoch {leader_epoch} does not continue the log")]
    NotContiguous {
        /// Base offset of the refused batch.
        base_offset: u64,
        /// Its leader epoch.
        leader_epoch: i32,
    },
    /// Bytes on the device are not what was written there.
    #[error("{} is corrupt at position {position}, offsets {}..{}: {reason}",
        .path.display(), .offsets.start, .offsets.end)]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where in the file the damaged batch begins, bytes.
        position: u64,
        /// Offsets that cannot be read because of it, as far as known.
        offsets: Range<u64>,
        /// What is wrong.
        reason: Damage,
    },
    /// The log holds acknowledged records that it cannot read (see [`Log::faulty`](crate::Log)):
    /// nothing is appended behind them before they are repaired.
    #[error("offsets {}..{} are corrupt; repair them before appending", .0.start, .0.end)]
    Faulty(Range<u64>),
    /// The log start file is damaged, so where the log starts is not known.
    #[error("{} is damaged: the log's start is not known", .path.display())]
    StartUnknown {
        /// The damaged file.
        path: PathBuf,
    },
    /// A write or a sync failed before. What is durable is no longer known: end the process.
    #[error("an earlier write or sync failed; the log refuses to go on")]
    Poisoned,
    /// The device failed. If it was a write or a sync, the log is poisoned from here on.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system reported.
        source: io::Error,
    },
}

/// What is wrong with bytes that should be a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// They are not the form of a batch, or the checksum is wrong.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The base offset does not continue the batch before.
    #[error("base offset {found} instead of {expected}")]
    BaseOffset {
        /// What the header says.
        found: u64,
        /// Where the batch before ended.
        expected: u64,
    },
    /// The leader epoch differs from the history's, or runs backwards.
    #[error("leader epoch {found} instead of {expected}")]
    LeaderEpoch {
        /// What the header says.
        found: i32,
        /// What the history says.
        expected: i32,
    },
    /// The device cannot read them.
    #[error("not readable")]
    Unreadable,
    /// The segment ends early, or its file is missing.
    #[error("the segment ends early")]
    Missing,
}

pub(crate) type LogResult<T> = Result<T, LogError>;

impl LogError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
