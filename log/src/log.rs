//! One partition's log: batches in segments, appended at one end and dropped at the other.
//!
//! # Pointers
//!
//! `start ≤ settled_end ≤ durable_end ≤ end`, all offsets, checked after every step:
//!
//! | pointer | meaning | moves |
//! |---|---|---|
//! | start | first offset that is still held | up: trim, retention, restart |
//! | settled end | first offset not known to be synced in the segments | up: a sync of them; down: truncate |
//! | durable end | first offset not known to be synced | up: a sync that returned Ok; down: truncate |
//! | end | first offset not appended | up: append; down: truncate |
//!
//! What lies between the settled and the durable end is held by a [carrier](crate::carrier), which
//! brings it back to the segments at the next start. Without one the two are the same.
//!
//! # The owner's duties
//!
//! One owner drives a log; views read beside it. After any change the owner
//! 1. polls [`Log::poll_sync`] and runs the job on a thread that may block, hands the result to
//!    [`Log::handle_synced`], and ends the process if that reports a failure;
//! 2. does the same with [`Log::poll_background`] and [`Log::handle_background`];
//! 3. notes the settled end in the journal as the partition's mark, and passes the last mark to
//!    [`Log::open`];
//! 4. makes a *lower* mark durable before it truncates below the last one, since whatever is
//!    missing below the mark after a crash is taken for corruption, never for a truncation;
//! 5. calls [`Log::tick`] about once a second and [`Log::retain`] every few minutes.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::batch::Batch;
use crate::config::LogConfig;
use crate::epochs::EpochHistory;
use crate::epochs_file::EpochsFile;
use crate::error::is_disk_full;
use crate::jobs::{Fence, SyncDone, SyncJob, failed};
use crate::log_error::{LogError, LogResult};
use crate::producers::ProducerStates;
use crate::recovery::{self, RecoveryReport};
use crate::segment::Segment;
use crate::snapshots::Snapshots;
use crate::start::StartFile;
use crate::storage::Storage;
use crate::unsynced::Unsynced;
use crate::upkeep::Upkeep;
use crate::view::{LogView, Shared};

/// One partition's log. See the module's page for the owner's duties.
#[derive(Debug)]
pub struct Log {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) dir: PathBuf,
    pub(crate) config: LogConfig,
    pub(crate) shared: Arc<Shared>,
    /// The last segment of the shared list.
    pub(crate) active: Arc<Segment>,
    pub(crate) settled_end: u64,
    pub(crate) durable_end: u64,
    /// The durable end when a carrier last moved it.
    pub(crate) carried_end: u64,
    /// What was appended since the last sync was polled.
    pub(crate) unsynced: Unsynced,
    /// Sealed segments that no sync has covered yet, oldest first.
    pub(crate) rolled: Vec<Arc<Segment>>,
    /// A name in the directory is not durable yet.
    pub(crate) dir_changed: bool,
    pub(crate) sync: Option<SyncInFlight>,
    pub(crate) next_sync_id: u64,
    /// Nothing was synced since the log was opened: zeros in the file may be in memory only.
    pub(crate) sync_before_append: bool,
    pub(crate) epochs: EpochHistory,
    /// How many entries of the history are in its file.
    pub(crate) stored_epoch_count: usize,
    pub(crate) epochs_file: Arc<EpochsFile>,
    pub(crate) start_file: Arc<StartFile>,
    pub(crate) producers: ProducerStates,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) fence: Arc<Fence>,
    pub(crate) upkeep: Upkeep,
    /// Acknowledged offsets at the log's end that cannot be read.
    pub(crate) faulty: Option<Range<u64>>,
    /// All offsets that are known to be unreadable, the faulty ones included.
    pub(crate) corrupt: Vec<Range<u64>>,
    pub(crate) poisoned: bool,
}

/// A sync job that has not come back.
#[derive(Debug)]
pub(crate) struct SyncInFlight {
    id: u64,
    /// The segments that were sealed when the job was polled: it covers all of them. The one that
    /// was active may have grown, and even have been sealed, since.
    sealed: Vec<Arc<Segment>>,
    epoch_count: usize,
    /// The log was truncated since: the job's end means nothing any more.
    pub(crate) void: bool,
}

