//! The journal without its thread: every method writes, syncs and returns.
//!
//! The simulator drives this directly; [`Journal`](super::Journal) drives it from its own thread.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{JournalError, JournalOpenError};
use super::frame::{
    FRAME_PREFIX_SIZE, FRAMES_START, HEADER_SIZE, Header, Link, MAX_PAYLOAD_SIZE, encode_frame,
};
use super::queue::Submission;
use super::record::JournalRecord;
use super::recover::{Mend, Recovered, recover};
use super::state::{PartitionDurable, State};
use crate::error::is_disk_full;
use crate::identity::Identity;
use crate::key::PartitionKey;
use crate::storage::{Access, File, Storage, read_file, temporary_path};

/// Sizes that tests make small.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Space is prepared in steps of this many bytes.
    pub(super) reserve_step: u64,
    /// Below this size a journal is not rewritten, however much of it is outdated.
    pub(super) rewrite_min_size: u64,
}

/// What a broker uses.
const SIZES: Sizes = Sizes { reserve_step: 256 * 1024, rewrite_min_size: 1 << 20 };

/// A journal is rewritten when it is this many times as long as a rewritten one would be.
const REWRITE_FACTOR: u64 = 4;

/// No journal gets longer than this; a longer file is not read into memory.
const MAX_FILE_SIZE: u64 = 1 << 30;

/// What opening a journal found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalReport {
    /// Number of this opening: greater than that of every earlier one.
    pub incarnation: u64,
    /// Whether the journal was closed in order the last time, so that every mark is in it.
    pub clean: bool,
    /// Bytes of a torn write that were wiped. No one was told of them.
    pub torn_size: u64,
    /// Damaged copies that were mended from their intact twins.
    pub mended_count: u64,
}

/// An open journal. After a failed write or sync every method answers
/// [`JournalError::Failed`].
#[derive(Debug)]
pub struct JournalStore {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    file: Arc<dyn File>,
    header: Header,
    state: State,
    position: u64,
    previous: u32,
    sequence: u64,
    /// File length at which a rewrite that found the disk full is tried again.
    rewrite_again_at: u64,
    failed: Option<JournalError>,
    sizes: Sizes,
}

impl JournalStore {
    /// Creates an empty journal that belongs to `identity`, whole or not at all. Replaces what is
    /// there.
    ///
    /// # Errors
    /// Whatever the storage reports.
    pub fn create(storage: &dyn Storage, path: &Path, identity: Identity) -> io::Result<()> {
        Self::create_with(storage, path, identity, SIZES)
    }

    pub(super) fn create_with(
        storage: &dyn Storage,
        path: &Path,
        identity: Identity,
        sizes: Sizes,
    ) -> io::Result<()> {
        let header = Header { identity, generation: 1 };
        write_fresh(storage, path, header, &State::default(), sizes).map(drop)
    }

    /// Whether a journal is intact and was never opened since it was created.
    ///
    /// # Errors
    /// Whatever the storage reports.
    pub fn is_unused(storage: &dyn Storage, path: &Path) -> io::Result<bool> {
        let content = read_file(storage, path, MAX_FILE_SIZE)?;
        Ok(recover(&content).is_ok_and(|recovered| recovered.state == State::default()))
    }

    /// Opens an existing journal, wipes what a crash tore, mends what is damaged in one copy, and
    /// notes the new incarnation. Everything it found is durable when it returns.
    ///
    /// # Errors
    /// See [`JournalOpenError`].
    pub fn open(
        storage: Arc<dyn Storage>,
        path: &Path,
        identity: Identity,
    ) -> Result<(Self, JournalReport), JournalOpenError> {
        Self::open_with(storage, path, identity, SIZES)
    }

    pub(super) fn open_with(
        storage: Arc<dyn Storage>,
        path: &Path,
        identity: Identity,
        sizes: Sizes,
    ) -> Result<(Self, JournalReport), JournalOpenError> {
        let file = storage.open_file(path, Access::ReadWrite)?;
        if file.size() > MAX_FILE_SIZE {
            return Err(JournalOpenError::TooLong(file.size()));
        }
        let mut content = vec![0; file.size() as usize];
        file.read_at(&mut content, 0)?;
        let recovered = recover(&content)?;
        let found = recovered.header.identity;
        if found != identity {
            return Err(JournalOpenError::Foreign { found, expected: identity });
        }
        repair(&*storage, path, &*file, &content, &recovered)?;
        let mut report = JournalReport {
            incarnation: recovered.state.incarnation + 1,
            clean: recovered.state.closed,
            torn_size: recovered.torn.map_or(0, |torn| torn.end - torn.start),
            mended_count: recovered.mends.len() as u64,
        };
        if recovered.state.incarnation == 0 {
            // Never opened before: there is nothing that could be unclean.
            report.clean = true;
        }
        let mut store = Self {
            storage,
            path: path.to_owned(),
            file,
            header: recovered.header,
            state: recovered.state,
            position: recovered.position,
            previous: recovered.previous,
            sequence: recovered.sequence,
            rewrite_again_at: 0,
            failed: None,
            sizes,
        };
        store.write(&[JournalRecord::Incarnation(report.incarnation)])?;
        Ok((store, report))
    }

