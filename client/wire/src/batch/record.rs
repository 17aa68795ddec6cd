//! The records inside a batch.

use bytes::Bytes;

use super::{BatchError, BatchHeader, TimestampType, varint};
use crate::Str;

/// The smallest record: seven fields of one byte each.
const MIN_RECORD_SIZE: usize = 7;

/// The smallest header: empty key, null value.
const MIN_RECORD_HEADER_SIZE: usize = 2;

/// One record as a consumer sees it. Key, value and header values are slices of the batch (or of
/// its decompressed form): they keep it in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Offset in the partition.
    pub offset: i64,
    /// Milliseconds since 1970: by the producer, or by the leader when the batch says so.
    pub timestamp: i64,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; null is a tombstone on compacted topics.
    pub value: Option<Bytes>,
    /// Headers in order; keys may repeat.
    pub headers: Vec<(Str, Option<Bytes>)>,
}

/// Iterator over the records of one batch. Ends after the first error.
#[derive(Debug, Clone)]
pub struct RecordIter {
    data: Bytes,
    /// Where the next record begins in `data`.
    position: usize,
    index: u32,
    count: u32,
    /// The next record's offset must lie above this one.
    previous_offset: Option<i64>,
    last_offset_delta: i32,
    base_offset: i64,
    base_timestamp: i64,
    /// Set when the leader's time overrides the records'.
    append_time: Option<i64>,
}

impl RecordIter {
    /// Reads `data`, the decompressed record section of the batch with this header.
    pub(super) fn new(header: &BatchHeader, data: Bytes) -> Result<Self, BatchError> {
        let bad_count = BatchError::Count { count: header.record_count, size: data.len() };
        let Ok(count) = u32::try_from(header.record_count) else {
            return Err(bad_count);
        };
        if count as usize > data.len() / MIN_RECORD_SIZE {
            return Err(bad_count);
        }
        Ok(Self {
            data,
            position: 0,
            index: 0,
            count,
            previous_offset: None,
            last_offset_delta: header.last_offset_delta,
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            append_time: match header.timestamp_type() {
                TimestampType::CreateTime => None,
                TimestampType::LogAppendTime => Some(header.max_timestamp),
            },
        })
    }

    /// Records still to come, unless an error ends the iteration.
    pub fn remaining(&self) -> usize {
        (self.count - self.index) as usize
    }

    /// Reads the record at the current position and moves behind it.
    fn read(&mut self) -> Result<Record, &'static str> {
        let mut rest = &self.data[self.position..];
        let size = varint::take_i32(&mut rest).ok_or("bad length")?;
        let size = usize::try_from(size).map_err(|_| "negative length")?;
        let body = rest.get(..size).ok_or("longer than its batch")?;
        let end = self.data.len() - rest.len() + size;
        let record = self.read_body(body)?;
        self.previous_offset = Some(record.offset);
        self.position = end;
        Ok(record)
    }

    fn read_body(&self, mut body: &[u8]) -> Result<Record, &'static str> {
        let (_attributes, after) = body.split_first().ok_or("no attributes")?;
        body = after;
        let timestamp_delta = varint::take_i64(&mut body).ok_or("bad timestamp delta")?;
        let offset_delta = varint::take_i32(&mut body).ok_or("bad offset delta")?;
        if !(0..=self.last_offset_delta).contains(&offset_delta) {
            return Err("offset delta outside its batch");
        }
        let offset =
            self.base_offset.checked_add(i64::from(offset_delta)).ok_or("offset overflows")?;
        if self.previous_offset.is_some_and(|previous| offset <= previous) {
            return Err("offset delta out of order");
        }
        // Wraps as the writer's difference does: any two timestamps may share a batch.
        let timestamp = self.base_timestamp.wrapping_add(timestamp_delta);
        let key = self.take_bytes(&mut body).ok_or("bad key length")?;
        let value = self.take_bytes(&mut body).ok_or("bad value length")?;
        let headers = self.take_headers(&mut body)?;
        if !body.is_empty() {
            return Err("bytes after the last header");
        }
        let timestamp = self.append_time.unwrap_or(timestamp);
        Ok(Record { offset, timestamp, key, value, headers })
    }

    /// A nullable byte string; the outer `None` means malformed.
    fn take_bytes(&self, body: &mut &[u8]) -> Option<Option<Bytes>> {
        let size = varint::take_i32(body)?;
        if size == -1 {
            return Some(None);
        }
        let (taken, rest) = body.split_at_checked(usize::try_from(size).ok()?)?;
        *body = rest;
        Some(Some(self.data.slice_ref(taken)))
    }

    fn take_headers(&self, body: &mut &[u8]) -> Result<Vec<(Str, Option<Bytes>)>, &'static str> {
        let count = varint::take_i32(body).ok_or("bad header count")?;
        let count = usize::try_from(count).map_err(|_| "negative header count")?;
        if count > body.len() / MIN_RECORD_HEADER_SIZE {
            return Err("header count exceeds the record");
        }
        let mut headers = Vec::with_capacity(count);
        for _ in 0..count {
            let key = self.take_bytes(body).flatten().ok_or("bad header key length")?;
            let key = Str::from_utf8(key).map_err(|_| "header key is not UTF-8")?;
            let value = self.take_bytes(body).ok_or("bad header value length")?;
            headers.push((key, value));
        }
        Ok(headers)
    }
}

impl Iterator for RecordIter {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index == self.count {
            // Reported once, after all the records were handed out.
            let size = self.data.len() - self.position;
            self.position = self.data.len();
            return (size > 0).then_some(Err(BatchError::Trailing { size }));
        }
        let index = self.index;
        match self.read() {
            Ok(record) => {
                self.index += 1;
                Some(Ok(record))
            }
            Err(reason) => {
                self.index = self.count;
                self.position = self.data.len();
                Some(Err(BatchError::Record { index, reason }))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.remaining() + 1))
    }
}

impl std::iter::FusedIterator for RecordIter {}
