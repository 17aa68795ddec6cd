//! Work that a log hands out to be run on another thread: syncs and background upkeep.
//!
//! A job owns all it needs and may run at any later time, in any order with other jobs of the same
//! log except that a log has at most one [`SyncJob`] out. What it did is told to the log by handing
//! back its `Done`. A job that never runs delays things and breaks nothing.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::batch::Batch;
use crate::epochs::EpochHistory;
use crate::epochs_file::{EpochsExtension, EpochsFile};
use crate::error::is_disk_full;
use crate::log_error::{LogError, LogResult};
use crate::planted::{PlantedBug, is_planted};
use crate::seal;
use crate::segment::{Segment, lock};
use crate::snapshots::{NewSnapshot, Snapshots, remove_if_there};
use crate::start::StartFile;
use crate::storage::{Access, Storage};

/// Makes everything that was appended before it was polled durable. Blocks: run it on a thread that
/// may wait for the device, then hand the result to
/// [`Log::handle_synced`](crate::Log::handle_synced).
#[must_use]
pub struct SyncJob {
    pub(crate) id: u64,
    pub(crate) end: u64,
    /// In order of their base offsets: what lies before must be durable first.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// Set when a segment was created since the last sync.
    pub(crate) dir: Option<(Arc<dyn Storage>, PathBuf)>,
    pub(crate) epochs: Option<(Arc<EpochsFile>, EpochsExtension)>,
    /// All that the job is to make durable, if a carrier may do it.
    pub(crate) small: Option<SmallAppend>,
}

/// Batches that continue what is durable, few enough to be carried.
#[derive(Debug)]
pub(crate) struct SmallAppend {
    pub(crate) base: u64,
    pub(crate) batches: Vec<Batch>,
    pub(crate) size: usize,
    /// Nobody else has a copy of them.
    pub(crate) is_sole: bool,
}

/// What became of a [`SyncJob`].
#[derive(Debug)]
#[must_use]
pub struct SyncDone {
    pub(crate) id: u64,
    pub(crate) end: u64,
    /// A [carrier](crate::carrier) holds it; the segments are not synced.
    pub(crate) is_carried: bool,
    pub(crate) result: LogResult<()>,
}

impl SyncJob {
    /// First offset that this job does not make durable.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Syncs. A failure is final and is never tried again.
    pub fn run(self) -> SyncDone {
        SyncDone { id: self.id, end: self.end, is_carried: false, result: self.sync() }
    }

    /// Whether a [carrier](crate::carrier) may do it instead.
    pub fn is_carriable(&self) -> bool {
        self.small.is_some()
    }

    /// Whether a carrier may do it, and nobody else has a copy of what it makes durable.
    pub fn is_sole_copy(&self) -> bool {
        self.small.as_ref().is_some_and(|small| small.is_sole)
    }

    /// Says that nobody else has a copy of what it makes durable.
    pub fn as_sole_copy(mut self) -> SyncJob {
        self.small.iter_mut().for_each(|small| small.is_sole = true);
        self
    }

    /// The same without a carrier.
    pub fn uncarried(mut self) -> SyncJob {
        self.small = None;
        self
    }

    /// What a carrier has done.
    pub(crate) fn carried(self) -> SyncDone {
        SyncDone { id: self.id, end: self.end, is_carried: true, result: Ok(()) }
    }

    fn sync(&self) -> LogResult<()> {
        if let Some((file, extension)) = &self.epochs {
            file.extend(extension).map_err(LogError::io(file.path()))?;
        }
        if let Some((storage, dir)) = &self.dir
            && !is_planted(PlantedBug::DirectoryNotSynced)
        {
            storage.sync_dir(dir).map_err(LogError::io(dir))?;
        }
        for segment in &self.segments {
            let mut synced = segment.sync();
            if is_planted(PlantedBug::SyncRetried) {
                synced = synced.or_else(|_| segment.sync());
            }
            synced.map_err(LogError::io(segment.path()))?;
        }
        Ok(())
    }
}

impl fmt::Debug for SyncJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncJob")
            .field("id", &self.id)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl BackgroundDone {
    /// Whether it was asked for by [`Log::want_settled`](crate::Log::want_settled).
    pub fn is_settle(&self) -> bool {
        self.kind == WorkKind::Settle
    }
}

impl SyncDone {
    /// Whether the sync succeeded.
    pub fn is_ok(&self) -> bool {
        self.result.is_ok()
    }
}

/// Upkeep that no append has to wait for. Run it on any thread, then hand the result to
/// [`Log::handle_background`](crate::Log::handle_background).
#[must_use]
pub struct BackgroundJob(pub(crate) Work);

/// What became of a [`BackgroundJob`].
#[derive(Debug)]
#[must_use]
pub struct BackgroundDone {
    pub(crate) kind: WorkKind,
    pub(crate) result: LogResult<()>,
}

/// Extension of a data file that is gone on purpose, up to its removal.
pub(crate) const DELETED_EXTENSION: &str = "log.deleted";

/// Counts truncations, and keeps index files still while one is under way.
pub(crate) type Fence = Mutex<u64>;

