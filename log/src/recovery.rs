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

mod scan;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use self::scan::Recovery;
use crate::config::LogConfig;
use crate::epochs_file::EpochsFile;
use crate::jobs::DELETED_EXTENSION;
use crate::log::Log;
use crate::log_error::{Damage, LogError, LogResult};
use crate::planted::{PlantedBug, is_planted};
use crate::seal;
use crate::segment::{LOG_SUFFIX, Segment, parse_file_name};
use crate::snapshots::{SNAPSHOT_SUFFIX, Snapshots};
use crate::start::StartFile;
use crate::storage::{EntryKind, Storage};
use crate::unsynced::Unsynced;
use crate::upkeep::Upkeep;
use crate::view::Shared;
use crate::walk::{Frame, Walker};

/// So many bytes before the mark are checked against their checksums at every start: what a drive
/// may have torn or lost at a power cut was written last.
pub const TAIL_CHECK_SIZE: u64 = 128 << 10;

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

/// See [`Log::open`].
pub(crate) fn open(
    storage: Arc<dyn Storage>,
    dir: &Path,
    config: LogConfig,
    mark: u64,
) -> LogResult<(Log, RecoveryReport)> {
    let mark = if is_planted(PlantedBug::TornTailBelowMark) { 0 } else { mark };
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
        settled_end: durable_end,
        durable_end,
        carried_end: 0,
        unsynced: Unsynced::from(end),
        rolled: Vec::new(),
        dir_changed: true,
        sync: None,
        next_sync_id: 0,
        sync_before_append: true,
        // What was written and not synced before is in memory only, or on the device, or neither.
        stored_epoch_count: epochs.entries().partition_point(|e| e.start < durable_end),
        epochs,
        epochs_file: Arc::new(epochs_file),
        start_file: Arc::new(start_file),
        producers: Default::default(),
        snapshots: Arc::new(snapshots),
        fence: Arc::default(),
        upkeep,
        faulty: tail_faulty,
        corrupt: report.faulty.clone(),
        poisoned: false,
    };
    log.rolled = log.undurable_segments();
    log.begin_producers()?;
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

impl Log {
    /// Sealed segments that reach beyond the durable end.
    fn undurable_segments(&self) -> Vec<Arc<Segment>> {
        let segments = self.shared.segments();
        let sealed = &segments[..segments.len() - 1];
        sealed.iter().filter(|s| s.end() > self.durable_end).cloned().collect()
    }

    /// Folds the producer states at the start. What is in the way of that is corrupt.
    fn begin_producers(&mut self) -> LogResult<()> {
        if is_planted(PlantedBug::DedupForgotten) {
            return Ok(());
        }
        match self.rebuild_producers() {
            Err(LogError::Corrupt { offsets, .. }) => {
                self.note_corrupt(offsets);
                Ok(())
            }
            rebuilt => rebuilt,
        }
    }

    /// Folds the producer states anew, from the newest snapshot on.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] if some of the batches cannot be read.
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
            while walker.position() < segment.size() {
                let reason = match walker.peek().map_err(LogError::io(segment.path()))? {
                    Frame::Batch(header) => {
                        if header.base_offset() >= from {
                            self.producers.note(&(&header).into());
                            self.upkeep.note_appended(header.size() as u64);
                        }
                        walker.advance(&header);
                        continue;
                    }
                    Frame::End => Damage::Missing,
                    Frame::Bad(damage) => damage,
                };
                // A producer that is forgotten could have its batches appended twice. What is in
                // the way may lie before: only the headers were looked at.
                seal::verify(segment)?;
                return Err(LogError::Corrupt {
                    path: segment.path().to_owned(),
                    position: walker.position(),
                    offsets: walker.offset()..segment.end().max(walker.offset()),
                    reason,
                });
            }
        }
        Ok(())
    }
}
