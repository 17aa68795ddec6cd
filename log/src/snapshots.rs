//! The producer snapshots of a log: which there are, writing new ones, dropping old ones.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::producers::{ProducerSnapshot, ProducerStates};
use crate::segment::{file_name, lock};
use crate::storage::{Storage, read_file, temporary_path};

/// Ending of a snapshot file.
pub(crate) const SNAPSHOT_SUFFIX: &str = ".snapshot";

/// How many snapshots are kept, so that a truncation need not walk from the log's start.
const KEPT_COUNT: usize = 3;

/// Largest snapshot that is read: some seven million producers.
const MAX_SIZE: u64 = 1 << 30;

/// The snapshot files in one directory.
#[derive(Debug)]
pub(crate) struct Snapshots {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    /// Ascending.
    offsets: Vec<u64>,
    /// Counts truncations: a snapshot encoded before one is void.
    generation: u64,
}

/// An encoded snapshot that a background job installs.
#[derive(Debug)]
pub(crate) struct NewSnapshot {
    generation: u64,
    offset: u64,
    image: Vec<u8>,
}

impl Snapshots {
    /// The directory holds snapshots at these offsets.
    pub(crate) fn new(storage: &Arc<dyn Storage>, dir: &Path, mut offsets: Vec<u64>) -> Self {
        offsets.sort_unstable();
        let held = Mutex::new(Held { offsets, generation: 0 });
        Self { storage: storage.clone(), dir: dir.to_owned(), held }
    }

    /// Encodes a snapshot of the states at `offset`.
    pub(crate) fn encode(
        &self,
        states: &ProducerStates,
        offset: u64,
        leader_epoch: Option<i32>,
    ) -> NewSnapshot {
        let generation = lock(&self.held).generation;
        NewSnapshot { generation, offset, image: states.encode(offset, leader_epoch) }
    }

    /// Writes a snapshot file and drops the oldest ones. Nothing is synced: it is a hint, whole or
    /// noticed to be damaged.
    pub(crate) fn install(&self, new: &NewSnapshot) -> io::Result<()> {
        let mut held = lock(&self.held);
        if held.generation != new.generation || held.offsets.contains(&new.offset) {
            return Ok(());
        }
        let path = self.path(new.offset);
        let temporary = temporary_path(&path)?;
        if self.storage.exists(&temporary)? {
            self.storage.remove_file(&temporary)?;
        }
        let file = self.storage.create_file(&temporary)?;
        file.write_at(&[IoSlice::new(&new.image)], 0)?;
        self.storage.rename(&temporary, &path)?;
        held.offsets.push(new.offset);
        held.offsets.sort_unstable();
        while held.offsets.len() > KEPT_COUNT {
            let oldest = held.offsets.remove(0);
            remove_if_there(&*self.storage, &self.path(oldest))?;
        }
        Ok(())
    }

    /// The newest sound snapshot at or before `end`.
    pub(crate) fn newest(&self, end: u64) -> Option<ProducerSnapshot> {
        let offsets = lock(&self.held).offsets.clone();
        offsets.into_iter().rev().filter(|o| *o <= end).find_map(|offset| {
            let path = self.path(offset);
            let snapshot = read_file(&*self.storage, &path, MAX_SIZE)
                .ok()
                .and_then(|image| ProducerStates::decode(&image))
                .filter(|s| s.offset == offset);
            if snapshot.is_none() {
                tracing::warn!(path = %path.display(), "damaged producer snapshot passed over");
            }
            snapshot
        })
    }

    /// Removes the snapshots beyond `end`. Returns whether there were any; the caller then syncs
    /// the directory.
    pub(crate) fn truncate(&self, end: u64) -> io::Result<bool> {
        let mut held = lock(&self.held);
        held.generation += 1;
        let keep = held.offsets.partition_point(|o| *o <= end);
        let cut = held.offsets.split_off(keep);
        for offset in &cut {
            remove_if_there(&*self.storage, &self.path(*offset))?;
        }
        Ok(!cut.is_empty())
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self, offset: u64) -> PathBuf {
        self.dir.join(file_name(offset, SNAPSHOT_SUFFIX))
    }
}

pub(crate) fn remove_if_there(storage: &dyn Storage, path: &Path) -> io::Result<()> {
    match storage.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
