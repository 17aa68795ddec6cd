//! A Kafka record batch (format 2) as a log stores it: a copied header and the untouched rest.
//!
//! ```text
//! position size  field                     changed by the broker
//!        0    8  base offset               yes, outside the checksum
//!        8    4  size of all that follows
//!       12    4  leader epoch              yes, outside the checksum
//!       16    1  magic, always 2
//!       17    4  CRC-32C of all that follows
//!       21    2  attributes                only for log append time
//!       23    4  last offset delta
//!       27    8  base timestamp, ms
//!       35    8  max timestamp, ms         only for log append time
//!       43    8  producer id, -1 for none
//!       51    2  producer epoch
//!       53    4  base sequence
//!       57    4  record count
//!       61       records
//! ```
//!
//! All numbers are big-endian. Positions are within the batch.

use std::fmt;
use std::io::IoSlice;

use bytes::{Buf as _, Bytes};
use crc_fast::{CrcAlgorithm, Digest};

/// Size in bytes of a batch's header.
pub const HEADER_SIZE: usize = 61;

/// Bytes before the part that the header's size field counts.
const PREFIX_SIZE: usize = 12;

/// Position from which the checksum covers everything.
const CHECKED_FROM: usize = 21;

const LOG_APPEND_TIME_BIT: i16 = 1 << 3;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;

/// Why bytes are not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end before the batch does.
    #[error("a batch of {needed} bytes is cut after {available}")]
    Incomplete {
        /// Size of the whole batch, or of its header if not even that is there.
        needed: usize,
        /// Bytes that are there.
        available: usize,
    },
    /// The size field is negative or too small for a header.
    #[error("a batch cannot have a size field of {0}")]
    BadSize(i32),
    /// Only format 2 is stored.
    #[error("record format {0} instead of 2")]
    BadMagic(i8),
    /// The last offset delta or the record count is negative.
    #[error("a batch cannot have {field} {value}")]
    BadCount {
        /// The field's name.
        field: &'static str,
        /// Its value.
        value: i32,
    },
    /// The content does not match its checksum.
    #[error("checksum {computed:#010x} instead of {stored:#010x}")]
    BadChecksum {
        /// What the header says.
        stored: u32,
        /// What the content gives.
        computed: u32,
    },
}

/// The first [`HEADER_SIZE`] bytes of a batch, checked for form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchHeader([u8; HEADER_SIZE]);

