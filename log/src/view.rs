//! Reading a log from any thread, beside the writer.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;

use crate::batch::BatchHeader;
use crate::epochs::EpochHistory;
use crate::log_error::{Damage, LogError, LogResult};
use crate::reader::{Next, Reader};
use crate::segment::Segment;

/// Damaged ranges that readers may have reported and the owner not yet taken; what is beyond is
/// reported by those who read it next.
const DAMAGE_REPORTS: usize = 16;

/// What the owner of a log shares with its readers.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Never empty; ascending; the last one is active.
    segments: RwLock<Arc<Vec<Arc<Segment>>>>,
    epochs: RwLock<Arc<EpochHistory>>,
    start: AtomicU64,
    /// Counts truncations: what a reader found damaged may only have been cut meanwhile.
    generation: AtomicU64,
    /// What readers found damaged since the owner last asked.
    damaged: Mutex<Vec<Range<u64>>>,
}

impl Shared {
    pub(crate) fn new(segments: Vec<Arc<Segment>>, epochs: EpochHistory, start: u64) -> Self {
        assert!(!segments.is_empty(), "a log has an active segment");
        Self {
            segments: RwLock::new(Arc::new(segments)),
            epochs: RwLock::new(Arc::new(epochs)),
            start: AtomicU64::new(start),
            generation: AtomicU64::new(0),
            damaged: Mutex::default(),
        }
    }

    pub(crate) fn segments(&self) -> Arc<Vec<Arc<Segment>>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_segments(&self, segments: Vec<Arc<Segment>>) {
        assert!(!segments.is_empty(), "a log has an active segment");
        *self.segments.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(segments);
    }

    pub(crate) fn push_segment(&self, segment: Arc<Segment>) {
        let mut segments = Vec::clone(&self.segments());
        segments.push(segment);
        self.set_segments(segments);
    }

