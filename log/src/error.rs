//! Errors that more than one part of this package speaks of.

use std::io;

/// Whether the error says that the device (or the user's quota on it) has no space left: an
/// ordinary condition that passes, unlike every other failed write.
#[must_use]
pub fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else holds it.
    #[error("{}", match .holder {
        Some(pid) => format!("in use by process {pid}"),
        None => "in use by another process".to_owned(),
    })]
    Held {
        /// Process id that the holder wrote into the lock file, if it did.
        holder: Option<u32>,
    },
    /// The lock file could not be opened or locked.
    #[error(transparent)]
    Io(#[from] io::Error),
}
