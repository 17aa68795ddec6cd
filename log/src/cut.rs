//! Dropping the tail (truncate), the head (trim), or everything (restart) of a log.

use std::path::PathBuf;
use std::sync::Arc;

use crate::jobs::failed;
use crate::log::Log;
use crate::log_error::{LogError, LogResult};
use crate::segment::{Segment, SegmentExtent, lock};
use crate::snapshots::remove_if_there;
use crate::unsynced::Unsynced;
use crate::walk::{Frame, Walker};

impl Log {
    /// Drops all batches at or beyond `end`, which must be a batch boundary, and makes that durable
    /// before it returns: no later crash brings them back. Afterwards all that is left is durable.
    ///
    /// The caller has made a mark at or below `end` durable in the journal *before*; see the
    /// module's page. A sync that is out comes to nothing.
    ///
    /// # Errors
    /// [`LogError::OutOfRange`] and [`LogError::InsideBatch`] change nothing; [`LogError::Io`]
    /// poisons the log.
    pub fn truncate(&mut self, end: u64) -> LogResult<()> {
        self.refuse_if_poisoned()?;
        if end < self.start() || end > self.end() {
            let held = self.start()..self.end();
            return Err(LogError::OutOfRange { offset: end, held });
        }
        if end == self.end() && self.faulty.is_none() {
            return Ok(());
        }
        let segments = self.shared.segments();
        // The last one that begins before the end; the first one if the end is where it begins.
        let at = segments.partition_point(|s| s.base() < end).saturating_sub(1);
        let extent = extent_until(&segments[at], end)?;
        *lock(&self.fence) += 1;
        self.shared.note_truncation();
        if let Some(sync) = &mut self.sync {
            sync.void = true;
        }
        let result = self.cut_behind(&segments[..=at], &segments[at + 1..], extent);
        if let Err(LogError::Io { path, source }) = result {
            return Err(self.poison(source, &path));
        }
        result?;
        self.shared.note_truncation();
        self.rebuild_producers()?;
        self.check();
        Ok(())
    }

    fn cut_behind(
        &mut self,
        kept: &[Arc<Segment>],
        cut: &[Arc<Segment>],
        extent: SegmentExtent,
    ) -> LogResult<()> {
        let io = |segment: &Segment| LogError::io(segment.path());
        let Some((last, sealed)) = kept.split_last() else { return Err(LogError::Poisoned) };
        self.shared.set_segments(kept.to_vec());
        self.active = last.clone();
        self.upkeep.retain_seals(|s| sealed.iter().any(|kept| Arc::ptr_eq(kept, s)));
        // A footer vouches for the bytes of its segment: it is durably gone before they are.
        last.index.truncate(extent.end).map_err(io(last))?;
        // The newest first: a crash midway leaves a log without a gap.
        for segment in cut.iter().rev() {
            segment.index.truncate(segment.base()).map_err(io(segment))?;
            remove_if_there(&*self.storage, segment.path()).map_err(io(segment))?;
        }
        self.snapshots.truncate(extent.end).map_err(LogError::io(&self.dir))?;
        self.storage.sync_dir(&self.dir).map_err(LogError::io(&self.dir))?;
        let file = last.file().map_err(io(last))?;
        last.set_sealed(false);
        // Behind a faulty tail nobody knows how far old batches reach.
        let old_size = if self.faulty.is_some() { file.size() } else { last.size() };
        last.set_extent(extent, file.size());
        last.wipe(extent.size..old_size.max(extent.size)).map_err(io(last))?;
        for segment in std::mem::take(&mut self.rolled) {
            if sealed.iter().any(|s| Arc::ptr_eq(s, &segment)) {
                segment.sync().map_err(io(&segment))?;
                self.upkeep.queue_seal(&segment);
            }
        }
        let cut_epochs = self.epochs.truncate(extent.end);
        if cut_epochs || self.stored_epoch_count != self.epochs.entries().len() {
            let path = self.epochs_file.path().to_owned();
            self.epochs_file.replace(&self.epochs).map_err(LogError::io(&path))?;
        }
        self.stored_epoch_count = self.epochs.entries().len();
        self.shared.set_epochs(self.epochs.clone());
        self.dir_changed = false;
        self.sync_before_append = false;
        self.note_cut(extent.end);
        self.faulty = None;
        self.corrupt.retain(|range| range.start < extent.end);
        Ok(())
    }

    /// Everything up to the new end is durable, and nothing is under way.
    fn note_cut(&mut self, end: u64) {
        self.settled_end = end;
        self.durable_end = end;
        self.carried_end = self.carried_end.min(end);
        self.unsynced = Unsynced::from(end);
        self.upkeep.forget_settle();
    }

    /// Moves the log's start up to `new_start`, durably; it may lie inside a batch. Segments that
    /// end before it are removed in the background. A lower start than the present one is ignored.
    ///
    /// # Errors
    /// [`LogError::OutOfRange`] if `new_start` lies beyond the durable end; [`LogError::DiskFull`]
    /// changes nothing; [`LogError::Io`] poisons the log.
    pub fn trim(&mut self, new_start: u64) -> LogResult<()> {
        self.refuse_if_poisoned()?;
        if new_start > self.durable_end {
            let held = self.start()..self.durable_end;
            return Err(LogError::OutOfRange { offset: new_start, held });
        }
        if new_start <= self.start() {
            return Ok(());
        }
        if new_start > self.settled_end {
            self.sync_all()?;
        }
        match self.start_file.raise(new_start) {
            Err(LogError::Io { path, source }) => return Err(self.poison(source, &path)),
            other => other?,
        }
        self.drop_segments_before(new_start);
        self.check();
        Ok(())
    }