    pub(crate) fn epochs(&self) -> Arc<EpochHistory> {
        self.epochs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_epochs(&self, epochs: EpochHistory) {
        *self.epochs.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(epochs);
    }

    pub(crate) fn start(&self) -> u64 {
        self.start.load(Ordering::Acquire)
    }

    pub(crate) fn set_start(&self, start: u64) {
        self.start.store(start, Ordering::Release);
    }

    pub(crate) fn note_truncation(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn note_damage(&self, offsets: &Range<u64>) {
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        if !offsets.is_empty() && damaged.len() < DAMAGE_REPORTS && !damaged.contains(offsets) {
            damaged.push(offsets.clone());
        }
    }

    /// What readers found damaged since the last call.
    pub(crate) fn take_damage(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut *self.damaged.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whole batches, read without a copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slice {
    /// Batches back to back: each element holds one or more whole batches of one segment. Sent in
    /// this order they are what a Fetch response carries.
    pub batches: Vec<Bytes>,
    /// Base offset of the first batch; at most the offset asked for. The offset asked for if there
    /// is none.
    pub first_offset: u64,
    /// Where to go on reading: the end of the last batch.
    pub next_offset: u64,
}

impl Slice {
    /// Bytes of all batches.
    pub fn size(&self) -> usize {
        self.batches.iter().map(Bytes::len).sum()
    }

    /// Whether there is no batch.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}

/// A reader's handle on a log: cheap to clone, usable from any thread, never blocked by the writer.
///
/// A view knows nothing of what is decided: every read takes the end that the caller may see, and
/// never looks beyond it. What it returns stays valid when the segment is deleted. It stays the
/// same too, unless the range is truncated: only batches that are decided are safe from that.
///
/// Every batch that a read returns had a right checksum and leader epoch. Reading what is not in
/// memory blocks: ask [`LogView::is_resident`] first on a thread that must not.
#[derive(Debug, Clone)]
pub struct LogView {
    shared: Arc<Shared>,
}

impl LogView {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// First offset that the log still holds.
    pub fn start(&self) -> u64 {
        self.shared.start()
    }

    /// First offset that is not in the log, synced or not.
    pub fn end(&self) -> u64 {
        self.shared.segments().last().map_or(0, |segment| segment.end())
    }

    /// Bytes of all batches in all segments.
    pub fn size(&self) -> u64 {
        self.shared.segments().iter().map(|s| s.size()).sum()
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.shared.segments().len()
    }

    /// The leader epochs of the log's batches.
    pub fn epochs(&self) -> Arc<EpochHistory> {
        self.shared.epochs()
    }

    /// The answer to Kafka's OffsetForLeaderEpoch, for a log that ends at `end` for the asker: the
    /// greatest leader epoch not above `leader_epoch`, and the end of its batches.
    pub fn epoch_end_offset(&self, leader_epoch: i32, end: u64) -> Option<(i32, u64)> {
        self.shared.epochs().end_of(leader_epoch, self.start(), end)
    }

    /// Reads whole batches below `end`, beginning with the one that contains `from`, as many as
    /// `max_size` bytes hold; with `min_one` at least one, however large. Nothing if `from` is
    /// `end`.
    ///
    /// # Errors
    /// [`LogError::OutOfRange`] if `from` is not in `start..=end`; [`LogError::Corrupt`] if the
    /// batch at `from` is damaged (those before a damaged one are returned without error);
    /// [`LogError::Io`].
    pub fn read(&self, from: u64, max_size: usize, min_one: bool, end: u64) -> LogResult<Slice> {
        self.retry(|| {
            let mut slice = Slice { batches: Vec::new(), first_offset: from, next_offset: from };
            self.check_range(from, end)?;
            if from == end {
                return Ok(slice);
            }
            let mut left = max_size;
            for segment in segments_from(&self.shared.segments(), from) {
                if slice.next_offset >= end || segment.base() > slice.next_offset {
                    break;
                }
                let first = slice.batches.is_empty();
                let read = Reader::at(segment, slice.next_offset).and_then(|reader| {
                    reader.read(&self.shared.epochs(), left, min_one && first, end)
                });
                match read {
                    Ok(Some(run)) => {
                        if first {
                            slice.first_offset = run.first_offset;
                        }
                        slice.next_offset = run.next_offset;
                        left = left.saturating_sub(run.bytes.len());
                        slice.batches.push(run.bytes);
                        if slice.next_offset < segment.end() {
                            break;
                        }
                    }
                    Ok(None) => break,
                    Err(error) if first => return Err(error),
                    Err(_) => break,
                }
            }
            Ok(slice)
        })
    }

    /// Whether [`LogView::read`] with these arguments would most likely not wait for the device.
    pub fn is_resident(&self, from: u64, max_size: usize) -> bool {
        self.file_range(from, max_size)
            .is_none_or(|(segment, range)| segment.file().is_ok_and(|file| file.is_resident(range)))
    }

    /// Asks the system to read ahead what [`LogView::read`] with these arguments would need.
    pub fn prefetch(&self, from: u64, max_size: usize) {
        if let Some((segment, range)) = self.file_range(from, max_size)
            && let Ok(file) = segment.file()
        {
            file.prefetch(range);
        }
    }

    /// The first batch below `end` with a timestamp at or after `timestamp`. The first record at
    /// or after it lies in this batch, at an offset that only its (maybe compressed) records tell.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] and [`LogError::Io`].
    pub fn batch_for_timestamp(&self, timestamp: i64, end: u64) -> LogResult<Option<Bytes>> {
        self.retry(|| {
            let start = self.start();
            for segment in segments_from(&self.shared.segments(), start) {
                if segment.base() >= end {
                    break;
                }
                if segment.max_timestamp() < timestamp {
                    continue;
                }
                let mut reader = Reader::at_timestamp(segment, timestamp)?;
                let wanted =
                    |h: &BatchHeader| h.max_timestamp() >= timestamp && h.end_offset() > start;
                if let Some(found) = reader.find(&self.shared.epochs(), end, wanted)? {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        })
    }

    /// The first batch below `end` that holds the greatest timestamp of all batches below `end`.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] and [`LogError::Io`].
    pub fn batch_of_max_timestamp(&self, end: u64) -> LogResult<Option<Bytes>> {
        let greatest = self.max_timestamp(end)?;
        greatest.map_or(Ok(None), |timestamp| self.batch_for_timestamp(timestamp, end))
    }

    /// Greatest timestamp of the batches below `end`; `None` if there are none or none has one.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] and [`LogError::Io`].
    pub fn max_timestamp(&self, end: u64) -> LogResult<Option<i64>> {
        self.retry(|| {
            let mut greatest = -1;
            for segment in segments_from(&self.shared.segments(), self.start()) {
                if segment.base() >= end {
                    break;
                }
                if segment.end() <= end {
                    greatest = greatest.max(segment.max_timestamp());
                    continue;
                }
                let before = segment.index.find_offset(end - 1);
                greatest = greatest.max(before.map_or(-1, |e| e.max_timestamp_before));
                let mut reader = Reader::at(segment, end - 1)?;
                while let Next::Batch(header) = reader.next(end)? {
                    greatest = greatest.max(header.max_timestamp());
                    reader.skip(&header);
                }
            }
            Ok(Some(greatest).filter(|t| *t >= 0))
        })
    }

    fn check_range(&self, from: u64, end: u64) -> LogResult<()> {
        let start = self.start();
        if from < start || from > end {
            return Err(LogError::OutOfRange { offset: from, held: start..end });
        }
        Ok(())
    }

    fn file_range(
        &self,
        from: u64,
        max_size: usize,
    ) -> Option<(Arc<Segment>, std::ops::Range<u64>)> {
        let segments = self.shared.segments();
        let segment = segments_from(&segments, from).next()?;
        let entry = segment.index.find_offset(from);
        let position = entry.map_or(0, |e| u64::from(e.position));
        let wanted = position + segment.index.interval() + max_size as u64;
        let range = position..wanted.min(segment.size());
        (!range.is_empty()).then(|| (segment.clone(), range))
    }

    /// Damage that is found while the log is truncated, or a file that is gone because its segment
    /// was deleted, is no damage: look again. The owner hears of what is, by [`Log::corrupt`].
    ///
    /// [`Log::corrupt`]: crate::Log::corrupt
    fn retry<T>(&self, read: impl Fn() -> LogResult<T>) -> LogResult<T> {
        loop {
            let (generation, start) = (self.shared.generation(), self.start());
            let result = read();
            let moved = generation != self.shared.generation() || start != self.start();
            match result {
                Err(LogError::Corrupt { .. } | LogError::Io { .. }) if moved => {}
                Err(LogError::Io { path, source }) if source.kind() == io::ErrorKind::NotFound => {
                    let offsets = self.start()..self.start();
                    let reason = Damage::Missing;
                    return Err(LogError::Corrupt { path, position: 0, offsets, reason });
                }
                other => {
                    if let Err(LogError::Corrupt { offsets, .. }) = &other {
                        self.shared.note_damage(offsets);
                    }
                    return other;
                }
            }
        }
    }
}

/// The segments from the one that contains `from` on.
fn segments_from(segments: &[Arc<Segment>], from: u64) -> impl Iterator<Item = &Arc<Segment>> {
    let after = segments.partition_point(|s| s.base() <= from);
    segments[after.saturating_sub(1)..].iter()
}
