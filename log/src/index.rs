//! A segment's sparse offset and time index: where to begin walking the batches.
//!
//! Entries live in memory until a block of them is full, then in the index file, read through its
//! map. So an idle or long log costs no memory for its index. The file is only a hint: a damaged or
//! missing block makes a lookup begin earlier, and a background job writes the file anew.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use crate::index_block::{
    BLOCK_ENTRY_COUNT, BLOCK_SIZE, FOOTER_SIZE, Footer, IndexEntry, decode_block, encode_block,
    first_entry,
};
use crate::segment::{INDEX_SUFFIX, file_name};
use crate::storage::{Access, File, Storage, replace_file};

/// The index of one segment.
#[derive(Debug)]
pub(crate) struct Index {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    base: u64,
    interval: u64,
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Entries that are read from the file: whole blocks, and the last block once sealed.
    stored_count: u32,
    file: Option<Arc<dyn File>>,
    /// The entries behind the stored ones.
    tail: Vec<IndexEntry>,
    /// Position of the newest entry, 0 if there is none.
    last_position: u64,
    /// The file cannot be relied upon and should be written anew.
    damaged: bool,
}

impl Index {
    pub(crate) fn new(storage: &Arc<dyn Storage>, dir: &Path, base: u64, interval: u32) -> Self {
        Self {
            storage: storage.clone(),
            path: dir.join(file_name(base, INDEX_SUFFIX)),
            base,
            interval: u64::from(interval),
            inner: RwLock::default(),
        }
    }

    /// Considers the batch at `position` for an entry. Called for every batch, in order.
    pub(crate) fn note(&self, offset: u64, position: u64, max_timestamp_before: i64) {
        let entry = (|| {
            Some(IndexEntry {
                offset_delta: u32::try_from(offset.checked_sub(self.base)?).ok()?,
                position: u32::try_from(position).ok()?,
                max_timestamp_before,
            })
        })();
        let Some(entry) = entry else { return };
        // The writer alone changes the index, so looking first without the lock is sound.
        if position == 0 || position - self.read().last_position < self.interval {
            return;
        }
        let mut inner = self.write();
        inner.last_position = position;
        inner.tail.push(entry);
    }

    /// The last entry at or before `offset`; `None` means the segment's beginning.
    pub(crate) fn find_offset(&self, offset: u64) -> Option<IndexEntry> {
        let delta = offset.checked_sub(self.base)?;
        self.find(|e| u64::from(e.offset_delta) <= delta)
    }

    /// The last entry before which every timestamp is smaller than `timestamp`.
    pub(crate) fn find_timestamp(&self, timestamp: i64) -> Option<IndexEntry> {
        self.find(|e| e.max_timestamp_before < timestamp)
    }

    /// The last entry for which `holds` is true; it is true for a prefix of the entries.
    fn find(&self, holds: impl Fn(&IndexEntry) -> bool) -> Option<IndexEntry> {
        {
            let inner = self.read();
            let after = inner.tail.partition_point(&holds);
            if let Some(found) = after.checked_sub(1) {
                return Some(inner.tail[found]);
            }
            if inner.stored_count == 0 {
                return None;
            }
        }
        let (file, count) = self.stored_file()?;
        let mut number = self.last_block_where(&*file, count, &holds)?;
        loop {
            if let Some(entries) = self.stored_block(&*file, number) {
                let after = entries.partition_point(&holds);
                return after.checked_sub(1).map(|i| entries[i]);
            }
            self.write().damaged = true;
            number = number.checked_sub(1)?;
        }
    }

    /// The stored file and how many entries it holds, opened if need be.
    fn stored_file(&self) -> Option<(Arc<dyn File>, u32)> {
        {
            let inner = self.read();
            if let Some(file) = &inner.file {
                return Some((file.clone(), inner.stored_count));
            }
        }
        let mut inner = self.write();
        if inner.file.is_none() {
            match self.storage.open_file(&self.path, Access::ReadWrite) {
                Ok(file) => inner.file = Some(file),
                Err(error) => {
                    tracing::warn!(path = %self.path.display(), %error, "index not readable");
                    inner.damaged = true;
                }
            }
        }
        inner.file.clone().map(|file| (file, inner.stored_count))
    }

