//! Writing of one frame.

use bytes::Bytes;

use crate::error::{EncodeError, EncodeErrorKind};

/// Byte strings from this size on are passed on by reference; below it a copy is cheaper than one
/// more element in the vectored write.
const SCATTER_MIN: usize = 1024;

/// Capacity to start with; most requests and responses without records fit.
const INITIAL_CAPACITY: usize = 256;

/// Collects one frame: everything small in one buffer, large byte strings by reference between.
#[derive(Debug)]
pub struct Writer {
    buffer: Vec<u8>,
    /// Payload to put in front of `buffer[position..]`, by ascending position.
    payload: Vec<(usize, Bytes)>,
    payload_size: usize,
    /// Within a tagged field everything is copied: its size must be known before its content.
    nested_tags: usize,
    context: &'static str,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self {
            buffer: Vec::with_capacity(INITIAL_CAPACITY),
            payload: Vec::new(),
            payload_size: 0,
            nested_tags: 0,
            context: "frame",
        }
    }

    /// Bytes written so far, payload included.
    pub fn size(&self) -> usize {
        self.buffer.len() + self.payload_size
    }

    /// Names the field that is written next, for errors.
    #[inline]
    pub(crate) fn set_context(&mut self, context: &'static str) {
        self.context = context;
    }

    /// An error about the current field.
    #[cold]
    pub(crate) fn error(&self, kind: EncodeErrorKind) -> EncodeError {
        EncodeError { kind, context: self.context }
    }

    /// Appends a copy of `bytes`.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Appends `bytes`: by reference when they are large.
    pub fn put_shared(&mut self, bytes: &Bytes) {
        if bytes.len() < SCATTER_MIN || self.nested_tags > 0 {
            self.put(bytes);
        } else {
            self.payload.push((self.buffer.len(), bytes.clone()));
            self.payload_size += bytes.len();
        }
    }

    /// Appends an unsigned integer of 7 bits per byte, least significant first.
    #[inline]
    pub fn put_unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.push(value as u8);
    }

    /// Appends a compact length: null as 0, else the length plus one.
    pub(crate) fn put_compact_length(&mut self, length: Option<usize>) -> Result<(), EncodeError> {
        let value = match length {
            None => 0,
            Some(length) => i32::try_from(length)
                .ok()
                .and_then(|length| length.checked_add(1))
                .ok_or_else(|| self.error(EncodeErrorKind::TooLong(length)))?,
        };
        self.put_unsigned_varint(value as u32);
        Ok(())
    }

    /// Appends an `i32` length, null as -1.
    pub(crate) fn put_classic_length(&mut self, length: Option<usize>) -> Result<(), EncodeError> {
        let value = match length {
            None => -1,
            Some(length) => {
                i32::try_from(length).map_err(|_| self.error(EncodeErrorKind::TooLong(length)))?
            }
        };
        self.put(&value.to_be_bytes());
        Ok(())
    }

    /// Appends a tagged field: tag, size, then what `content` writes.
    pub(crate) fn put_tag(
        &mut self,
        tag: u32,
        content: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.put_unsigned_varint(tag);
        let start = self.buffer.len();
        self.nested_tags += 1;
        let result = content(self);
        self.nested_tags -= 1;
        result?;
        // The size goes in front of its content: append it, then rotate it into place.
        let end = self.buffer.len();
        let size = u32::try_from(end - start)
            .map_err(|_| self.error(EncodeErrorKind::TooLong(end - start)))?;
        self.put_unsigned_varint(size);
        let size_width = self.buffer.len() - end;
        self.buffer[start..].rotate_right(size_width);
        Ok(())
    }

    /// Overwrites four bytes of the buffer written earlier, before any payload.
    pub(crate) fn patch_i32(&mut self, position: usize, value: i32) {
        debug_assert!(self.payload.first().is_none_or(|(first, _)| position + 4 <= *first));
        self.buffer[position..position + 4].copy_from_slice(&value.to_be_bytes());
    }

    /// The written bytes in order. The buffer is shared between its segments, not copied.
    pub fn into_segments(self) -> Vec<Bytes> {
        let buffer = Bytes::from(self.buffer);
        let mut segments = Vec::with_capacity(2 * self.payload.len() + 1);
        let mut start = 0;
        for (position, payload) in self.payload {
            if position > start {
                segments.push(buffer.slice(start..position));
                start = position;
            }
            segments.push(payload);
        }
        if start < buffer.len() {
            segments.push(buffer.slice(start..));
        }
        segments
    }
}
