//! Background upkeep of a log: preparing space, storing hints, sealing, removing.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::jobs::{BackgroundDone, BackgroundJob, Work, WorkKind};
use crate::log::Log;
use crate::log_error::{LogError, LogResult};
use crate::seal;
use crate::segment::{PREPARE_UNIT, Segment, lock};

/// A snapshot of the producer states is taken after this many bytes of batches, so that a restart
/// walks little more than this.
const SNAPSHOT_INTERVAL_SIZE: u64 = 4 << 20;
/// … or after this many times the size of the last snapshot, if that is more.
const SNAPSHOT_COST_FACTOR: u64 = 32;
/// About how large a snapshot is per producer, bytes.
const SNAPSHOT_PRODUCER_SIZE: u64 = 160;

/// From this size of a sync on, in bytes, preparing space costs more than it saves: the device
/// writes everything twice, to spare each sync the file's growth.
const BULK_SYNC_SIZE: u64 = 64 << 10;

/// What the background has to do, is doing, or could not do.
#[derive(Debug)]
pub(crate) struct Upkeep {
    in_flight: Vec<WorkKind>,
    seals: VecDeque<Arc<Segment>>,
    removals: VecDeque<Vec<PathBuf>>,
    scrub: Option<Arc<Segment>>,
    /// Base offset of the segment that was scrubbed last.
    scrubbed: Option<u64>,
    /// How far ahead of the writer space is prepared, bytes.
    step: u32,
    prepared_since_tick: bool,
    /// Bytes appended since a sync was polled, and how many a sync has to cover on average lately.
    unsynced_size: u64,
    sync_size: u64,
    /// The device was full: no hint is written before the next tick.
    disk_full: bool,
    appended_since_snapshot: u64,
    snapshot_wanted: bool,
    /// The last sync was a carrier's.
    carried: bool,
    settle_wanted: bool,
    /// Up to where the settling under way reaches, unless a cut came in between.
    settle_end: Option<u64>,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self {
            in_flight: Vec::new(),
            seals: VecDeque::new(),
            removals: VecDeque::new(),
            scrub: None,
            scrubbed: None,
            step: PREPARE_UNIT as u32,
            prepared_since_tick: false,
            unsynced_size: 0,
            sync_size: 0,
            disk_full: false,
            appended_since_snapshot: 0,
            snapshot_wanted: false,
            carried: false,
            settle_wanted: false,
            settle_end: None,
        }
    }
}

impl Upkeep {
    pub(crate) fn queue_seal(&mut self, segment: &Arc<Segment>) {
        self.seals.push_back(segment.clone());
    }

    pub(crate) fn queue_removal(&mut self, paths: Vec<PathBuf>) {
        if !paths.is_empty() {
            self.removals.push_back(paths);
        }
    }

    pub(crate) fn want_snapshot(&mut self) {
        self.snapshot_wanted = true;
    }

    pub(crate) fn note_appended(&mut self, size: u64) {
        self.appended_since_snapshot += size;
        self.unsynced_size += size;
    }

    /// A sync begins that covers everything appended.
    pub(crate) fn note_sync(&mut self) {
        self.sync_size = (3 * self.sync_size + std::mem::take(&mut self.unsynced_size)) / 4;
    }

    /// A sync is done.
    pub(crate) fn note_carried(&mut self, carried: bool) {
        self.carried = carried;
    }

    /// A cut changed what the settling under way means.
    pub(crate) fn forget_settle(&mut self) {
        self.settle_wanted = false;
        self.settle_end = None;
    }

    /// An append reserved space; `late` if the background had not prepared it in time.
    pub(crate) fn note_reserve(&mut self, late: bool) {
        self.prepared_since_tick |= late;
    }

    /// Segments that a truncation removed or reopened are not sealed.
    pub(crate) fn retain_seals(&mut self, keep: impl Fn(&Arc<Segment>) -> bool) {
        self.seals.retain(keep);
    }

    fn is_idle(&self, kind: WorkKind) -> bool {
        !self.in_flight.contains(&kind)
    }
}

impl Log {
    /// The next piece of upkeep, if there is any. Poll until `None`.
    pub fn poll_background(&mut self) -> Option<BackgroundJob> {
        if self.poisoned {
            return None;
        }
        let work = self
            .next_settle()
            .or_else(|| self.next_removal())
            .or_else(|| self.next_preparation())
            .or_else(|| self.next_index_store())
            .or_else(|| self.next_seal())
            .or_else(|| self.next_snapshot())
            .or_else(|| self.next_scrub())?;
        self.upkeep.in_flight.push(work.kind());
        Some(BackgroundJob(work))
    }