impl BatchHeader {
    /// Takes the header at the beginning of `bytes`. Looks at form only: the checksum covers the
    /// records too and is checked by [`Batch::verify_crc`].
    ///
    /// # Errors
    /// Every [`BatchError`] except `BadChecksum`; `Incomplete` only if the header itself is cut.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let Some(raw) = bytes.first_chunk::<HEADER_SIZE>() else {
            return Err(BatchError::Incomplete { needed: HEADER_SIZE, available: bytes.len() });
        };
        let header = Self(*raw);
        let size = header.i32(8);
        if size < (HEADER_SIZE - PREFIX_SIZE) as i32 {
            return Err(BatchError::BadSize(size));
        }
        if header.magic() != 2 {
            return Err(BatchError::BadMagic(header.magic()));
        }
        for (field, value) in [
            ("last offset delta", header.last_offset_delta()),
            ("record count", header.record_count()),
        ] {
            if value < 0 {
                return Err(BatchError::BadCount { field, value });
            }
        }
        Ok(header)
    }

    /// The bytes as stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; HEADER_SIZE] {
        &self.0
    }

    /// Offset of the first record. What a producer sends here means nothing until the leader has
    /// stamped the batch, and damage can leave any value: compare it with the expected offset.
    #[must_use]
    pub fn base_offset(&self) -> u64 {
        u64::from_be_bytes(self.field(0))
    }

    /// First offset after the batch. Saturates where a damaged base offset would overflow.
    #[must_use]
    pub fn end_offset(&self) -> u64 {
        self.base_offset().saturating_add(self.offset_count())
    }

    /// Offset of the last record, which compaction may have removed.
    #[must_use]
    pub fn last_offset(&self) -> u64 {
        self.end_offset() - 1
    }

    /// How many offsets the batch covers: at least 1.
    #[must_use]
    pub fn offset_count(&self) -> u64 {
        u64::from(self.last_offset_delta().unsigned_abs()) + 1
    }

    /// Size in bytes of the whole batch, header included.
    #[must_use]
    pub fn size(&self) -> usize {
        PREFIX_SIZE + self.i32(8).unsigned_abs() as usize
    }

    /// Round of the ballot under which the batch was first proposed.
    #[must_use]
    pub fn leader_epoch(&self) -> i32 {
        self.i32(12)
    }

    /// Record format.
    #[must_use]
    pub fn magic(&self) -> i8 {
        i8::from_be_bytes(self.field(16))
    }

    /// The stored CRC-32C.
    #[must_use]
    pub fn crc(&self) -> u32 {
        u32::from_be_bytes(self.field(17))
    }

    /// The attribute bits.
    #[must_use]
    pub fn attributes(&self) -> i16 {
        self.i16(CHECKED_FROM)
    }

    /// Number of the compression codec, 0 for none.
    #[must_use]
    pub fn compression(&self) -> u8 {
        (self.attributes() & 0b111) as u8
    }

    /// Whether the timestamps are the broker's time of appending.
    #[must_use]
    pub fn is_log_append_time(&self) -> bool {
        self.attributes() & LOG_APPEND_TIME_BIT != 0
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes() & TRANSACTIONAL_BIT != 0
    }

    /// Whether the batch holds a transaction marker instead of records.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes() & CONTROL_BIT != 0
    }

    /// Offset of the last record relative to the first.
    #[must_use]
    pub fn last_offset_delta(&self) -> i32 {
        self.i32(23)
    }

    /// Timestamp that the records' are relative to, in milliseconds since the epoch.
    #[must_use]
    pub fn base_timestamp(&self) -> i64 {
        self.i64(27)
    }

    /// Greatest timestamp of the records, in milliseconds since the epoch.
    #[must_use]
    pub fn max_timestamp(&self) -> i64 {
        self.i64(35)
    }

    /// The producer's id; `None` for a producer that is not idempotent.
    #[must_use]
    pub fn producer_id(&self) -> Option<i64> {
        Some(self.i64(43)).filter(|id| *id >= 0)
    }

    /// The producer epoch; without meaning when there is no producer id.
    #[must_use]
    pub fn producer_epoch(&self) -> i16 {
        self.i16(51)
    }

    /// Sequence number of the first record; without meaning when there is no producer id.
    #[must_use]
    pub fn base_sequence(&self) -> i32 {
        self.i32(53)
    }

    /// Sequence number of the last record: sequences wrap from `i32::MAX` to 0.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        let sum = i64::from(self.base_sequence()) + i64::from(self.last_offset_delta());
        (sum % (i64::from(i32::MAX) + 1)) as i32
    }

    /// How many records there are, as the producer says.
    #[must_use]
    pub fn record_count(&self) -> i32 {
        self.i32(57)
    }

    fn field<const N: usize>(&self, position: usize) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.0[position..position + N]);
        field
    }

    fn i16(&self, position: usize) -> i16 {
        i16::from_be_bytes(self.field(position))
    }

    fn i32(&self, position: usize) -> i32 {
        i32::from_be_bytes(self.field(position))
    }

    fn i64(&self, position: usize) -> i64 {
        i64::from_be_bytes(self.field(position))
    }

    fn set<const N: usize>(&mut self, position: usize, value: [u8; N]) {
        self.0[position..position + N].copy_from_slice(&value);
    }
}