/// Batches of one append that go into one segment.
struct Part {
    segment: Arc<Segment>,
    batches: Range<usize>,
    size: u64,
}

impl Log {
    /// Creates an empty log that starts at offset 0, durably, in an existing empty directory.
    ///
    /// # Errors
    /// [`LogError::DiskFull`] and [`LogError::Io`].
    pub fn create(storage: Arc<dyn Storage>, dir: &Path, config: LogConfig) -> LogResult<Self> {
        let interval = config.index_interval_size.get();
        let path = dir.to_owned();
        Segment::create(&storage, dir, 0, interval).map_err(|e| failed(e, &path))?;
        storage.sync_dir(dir).map_err(LogError::io(&path))?;
        Ok(Self::open(storage, dir, config, 0)?.0)
    }

    /// Opens a log and brings it into order after whatever happened.
    ///
    /// `durable_mark` is the partition's last mark in the journal. Bad bytes at or beyond it were
    /// never acknowledged and are cut with all that follows; bad bytes below it are corruption,
    /// which is reported and never cut. What is sound beyond the mark is kept, and becomes durable
    /// by the next sync.
    ///
    /// # Errors
    /// [`LogError::Io`], [`LogError::StartUnknown`]. Damage to batches is no error here, but part
    /// of the report.
    pub fn open(
        storage: Arc<dyn Storage>,
        dir: &Path,
        config: LogConfig,
        durable_mark: u64,
    ) -> LogResult<(Self, RecoveryReport)> {
        recovery::open(storage, dir, config, durable_mark)
    }

    /// First offset that the log still holds; may lie inside a batch.
    pub fn start(&self) -> u64 {
        self.shared.start()
    }

    /// First offset that was not appended.
    pub fn end(&self) -> u64 {
        self.active.end()
    }

    /// First offset that is not known to be on the device.
    pub fn durable_end(&self) -> u64 {
        self.durable_end
    }

    /// First offset that is not known to be on the device in the log's own files: up to here its
    /// mark in the journal may go.
    pub fn settled_end(&self) -> u64 {
        self.settled_end
    }

    /// The durable end when a carrier last moved it; 0 before. Up to here a carrier vouches for
    /// the log, or has done so until the log was settled.
    pub fn carried_end(&self) -> u64 {
        self.carried_end
    }

    /// Acknowledged offsets at the log's end that could not be read when it was opened. While there
    /// are any, [`Log::append`] refuses; [`Log::truncate`] to their start gives them up, after
    /// which they can be appended anew from a peer.
    pub fn faulty(&self) -> Option<Range<u64>> {
        self.faulty.clone()
    }

    /// Acknowledged offsets that are known to be unreadable: those found at the start, anywhere in
    /// the log, and those found by upkeep and by readers since. A replica must not
    /// vote on them before they are repaired. Batches between and behind them can be read, and
    /// appended.
    pub fn corrupt(&self) -> &[Range<u64>] {
        &self.corrupt
    }

    /// The leader epochs of the log's batches.
    pub fn epochs(&self) -> &EpochHistory {
        &self.epochs
    }

    /// The states of idempotent producers after the last appended batch.
    pub fn producers(&self) -> &ProducerStates {
        &self.producers
    }

    /// The settings in force.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Changes the settings from the next append or retention run on. A new index interval applies
    /// to new segments.
    pub fn set_config(&mut self, config: LogConfig) {
        self.config = config;
    }

    /// A handle for readers on other threads.
    pub fn view(&self) -> LogView {
        LogView::new(self.shared.clone())
    }