    /// Takes in what a background job did.
    ///
    /// # Errors
    /// [`LogError::Io`] if the device failed: the log is poisoned. A full disk is no error here,
    /// and damaged batches that the job found are told by [`Log::corrupt`].
    pub fn handle_background(&mut self, done: BackgroundDone) -> LogResult<()> {
        let at = self.upkeep.in_flight.iter().position(|k| *k == done.kind);
        assert!(at.is_some(), "only a job that is out comes back");
        if let Some(at) = at {
            self.upkeep.in_flight.swap_remove(at);
        }
        match done.result {
            Ok(()) if done.kind == WorkKind::Settle => {
                let end = self.upkeep.settle_end.take().unwrap_or(0);
                self.settled_end = self.settled_end.max(end);
                self.check();
                Ok(())
            }
            Ok(()) => Ok(()),
            Err(LogError::DiskFull { .. }) => {
                self.upkeep.disk_full = true;
                Ok(())
            }
            Err(LogError::Corrupt { path, position, offsets, reason }) => {
                tracing::error!(path = %path.display(), position, ?offsets, %reason, "corrupt");
                self.note_corrupt(offsets);
                Ok(())
            }
            Err(LogError::Io { path, source }) => {
                self.poisoned = true;
                Err(LogError::Io { path, source })
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn note_corrupt(&mut self, offsets: Range<u64>) {
        if !self.corrupt.contains(&offsets) {
            self.corrupt.push(offsets);
        }
    }

    /// Lets time pass: hears what readers found damaged, forgets expired producers, and prepares
    /// less space for a partition that is written less. `now_ms` is the process's own time, which
    /// begins anywhere and never jumps.
    pub fn tick(&mut self, now_ms: u64) {
        for offsets in self.shared.take_damage() {
            self.note_corrupt(offsets);
        }
        self.producers.expire(now_ms, self.config.producer_expiration_ms);
        if !std::mem::take(&mut self.upkeep.prepared_since_tick) {
            self.upkeep.step = (self.upkeep.step / 2).max(PREPARE_UNIT as u32);
        }
        self.upkeep.disk_full = false;
    }

    /// Whether all that the log holds of a range can be read, and is what was written. Blocks;
    /// reads by copy, so that a bad sector is an answer and not a signal.
    pub fn is_intact(&self, range: &Range<u64>) -> bool {
        let segments = self.shared.segments();
        segments.iter().all(|segment| seal::is_intact(segment, range, &self.epochs))
    }

    /// Asks for a check of the next segment, from the oldest to the newest and again from the
    /// oldest, as a background job. Damage shows itself in [`Log::corrupt`]. `false`: the log is
    /// empty.
    pub fn scrub_next(&mut self) -> bool {
        let segments = self.shared.segments();
        let filled = || segments.iter().filter(|segment| segment.size() > 0);
        let next = filled().find(|segment| self.upkeep.scrubbed.is_none_or(|b| segment.base() > b));
        let next = next.or_else(|| filled().next()).cloned();
        self.upkeep.scrubbed = next.as_ref().map(|segment| segment.base());
        self.upkeep.scrub = next;
        self.upkeep.scrub.is_some()
    }

    /// Asks for a sync, as a background job, of what was only carried.
    pub fn want_settled(&mut self) {
        self.upkeep.settle_wanted = true;
    }

    /// What is durable lies in segments whose names and epochs are durable, too.
    fn next_settle(&mut self) -> Option<Work> {
        if !self.upkeep.settle_wanted || !self.upkeep.is_idle(WorkKind::Settle) {
            return None;
        }
        self.upkeep.settle_wanted = false;
        if self.settled_end == self.durable_end {
            return None;
        }
        self.upkeep.settle_end = Some(self.durable_end);
        let mut segments = self.rolled.clone();
        segments.push(self.active.clone());
        Some(Work::Settle { segments })
    }

    fn next_scrub(&mut self) -> Option<Work> {
        if !self.upkeep.is_idle(WorkKind::Scrub) {
            return None;
        }
        let segment = self.upkeep.scrub.take()?;
        Some(Work::Scrub {
            size: segment.size(),
            segment,
            epochs: self.shared.epochs(),
            fence: self.fence.clone(),
            generation: *lock(&self.fence),
        })
    }

    fn next_removal(&mut self) -> Option<Work> {
        if !self.upkeep.is_idle(WorkKind::Remove) || self.upkeep.disk_full {
            return None;
        }
        let paths = self.upkeep.removals.pop_front()?;
        let work = Work::Remove {
            storage: self.storage.clone(),
            start_file: self.start_file.clone(),
            start: self.start(),
            paths,
        };
        Some(work)
    }

    fn next_preparation(&mut self) -> Option<Work> {
        let size = self.active.size();
        let upkeep = &mut self.upkeep;
        let bulk = upkeep.sync_size >= BULK_SYNC_SIZE;
        if size == 0
            || bulk
            || upkeep.carried
            || upkeep.disk_full
            || !upkeep.is_idle(WorkKind::Prepare)
        {
            return None;
        }
        let step = u64::from(upkeep.step);
        let prepared_end = self.active.prepared_end();
        let limit = u64::from(self.config.segment_size.get()).next_multiple_of(PREPARE_UNIT);
        if prepared_end.saturating_sub(size) >= step / 2 || prepared_end >= limit {
            return None;
        }
        upkeep.prepared_since_tick = true;
        upkeep.step = upkeep
            .step
            .saturating_mul(2)
            .min(self.config.prepare_max_size)
            .max(PREPARE_UNIT as u32);
        let target = (size + u64::from(upkeep.step)).next_multiple_of(PREPARE_UNIT).min(limit);
        let work = Work::Prepare { segment: self.active.clone(), target };
        Some(work)
    }

    fn next_index_store(&mut self) -> Option<Work> {
        let idle = self.upkeep.is_idle(WorkKind::StoreIndex) && !self.upkeep.disk_full;
        if !idle || !self.active.index.has_full_block() {
            return None;
        }
        let work = Work::StoreIndex {
            segment: self.active.clone(),
            fence: self.fence.clone(),
            generation: *lock(&self.fence),
        };
        Some(work)
    }

    fn next_seal(&mut self) -> Option<Work> {
        if !self.upkeep.is_idle(WorkKind::Seal) || self.upkeep.disk_full {
            return None;
        }
        let damaged = self.active.index.is_damaged().then(|| self.active.clone());
        let segment = self.upkeep.seals.pop_front().or(damaged)?;
        let work = Work::Seal {
            size: match segment.is_sealed() {
                true => segment.size(),
                false => segment.index.tail_position().unwrap_or(segment.size()),
            },
            segment,
            fence: self.fence.clone(),
            generation: *lock(&self.fence),
        };
        Some(work)
    }

    fn next_snapshot(&mut self) -> Option<Work> {
        let upkeep = &self.upkeep;
        let cost = self.producers.len() as u64 * SNAPSHOT_PRODUCER_SIZE * SNAPSHOT_COST_FACTOR;
        let due = upkeep.appended_since_snapshot >= SNAPSHOT_INTERVAL_SIZE.max(cost);
        if !(due || upkeep.snapshot_wanted)
            || upkeep.disk_full
            || !upkeep.is_idle(WorkKind::Snapshot)
        {
            return None;
        }
        self.upkeep.appended_since_snapshot = 0;
        self.upkeep.snapshot_wanted = false;
        let new = self.snapshots.encode(&self.producers, self.end(), self.epochs.latest());
        Some(Work::Snapshot { snapshots: self.snapshots.clone(), new })
    }

    /// Stores the index and the producer states of a log that is being closed.
    pub(crate) fn store_hints(&mut self) {
        // Below this size the walk of the next start is not worth a file.
        const WORTH_SIZE: u64 = 64 << 10;
        let worth = self.upkeep.appended_since_snapshot > WORTH_SIZE || !self.producers.is_empty();
        if worth && self.end() > self.start() {
            let new = self.snapshots.encode(&self.producers, self.end(), self.epochs.latest());
            if let Err(error) = self.snapshots.install(&new) {
                tracing::warn!(dir = %self.dir.display(), %error, "no producer snapshot stored");
            }
        }
        if self.active.size() > WORTH_SIZE
            && let Err(error) = self.active.index.store(true)
        {
            tracing::warn!(dir = %self.dir.display(), %error, "no index stored");
        }
    }
}
