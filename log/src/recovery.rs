//! Opening a log after whatever happened to it.
//!
//! The rule, for bytes that are not what they should be: at or beyond the durability mark they were
//! never acknowledged, so they and all that follow are cut; below the mark somebody was told that
//! they are safe, so they are reported as faulty and stay.
//!
//! The cost does not grow with the log. Sealed segments are trusted by their footers. The last
//! segment is entered at the last index entry below the mark; from there headers are hopped over up
//! to the mark, the last [`TAIL_CHECK_SIZE`] bytes before the mark are checked in full, and so is
//! everything beyond it.
//!
//! What is cut is wiped here if it lies close behind the end. Whatever older bytes may lie further
//! behind count as unprepared space: [`Segment::reserve`] zeroes and syncs it before a batch comes
//! near.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::batch::BatchHeader;
use crate::config::LogConfig;
use crate::epochs::EpochHistory;
use crate::epochs_file::EpochsFile;
use crate::jobs::{DELETED_EXTENSION, failed};
use crate::log::Log;
use crate::log_error::{Damage, LogError, LogResult};
use crate::segment::{
    INDEX_SUFFIX, LOG_SUFFIX, Segment, SegmentExtent, file_name, parse_file_name,
};
use crate::snapshots::{SNAPSHOT_SUFFIX, Snapshots, remove_if_there};
use crate::start::StartFile;
use crate::storage::{EntryKind, Storage, find_nonzero};
use crate::upkeep::Upkeep;
use crate::view::Shared;
use crate::walk::{Frame, Walker};

/// So many bytes before the mark are checked against their checksums at every start: what a drive
/// may have torn or lost at a power cut was written last.
pub const TAIL_CHECK_SIZE: u64 = 128 << 10;

/// How far behind a bad frame is wiped.
const WIPE_SIZE: u64 = 1 << 20;

/// How far behind an end without a bad frame bytes to wipe are looked for.
const LOOK_SIZE: u64 = 64 << 10;

/// What opening a log found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// First offset that is held.
    pub start: u64,
    /// First offset that is not held any more.
    pub end: u64,
    /// Bytes of batches that were read or hopped over.
    pub scanned_size: u64,
    /// Bytes that were wiped from the first bad frame beyond the mark on; 0 if there was none.
    pub cut_size: u64,
    /// Segments that lay wholly behind the cut and were removed.
    pub cut_segment_count: usize,
    /// Offsets below the mark that cannot be read, ascending. They were acknowledged: this replica
    /// must not vote on them before they are repaired from a peer.
    pub faulty: Vec<Range<u64>>,
    /// The leader-epoch history was missing or damaged and was found again from the batches.
    pub epochs_rebuilt: bool,
    /// Segments without a sound footer, which get one in the background.
    pub unsealed_count: usize,
}

impl RecoveryReport {
    /// Whether the log was as a clean end leaves it.
    pub fn is_clean(&self) -> bool {
        self.cut_size == 0
            && self.cut_segment_count == 0
            && self.faulty.is_empty()
            && !self.epochs_rebuilt
    }
}

/// The files of a log by what they are.
#[derive(Debug, Default)]
struct Found {
    /// Base offset and file size of each segment, ascending.
    segments: Vec<(u64, u64)>,
    snapshots: Vec<u64>,
    /// Names that are left over from something.
    leftovers: Vec<String>,
    /// Base offsets of segments that were being deleted, ascending.
    deleted: Vec<u64>,
}

struct Recovery<'a> {
    storage: &'a Arc<dyn Storage>,
    dir: &'a Path,
    interval: u32,
    mark: u64,
    epochs: EpochHistory,
    /// The history can be relied upon to check batches.
    epochs_sound: bool,
    report: RecoveryReport,
    segments: Vec<Arc<Segment>>,
    unsealed: Vec<Arc<Segment>>,
    /// Set where the last segment's batches end in bytes below the mark that are not readable.
    tail_faulty: Option<Range<u64>>,
}

