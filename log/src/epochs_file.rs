//! The file that keeps the leader-epoch history (its format: see [`crate::epochs`]).

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::epochs::{DecodedEpochs, ENTRY_SIZE, EpochHistory};
use crate::log_error::{LogError, LogResult};
use crate::segment::lock;
use crate::storage::{Access, File, Storage, read_file, replace_file};

const NAME: &str = "leader-epochs";
/// The file grows in zero-filled steps of this size, so that an entry more changes no metadata.
const GROW_SIZE: u64 = 4096;
/// More than a log can gather: at one new epoch per second, two years.
const MAX_SIZE: u64 = 1 << 30;

/// The open history file.
#[derive(Debug)]
pub(crate) struct EpochsFile {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    file: Option<Arc<dyn File>>,
    /// Counts replacements: an extension prepared before one is void.
    generation: u64,
}

/// New entries that a sync job has to make durable together with their batches.
#[derive(Debug, Clone)]
pub(crate) struct EpochsExtension {
    generation: u64,
    position: u64,
    bytes: Vec<u8>,
}

impl EpochsFile {
    pub(crate) fn at(storage: &Arc<dyn Storage>, dir: &Path) -> Self {
        Self { storage: storage.clone(), path: dir.join(NAME), open: Mutex::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file; `None` if there is none.
    pub(crate) fn load(&self) -> LogResult<Option<DecodedEpochs>> {
        if !self.storage.exists(&self.path).map_err(LogError::io(&self.path))? {
            return Ok(None);
        }
        match read_file(&*self.storage, &self.path, MAX_SIZE) {
            Ok(image) => Ok(Some(EpochHistory::decode(&image))),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "leader epochs not readable");
                Ok(Some(DecodedEpochs { history: EpochHistory::new(), sound: false }))
            }
        }
    }

    /// What has to be written for the entries from index `from` on.
    pub(crate) fn extension(&self, history: &EpochHistory, from: usize) -> EpochsExtension {
        EpochsExtension {
            generation: lock(&self.open).generation,
            position: (from * ENTRY_SIZE) as u64,
            bytes: history.encode_from(from),
        }
    }

    /// Makes room for `entry_count` entries, so that [`extend`](Self::extend) cannot meet a full
    /// disk. Returns whether the file was created; the next sync then covers the directory.
    pub(crate) fn reserve(&self, entry_count: usize) -> io::Result<bool> {
        let mut open = lock(&self.open);
        let exists = open.file.is_some() || self.storage.exists(&self.path)?;
        if !exists {
            open.file = Some(self.storage.create_file(&self.path)?);
        }
        let file = self.file(&mut open)?;
        let end = (entry_count * ENTRY_SIZE) as u64;
        if end > file.size() {
            file.zero(file.size()..end.next_multiple_of(GROW_SIZE))?;
        }
        Ok(!exists)
    }

    /// Writes and syncs new entries, unless the history was replaced since they were prepared.
    pub(crate) fn extend(&self, extension: &EpochsExtension) -> io::Result<()> {
        let mut open = lock(&self.open);
        if open.generation != extension.generation {
            return Ok(());
        }
        let file = self.file(&mut open)?;
        file.write_at(&[IoSlice::new(&extension.bytes)], extension.position)?;
        file.sync()
    }

    fn file(&self, open: &mut Open) -> io::Result<Arc<dyn File>> {
        if let Some(file) = &open.file {
            return Ok(file.clone());
        }
        let file = self.storage.open_file(&self.path, Access::ReadWrite)?;
        open.file = Some(file.clone());
        Ok(file)
    }

    /// Replaces the file durably.
    pub(crate) fn replace(&self, history: &EpochHistory) -> io::Result<()> {
        let mut open = lock(&self.open);
        open.generation += 1;
        open.file = None;
        let mut image = history.encode_from(0);
        image.resize(image.len().next_multiple_of(GROW_SIZE as usize), 0);
        replace_file(&*self.storage, &self.path, &image)
    }
}
