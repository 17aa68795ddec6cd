//! Walking the batches of a segment file whose content is not trusted yet.
//!
//! Reads by copy, never through a map: a sector that the device cannot read is an error here, not a
//! signal. Hopping from header to header reads little; checking a batch reads all of it.

use std::io;

use crc_fast::{CrcAlgorithm, Digest};

use crate::batch::{BatchError, BatchHeader, HEADER_SIZE};
use crate::log_error::Damage;
use crate::storage::File;

/// Bytes read at once.
const WINDOW_SIZE: usize = 64 << 10;

/// Batches at least this large are hopped over by reading only their headers.
const LARGE_SIZE: usize = 16 << 10;

/// Where the checksum's coverage begins in a header.
const CHECKED_FROM: usize = 21;

/// What stands at the walker's position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A batch that continues the one before, as far as its header tells.
    Batch(BatchHeader),
    /// Only zeros follow, at least as far as a header would reach, or nothing at all.
    End,
    /// Something else.
    Bad(Damage),
}

/// Walks batches from a position on, each expected to begin where the one before ended.
#[derive(Debug)]
pub(crate) struct Walker<'a> {
    file: &'a dyn File,
    limit: u64,
    position: u64,
    offset: u64,
    window: Vec<u8>,
    window_position: u64,
    large: bool,
}

impl<'a> Walker<'a> {
    /// Begins at `position`, where a batch with base offset `offset` is expected; what lies at or
    /// beyond `limit` does not exist.
    pub(crate) fn new(file: &'a dyn File, position: u64, offset: u64, limit: u64) -> Self {
        let limit = limit.min(file.size());
        Self { file, limit, position, offset, window: Vec::new(), window_position: 0, large: false }
    }

    /// Goes to another batch.
    pub(crate) fn seek(&mut self, position: u64, offset: u64) {
        (self.position, self.offset) = (position, offset);
    }

    /// Reads again what it holds: the file may have other bytes now.
    pub(crate) fn forget(&mut self) {
        self.window.clear();
    }

    /// Where the next batch begins or should begin.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The offset that the next batch has to have.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Looks at the next frame without moving.
    ///
    /// # Errors
    /// Only those that concern more than these bytes; an unreadable sector is [`Frame::Bad`].
    pub(crate) fn peek(&mut self) -> io::Result<Frame> {
        let left = self.limit.saturating_sub(self.position);
        let wanted = left.min(HEADER_SIZE as u64) as usize;
        let expected = self.offset;
        let bytes = match self.bytes(wanted) {
            Ok(bytes) => bytes,
            Err(_) => return Ok(Frame::Bad(Damage::Unreadable)),
        };
        if bytes.iter().all(|b| *b == 0) {
            return Ok(Frame::End);
        }
        let header = match BatchHeader::parse(bytes) {
            Ok(header) => header,
            Err(error) => return Ok(Frame::Bad(error.into())),
        };
        if header.base_offset() != expected {
            let found = header.base_offset();
            return Ok(Frame::Bad(Damage::BaseOffset { found, expected }));
        }
        if header.end_offset() - header.base_offset() != header.offset_count() {
            return Ok(Frame::Bad(Damage::BaseOffset { found: expected, expected }));
        }
        if header.size() as u64 > left {
            let (needed, available) = (header.size(), left as usize);
            return Ok(Frame::Bad(BatchError::Incomplete { needed, available }.into()));
        }
        Ok(Frame::Batch(header))
    }

    /// Moves behind the batch that [`peek`](Self::peek) returned.
    pub(crate) fn advance(&mut self, header: &BatchHeader) {
        assert_eq!(header.base_offset(), self.offset, "the walker steps over what it has seen");
        self.large = header.size() >= LARGE_SIZE;
        self.position += header.size() as u64;
        self.offset = header.end_offset();
    }

    /// Checks the checksum of the batch that [`peek`](Self::peek) returned.
    pub(crate) fn check(&mut self, header: &BatchHeader) -> Result<(), Damage> {
        let end = self.position + header.size() as u64;
        let mut at = self.position;
        let mut crc = Digest::new(CrcAlgorithm::Crc32Iscsi);
        while at < end {
            let size = (end - at).min(WINDOW_SIZE as u64) as usize;
            self.large = false;
            let skipped = if at == self.position { CHECKED_FROM } else { 0 };
            let bytes = self.bytes_at(at, size).map_err(|_| Damage::Unreadable)?;
            crc.update(&bytes[skipped..]);
            at += size as u64;
        }
        let (stored, computed) = (header.crc(), crc.finalize() as u32);
        if stored == computed {
            Ok(())
        } else {
            Err(BatchError::BadChecksum { stored, computed }.into())
        }
    }

    fn bytes(&mut self, size: usize) -> io::Result<&[u8]> {
        self.bytes_at(self.position, size)
    }

    fn bytes_at(&mut self, at: u64, size: usize) -> io::Result<&[u8]> {
        let held = self.window_position..self.window_position + self.window.len() as u64;
        if at < held.start || at + size as u64 > held.end {
            let left = usize::try_from(self.limit.saturating_sub(at)).unwrap_or(usize::MAX);
            let ahead = if self.large { size } else { WINDOW_SIZE.max(size) };
            self.window.resize(ahead.min(left), 0);
            self.window_position = at;
            if self.file.read_at(&mut self.window, at).is_err() {
                // Perhaps it is not these bytes that cannot be read, but some behind them.
                self.window.truncate(size);
                if let Err(error) = self.file.read_at(&mut self.window, at) {
                    self.window.clear();
                    return Err(error);
                }
            }
        }
        let from = (at - self.window_position) as usize;
        self.window.get(from..from + size).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}
