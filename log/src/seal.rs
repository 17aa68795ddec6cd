//! Sealing: a segment that will not change again gets its footer, which is what a later start
//! trusts instead of reading the segment.
//!
//! What this process wrote was checked before it was written, and reading it back would only look
//! at the page cache. So only its headers are read again; what was found on the disk is read whole.

use std::io;
use std::ops::Range;

use crc_fast::{CrcAlgorithm, Digest};

use crate::batch::BatchHeader;
use crate::epochs::EpochHistory;
use crate::index_block::{Footer, IndexEntry};
use crate::jobs::{Fence, failed};
use crate::log_error::{Damage, LogError, LogResult};
use crate::segment::{PREPARE_UNIT, Segment, lock};
use crate::walk::{Frame, Walker};

/// Walks the batches of the segment's first `size` bytes and writes its index file anew; with the
/// footer if the segment is sealed. Does nothing if the log was truncated since `generation`.
///
/// # Errors
/// [`LogError::Corrupt`] if a batch is damaged; then no footer is written.
pub(crate) fn seal(segment: &Segment, size: u64, fence: &Fence, generation: u64) -> LogResult<()> {
    let checked = check(segment, size, segment.found_size(), None);
    let current = lock(fence);
    if *current != generation {
        // What looked like damage was the truncation.
        return Ok(());
    }
    let checked = checked?;
    let sealed = segment.is_sealed();
    if !sealed {
        let result = segment.index.replace(&checked.entries, None);
        return result.map_err(|e| failed(e, segment.path()));
    }
    let footer = Footer {
        base: segment.base(),
        end: checked.end,
        size: u32::try_from(size).unwrap_or(u32::MAX),
        checksum: checked.headers.finalize() as u32,
        max_timestamp: checked.max_timestamp,
        entry_count: checked.entries.len() as u32,
        leader_epoch: checked.leader_epoch,
    };
    assert_eq!(u64::from(footer.size), size, "positions in a segment fit 32 bits");
    segment
        .index
        .replace(&checked.entries, Some(&footer))
        .map_err(|e| failed(e, segment.path()))?;
    let file = segment.file().map_err(LogError::io(segment.path()))?;
    let unused = size.next_multiple_of(PREPARE_UNIT)..file.size();
    if !unused.is_empty() {
        file.release(unused);
    }
    Ok(())
}

/// Checks every batch of a segment's first `size` bytes, and changes nothing. Finds no fault if the
/// log was truncated since `generation`, or the segment is gone by now.
///
/// # Errors
/// [`LogError::Corrupt`] if a batch is damaged or cannot be read.
pub(crate) fn scrub(
    segment: &Segment,
    size: u64,
    epochs: &EpochHistory,
    fence: &Fence,
    generation: u64,
) -> LogResult<()> {
    let checked = check(segment, size, u64::MAX, Some(epochs));
    if *lock(fence) != generation {
        return Ok(());
    }
    match checked {
        Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        checked => checked.map(|_| ()),
    }
}

/// Finds where a segment is damaged whose headers do not follow one another.
///
/// # Errors
/// [`LogError::Corrupt`] from the first damaged batch on.
pub(crate) fn verify(segment: &Segment) -> LogResult<()> {
    check(segment, segment.size(), u64::MAX, None).map(|_| ())
}

/// Whether the batches that overlap `range` can be read and are what was written.
pub(crate) fn is_intact(segment: &Segment, range: &Range<u64>, epochs: &EpochHistory) -> bool {
    let (from, end) = (range.start.max(segment.base()), range.end.min(segment.end()));
    if from >= end {
        return true;
    }
    let Ok(file) = segment.file() else { return false };
    let (offset, position) = segment.index.find_offset(from).map_or((segment.base(), 0), |entry| {
        (segment.base() + u64::from(entry.offset_delta), u64::from(entry.position))
    });
    let mut walker = Walker::new(&*file, position, offset, segment.size());
    while walker.offset() < end {
        let Ok(Frame::Batch(header)) = walker.peek() else { return false };
        let sound = |walker: &mut Walker<'_>| {
            walker.check(&header).is_ok() && epochs.check(&header).is_ok()
        };
        if header.end_offset() > from && !sound(&mut walker) {
            return false;
        }
        walker.advance(&header);
    }
    true
}

struct Checked {
    entries: Vec<IndexEntry>,
    end: u64,
    /// Checksum of all headers, which hold the checksums of their records.
    headers: Digest,
    max_timestamp: i64,
    leader_epoch: i32,
}

/// Walks the first `size` bytes, and reads the batches that begin before `read_end` whole.
fn check(
    segment: &Segment,
    size: u64,
    read_end: u64,
    epochs: Option<&EpochHistory>,
) -> LogResult<Checked> {
    let io_error = LogError::io(segment.path());
    let file = match segment.file() {
        Ok(file) => file,
        Err(error) => return Err(io_error(error)),
    };
    let mut walker = Walker::new(&*file, 0, segment.base(), size);
    let mut checked = Checked {
        entries: Vec::new(),
        end: segment.base(),
        headers: Digest::new(CrcAlgorithm::Crc32Iscsi),
        max_timestamp: -1,
        leader_epoch: -1,
    };
    let mut last_position = 0;
    while walker.position() < size {
        let damage = match walker.peek().map_err(LogError::io(segment.path()))? {
            Frame::Batch(header) => {
                let is_read = walker.position() < read_end;
                let sound = if is_read { walker.check(&header) } else { Ok(()) }
                    .and_then(|()| epochs.map_or(Ok(()), |epochs| epochs.check(&header)));
                match sound {
                    Ok(()) => {
                        checked.note(segment, &header, walker.position(), &mut last_position);
                        walker.advance(&header);
                        continue;
                    }
                    Err(damage) => damage,
                }
            }
            Frame::End => Damage::Missing,
            Frame::Bad(damage) => damage,
        };
        return Err(LogError::Corrupt {
            path: segment.path().to_owned(),
            position: walker.position(),
            offsets: walker.offset()..segment.end().max(walker.offset()),
            reason: damage,
        });
    }
    Ok(checked)
}

impl Checked {
    fn note(
        &mut self,
        segment: &Segment,
        header: &BatchHeader,
        position: u64,
        last_position: &mut u64,
    ) {
        if position > 0 && position - *last_position >= segment.index.interval() {
            *last_position = position;
            self.entries.push(IndexEntry {
                offset_delta: (header.base_offset() - segment.base()) as u32,
                position: position as u32,
                max_timestamp_before: self.max_timestamp,
            });
        }
        self.headers.update(header.as_bytes());
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp());
        self.leader_epoch = self.leader_epoch.max(header.leader_epoch());
        self.end = header.end_offset();
    }
}