/// See [`Log::open`].
pub(crate) fn open(
    storage: Arc<dyn Storage>,
    dir: &Path,
    config: LogConfig,
    mark: u64,
) -> LogResult<(Log, RecoveryReport)> {
    let mut found = find(&*storage, dir)?;
    let start_file = StartFile::open(&storage, dir)?;
    let epochs_file = EpochsFile::at(&storage, dir);
    let decoded = epochs_file.load()?;
    let epochs_sound = match &decoded {
        Some(decoded) => decoded.sound,
        None => found.segments.iter().all(|(_, size)| *size == 0),
    };
    let mut recovery = Recovery {
        storage: &storage,
        dir,
        interval: config.index_interval_size.get(),
        mark,
        epochs: decoded.map(|d| d.history).unwrap_or_default(),
        epochs_sound,
        report: RecoveryReport::default(),
        segments: Vec::new(),
        unsealed: Vec::new(),
        tail_faulty: None,
    };
    recovery.remove_leftovers(&found)?;
    let start = recovery.drop_before_start(&mut found, &start_file)?;
    recovery.recover_segments(&found.segments, start)?;
    let start = recovery.settle_start(start)?;
    recovery.settle_epochs(start, &epochs_file)?;
    let Recovery { epochs, mut report, segments, unsealed, tail_faulty, .. } = recovery;
    let Some(active) = segments.last().cloned() else { return Err(LogError::Poisoned) };
    let end = active.end();
    let durable_end = mark.clamp(start, end.max(start));
    let mut upkeep = Upkeep::default();
    // A footer must not be durable before its batches: the others get theirs after the next sync.
    for segment in unsealed.iter().filter(|s| s.end() <= durable_end) {
        upkeep.queue_seal(segment);
    }
    report.unsealed_count = unsealed.len();
    (report.start, report.end) = (start, end);
    let snapshots = Snapshots::new(&storage, dir, found.snapshots);
    if snapshots.truncate(end).map_err(LogError::io(dir))? {
        storage.sync_dir(dir).map_err(LogError::io(dir))?;
    }
    let mut log = Log {
        shared: Arc::new(Shared::new(segments, epochs.clone(), start)),
        dir: dir.to_owned(),
        storage: storage.clone(),
        config,
        active,
        durable_end,
        rolled: Vec::new(),
        dir_changed: true,
        sync: None,
        next_sync_id: 0,
        sync_before_append: true,
        stored_epoch_count: epochs.entries().len(),
        epochs,
        epochs_file: Arc::new(epochs_file),
        start_file: Arc::new(start_file),
        producers: Default::default(),
        snapshots: Arc::new(snapshots),
        fence: Arc::default(),
        upkeep,
        faulty: tail_faulty,
        poisoned: false,
    };
    log.rolled = log.undurable_segments();
    log.rebuild_producers()?;
    log.check();
    Ok((log, report))
}

fn find(storage: &dyn Storage, dir: &Path) -> LogResult<Found> {
    let mut found = Found::default();
    for entry in storage.list(dir).map_err(LogError::io(dir))? {
        if entry.kind != EntryKind::File {
            continue;
        }
        let name = entry.name.as_str();
        if let Some(base) = parse_file_name(name, LOG_SUFFIX) {
            found.segments.push((base, entry.size));
        } else if let Some(offset) = parse_file_name(name, SNAPSHOT_SUFFIX) {
            found.snapshots.push(offset);
        } else if let Some(base) = parse_file_name(name, &format!(".{DELETED_EXTENSION}")) {
            found.deleted.push(base);
        } else if name.ends_with(".tmp") {
            found.leftovers.push(entry.name);
        }
    }
    Ok(found)
}

