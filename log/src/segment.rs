//! One segment: a file of batches, back to back, with its sparse index.
//!
//! The log's owner is the only writer; any number of views read at the same time. A reader learns
//! how far it may read from [`Segment::size`], which moves only after the bytes are in the file.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::batch::{Batch, HEADER_SIZE};
use crate::index::Index;
use crate::planted::{PlantedBug, is_planted};
use crate::storage::{Access, File, Storage};

/// Space is prepared in multiples of this many bytes.
pub(crate) const PREPARE_UNIT: u64 = 4096;

/// How much a background job zeroes between two chances for the writer to take over.
const PREPARE_CHUNK_SIZE: u64 = 512 << 10;

/// Most parts of one vectored write: two per batch, below the systems' limit of 1024.
const WRITE_BATCH_COUNT: usize = 500;

/// Ending of a segment's data file.
pub(crate) const LOG_SUFFIX: &str = ".log";
/// Ending of a segment's index file.
pub(crate) const INDEX_SUFFIX: &str = ".index";

/// Name of a file that belongs to `offset`.
pub(crate) fn file_name(offset: u64, suffix: &str) -> String {
    format!("{offset:020}{suffix}")
}

/// The offset in a name made by [`file_name`].
pub(crate) fn parse_file_name(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// A segment. Positions and sizes are bytes, ends are exclusive.
#[derive(Debug)]
pub(crate) struct Segment {
    base: u64,
    path: PathBuf,
    storage: Arc<dyn Storage>,
    /// Opened when first needed: an idle partition holds no descriptor.
    file: OnceLock<Arc<dyn File>>,
    opening: Mutex<()>,
    pub(crate) index: Index,
    /// Bytes of whole batches.
    size: AtomicU64,
    end: AtomicU64,
    max_timestamp: AtomicI64,
    /// Greatest timestamp of the first batch; `i64::MIN` while there is none.
    first_timestamp: AtomicI64,
    sealed: AtomicBool,
    /// Bytes of whole batches that were found on the disk, not written since.
    found_size: AtomicU64,
    /// Written or zero-filled up to here; readable without the lock, moved only under it.
    prepared_end: AtomicU64,
    preparing: Mutex<()>,
    /// Up to here the file may hold old bytes beyond `prepared_end`: zeros written over them must
    /// be durable before a batch follows.
    stale_end: AtomicU64,
    /// A sync of the file failed. The kernel tells of that once, and whoever syncs next on another
    /// thread would hear that all is well.
    sync_failed: Mutex<bool>,
}

/// What is known of a segment found on disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SegmentExtent {
    pub(crate) size: u64,
    pub(crate) end: u64,
    pub(crate) max_timestamp: i64,
    pub(crate) first_timestamp: Option<i64>,
}

impl Segment {
    /// An empty segment in a new file. The caller makes the name durable.
    pub(crate) fn create(
        storage: &Arc<dyn Storage>,
        dir: &Path,
        base: u64,
        index_interval: u32,
    ) -> io::Result<Self> {
        let path = dir.join(file_name(base, LOG_SUFFIX));
        let file = storage.create_file(&path)?;
        let segment = Self::at(storage, dir, base, index_interval);
        let _ = segment.file.set(file);
        Ok(segment)
    }

    /// A segment whose file exists, as yet without content.
    pub(crate) fn at(
        storage: &Arc<dyn Storage>,
        dir: &Path,
        base: u64,
        index_interval: u32,
    ) -> Self {
        Self {
            base,
            path: dir.join(file_name(base, LOG_SUFFIX)),
            storage: storage.clone(),
            file: OnceLock::new(),
            opening: Mutex::new(()),
            index: Index::new(storage, dir, base, index_interval),
            size: AtomicU64::new(0),
            end: AtomicU64::new(base),
            max_timestamp: AtomicI64::new(-1),
            first_timestamp: AtomicI64::new(i64::MIN),
            sealed: AtomicBool::new(false),
            found_size: AtomicU64::new(0),
            prepared_end: AtomicU64::new(0),
            preparing: Mutex::new(()),
            stale_end: AtomicU64::new(0),
            sync_failed: Mutex::default(),
        }
    }

    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of whole batches in the file: what a reader may look at.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Offset after the last batch.
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Greatest timestamp in the segment; -1 if there is none.
    pub(crate) fn max_timestamp(&self) -> i64 {
        self.max_timestamp.load(Ordering::Acquire)
    }