    /// The directory of the log.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Appends stamped batches, all or none. Readers see them at once; they are durable after the
    /// next sync.
    ///
    /// # Errors
    /// [`LogError::DiskFull`] leaves the log as it was, and it may be tried again.
    /// [`LogError::NotContiguous`] if the batches do not continue the log, [`LogError::Faulty`] and
    /// [`LogError::Poisoned`] if nothing may be appended; [`LogError::Io`] poisons the log.
    pub fn append(&mut self, batches: &[Batch]) -> LogResult<()> {
        self.refuse_if_poisoned()?;
        if let Some(faulty) = &self.faulty {
            return Err(LogError::Faulty(faulty.clone()));
        }
        self.check_continues(batches)?;
        if batches.is_empty() {
            return Ok(());
        }
        self.sync_before_first_append()?;
        self.reserve_epochs(batches)?;
        let parts = self.place(batches)?;
        for part in &parts {
            let written = part.segment.write(&batches[part.batches.clone()], part.segment.size());
            if let Err(error) = written {
                return Err(self.undo_write(&parts, error));
            }
        }
        for part in parts {
            self.publish(part, batches);
        }
        self.unsynced.note(batches, self.config.carry_max_size);
        self.check();
        Ok(())
    }

    /// The next sync, unless one is out or everything is durable.
    pub fn poll_sync(&mut self) -> Option<SyncJob> {
        if self.poisoned || self.sync.is_some() || self.durable_end == self.end() {
            return None;
        }
        Some(self.begin_sync())
    }

    fn begin_sync(&mut self) -> SyncJob {
        let id = self.next_sync_id;
        self.next_sync_id += 1;
        self.upkeep.note_sync();
        let end = self.end();
        let unsynced = std::mem::replace(&mut self.unsynced, Unsynced::from(end));
        let mut segments = self.rolled.clone();
        segments.push(self.active.clone());
        let epoch_count = self.epochs.entries().len();
        let epochs = (epoch_count > self.stored_epoch_count).then(|| {
            let extension = self.epochs_file.extension(&self.epochs, self.stored_epoch_count);
            (self.epochs_file.clone(), extension)
        });
        let changed = std::mem::take(&mut self.dir_changed);
        let dir = changed.then(|| (self.storage.clone(), self.dir.clone()));
        let sealed = self.rolled.clone();
        let is_simple =
            segments.len() == 1 && dir.is_none() && epochs.is_none() && !self.sync_before_append;
        let small = unsynced.into_small(self.durable_end).filter(|_| is_simple);
        self.sync = Some(SyncInFlight { id, sealed, epoch_count, void: false });
        SyncJob { id, end, segments, dir, epochs, small }
    }

    /// Takes in what a sync did. Returns the durable end.
    ///
    /// # Errors
    /// What the sync failed with. The log is poisoned then: nothing that is not durable yet can be
    /// trusted to become so, and the process has to end.
    ///
    /// # Panics
    /// If the job was not polled from this log, or was handed back twice.
    pub fn handle_synced(&mut self, done: SyncDone) -> LogResult<u64> {
        let in_flight = self.sync.take().filter(|s| s.id == done.id);
        assert!(in_flight.is_some(), "only the job that is out comes back");
        let Some(in_flight) = in_flight else { return Err(LogError::Poisoned) };
        if let Err(error) = done.result {
            self.poisoned = true;
            return Err(error);
        }
        self.refuse_if_poisoned()?;
        if in_flight.void {
            self.check();
            return Ok(self.durable_end);
        }
        assert!(done.end >= self.durable_end && done.end <= self.end(), "a sync goes forward");
        self.durable_end = done.end;
        self.upkeep.note_carried(done.is_carried);
        if done.is_carried {
            self.carried_end = done.end;
        } else {
            self.settled_end = done.end;
            self.sync_before_append = false;
            self.stored_epoch_count = self.stored_epoch_count.max(in_flight.epoch_count);
            self.rolled.retain(|rolled| {
                let synced = in_flight.sealed.iter().any(|s| Arc::ptr_eq(s, rolled));
                if synced {
                    self.upkeep.queue_seal(rolled);
                }
                !synced
            });
        }
        self.check();
        Ok(self.durable_end)
    }

    /// Makes everything durable in the log's own files, on this thread. A sync that is out comes
    /// to nothing.
    ///
    /// # Errors
    /// As [`Log::handle_synced`].
    pub fn settle(&mut self) -> LogResult<u64> {
        self.refuse_if_poisoned()?;
        self.sync_all()?;
        Ok(self.settled_end)
    }

