//! Building record batches.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::{
    BatchError, BatchHeader, CRC_START, Compression, HEADER_SIZE, LENGTH_PREFIX_SIZE, MAGIC, varint,
};
use crate::Str;

/// Largest batch the length field can tell.
const MAX_BATCH_SIZE: usize = i32::MAX as usize;

/// A record about to be appended to a batch.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewRecord<'a> {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// Headers in order; keys may repeat.
    pub headers: &'a [(Str, Option<Bytes>)],
}

impl NewRecord<'_> {
    /// Most bytes this record can take in a batch, whatever its place there.
    pub fn max_size(&self) -> usize {
        // Length 5, attributes 1, timestamp delta 10, offset delta 5.
        21 + self.content_size()
    }

    /// Bytes of key, value and headers with their lengths.
    fn content_size(&self) -> usize {
        let mut size = nullable_size(self.key) + nullable_size(self.value);
        size += varint::size(self.headers.len() as i64);
        for (key, value) in self.headers {
            size += nullable_size(Some(key.as_bytes())) + nullable_size(value.as_deref());
        }
        size
    }
}

/// The producer's fields of a batch header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerStamp {
    /// Producer id; -1: not idempotent.
    pub producer_id: i64,
    /// Incarnation of the producer id; -1: not idempotent.
    pub producer_epoch: i16,
    /// Sequence number of the batch's first record; -1: not idempotent.
    pub base_sequence: i32,
}

impl ProducerStamp {
    /// Not an idempotent producer.
    pub const NONE: Self = Self { producer_id: -1, producer_epoch: -1, base_sequence: -1 };
}

impl Default for ProducerStamp {
    fn default() -> Self {
        Self::NONE
    }
}

/// Collects records and makes a batch of them. Call [`append`](Self::append) at least once, then
/// [`build`](Self::build).
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    /// Room for the header, then the records so far.
    buffer: BytesMut,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    transactional: bool,
    control: bool,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// An empty batch with room for `size` bytes of records.
    pub fn with_capacity(size: usize) -> Self {
        let mut buffer = BytesMut::with_capacity(HEADER_SIZE + size);
        buffer.resize(HEADER_SIZE, 0);
        Self {
            buffer,
            count: 0,
            base_timestamp: -1,
            max_timestamp: -1,
            transactional: false,
            control: false,
        }
    }

    /// Marks the batch as part of a transaction.
    pub fn transactional(mut self) -> Self {
        self.transactional = true;
        self
    }

    /// Marks the batch as holding a control record.
    pub fn control(mut self) -> Self {
        self.control = true;
        self
    }

    /// Records so far.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Whether nothing was appended yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes so far, header included, before compression.
    pub fn size(&self) -> usize {
        self.buffer.len()
    }

    /// Adds a record behind the others and returns its place: 0 for the first.
    ///
    /// # Errors
    /// [`BatchError::TooLarge`] when the batch would outgrow 2 GiB; the batch is as before.
    pub fn append(&mut self, record: &NewRecord<'_>) -> Result<usize, BatchError> {
        let too_large = BatchError::TooLarge { limit: MAX_BATCH_SIZE };
        if self.buffer.len().saturating_add(record.max_size()) > MAX_BATCH_SIZE {
            return Err(too_large);
        }
        if self.count == 0 {
            self.base_timestamp = record.timestamp;
            self.max_timestamp = record.timestamp;
        }
        let index = self.count;
        // Wrapping like the reader's sum: a delta of any two timestamps survives the round trip.
        let timestamp_delta = record.timestamp.wrapping_sub(self.base_timestamp);
        let size = 1
            + varint::size(timestamp_delta)
            + varint::size(i64::from(index))
            + record.content_size();
        let out = &mut self.buffer;
        out.reserve(size + 5);
        varint::put(out, size as i64);
        out.extend_from_slice(&[0]);
        varint::put(out, timestamp_delta);
        varint::put(out, i64::from(index));
        put_nullable(out, record.key);
        put_nullable(out, record.value);
        varint::put(out, record.headers.len() as i64);
        for (key, value) in record.headers {
            put_nullable(out, Some(key.as_bytes()));
            put_nullable(out, value.as_deref());
        }
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        self.count += 1;
        Ok(index as usize)
    }

    /// Finishes the batch: compressed, stamped, checksummed, with base offset 0 and no leader
    /// epoch. When compression does not make the records smaller, the batch is still marked and
    /// written with that codec, as other producers do.
    ///
    /// # Errors
    /// [`BatchError::Count`] for an empty batch, [`BatchError::TooLarge`] when incompressible
    /// records outgrow 2 GiB, [`BatchError::Compressed`] when the codec fails.
    pub fn build(
        self,
        compression: Compression,
        stamp: ProducerStamp,
    ) -> Result<Bytes, BatchError> {
        if self.count == 0 {
            return Err(BatchError::Count { count: 0, size: 0 });
        }
        let mut header = BatchHeader {
            base_offset: 0,
            batch_length: 0,
            partition_leader_epoch: -1,
            magic: MAGIC,
            crc: 0,
            attributes: BatchHeader::attributes_of(compression, self.transactional, self.control),
            last_offset_delta: self.count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: stamp.producer_id,
            producer_epoch: stamp.producer_epoch,
            base_sequence: stamp.base_sequence,
            record_count: self.count,
        };
        let mut out = match compression {
            Compression::None => self.buffer,
            codec => compressed(codec, &self.buffer)?,
        };
        header.batch_length = i32::try_from(out.len() - LENGTH_PREFIX_SIZE)
            .map_err(|_| BatchError::TooLarge { limit: MAX_BATCH_SIZE })?;
        seal(&mut out, &mut header);
        Ok(out.freeze())
    }
}

/// Writes the header in front of the records, then again with the checksum of both.
pub(super) fn seal(batch: &mut BytesMut, header: &mut BatchHeader) {
    const HEADER: Range<usize> = 0..HEADER_SIZE;
    batch[HEADER].copy_from_slice(&header.to_bytes());
    header.crc = crc_fast::crc32_iscsi(&batch[CRC_START..]);
    batch[HEADER].copy_from_slice(&header.to_bytes());
}

/// A copy of the batch with its records compressed, header room kept.
fn compressed(codec: Compression, batch: &[u8]) -> Result<BytesMut, BatchError> {
    let mut out = Vec::with_capacity(HEADER_SIZE + batch.len() / 2);
    out.resize(HEADER_SIZE, 0);
    codec
        .compress(&batch[HEADER_SIZE..], &mut out)
        .map_err(|error| BatchError::Compressed { codec, reason: error.to_string().into() })?;
    // Taking over the vector copies nothing: it is unique.
    Ok(BytesMut::from(Bytes::from(out)))
}

fn nullable_size(bytes: Option<&[u8]>) -> usize {
    match bytes {
        None => varint::size(-1),
        Some(bytes) => varint::size(bytes.len() as i64) + bytes.len(),
    }
}

fn put_nullable(out: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::put(out, -1),
        Some(bytes) => {
            varint::put(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}