    /// What is known of each partition, everything written so far included.
    #[must_use]
    pub fn partitions(&self) -> &BTreeMap<PartitionKey, PartitionDurable> {
        &self.state.partitions
    }

    /// Makes the records durable, all or none.
    ///
    /// # Errors
    /// See [`JournalError`]; `Failed` is final, after all others the journal is as before.
    pub fn write(&mut self, records: &[JournalRecord]) -> Result<(), JournalError> {
        self.reserve_for(records)?;
        self.admit(records)?;
        self.write_admitted(records)
    }

    /// Makes a group durable in one write, and says of each submission what became of it. One that
    /// is refused does not hinder the others.
    pub fn write_group<D>(
        &mut self,
        group: Vec<Submission<D>>,
    ) -> Vec<(Submission<D>, Result<(), JournalError>)> {
        let all: Vec<JournalRecord> = group.iter().flat_map(|s| s.records.clone()).collect();
        if let Err(error) = self.reserve_for(&all) {
            return group.into_iter().map(|s| (s, Err(error.clone()))).collect();
        }
        let mut admitted = Vec::with_capacity(all.len());
        let mut results = Vec::with_capacity(group.len());
        for submission in group {
            let result = self.admit(&submission.records);
            if result.is_ok() {
                admitted.extend_from_slice(&submission.records);
            }
            results.push((submission, result));
        }
        if !admitted.is_empty()
            && let Err(error) = self.write_admitted(&admitted)
        {
            for (_, result) in results.iter_mut().filter(|(_, result)| result.is_ok()) {
                *result = Err(error.clone());
            }
        }
        results
    }

    /// Why nothing more is written, if that is so.
    #[must_use]
    pub fn failure(&self) -> Option<&JournalError> {
        self.failed.as_ref()
    }

    /// Prepares space for a write of these records.
    ///
    /// # Errors
    /// `DiskFull`, `TooLarge`, `Failed`.
    fn reserve_for(&mut self, records: &[JournalRecord]) -> Result<(), JournalError> {
        let size = payload_size(records);
        if size > MAX_PAYLOAD_SIZE {
            return Err(JournalError::TooLarge { size, limit: MAX_PAYLOAD_SIZE });
        }
        self.reserve(2 * (FRAME_PREFIX_SIZE + size) as u64 + FRAME_PREFIX_SIZE as u64)
    }

    /// Checks records against what is known and counts them as known. They must be written next.
    ///
    /// # Errors
    /// `Regression`; then none of them counts.
    fn admit(&mut self, records: &[JournalRecord]) -> Result<(), JournalError> {
        self.state
            .apply(records)
            .map_err(|regression| JournalError::Regression { key: regression.0.key() })
    }

    /// Writes one frame of admitted records and syncs it, into space reserved before.
    ///
    /// # Errors
    /// `Failed`.
    fn write_admitted(&mut self, records: &[JournalRecord]) -> Result<(), JournalError> {
        self.refuse_if_failed()?;
        let link = Link {
            generation: self.header.generation,
            previous: self.previous,
            sequence: self.sequence,
        };
        let (frame, crc) = encode_frame(link, records);
        let end = self.position + 2 * frame.len() as u64;
        assert!(end + FRAME_PREFIX_SIZE as u64 <= self.file.size(), "space was reserved before");
        let both = [IoSlice::new(&frame), IoSlice::new(&frame)];
        let result = self.file.write_at(&both, self.position).and_then(|()| self.file.sync());
        result.map_err(|error| self.fail(error))?;
        self.position = end;
        self.previous = crc;
        self.sequence += 1;
        Ok(())
    }

    /// Makes use of a quiet moment: rewrites a journal that is mostly outdated, and prepares space
    /// ahead of need. Whether a full disk hindered it shows only when space is needed.
    ///
    /// # Errors
    /// `Failed`.
    pub fn maintain(&mut self) -> Result<(), JournalError> {
        self.refuse_if_failed()?;
        if self.wants_rewrite() {
            match self.rewrite() {
                Err(JournalError::DiskFull) => {
                    self.rewrite_again_at = self.position + self.sizes.rewrite_min_size;
                    tracing::warn!("no space to rewrite the journal; it grows on");
                }
                result => result?,
            }
        }
        match self.reserve(self.sizes.reserve_step / 2) {
            Err(JournalError::DiskFull) => Ok(()),
            result => result,
        }
    }

    /// Notes that the journal is complete.
    ///
    /// # Errors
    /// As [`JournalStore::write`].
    pub fn close(mut self) -> Result<(), JournalError> {
        self.write(&[JournalRecord::Closed])
    }

