//! Reading batches of one segment through its map.

use std::sync::Arc;

use bytes::Bytes;

use crate::batch::{BatchError, BatchHeader, HEADER_SIZE};
use crate::epochs::EpochHistory;
use crate::log_error::{Damage, LogError, LogResult};
use crate::segment::Segment;
use crate::storage::File;

/// Bytes that are looked at in one piece, at least.
const WINDOW_SIZE: u64 = 32 << 10;

/// Where the checksum's coverage begins in a header.
const CHECKED_FROM: usize = 21;

/// Whole batches in one piece.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) bytes: Bytes,
    pub(crate) first_offset: u64,
    pub(crate) next_offset: u64,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Next {
    Batch(BatchHeader),
    /// The caller's end, or the segment's.
    End,
}

/// Hops from batch to batch.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    segment: &'a Segment,
    file: Arc<dyn File>,
    /// Bytes of the segment that hold batches.
    size: u64,
    /// Offset from which batches are wanted.
    from: u64,
    /// Base offset and position of the next batch.
    offset: u64,
    position: u64,
    window: Bytes,
    window_position: u64,
}

impl<'a> Reader<'a> {
    /// Begins at the index entry before the batch that contains `offset`.
    pub(crate) fn at(segment: &'a Segment, offset: u64) -> LogResult<Self> {
        let entry = segment.index.find_offset(offset);
        Self::begin(segment, offset, entry)
    }

    /// Begins at the index entry before the first batch with a timestamp at or after `timestamp`.
    pub(crate) fn at_timestamp(segment: &'a Segment, timestamp: i64) -> LogResult<Self> {
        let entry = segment.index.find_timestamp(timestamp);
        let offset = entry.map_or(segment.base(), |e| segment.base() + u64::from(e.offset_delta));
        Self::begin(segment, offset, entry)
    }

    fn begin(
        segment: &'a Segment,
        from: u64,
        entry: Option<crate::index_block::IndexEntry>,
    ) -> LogResult<Self> {
        let file = segment.file().map_err(LogError::io(segment.path()))?;
        let (offset, position) = entry.map_or((segment.base(), 0), |e| {
            (segment.base() + u64::from(e.offset_delta), u64::from(e.position))
        });
        Ok(Self {
            segment,
            file,
            size: segment.size(),
            from,
            offset,
            position,
            window: Bytes::new(),
            window_position: position,
        })
    }

    /// The next batch that ends after the wanted offset and not beyond `end`.
    pub(crate) fn next(&mut self, end: u64) -> LogResult<Next> {
        loop {
            if self.position >= self.size {
                return Ok(Next::End);
            }
            let header = self.header()?;
            if header.end_offset() > end {
                return Ok(Next::End);
            }
            if header.end_offset() > self.from {
                return Ok(Next::Batch(header));
            }
            self.skip(&header);
        }
    }

    /// Moves behind the batch that [`next`](Self::next) returned.
    pub(crate) fn skip(&mut self, header: &BatchHeader) {
        self.position += header.size() as u64;
        self.offset = header.end_offset();
    }

    /// The first batch for which `wanted` is true. The epochs were read after this reader began.
    pub(crate) fn find(
        &mut self,
        epochs: &EpochHistory,
        end: u64,
        wanted: impl Fn(&BatchHeader) -> bool,
    ) -> LogResult<Option<Bytes>> {
        while let Next::Batch(header) = self.next(end)? {
            if wanted(&header) {
                let bytes = self.bytes(header.size())?;
                self.verify(epochs, &header, &bytes)?;
                return Ok(Some(bytes));
            }
            self.skip(&header);
        }
        Ok(None)
    }