    fn last_block_where(
        &self,
        file: &dyn File,
        stored_count: u32,
        holds: impl Fn(&IndexEntry) -> bool,
    ) -> Option<u32> {
        let (mut low, mut high) = (0, stored_count.div_ceil(BLOCK_ENTRY_COUNT));
        while low < high {
            let middle = low + (high - low) / 2;
            let begins = self.block_bytes(file, middle).and_then(|b| first_entry(&b));
            if begins.is_some_and(|e| holds(&e)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1)
    }

    fn stored_block(&self, file: &dyn File, number: u32) -> Option<Vec<IndexEntry>> {
        decode_block(&self.block_bytes(file, number)?, self.base, number)
    }

    fn block_bytes(&self, file: &dyn File, number: u32) -> Option<Bytes> {
        let from = u64::from(number) * BLOCK_SIZE;
        file.read(from..from + BLOCK_SIZE).ok()
    }

    /// Whether the file should be written anew from the batches.
    pub(crate) fn is_damaged(&self) -> bool {
        self.read().damaged
    }

    /// Whether a whole block of entries waits to be stored.
    pub(crate) fn has_full_block(&self) -> bool {
        let inner = self.read();
        !inner.damaged && inner.tail.len() >= BLOCK_ENTRY_COUNT as usize
    }

    /// Writes the full blocks to the file, which makes room in memory. With `partial` also the last
    /// one, so that a restart after a clean end need not walk. Nothing is synced: it is a hint.
    pub(crate) fn store(&self, partial: bool) -> io::Result<()> {
        let (first, tail, file) = {
            let inner = self.read();
            (inner.stored_count / BLOCK_ENTRY_COUNT, inner.tail.clone(), inner.file.clone())
        };
        if self.is_damaged() || (tail.is_empty() && !partial) {
            return Ok(());
        }
        let size = BLOCK_ENTRY_COUNT as usize;
        let full_count = tail.len() / size;
        let store_count = if partial { tail.len().div_ceil(size) } else { full_count };
        if store_count == 0 {
            return Ok(());
        }
        let file = match file {
            Some(file) => file,
            None if self.storage.exists(&self.path)? => {
                self.storage.open_file(&self.path, Access::ReadWrite)?
            }
            None => self.storage.create_file(&self.path)?,
        };
        for (number, entries) in (first..).zip(tail.chunks(size).take(store_count)) {
            let block = encode_block(self.base, number, entries);
            file.write_at(&[IoSlice::new(&block)], u64::from(number) * BLOCK_SIZE)?;
        }
        let mut inner = self.write();
        inner.file = Some(file);
        inner.tail.drain(..full_count * size);
        inner.stored_count += full_count as u32 * BLOCK_ENTRY_COUNT;
        Ok(())
    }

    /// Replaces the file by these entries and, for a sealed segment, its footer. Entries that the
    /// writer added meanwhile stay in memory.
    pub(crate) fn replace(
        &self,
        entries: &[IndexEntry],
        footer: Option<&Footer>,
    ) -> io::Result<()> {
        let size = BLOCK_ENTRY_COUNT as usize;
        let whole = if footer.is_some() { entries.len() } else { entries.len() / size * size };
        let mut image = Vec::new();
        for (number, some) in (0..).zip(entries[..whole].chunks(size)) {
            image.extend_from_slice(&encode_block(self.base, number, some));
        }
        if let Some(footer) = footer {
            image.extend_from_slice(&footer.encode());
        }
        replace_file(&*self.storage, &self.path, &image)?;
        let mut inner = self.write();
        let kept_from = entries.last().map_or(0, |e| e.position);
        let newer: Vec<_> = inner.tail.iter().filter(|e| e.position > kept_from).copied().collect();
        inner.tail = entries[whole..].iter().copied().chain(newer).collect();
        inner.stored_count = whole as u32;
        inner.file = None;
        inner.damaged = false;
        inner.last_position = inner
            .tail
            .last()
            .or(entries.last())
            .map_or(0, |e| u64::from(e.position))
            .max(if footer.is_none() { inner.last_position } else { 0 });
        Ok(())
    }

    /// Relies on a sealed segment's stored entries.
    pub(crate) fn set_sealed(&self, entry_count: u32) {
        *self.write() = Inner { stored_count: entry_count, ..Inner::default() };
    }

    /// Reads the footer, if the file has a sound one.
    pub(crate) fn read_footer(&self) -> Option<Footer> {
        let file = self.storage.open_file(&self.path, Access::ReadOnly).ok()?;
        let size = file.size();
        let from = size.checked_sub(FOOTER_SIZE)?;
        let mut raw = [0; FOOTER_SIZE as usize];
        file.read_at(&mut raw, from).ok()?;
        let footer = Footer::decode(&raw, self.base)?;
        let blocks = u64::from(footer.entry_count.div_ceil(BLOCK_ENTRY_COUNT));
        (from == blocks * BLOCK_SIZE).then_some(footer)
    }

    /// Takes over the stored entries of an unsealed segment up to `limit`, the offset until which
    /// the log was durable, and wipes the others: they may name batches that a crash has lost.
    ///
    /// Returns the last entry taken over. Where the file is missing or damaged that is an earlier
    /// one or none; the walk from there notes the later ones again.
    pub(crate) fn load(&self, limit: u64, file_size: u64) -> io::Result<Option<IndexEntry>> {
        let file = match self.storage.open_file(&self.path, Access::ReadWrite) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let sound = |e: &IndexEntry| {
            u64::from(e.offset_delta) <= limit.saturating_sub(self.base)
                && u64::from(e.position) < file_size
        };
        let size = file.size();
        let mut count = u32::try_from(size / BLOCK_SIZE).unwrap_or(u32::MAX);
        let mut kept = Vec::new();
        while count > 0 {
            let mut raw = vec![0; BLOCK_SIZE as usize];
            file.read_at(&mut raw, u64::from(count - 1) * BLOCK_SIZE)?;
            if let Some(mut entries) = decode_block(&raw, self.base, count - 1) {
                let taken = entries.partition_point(sound);
                if taken > 0 {
                    let all = taken == entries.len() && u64::from(count) * BLOCK_SIZE == size;
                    entries.truncate(taken);
                    kept = entries;
                    if !all {
                        self.wipe_from(&*file, count - 1, &kept)?;
                    }
                    break;
                }
            }
            count -= 1;
        }
        if count == 0 && size > 0 {
            file.zero(0..size)?;
            file.sync()?;
        }
        let last = kept.last().copied();
        *self.write() = Inner {
            stored_count: count.saturating_sub(1) * BLOCK_ENTRY_COUNT,
            file: Some(file),
            tail: kept,
            last_position: last.map_or(0, |e| u64::from(e.position)),
            damaged: false,
        };
        Ok(last)
    }

    fn wipe_from(&self, file: &dyn File, number: u32, entries: &[IndexEntry]) -> io::Result<()> {
        let position = u64::from(number) * BLOCK_SIZE;
        file.write_at(&[IoSlice::new(&encode_block(self.base, number, entries))], position)?;
        let rest = position + BLOCK_SIZE..file.size();
        if !rest.is_empty() {
            file.zero(rest)?;
        }
        file.sync()
    }

    /// Forgets the entries of batches at or beyond `end` and the whole file: what it holds may be
    /// overruled. The caller syncs the directory. Entries that only the file held are found again
    /// by a background job.
    pub(crate) fn truncate(&self, end: u64) -> io::Result<()> {
        let mut inner = self.write();
        inner.tail.retain(|e| self.base + u64::from(e.offset_delta) < end);
        inner.damaged |= inner.stored_count > 0;
        inner.stored_count = 0;
        inner.file = None;
        inner.last_position = inner.tail.last().map_or(0, |e| u64::from(e.position));
        drop(inner);
        match self.storage.remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Position of the first entry that memory holds: the stored ones lie before it.
    pub(crate) fn tail_position(&self) -> Option<u64> {
        self.read().tail.first().map(|e| u64::from(e.position))
    }

    pub(crate) fn interval(&self) -> u64 {
        self.interval
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}