impl fmt::Debug for BatchHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchHeader")
            .field("base_offset", &self.base_offset())
            .field("end_offset", &self.end_offset())
            .field("leader_epoch", &self.leader_epoch())
            .field("size", &self.size())
            .field("crc", &self.crc())
            .field("attributes", &self.attributes())
            .field("max_timestamp", &self.max_timestamp())
            .field("producer_id", &self.producer_id())
            .field("producer_epoch", &self.producer_epoch())
            .field("base_sequence", &self.base_sequence())
            .field("record_count", &self.record_count())
            .finish_non_exhaustive()
    }
}

/// One batch: its header, changeable, and its records, shared with wherever they came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    header: BatchHeader,
    body: Bytes,
}

impl Batch {
    /// Splits the batch at the beginning of `bytes` from the rest, copying only the header.
    ///
    /// # Errors
    /// Every [`BatchError`] except `BadChecksum`.
    pub fn parse(mut bytes: Bytes) -> Result<(Self, Bytes), BatchError> {
        let header = BatchHeader::parse(&bytes)?;
        if bytes.len() < header.size() {
            return Err(BatchError::Incomplete { needed: header.size(), available: bytes.len() });
        }
        let rest = bytes.split_off(header.size());
        bytes.advance(HEADER_SIZE);
        Ok((Self { header, body: bytes }, rest))
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The records, compressed or not, as they came.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Size in bytes of the whole batch.
    #[must_use]
    pub fn size(&self) -> usize {
        HEADER_SIZE + self.body.len()
    }

    /// As [`BatchHeader::base_offset`].
    #[must_use]
    pub fn base_offset(&self) -> u64 {
        self.header.base_offset()
    }

    /// As [`BatchHeader::end_offset`].
    #[must_use]
    pub fn end_offset(&self) -> u64 {
        self.header.end_offset()
    }

    /// As [`BatchHeader::leader_epoch`].
    #[must_use]
    pub fn leader_epoch(&self) -> i32 {
        self.header.leader_epoch()
    }

    /// Checks the content against the header's checksum. Base offset, size and leader epoch are not
    /// covered.
    ///
    /// # Errors
    /// [`BatchError::BadChecksum`].
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let (stored, computed) = (self.header.crc(), self.computed_crc());
        if stored == computed { Ok(()) } else { Err(BatchError::BadChecksum { stored, computed }) }
    }

    /// Gives the batch its place in the log. The checksum stays valid.
    pub fn stamp(&mut self, base_offset: u64, leader_epoch: i32) {
        self.header.set(0, base_offset.to_be_bytes());
        self.header.set(PREFIX_SIZE, leader_epoch.to_be_bytes());
    }

    /// Makes `timestamp_ms` the time of all records, as topics with log append time ask for, and
    /// computes the checksum anew. The caller has verified the old one.
    pub fn set_log_append_time(&mut self, timestamp_ms: i64) {
        let attributes = self.header.attributes() | LOG_APPEND_TIME_BIT;
        self.header.set(CHECKED_FROM, attributes.to_be_bytes());
        self.header.set(35, timestamp_ms.to_be_bytes());
        self.header.set(17, self.computed_crc().to_be_bytes());
    }

    /// The batch as two parts of one vectored write.
    #[must_use]
    pub fn parts(&self) -> [IoSlice<'_>; 2] {
        [IoSlice::new(&self.header.0), IoSlice::new(&self.body)]
    }