    /// Makes everything durable, stores what shortens the next start, and gives the log up. Jobs
    /// that are still out may run or not.
    ///
    /// # Errors
    /// As [`Log::handle_synced`].
    pub fn close(mut self) -> LogResult<u64> {
        self.refuse_if_poisoned()?;
        self.sync_all()?;
        self.store_hints();
        Ok(self.durable_end)
    }

    pub(crate) fn refuse_if_poisoned(&self) -> LogResult<()> {
        if self.poisoned { Err(LogError::Poisoned) } else { Ok(()) }
    }

    /// Poisons the log because of a failed write or sync, and names the failure.
    pub(crate) fn poison(&mut self, error: io::Error, path: &Path) -> LogError {
        self.poisoned = true;
        LogError::Io { path: path.to_owned(), source: error }
    }

    /// Asserts what must always hold.
    pub(crate) fn check(&self) {
        assert!(self.start() <= self.settled_end, "start is settled");
        assert!(self.settled_end <= self.durable_end, "settled is durable");
        assert!(self.durable_end <= self.end(), "durable is appended");
        assert!(self.stored_epoch_count <= self.epochs.entries().len(), "stored is known");
    }

    /// Syncs everything on this thread.
    pub(crate) fn sync_all(&mut self) -> LogResult<()> {
        if self.settled_end == self.end() {
            return Ok(());
        }
        let in_flight = self.sync.take();
        // What the job that is out was to make durable may not be so yet.
        self.dir_changed |= in_flight.is_some();
        let job = self.begin_sync();
        self.handle_synced(job.run())?;
        self.sync = in_flight.map(|s| SyncInFlight { void: true, ..s });
        Ok(())
    }

    fn check_continues(&self, batches: &[Batch]) -> LogResult<()> {
        let (mut end, mut epoch) = (self.end(), self.epochs.latest().unwrap_or(0));
        for batch in batches {
            let header = batch.header();
            let continues = header.base_offset() == end
                && header.leader_epoch() >= epoch
                && header.end_offset() - end == header.offset_count();
            if !continues {
                return Err(LogError::NotContiguous {
                    base_offset: header.base_offset(),
                    leader_epoch: header.leader_epoch(),
                });
            }
            (end, epoch) = (header.end_offset(), header.leader_epoch());
        }
        Ok(())
    }

    /// After a start the zeros behind the log's end may be in memory only. A batch that reached
    /// the device before them could be continued there by an old one.
    fn sync_before_first_append(&mut self) -> LogResult<()> {
        if !self.sync_before_append {
            return Ok(());
        }
        if let Err(error) = self.active.sync() {
            let path = self.active.path().to_owned();
            return Err(self.poison(error, &path));
        }
        self.sync_before_append = false;
        Ok(())
    }

    fn reserve_epochs(&mut self, batches: &[Batch]) -> LogResult<()> {
        let mut latest = self.epochs.latest();
        let mut count = self.epochs.entries().len();
        for batch in batches {
            if latest.is_none_or(|e| batch.leader_epoch() > e) {
                latest = Some(batch.leader_epoch());
                count += 1;
            }
        }
        if count > self.epochs.entries().len() {
            match self.epochs_file.reserve(count) {
                Ok(created) => self.dir_changed |= created,
                Err(error) => {
                    let path = self.epochs_file.path().to_owned();
                    return Err(self.refused(error, &path));
                }
            }
        }
        Ok(())
    }

    /// Decides which segments the batches go to, creates new ones, and reserves the space.
    fn place(&mut self, batches: &[Batch]) -> LogResult<Vec<Part>> {
        let mut parts: Vec<Part> = Vec::new();
        let mut part = Part { segment: self.active.clone(), batches: 0..0, size: 0 };
        let mut first_timestamp = self.active.first_timestamp();
        for (i, batch) in batches.iter().enumerate() {
            let size = part.segment.size() + part.size;
            if size > 0 && self.must_roll(part.segment.base(), size, first_timestamp, batch) {
                let interval = self.config.index_interval_size.get();
                let base = batch.base_offset();
                let created = Segment::create(&self.storage, &self.dir, base, interval);
                let segment = match created {
                    Ok(segment) => Arc::new(segment),
                    Err(error) => {
                        parts.push(part);
                        let path = self.dir.clone();
                        return Err(self.refused_after_roll(&parts, error, &path));
                    }
                };
                parts.push(std::mem::replace(&mut part, Part { segment, batches: i..i, size: 0 }));
                first_timestamp = None;
            }
            first_timestamp = first_timestamp.or(Some(batch.header().max_timestamp()));
            part.batches.end = i + 1;
            part.size += batch.size() as u64;
        }
        parts.push(part);
        for part in &parts {
            match part.segment.reserve(part.size) {
                Ok(late) => self.upkeep.note_reserve(late),
                Err(error) => {
                    let path = part.segment.path().to_owned();
                    return Err(self.refused_after_roll(&parts, error, &path));
                }
            }
        }
        // An empty active segment takes no part in an append that begins with a roll: none does.
        assert!(Arc::ptr_eq(&parts[0].segment, &self.active), "an append begins in the active");
        Ok(parts)
    }