    /// Moves the start and drops the segments that end at or before it, all but the active one.
    pub(crate) fn drop_segments_before(&mut self, new_start: u64) {
        assert!(new_start >= self.start() && new_start <= self.settled_end, "start is settled");
        let segments = self.shared.segments();
        let sealed = &segments[..segments.len() - 1];
        let dropped = sealed.partition_point(|s| s.end() <= new_start);
        self.shared.set_start(new_start);
        self.corrupt.retain(|range| range.end > new_start);
        if dropped == 0 {
            return;
        }
        self.shared.set_segments(segments[dropped..].to_vec());
        let gone = |s: &Arc<Segment>| segments[..dropped].iter().any(|d| Arc::ptr_eq(d, s));
        self.upkeep.retain_seals(|s| !gone(s));
        self.rolled.retain(|s| !gone(s));
        let paths: Vec<PathBuf> = segments[..dropped].iter().map(|s| s.path().to_owned()).collect();
        self.upkeep.queue_removal(paths);
    }

    /// Drops everything and goes on, empty, at `offset`, durably: for a replica whose end lies
    /// before the leader's start. Producer states are forgotten.
    ///
    /// # Errors
    /// [`LogError::OutOfRange`] if `offset` lies before the log's end; [`LogError::DiskFull`]
    /// before anything was dropped; [`LogError::Io`] poisons the log.
    pub fn restart_at(&mut self, offset: u64) -> LogResult<()> {
        self.refuse_if_poisoned()?;
        let end = self.faulty.as_ref().map_or(self.end(), |f| f.end);
        if offset < end {
            return Err(LogError::OutOfRange { offset, held: self.start()..end });
        }
        match self.start_file.raise(offset) {
            Err(LogError::Io { path, source }) => return Err(self.poison(source, &path)),
            other => other?,
        }
        // From here on the old content is gone, whatever happens.
        *lock(&self.fence) += 1;
        if let Some(sync) = &mut self.sync {
            sync.void = true;
        }
        match self.begin_empty(offset) {
            Err(LogError::Io { path, source }) => Err(self.poison(source, &path)),
            Err(error) => {
                self.poisoned = true;
                Err(error)
            }
            Ok(()) => {
                self.check();
                Ok(())
            }
        }
    }

    fn begin_empty(&mut self, offset: u64) -> LogResult<()> {
        let old = self.shared.segments();
        let reuse = self.active.base() == offset && self.active.size() == 0;
        let active = if reuse {
            self.active.clone()
        } else {
            let interval = self.config.index_interval_size.get();
            let created = Segment::create(&self.storage, &self.dir, offset, interval);
            Arc::new(created.map_err(|e| failed(e, &self.dir))?)
        };
        self.epochs.truncate(0);
        let path = self.epochs_file.path().to_owned();
        self.epochs_file.replace(&self.epochs).map_err(LogError::io(&path))?;
        self.stored_epoch_count = 0;
        self.snapshots.truncate(0).map_err(LogError::io(&self.dir))?;
        self.storage.sync_dir(&self.dir).map_err(LogError::io(&self.dir))?;
        self.dir_changed = false;
        self.shared.note_truncation();
        self.shared.set_epochs(self.epochs.clone());
        self.shared.set_start(offset);
        self.shared.set_segments(vec![active.clone()]);
        self.shared.note_truncation();
        self.active = active;
        self.note_cut(offset);
        self.rolled.clear();
        self.faulty = None;
        self.corrupt.clear();
        self.producers = Default::default();
        self.upkeep.retain_seals(|_| false);
        let gone = old.iter().filter(|s| !Arc::ptr_eq(s, &self.active));
        self.upkeep.queue_removal(gone.map(|s| s.path().to_owned()).collect());
        Ok(())
    }
}

/// What the segment is when it ends at `end`.
fn extent_until(segment: &Segment, end: u64) -> LogResult<SegmentExtent> {
    let io = |error| LogError::Io { path: segment.path().to_owned(), source: error };
    let first_timestamp = segment.first_timestamp().filter(|_| end > segment.base());
    let entry = segment.index.find_offset(end);
    let (offset, position, mut max_timestamp) = entry.map_or((segment.base(), 0, -1), |e| {
        let offset = segment.base() + u64::from(e.offset_delta);
        (offset, u64::from(e.position), e.max_timestamp_before)
    });
    let at = |size, max_timestamp| SegmentExtent { size, end, max_timestamp, first_timestamp };
    if offset == end {
        return Ok(at(position, max_timestamp));
    }
    let file = segment.file().map_err(io)?;
    let mut walker = Walker::new(&*file, position, offset, segment.size());
    while walker.offset() < end {
        match walker.peek().map_err(io)? {
            Frame::Batch(header) => {
                max_timestamp = max_timestamp.max(header.max_timestamp());
                walker.advance(&header);
            }
            Frame::End => break,
            Frame::Bad(reason) => {
                return Err(LogError::Corrupt {
                    path: segment.path().to_owned(),
                    position: walker.position(),
                    offsets: walker.offset()..segment.end(),
                    reason,
                });
            }
        }
    }
    if walker.offset() != end {
        return Err(LogError::InsideBatch { offset: end });
    }
    Ok(at(walker.position(), max_timestamp))
}