impl Recovery<'_> {
    fn remove_leftovers(&self, found: &Found) -> LogResult<()> {
        for name in &found.leftovers {
            let path = self.dir.join(name);
            remove_if_there(&**self.storage, &path).map_err(LogError::io(&path))?;
        }
        Ok(())
    }

    /// Removes segments that lie wholly before the log's start. Returns the start as far as known.
    fn drop_before_start(&self, found: &mut Found, start_file: &StartFile) -> LogResult<u64> {
        let mut start = start_file.get();
        // A renamed segment is the sign that the log starts behind it, for as long as there is no
        // room to write the start down.
        if let Some(deleted) = found.deleted.last() {
            let next = found.segments.iter().find(|(base, _)| base > deleted);
            start = start.max(next.map_or(*deleted, |(base, _)| *base));
            match start_file.raise(start) {
                Ok(()) => {
                    for base in &found.deleted {
                        let name = file_name(*base, &format!(".{DELETED_EXTENSION}"));
                        let path = self.dir.join(name);
                        remove_if_there(&**self.storage, &path).map_err(LogError::io(&path))?;
                    }
                }
                Err(LogError::DiskFull { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        while found.segments.len() > 1 && found.segments[1].0 <= start {
            let (base, _) = found.segments.remove(0);
            self.remove_segment(base)?;
        }
        Ok(start)
    }

    fn remove_segment(&self, base: u64) -> LogResult<()> {
        for suffix in [INDEX_SUFFIX, LOG_SUFFIX] {
            let path = self.dir.join(file_name(base, suffix));
            remove_if_there(&**self.storage, &path).map_err(LogError::io(&path))?;
        }
        Ok(())
    }

    /// Takes a segment that holds acknowledged records and cannot be read out of the log, without
    /// destroying it.
    fn set_aside(&self, base: u64) -> LogResult<()> {
        let path = self.dir.join(file_name(base, LOG_SUFFIX));
        let aside = path.with_extension("log.corrupt");
        tracing::error!(path = %aside.display(), "a segment that cannot be read is set aside");
        self.storage.rename(&path, &aside).map_err(LogError::io(&path))
    }

    fn recover_segments(&mut self, found: &[(u64, u64)], start: u64) -> LogResult<()> {
        for (i, (base, file_size)) in found.iter().copied().enumerate() {
            let next_base = found.get(i + 1).map(|(next, _)| *next);
            if let Some(previous) = self.segments.last() {
                let end = previous.end();
                if end != base && (end >= self.mark || base < end) {
                    return self.cut_segments(&found[i..]);
                }
                if end != base {
                    self.report.faulty.push(end..base);
                }
            }
            let interval = self.interval;
            let segment = Arc::new(Segment::at(self.storage, self.dir, base, interval));
            let sealed = next_base.is_some_and(|next| self.trust(&segment, next, file_size));
            if !sealed {
                self.recover_segment(&segment, file_size, next_base)?;
            }
            self.segments.push(segment);
        }
        if let Some(last) = self.segments.last() {
            let (end, base) = (last.end(), last.base());
            if end < self.mark && end >= start {
                let faulty = end..self.mark;
                self.report.faulty.push(faulty.clone());
                self.tail_faulty = Some(faulty);
            } else if end < self.mark && base < start {
                // A log restarted at `start` keeps its older mark for a while.
                self.tail_faulty = None;
            }
        }
        Ok(())
    }

    /// Takes a sealed segment's footer for the truth, if it fits what surrounds it.
    fn trust(&mut self, segment: &Segment, next_base: u64, file_size: u64) -> bool {
        let Some(footer) = segment.index.read_footer() else { return false };
        let size = u64::from(footer.size);
        if footer.end != next_base || size > file_size {
            return false;
        }
        let extent = SegmentExtent {
            size,
            end: footer.end,
            max_timestamp: footer.max_timestamp,
            first_timestamp: None,
        };
        segment.set_extent(extent, file_size);
        segment.set_sealed(true);
        segment.index.set_sealed(footer.entry_count);
        true
    }

    /// Finds the end of a segment that has no footer.
    fn recover_segment(
        &mut self,
        segment: &Arc<Segment>,
        file_size: u64,
        next_base: Option<u64>,
    ) -> LogResult<()> {
        if file_size == 0 {
            return Ok(());
        }
        let io = |error| failed(error, segment.path());
        let file = segment.file().map_err(io)?;
        let entry = segment.index.load(self.mark, file_size).map_err(io)?;
        let (mut offset, mut position, mut max_timestamp) =
            entry.map_or((segment.base(), 0, -1), |e| {
                let offset = segment.base() + u64::from(e.offset_delta);
                (offset, u64::from(e.position), e.max_timestamp_before)
            });
        if entry.is_some()
            && !fits(&mut Walker::new(&*file, position, offset, file_size)).map_err(io)?
        {
            segment.index.truncate(segment.base()).map_err(io)?;
            (offset, position, max_timestamp) = (segment.base(), 0, -1);
        }
        let mut walker = Walker::new(&*file, position, offset, file_size);
        let mut tail: VecDeque<(u64, BatchHeader)> = VecDeque::new();
        let bad = loop {
            if next_base.is_some_and(|next| walker.offset() >= next) {
                break None;
            }
            let header = match walker.peek().map_err(io)? {
                Frame::Batch(header) => header,
                Frame::End => break None,
                Frame::Bad(damage) => break Some(damage),
            };
            if let Err(damage) = self.check_epoch(&header) {
                break Some(damage);
            }
            let below = header.end_offset() <= self.mark;
            if !below && let Err(damage) = walker.check(&header, |_| {}) {
                break Some(damage);
            }
            let at = walker.position();
            if below {
                tail.push_back((at, header));
                while tail.front().is_some_and(|(p, h)| p + h.size() as u64 + TAIL_CHECK_SIZE < at)
                {
                    tail.pop_front();
                }
            }
            if at > position {
                segment.index.note(header.base_offset(), at, max_timestamp);
            }
            max_timestamp = max_timestamp.max(header.max_timestamp());
            walker.advance(&header);
        };
        let extent = SegmentExtent {
            size: walker.position(),
            end: walker.offset(),
            max_timestamp,
            first_timestamp: first_timestamp(&mut Walker::new(
                &*file,
                0,
                segment.base(),
                file_size,
            )),
        };
        self.report.scanned_size += extent.size - position;
        self.check_tail(&mut Walker::new(&*file, 0, 0, file_size), &tail);
        segment.set_extent(extent, file_size);
        if extent.end == next_base.unwrap_or(u64::MAX) {
            segment.set_sealed(true);
            self.unsealed.push(segment.clone());
        } else if extent.end >= self.mark {
            self.wipe(segment, extent.size..file_size, bad)?;
        } else if next_base.is_some() {
            segment.set_sealed(true);
        }
        Ok(())
    }

    fn check_epoch(&mut self, header: &BatchHeader) -> Result<(), Damage> {
        let found = header.leader_epoch();
        if !self.epochs_sound {
            // Entries are missing, so only the order can be checked; `settle_epochs` does.
            return if found < 0 {
                Err(Damage::LeaderEpoch { found, expected: 0 })
            } else {
                Ok(())
            };
        }
        let expected = self.epochs.epoch_at(header.base_offset());
        if expected == Some(found) {
            return Ok(());
        }
        Err(Damage::LeaderEpoch { found, expected: expected.unwrap_or(-1) })
    }

    /// Checks the batches just below the mark in full. Their headers are in order, so a damaged one
    /// hides nothing but itself.
    fn check_tail(&mut self, walker: &mut Walker<'_>, tail: &VecDeque<(u64, BatchHeader)>) {
        for (position, header) in tail {
            walker.seek(*position, header.base_offset());
            if let Err(damage) = walker.check(header, |_| {}) {
                let faulty = header.base_offset()..header.end_offset();
                tracing::error!(dir = %self.dir.display(), ?faulty, %damage, "corrupt below the mark");
                self.report.faulty.push(faulty);
            }
        }
    }

    /// Wipes what lies close behind the end of the last segment.
    fn wipe(&mut self, segment: &Segment, rest: Range<u64>, bad: Option<Damage>) -> LogResult<()> {
        let io = |error| failed(error, segment.path());
        let file = segment.file().map_err(io)?;
        let size = if bad.is_some() { WIPE_SIZE } else { LOOK_SIZE };
        let near = rest.start..rest.end.min(rest.start + size);
        // What cannot be read is wiped too.
        let dirty = find_nonzero(&*file, near.clone()).unwrap_or(Some(near.start)).is_some();
        if !dirty {
            return Ok(());
        }
        if let Some(damage) = bad {
            tracing::warn!(
                path = %segment.path().display(), position = rest.start, %damage,
                "cut what was never acknowledged"
            );
            self.report.cut_size += near.end - near.start;
        }
        segment.wipe(near).map_err(io)
    }

    /// Removes segments behind a cut, the newest first, so that a crash leaves no gap.
    fn cut_segments(&mut self, behind: &[(u64, u64)]) -> LogResult<()> {
        for (base, _) in behind.iter().rev() {
            self.remove_segment(*base)?;
        }
        self.storage.sync_dir(self.dir).map_err(LogError::io(self.dir))?;
        self.report.cut_segment_count += behind.len();
        Ok(())
    }

    /// Settles where the log starts, and that it has a segment to append to.
    fn settle_start(&mut self, start: u64) -> LogResult<u64> {
        let end = self.segments.last().map_or(0, |s| s.end());
        let first = self.segments.first().map_or(start, |s| s.base());
        if first > start {
            // A file is missing at the head, and nothing says that it was to go.
            self.report.faulty.insert(0, start..first.min(self.mark.max(start)));
            self.report.faulty.retain(|range| !range.is_empty());
        }
        let start = start.max(first);
        if self.segments.is_empty() || end < start {
            for segment in std::mem::take(&mut self.segments) {
                if self.mark > start {
                    self.set_aside(segment.base())?;
                } else {
                    self.remove_segment(segment.base())?;
                }
            }
            self.unsealed.clear();
            let created = Segment::create(self.storage, self.dir, start, self.interval)
                .map_err(|e| failed(e, self.dir))?;
            self.storage.sync_dir(self.dir).map_err(LogError::io(self.dir))?;
            if self.mark > start {
                let faulty = start..self.mark;
                self.report.faulty = vec![faulty.clone()];
                self.tail_faulty = Some(faulty);
            }
            self.segments.push(Arc::new(created));
        }
        if let Some(last) = self.segments.last() {
            last.set_sealed(false);
        }
        let last = self.segments.last().cloned();
        self.unsealed.retain(|s| last.as_ref().is_none_or(|last| !Arc::ptr_eq(s, last)));
        Ok(start)
    }

    /// Makes the history and its file agree with the batches.
    fn settle_epochs(&mut self, start: u64, file: &EpochsFile) -> LogResult<()> {
        let end = self.segments.last().map_or(0, |s| s.end());
        let mut changed = self.epochs.truncate(end);
        if !self.epochs_sound {
            self.report.epochs_rebuilt = true;
            changed = true;
            self.rebuild_epochs()?;
        }
        // Batches before the start, in the first segment, are still walked over.
        changed |= self.epochs.trim(self.segments.first().map_or(start, |s| s.base()));
        if changed {
            file.replace(&self.epochs).map_err(|e| failed(e, file.path()))?;
        }
        Ok(())
    }

    /// Notes the epochs of all batches behind the last known entry.
    fn rebuild_epochs(&mut self) -> LogResult<()> {
        let known = self.epochs.entries().last().map_or(0, |e| e.start);
        for segment in self.segments.iter().filter(|s| s.end() > known && s.size() > 0) {
            let file = segment.file().map_err(LogError::io(segment.path()))?;
            let mut walker = Walker::new(&*file, 0, segment.base(), segment.size());
            while let Frame::Batch(header) = walker.peek().map_err(LogError::io(segment.path()))? {
                let latest = self.epochs.latest().unwrap_or(-1);
                if header.base_offset() >= known && header.leader_epoch() > latest {
                    self.epochs.note(header.leader_epoch(), header.base_offset());
                }
                walker.advance(&header);
            }
        }
        Ok(())
    }
}

/// Whether a batch that can be trusted begins where an index entry says.
fn fits(walker: &mut Walker<'_>) -> std::io::Result<bool> {
    Ok(matches!(walker.peek()?, Frame::Batch(_)))
}

fn first_timestamp(walker: &mut Walker<'_>) -> Option<i64> {
    match walker.peek() {
        Ok(Frame::Batch(header)) => Some(header.max_timestamp()),
        _ => None,
    }
}

impl Log {
    /// Sealed segments that reach beyond the durable end.
    fn undurable_segments(&self) -> Vec<Arc<Segment>> {
        let segments = self.shared.segments();
        let sealed = &segments[..segments.len() - 1];
        sealed.iter().filter(|s| s.end() > self.durable_end).cloned().collect()
    }

    /// Folds the producer states anew, from the newest snapshot on.
    pub(crate) fn rebuild_producers(&mut self) -> LogResult<()> {
        let segments = self.shared.segments();
        let first = segments[0].base();
        let epoch_fits = |offset: u64, epoch: Option<i32>| {
            offset == first || offset.checked_sub(1).and_then(|o| self.epochs.epoch_at(o)) == epoch
        };
        let snapshot = self
            .snapshots
            .newest(self.end())
            .filter(|s| s.offset >= first && epoch_fits(s.offset, s.leader_epoch));
        let from = snapshot.as_ref().map_or(first, |s| s.offset);
        self.producers = snapshot.map(|s| s.states).unwrap_or_default();
        for segment in segments.iter().filter(|s| s.end() > from && s.size() > 0) {
            let file = segment.file().map_err(LogError::io(segment.path()))?;
            let entry = segment.index.find_offset(from);
            let (offset, position) = entry.map_or((segment.base(), 0), |e| {
                (segment.base() + u64::from(e.offset_delta), u64::from(e.position))
            });
            let mut walker = Walker::new(&*file, position, offset, segment.size());
            while let Frame::Batch(header) = walker.peek().map_err(LogError::io(segment.path()))? {
                if header.base_offset() >= from {
                    self.producers.note(&(&header).into());
                    self.upkeep.note_appended(header.size() as u64);
                }
                walker.advance(&header);
            }
        }
        Ok(())
    }
}