    /// Greatest timestamp of the first batch.
    pub(crate) fn first_timestamp(&self) -> Option<i64> {
        Some(self.first_timestamp.load(Ordering::Acquire)).filter(|t| *t != i64::MIN)
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    pub(crate) fn set_sealed(&self, sealed: bool) {
        self.sealed.store(sealed, Ordering::Release);
    }

    /// Batches that begin before this position were found on the disk, not written since.
    pub(crate) fn found_size(&self) -> u64 {
        self.found_size.load(Ordering::Acquire)
    }

    pub(crate) fn prepared_end(&self) -> u64 {
        self.prepared_end.load(Ordering::Acquire)
    }

    /// The open file.
    pub(crate) fn file(&self) -> io::Result<Arc<dyn File>> {
        if let Some(file) = self.file.get() {
            return Ok(file.clone());
        }
        let _opening = lock(&self.opening);
        if let Some(file) = self.file.get() {
            return Ok(file.clone());
        }
        let file = self.storage.open_file(&self.path, Access::ReadWrite)?;
        Ok(self.file.get_or_init(|| file).clone())
    }

    /// Takes over what recovery or truncation found out. Bytes behind `extent.size` count as
    /// unprepared up to `file_size`, whatever they are.
    pub(crate) fn set_extent(&self, extent: SegmentExtent, file_size: u64) {
        let _preparing = lock(&self.preparing);
        self.max_timestamp.store(extent.max_timestamp, Ordering::Release);
        self.first_timestamp.store(extent.first_timestamp.unwrap_or(i64::MIN), Ordering::Release);
        self.found_size.store(extent.size, Ordering::Release);
        self.prepared_end.store(extent.size, Ordering::Release);
        self.stale_end.store(file_size, Ordering::Release);
        self.size.store(extent.size, Ordering::Release);
        self.end.store(extent.end, Ordering::Release);
    }

    /// Makes sure that `[size, size + needed)` and one batch header more are zeros, or lie beyond
    /// everything that the file held before. Returns whether the space was not prepared in time.
    ///
    /// The header more keeps an old batch that may follow from continuing the new one.
    pub(crate) fn reserve(&self, needed: u64) -> io::Result<bool> {
        let target = self.size() + needed + HEADER_SIZE as u64;
        if self.prepared_end() >= target {
            return Ok(false);
        }
        let _preparing = lock(&self.preparing);
        let from = self.prepared_end();
        if from >= target {
            return Ok(false);
        }
        // Where nothing is stale, zeros would only have the device write everything twice.
        if from < self.stale_end.load(Ordering::Acquire) {
            let target = target.next_multiple_of(PREPARE_UNIT);
            let file = self.file()?;
            file.zero(from..target)?;
            self.sync()?;
            self.prepared_end.store(target, Ordering::Release);
        }
        Ok(true)
    }

    /// Prepares space up to `target` in chunks, each durable before it counts; the writer may
    /// overtake between two of them. Run by a background job.
    pub(crate) fn prepare(&self, target: u64) -> io::Result<()> {
        let file = self.file()?;
        loop {
            let chunk = {
                let _preparing = lock(&self.preparing);
                let from = self.prepared_end();
                if from >= target || self.is_sealed() {
                    return Ok(());
                }
                let chunk = from..target.min(from + PREPARE_CHUNK_SIZE);
                file.zero(chunk.clone())?;
                chunk
            };
            self.sync()?;
            let _preparing = lock(&self.preparing);
            // A truncation may have set the end back meanwhile: then this chunk counts no more.
            if self.prepared_end() >= chunk.start {
                self.prepared_end.fetch_max(chunk.end, Ordering::AcqRel);
            }
        }
    }

    /// Writes batches behind the last one. The space is reserved; nothing counts before
    /// [`publish`](Self::publish).
    pub(crate) fn write(&self, batches: &[Batch], position: u64) -> io::Result<()> {
        let file = self.file()?;
        let end = position + batches.iter().map(|batch| batch.size() as u64).sum::<u64>();
        // The background must not prepare what is being written.
        let _preparing = (end > self.prepared_end()).then(|| lock(&self.preparing));
        let mut position = position;
        for some in batches.chunks(WRITE_BATCH_COUNT) {
            let parts: Vec<IoSlice<'_>> = some.iter().flat_map(Batch::parts).collect();
            file.write_at(&parts, position)?;
            position += some.iter().map(|b| b.size() as u64).sum::<u64>();
        }
        self.prepared_end.fetch_max(end, Ordering::AcqRel);
        Ok(())
    }

    /// Makes written batches visible and indexes them.
    pub(crate) fn publish(&self, batches: &[Batch]) {
        let mut size = self.size();
        for batch in batches {
            let header = batch.header();
            assert_eq!(header.base_offset(), self.end(), "batches are contiguous");
            self.index.note(header.base_offset(), size, self.max_timestamp());
            self.first_timestamp
                .compare_exchange(
                    i64::MIN,
                    header.max_timestamp(),
                    Ordering::AcqRel,
                    Ordering::Acquire,
                )
                .ok();
            self.max_timestamp.fetch_max(header.max_timestamp(), Ordering::AcqRel);
            size += batch.size() as u64;
            self.end.store(header.end_offset(), Ordering::Release);
        }
        self.size.store(size, Ordering::Release);
    }

    /// Zeroes the range, as far as the file goes, and makes that durable.
    pub(crate) fn wipe(&self, range: Range<u64>) -> io::Result<()> {
        let file = self.file()?;
        let range = range.start..range.end.min(file.size());
        if !range.is_empty() && !is_planted(PlantedBug::CutNotZeroed) {
            file.zero(range)?;
        }
        self.sync()
    }

    /// Syncs the file. One failure is a failure for everybody and for good.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let file = self.file()?;
        let mut failed = lock(&self.sync_failed);
        if *failed {
            return Err(io::Error::other("an earlier sync of the file failed"));
        }
        let result = file.sync();
        *failed = result.is_err() && !is_planted(PlantedBug::SyncRetried);
        result
    }
}

/// Locks, also after a panic elsewhere: what these locks guard is never left half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        assert_eq!(file_name(42, LOG_SUFFIX), "00000000000000000042.log");
        assert_eq!(parse_file_name("00000000000000000042.log", LOG_SUFFIX), Some(42));
        assert_eq!(
            parse_file_name(&file_name(u64::MAX, INDEX_SUFFIX), INDEX_SUFFIX),
            Some(u64::MAX)
        );
        for wrong in ["42.log", "0000000000000000004x.log", "99999999999999999999.log", ".log"] {
            assert_eq!(parse_file_name(wrong, LOG_SUFFIX), None, "{wrong}");
        }
    }
}