    /// Whole, checked batches of at most `max_size` bytes together, or one of any size with
    /// `min_one`. `None` if there are none. A damaged batch ends the run, and is an error only at
    /// its beginning. The epochs were read after this reader began.
    pub(crate) fn read(
        mut self,
        epochs: &EpochHistory,
        max_size: usize,
        min_one: bool,
        end: u64,
    ) -> LogResult<Option<Run>> {
        let Next::Batch(first) = self.next(end)? else { return Ok(None) };
        let (begin, first_offset) = (self.position, first.base_offset());
        if first.size() > max_size && !min_one {
            return Ok(None);
        }
        self.look_ahead(max_size.max(first.size()) as u64);
        let bytes = self.bytes(first.size())?;
        self.verify(epochs, &first, &bytes)?;
        self.skip(&first);
        while let Ok(Next::Batch(header)) = self.next(end) {
            let whole = self.position + header.size() as u64 - begin;
            if whole > max_size as u64 {
                break;
            }
            let sound = self.bytes(header.size()).and_then(|b| self.verify(epochs, &header, &b));
            if sound.is_err() {
                break;
            }
            self.skip(&header);
        }
        let size = (self.position - begin) as usize;
        let next_offset = self.offset;
        self.position = begin;
        Ok(Some(Run { bytes: self.bytes(size)?, first_offset, next_offset }))
    }

    /// Takes the window from the position on, so that a run of this size is one piece of it.
    fn look_ahead(&mut self, size: u64) {
        let range = self.position..self.size.min(self.position.saturating_add(size));
        let held = self.window_position + self.window.len() as u64;
        if range.end > held
            && let Ok(window) = self.file.read(range)
        {
            self.window = window;
            self.window_position = self.position;
        }
    }

    fn header(&mut self) -> LogResult<BatchHeader> {
        let size = (self.size - self.position).min(HEADER_SIZE as u64) as usize;
        let bytes = self.bytes(size)?;
        let header = BatchHeader::parse(&bytes).map_err(|e| self.corrupt(e.into()))?;
        if header.base_offset() != self.offset {
            let (found, expected) = (header.base_offset(), self.offset);
            return Err(self.corrupt(Damage::BaseOffset { found, expected }));
        }
        let left = self.size - self.position;
        if header.size() as u64 > left {
            let (needed, available) = (header.size(), left as usize);
            return Err(self.corrupt(BatchError::Incomplete { needed, available }.into()));
        }
        Ok(header)
    }

    /// `size` bytes at the position; the caller knows that the segment has them.
    fn bytes(&mut self, size: usize) -> LogResult<Bytes> {
        let held = self.window_position..self.window_position + self.window.len() as u64;
        let wanted = self.position..self.position + size as u64;
        if wanted.start < held.start || wanted.end > held.end {
            let ahead = self.size.min(wanted.end.max(wanted.start + WINDOW_SIZE));
            let range = wanted.start..ahead.max(wanted.end);
            self.window = self.file.read(range).map_err(LogError::io(self.segment.path()))?;
            self.window_position = wanted.start;
        }
        let from = (wanted.start - self.window_position) as usize;
        Ok(self.window.slice(from..from + size))
    }

    /// The checksum, and what it does not cover: the base offset was compared already.
    fn verify(&self, epochs: &EpochHistory, header: &BatchHeader, bytes: &Bytes) -> LogResult<()> {
        let (stored, computed) = (header.crc(), crc_fast::crc32_iscsi(&bytes[CHECKED_FROM..]));
        if stored != computed {
            return Err(self.corrupt(BatchError::BadChecksum { stored, computed }.into()));
        }
        epochs.check(header).map_err(|damage| self.corrupt(damage))
    }

    fn corrupt(&self, reason: Damage) -> LogError {
        let end = match reason {
            Damage::Batch(BatchError::BadChecksum { .. }) | Damage::LeaderEpoch { .. } => {
                self.damaged_batch_end().unwrap_or(self.segment.end())
            }
            _ => self.segment.end(),
        };
        LogError::Corrupt {
            path: self.segment.path().to_owned(),
            position: self.position,
            offsets: self.offset..end.max(self.offset),
            reason,
        }
    }

    /// End of the batch at the position, whose header is sound.
    fn damaged_batch_end(&self) -> Option<u64> {
        let from = (self.position - self.window_position) as usize;
        BatchHeader::parse(self.window.get(from..)?).ok().map(|h| h.end_offset())
    }
}