    fn must_roll(&self, base: u64, size: u64, first_timestamp: Option<i64>, batch: &Batch) -> bool {
        let timestamp = batch.header().max_timestamp();
        let aged = self.config.segment_ms.zip(first_timestamp).is_some_and(|(ms, first)| {
            first >= 0 && u64::try_from(timestamp.saturating_sub(first)).is_ok_and(|age| age >= ms)
        });
        let full = size + batch.size() as u64 > u64::from(self.config.segment_size.get());
        // Kafka's own limit, and that of the index entries.
        let far = batch.end_offset() - base > i32::MAX as u64;
        aged || full || far
    }

    /// As [`Log::refused`], and the segments that were to take a part are removed.
    fn refused_after_roll(&mut self, parts: &[Part], error: io::Error, path: &Path) -> LogError {
        match self.remove_created(parts) {
            Ok(()) => self.refused(error, path),
            Err(poisoned) => poisoned,
        }
    }

    /// Removes segments that were created for nothing. One that is there after a crash would stand
    /// in the way of what was appended before it since: so the removal is durable no later than
    /// that, by the next sync.
    fn remove_created(&mut self, parts: &[Part]) -> LogResult<()> {
        let active = self.active.clone();
        for created in parts.iter().filter(|part| !Arc::ptr_eq(&part.segment, &active)) {
            let path = created.segment.path();
            self.dir_changed = true;
            self.storage.remove_file(path).map_err(|error| self.poison(error, path))?;
        }
        Ok(())
    }

    /// An error before anything was written: a full disk is ordinary, everything else final.
    pub(crate) fn refused(&mut self, error: io::Error, path: &Path) -> LogError {
        if is_disk_full(&error) {
            LogError::DiskFull { path: path.to_owned() }
        } else {
            self.poison(error, path)
        }
    }

    /// A write failed although its space was reserved. On a full disk (some file systems never
    /// overwrite in place) what was written is wiped, and the log is as before.
    fn undo_write(&mut self, parts: &[Part], error: io::Error) -> LogError {
        let path = self.active.path().to_owned();
        if !is_disk_full(&error) {
            return self.poison(error, &path);
        }
        for part in parts.iter().filter(|part| Arc::ptr_eq(&part.segment, &self.active)) {
            let from = part.segment.size();
            if let Err(error) = part.segment.wipe(from..from + part.size) {
                return self.poison(error, &path);
            }
        }
        self.refused_after_roll(parts, error, &path)
    }

    fn publish(&mut self, part: Part, batches: &[Batch]) {
        if !Arc::ptr_eq(&part.segment, &self.active) {
            self.active.set_sealed(true);
            self.rolled.push(std::mem::replace(&mut self.active, part.segment.clone()));
            self.shared.push_segment(part.segment.clone());
            self.dir_changed = true;
            self.upkeep.want_snapshot();
        }
        let batches = &batches[part.batches];
        let mut new_epoch = false;
        for batch in batches {
            let header = batch.header();
            new_epoch |= self.epochs.note(header.leader_epoch(), header.base_offset()).is_some();
            self.producers.note(&header.into());
        }
        if new_epoch {
            self.shared.set_epochs(self.epochs.clone());
        }
        part.segment.publish(batches);
        self.upkeep.note_appended(part.size);
    }
}
