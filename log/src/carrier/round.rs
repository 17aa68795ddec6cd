//! What a carrier gives away to be done where blocking is allowed.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::jobs::failed;
use crate::log_error::{LogError, LogResult};
use crate::storage::{File, Storage};

/// One write and one sync that make everything in them durable. Blocks; the result goes back to
/// [`Carrier::handle_done`](super::Carrier::handle_done).
#[derive(Debug)]
#[must_use]
pub struct CarrierRound {
    pub(super) file: Arc<dyn File>,
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    pub(super) position: u64,
}

/// What became of a [`CarrierRound`].
#[derive(Debug)]
#[must_use]
pub struct CarrierDone {
    pub(super) result: LogResult<()>,
}

impl CarrierRound {
    /// Writes and syncs. A failure is final and is never tried again.
    pub fn run(self) -> CarrierDone {
        let written = self.file.write_at(&[IoSlice::new(&self.bytes)], self.position);
        let written = written.map_err(|error| failed(error, &self.path));
        let synced = |()| self.file.sync().map_err(LogError::io(&self.path));
        CarrierDone { result: written.and_then(synced) }
    }
}

/// Makes room in a carrier's file. Blocks, for longer than a sync; the result goes back to
/// [`Carrier::handle_prepared`](super::Carrier::handle_prepared).
#[derive(Debug)]
#[must_use]
pub struct CarrierPreparation {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) path: PathBuf,
    pub(super) file: Option<Arc<dyn File>>,
    pub(super) range: Range<u64>,
}

/// What became of a [`CarrierPreparation`].
#[derive(Debug)]
#[must_use]
pub struct CarrierPrepared {
    /// Where the prepared space ends.
    pub(super) end: u64,
    pub(super) result: LogResult<Arc<dyn File>>,
}

impl CarrierPreparation {
    /// Creates the file where it is missing, and fills the range with durable zeros.
    pub fn run(self) -> CarrierPrepared {
        let result = self.prepare().map_err(|error| failed(error, &self.path));
        CarrierPrepared { end: self.range.end, result }
    }

    fn prepare(&self) -> io::Result<Arc<dyn File>> {
        let (storage, dir) = (&*self.storage, self.path.parent().unwrap_or(Path::new("")));
        let file = match &self.file {
            Some(file) => file.clone(),
            None => create(storage, dir, &self.path)?,
        };
        file.zero(self.range.clone())?;
        file.sync()?;
        if self.file.is_none() {
            storage.sync_dir(dir)?;
        }
        Ok(file)
    }
}

/// Creates a file, and its directory with the first one. What an attempt left that found the disk
/// full is replaced.
fn create(storage: &dyn Storage, dir: &Path, path: &Path) -> io::Result<Arc<dyn File>> {
    if !storage.exists(dir)? {
        match storage.create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
    }
    storage.sync_dir(dir.parent().unwrap_or(Path::new("")))?;
    if storage.exists(path)? {
        storage.remove_file(path)?;
    }
    storage.create_file(path)
}
