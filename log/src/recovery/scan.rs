//! Going over the segments of a log that is being recovered.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::{Found, RecoveryReport, TAIL_CHECK_SIZE};
use crate::batch::BatchHeader;
use crate::epochs::EpochHistory;
use crate::epochs_file::EpochsFile;
use crate::jobs::{DELETED_EXTENSION, failed};
use crate::log_error::{Damage, LogError, LogResult};
use crate::segment::{INDEX_SUFFIX, LOG_SUFFIX, PREPARE_UNIT, Segment, SegmentExtent, file_name};
use crate::snapshots::remove_if_there;
use crate::start::StartFile;
use crate::storage::{File, Storage, find_nonzero};
use crate::walk::{Frame, Walker};

/// How far behind a bad frame is wiped.
const WIPE_SIZE: u64 = 1 << 20;

/// How far behind an end without a bad frame bytes to wipe are looked for.
const LOOK_SIZE: u64 = 64 << 10;

/// What is known while a log is being recovered.
pub(super) struct Recovery<'a> {
    pub(super) storage: &'a Arc<dyn Storage>,
    pub(super) dir: &'a Path,
    pub(super) interval: u32,
    pub(super) mark: u64,
    pub(super) epochs: EpochHistory,
    /// The history can be relied upon to check batches.
    pub(super) epochs_sound: bool,
    pub(super) report: RecoveryReport,
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) unsealed: Vec<Arc<Segment>>,
    /// Set where the last segment's batches end in bytes below the mark that are not readable.
    pub(super) tail_faulty: Option<Range<u64>>,
}

impl Recovery<'_> {
    pub(super) fn remove_leftovers(&self, found: &Found) -> LogResult<()> {
        for name in &found.leftovers {
            let path = self.dir.join(name);
            remove_if_there(&**self.storage, &path).map_err(LogError::io(&path))?;
        }
        Ok(())
    }

    /// Removes segments that lie wholly before the log's start. Returns the start as far as known.
    pub(super) fn drop_before_start(
        &self,
        found: &mut Found,
        start_file: &StartFile,
    ) -> LogResult<u64> {
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

    pub(super) fn recover_segments(&mut self, found: &[(u64, u64)], start: u64) -> LogResult<()> {
        for (i, (base, file_size)) in found.iter().copied().enumerate() {
            let next_base = found.get(i + 1).map(|(next, _)| *next);
            if let Some(previous) = self.segments.last() {
                let end = previous.end();
                assert!(end <= base, "a segment ends where the next begins, or before");
                if end != base && end >= self.mark {
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
            // An end before the start is left for `settle_start`.
            if last.end() < self.mark && last.end() >= start {
                let faulty = last.end()..self.mark;
                self.report.faulty.push(faulty.clone());
                self.tail_faulty = Some(faulty);
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
        let (mut walker, mut max_timestamp) = self.enter(segment, &*file, file_size).map_err(io)?;
        let from = walker.position();
        let mut tail: VecDeque<(u64, BatchHeader)> = VecDeque::new();
        let mut is_memory_believed = true;
        let bad = loop {
            if next_base == Some(walker.offset()) {
                break None;
            }
            if is_memory_believed && !self.is_below_mark(&mut walker).map_err(io)? {
                // A sync may have failed without anybody left to note it, and then memory holds
                // what no later sync makes durable: from here on the device is read.
                file.evict(walker.position() / PREPARE_UNIT * PREPARE_UNIT..file_size);
                walker.forget();
                is_memory_believed = false;
            }
            let header = match self.step(&mut walker, next_base).map_err(io)? {
                Frame::Batch(header) => header,
                Frame::End => break None,
                Frame::Bad(damage) => break Some(damage),
            };
            let at = walker.position();
            if header.end_offset() <= self.mark {
                let is_far =
                    |(p, h): &(u64, BatchHeader)| p + h.size() as u64 + TAIL_CHECK_SIZE < at;
                tail.push_back((at, header));
                while tail.front().is_some_and(is_far) {
                    tail.pop_front();
                }
            }
            if at > from {
                segment.index.note(header.base_offset(), at, max_timestamp);
            }
            max_timestamp = max_timestamp.max(header.max_timestamp());
            walker.advance(&header);
        };
        let (size, end) = (walker.position(), walker.offset());
        walker.seek(0, segment.base());
        let first_timestamp = match walker.peek() {
            Ok(Frame::Batch(header)) => Some(header.max_timestamp()),
            _ => None,
        };
        self.report.scanned_size += size - from;
        self.check_tail(&mut walker, &tail);
        segment.set_extent(SegmentExtent { size, end, max_timestamp, first_timestamp }, file_size);
        if next_base == Some(end) {
            segment.set_sealed(true);
            self.unsealed.push(segment.clone());
        } else if end >= self.mark {
            self.wipe(segment, size..file_size, bad)?;
        } else if next_base.is_some() {
            segment.set_sealed(true);
        }
        Ok(())
    }

    /// Begins at the last index entry that can be relied upon. Also returns the greatest timestamp
    /// before it.
    fn enter<'f>(
        &self,
        segment: &Segment,
        file: &'f dyn File,
        file_size: u64,
    ) -> io::Result<(Walker<'f>, i64)> {
        if let Some(entry) = segment.index.load(self.mark, file_size)? {
            let offset = segment.base() + u64::from(entry.offset_delta);
            let mut walker = Walker::new(file, u64::from(entry.position), offset, file_size);
            if matches!(walker.peek()?, Frame::Batch(_)) {
                return Ok((walker, entry.max_timestamp_before));
            }
            segment.index.truncate(segment.base())?;
            file.evict(0..file_size);
        }
        Ok((Walker::new(file, 0, segment.base(), file_size), -1))
    }

    /// Whether a batch follows that a sync was reported for.
    fn is_below_mark(&self, walker: &mut Walker<'_>) -> io::Result<bool> {
        let frame = walker.peek()?;
        Ok(matches!(frame, Frame::Batch(header) if header.end_offset() <= self.mark))
    }

    /// Looks at the next frame: beyond the mark in full, below it at what the header tells.
    fn step(&self, walker: &mut Walker<'_>, next_base: Option<u64>) -> io::Result<Frame> {
        let frame = walker.peek()?;
        let Frame::Batch(header) = frame else { return Ok(frame) };
        if let Err(damage) = self.check_epoch(&header) {
            return Ok(Frame::Bad(damage));
        }
        if let Some(expected) = next_base.filter(|next| header.end_offset() > *next) {
            // It would reach into the next segment.
            let found = header.end_offset();
            return Ok(Frame::Bad(Damage::BaseOffset { found, expected }));
        }
        if header.end_offset() > self.mark
            && let Err(damage) = walker.check(&header)
        {
            return Ok(Frame::Bad(damage));
        }
        Ok(frame)
    }

    fn check_epoch(&self, header: &BatchHeader) -> Result<(), Damage> {
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
            if let Err(damage) = walker.check(header) {
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
    pub(super) fn settle_start(&mut self, start: u64) -> LogResult<u64> {
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
    pub(super) fn settle_epochs(&mut self, start: u64, file: &EpochsFile) -> LogResult<()> {
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