    /// Bytes that frames take now, outdated ones included.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.position
    }

    fn wants_rewrite(&self) -> bool {
        let rewritten = FRAMES_START + 2 * self.state.live_size();
        self.position >= self.sizes.rewrite_min_size.max(self.rewrite_again_at)
            && self.position > REWRITE_FACTOR * rewritten
    }

    fn rewrite(&mut self) -> Result<(), JournalError> {
        let header = Header { generation: self.header.generation + 1, ..self.header };
        match write_fresh(&*self.storage, &self.path, header, &self.state, self.sizes) {
            Ok(fresh) => {
                tracing::debug!(
                    before = self.position,
                    after = fresh.position,
                    "journal rewritten"
                );
                self.file = fresh.file;
                self.header = header;
                self.position = fresh.position;
                self.previous = fresh.previous;
                self.sequence = fresh.sequence;
                Ok(())
            }
            Err(error) if is_disk_full(&error) => Err(JournalError::DiskFull),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Makes sure that `size` synced zeros follow the last frame.
    fn reserve(&mut self, size: u64) -> Result<(), JournalError> {
        self.refuse_if_failed()?;
        let (need, end) = (self.position + size, self.file.size());
        if need <= end {
            return Ok(());
        }
        match self.file.zero(end..need.next_multiple_of(self.sizes.reserve_step)) {
            Ok(()) => self.file.sync().map_err(|error| self.fail(error)),
            Err(error) if is_disk_full(&error) => Err(JournalError::DiskFull),
            Err(error) => Err(self.fail(error)),
        }
    }

    fn refuse_if_failed(&self) -> Result<(), JournalError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn fail(&mut self, error: io::Error) -> JournalError {
        let failed = JournalError::Failed(Arc::new(error));
        self.failed = Some(failed.clone());
        failed
    }
}

pub(super) fn payload_size(records: &[JournalRecord]) -> usize {
    records.iter().map(JournalRecord::encoded_size).sum()
}

/// Wipes and mends what recovery found. The last frame, the zeros after it and the file's name are
/// made durable even where they look so: after a failed sync, memory has what the device has not.
fn repair(
    storage: &dyn Storage,
    path: &Path,
    file: &dyn File,
    content: &[u8],
    recovered: &Recovered,
) -> io::Result<()> {
    if let Some(torn) = &recovered.torn {
        tracing::info!(bytes = torn.end - torn.start, "torn write at the journal's end wiped");
    }
    file.zero(recovered.position..content.len() as u64)?;
    if let Some(last) = &recovered.last {
        let frame = IoSlice::new(&content[last.clone()]);
        file.write_at(&[frame, frame], recovered.position - 2 * last.len() as u64)?;
    }
    for Mend { from, to } in &recovered.mends {
        tracing::warn!(position = to, "damaged copy of a journal frame mended");
        file.write_at(&[IoSlice::new(&content[from.clone()])], *to)?;
    }
    let header = recovered.header.encode();
    if content[..2 * HEADER_SIZE] != header[..] {
        file.write_at(&[IoSlice::new(&header)], 0)?;
    }
    file.sync()?;
    storage.sync_dir(path.parent().ok_or(io::ErrorKind::InvalidInput)?)
}

/// A journal just written.
struct Fresh {
    file: Arc<dyn File>,
    position: u64,
    previous: u32,
    sequence: u64,
}

/// Writes a journal that holds just `state` and puts it in the place of the one at `path`, which
/// stays as it is when this fails before the rename.
fn write_fresh(
    storage: &dyn Storage,
    path: &Path,
    header: Header,
    state: &State,
    sizes: Sizes,
) -> io::Result<Fresh> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = temporary_path(path)?;
    if storage.exists(&temporary)? {
        storage.remove_file(&temporary)?;
    }
    let file = storage.create_file(&temporary)?;
    let written = write_content(file, header, state, sizes);
    if written.as_ref().is_err_and(is_disk_full) {
        storage.remove_file(&temporary)?;
    }
    let fresh = written?;
    storage.rename(&temporary, path)?;
    // From here on the new file may be the one that a crash leaves: nothing but the failure of
    // the whole journal will do if this sync fails, however full the disk is.
    storage.sync_dir(dir).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(fresh)
}

fn write_content(
    file: Arc<dyn File>,
    header: Header,
    state: &State,
    sizes: Sizes,
) -> io::Result<Fresh> {
    let mut content = header.encode();
    let mut link = Link { generation: header.generation, previous: header.chain(), sequence: 1 };
    let records: Vec<JournalRecord> = state.records().collect();
    // The longest record has 37 bytes.
    for group in records.chunks(MAX_PAYLOAD_SIZE / 37) {
        let (frame, crc) = encode_frame(link, group);
        content.extend_from_slice(&frame);
        content.extend_from_slice(&frame);
        link = Link { previous: crc, sequence: link.sequence + 1, ..link };
    }
    let position = content.len() as u64;
    file.write_at(&[IoSlice::new(&content)], 0)?;
    let step = sizes.reserve_step;
    file.zero(position..(position + step).next_multiple_of(step))?;
    file.sync()?;
    Ok(Fresh { file, position, previous: link.previous, sequence: link.sequence })
}