    /// The batch in one piece: the only method that copies the records.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        [&self.header.0, &self.body[..]].concat().into()
    }

    fn computed_crc(&self) -> u32 {
        let mut crc = Digest::new(CrcAlgorithm::Crc32Iscsi);
        crc.update(&self.header.0[CHECKED_FROM..]);
        crc.update(&self.body);
        crc.finalize() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch as Kafka's Java producer wrote it: key "k", value "hello", no headers.
    const SAMPLE: &str = "0000000000000000 0000003e ffffffff 02 00000000 0000 00000002 \
        0000019a00000001 0000019a00000005 0000000000000007 0003 7ffffffe 00000003 \
        18000000026b0a68656c6c6f00";

    fn sample() -> Vec<u8> {
        let digits: Vec<u32> = SAMPLE.chars().filter_map(|digit| digit.to_digit(16)).collect();
        let mut bytes: Vec<u8> =
            digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect();
        let crc = crc_fast::crc32_iscsi(&bytes[CHECKED_FROM..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    #[test]
    fn fields_lie_where_kafka_puts_them() {
        let (batch, rest) = Batch::parse(sample().into()).expect("a batch");
        assert!(rest.is_empty());
        batch.verify_crc().expect("intact");
        let header = batch.header();
        assert_eq!(header.size(), sample().len());
        assert_eq!((header.base_offset(), header.end_offset(), header.last_offset()), (0, 3, 2));
        assert_eq!(header.leader_epoch(), -1);
        assert_eq!(header.base_timestamp(), 0x19a_0000_0001);
        assert_eq!(header.max_timestamp(), 0x19a_0000_0005);
        assert_eq!((header.producer_id(), header.producer_epoch()), (Some(7), 3));
        assert_eq!(header.base_sequence(), i32::MAX - 1);
        assert_eq!(header.last_sequence(), 0, "sequences wrap to 0");
        assert_eq!((header.record_count(), header.compression()), (3, 0));
        assert!(!header.is_control() && !header.is_transactional());
    }

    #[test]
    fn stamping_keeps_the_checksum_and_log_append_time_renews_it() {
        let bytes = Bytes::from(sample());
        let (mut batch, _) = Batch::parse(bytes.clone()).expect("a batch");
        batch.stamp(1 << 40, 17);
        batch.verify_crc().expect("the checksum leaves both out");
        assert_eq!((batch.base_offset(), batch.end_offset()), (1 << 40, (1 << 40) + 3));
        assert_eq!(batch.leader_epoch(), 17);
        assert_eq!(batch.body().as_ptr(), bytes[HEADER_SIZE..].as_ptr(), "no copy");
        batch.set_log_append_time(99);
        batch.verify_crc().expect("renewed");
        assert!(batch.header().is_log_append_time());
        assert_eq!((batch.header().max_timestamp(), batch.header().compression()), (99, 0));
        let (again, _) = Batch::parse(batch.to_bytes()).expect("a batch");
        assert_eq!(again, batch);
        let parts: usize = batch.parts().iter().map(|part| part.len()).sum();
        assert_eq!(parts, batch.size());
    }

    #[test]
    fn batches_lie_back_to_back() {
        let mut bytes = sample();
        bytes.extend(sample());
        bytes.extend([0; 70]);
        let (_, rest) = Batch::parse(bytes.into()).expect("the first");
        let (_, rest) = Batch::parse(rest).expect("the second");
        assert_eq!(Batch::parse(rest), Err(BatchError::BadSize(0)));
    }

    #[test]
    fn cuts_and_flips_are_noticed() {
        let good = sample();
        for size in 0..good.len() {
            let cut = Batch::parse(good[..size].to_vec().into());
            assert!(matches!(cut, Err(BatchError::Incomplete { .. })), "{size}");
        }
        for position in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[position] ^= 1 << bit;
                let noticed = match Batch::parse(bad.into()) {
                    Ok((batch, rest)) => batch.verify_crc().is_err() || !rest.is_empty(),
                    Err(_) => true,
                };
                // The log checks what the checksum leaves out: base offset and leader epoch.
                assert_eq!(noticed, !matches!(position, 0..8 | 12..16), "{position}, bit {bit}");
            }
        }
        let mut negative = good.clone();
        negative[23] = 0x80;
        assert!(matches!(Batch::parse(negative.into()), Err(BatchError::BadCount { .. })));
        let mut damaged = good;
        damaged[..8].fill(0xff);
        let (batch, _) = Batch::parse(damaged.into()).expect("form only");
        assert_eq!(batch.end_offset(), u64::MAX);
    }
}