pub(crate) enum Work {
    /// Sync what was only carried, in the segments.
    Settle { segments: Vec<Arc<Segment>> },
    /// Zero-fill a segment ahead of the writer.
    Prepare { segment: Arc<Segment>, target: u64 },
    /// Store the full blocks of an index.
    StoreIndex { segment: Arc<Segment>, fence: Arc<Fence>, generation: u64 },
    /// Check a segment up to `size` and write its index anew, with the footer once it is sealed.
    Seal { segment: Arc<Segment>, size: u64, fence: Arc<Fence>, generation: u64 },
    /// Check every batch of a segment up to `size`.
    Scrub {
        segment: Arc<Segment>,
        size: u64,
        epochs: Arc<EpochHistory>,
        fence: Arc<Fence>,
        generation: u64,
    },
    /// Install a producer snapshot.
    Snapshot { snapshots: Arc<Snapshots>, new: NewSnapshot },
    /// Make the log's start durable, then remove files before it.
    Remove {
        storage: Arc<dyn Storage>,
        start_file: Arc<StartFile>,
        start: u64,
        paths: Vec<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkKind {
    Settle,
    Prepare,
    StoreIndex,
    Seal,
    Scrub,
    Snapshot,
    Remove,
}

impl fmt::Debug for BackgroundJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BackgroundJob").field(&self.0.kind()).finish()
    }
}

impl Work {
    pub(crate) fn kind(&self) -> WorkKind {
        match self {
            Self::Settle { .. } => WorkKind::Settle,
            Self::Prepare { .. } => WorkKind::Prepare,
            Self::StoreIndex { .. } => WorkKind::StoreIndex,
            Self::Seal { .. } => WorkKind::Seal,
            Self::Scrub { .. } => WorkKind::Scrub,
            Self::Snapshot { .. } => WorkKind::Snapshot,
            Self::Remove { .. } => WorkKind::Remove,
        }
    }
}

impl BackgroundJob {
    /// Does the work.
    pub fn run(self) -> BackgroundDone {
        let kind = self.0.kind();
        let result = match self.0 {
            Work::Settle { segments } => settle(&segments),
            Work::Prepare { segment, target } => {
                segment.prepare(target).map_err(|e| failed(e, segment.path()))
            }
            Work::StoreIndex { segment, fence, generation } => {
                store_index(&segment, &fence, generation)
            }
            Work::Scrub { segment, size, epochs, fence, generation } => {
                seal::scrub(&segment, size, &epochs, &fence, generation)
            }
            Work::Seal { segment, size, fence, generation } => {
                seal::seal(&segment, size, &fence, generation)
            }
            Work::Snapshot { snapshots, new } => {
                snapshots.install(&new).map_err(|e| failed(e, snapshots.dir()))
            }
            Work::Remove { storage, start_file, start, paths } => {
                remove(&*storage, &start_file, start, &paths)
            }
        };
        BackgroundDone { kind, result }
    }
}

fn settle(segments: &[Arc<Segment>]) -> LogResult<()> {
    segments.iter().try_for_each(|it| it.sync().map_err(LogError::io(it.path())))
}

fn store_index(segment: &Segment, fence: &Fence, generation: u64) -> LogResult<()> {
    let current = lock(fence);
    if *current != generation {
        return Ok(());
    }
    segment.index.store(false).map_err(|e| failed(e, segment.path()))
}

/// Removes data files that lie before `start`. The start is durable before, so that a crash midway
/// leaves no gap that would be taken for a loss.
///
/// On a full disk there may be no room to write the start down. Then the last of the files stays
/// under another name, as the sign that it and all before it are gone on purpose, until there is
/// room again.
fn remove(
    storage: &dyn Storage,
    start_file: &StartFile,
    start: u64,
    paths: &[PathBuf],
) -> LogResult<()> {
    let Some((last, others)) = paths.split_last() else { return Ok(()) };
    match start_file.raise(start) {
        Ok(()) => remove_segments(storage, paths),
        Err(LogError::DiskFull { .. }) => {
            let doomed = give_up_space(storage, last).map_err(LogError::io(last))?;
            remove_segments(storage, others)?;
            if let Some(dir) = last.parent() {
                // Space comes back when the removals are durable.
                storage.sync_dir(dir).map_err(LogError::io(dir))?;
            }
            match start_file.raise(start) {
                Ok(()) => remove_segments(storage, &[last.clone(), doomed]),
                Err(LogError::DiskFull { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

fn remove_segments(storage: &dyn Storage, paths: &[PathBuf]) -> LogResult<()> {
    for path in paths {
        remove_if_there(storage, path).map_err(LogError::io(path))?;
        let index = path.with_extension("index");
        remove_if_there(storage, &index).map_err(LogError::io(&index))?;
    }
    Ok(())
}

/// Renames a data file durably and frees its space.
fn give_up_space(storage: &dyn Storage, path: &Path) -> io::Result<PathBuf> {
    let doomed = path.with_extension(DELETED_EXTENSION);
    match storage.rename(path, &doomed) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(doomed),
        other => other?,
    }
    if let Some(dir) = path.parent() {
        storage.sync_dir(dir)?;
    }
    let file = storage.open_file(&doomed, Access::ReadWrite)?;
    file.release(0..file.size());
    Ok(doomed)
}

pub(crate) fn failed(error: io::Error, path: impl Into<PathBuf>) -> LogError {
    let path = path.into();
    if is_disk_full(&error) {
        LogError::DiskFull { path }
    } else {
        LogError::Io { path, source: error }
    }
}
