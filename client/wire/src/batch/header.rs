//! The fixed part of a record batch.

use super::{BatchError, Compression, HEADER_SIZE, LENGTH_PREFIX_SIZE, MAGIC};

const CODEC_MASK: i16 = 0b111;
const TIMESTAMP_TYPE_BIT: i16 = 1 << 3;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;
const DELETE_HORIZON_BIT: i16 = 1 << 6;

/// Who set the timestamps of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer; each record has its own.
    CreateTime,
    /// The leader, on append; every record has the batch's max timestamp.
    LogAppendTime,
}

/// The 61 bytes in front of a batch's records, decoded. All fields as on the wire: parsing checks
/// the length and the magic only, since what else is legal depends on who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record. Zero in a produce request; stamped by the leader.
    pub base_offset: i64,
    /// Bytes after this field; the whole batch is 12 larger.
    pub batch_length: i32,
    /// Round in which the batch was first proposed; -1 in a produce request.
    pub partition_leader_epoch: i32,
    /// Record format; always 2.
    pub magic: i8,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Bit field; see the accessors.
    pub attributes: i16,
    /// Offset of the last record minus the base offset (records may have been compacted away).
    pub last_offset_delta: i32,
    /// Milliseconds since 1970 that the records' timestamp deltas count from.
    pub base_timestamp: i64,
    /// Greatest timestamp in the batch, or the append time.
    pub max_timestamp: i64,
    /// Producer that made the batch; -1: not idempotent.
    pub producer_id: i64,
    /// Incarnation of that producer id.
    pub producer_epoch: i16,
    /// Sequence number of the first record; -1: not idempotent.
    pub base_sequence: i32,
    /// How many records follow.
    pub record_count: i32,
}

impl BatchHeader {
    /// Decodes the first 61 bytes of `bytes`; what follows is not looked at.
    ///
    /// # Errors
    /// [`BatchError::Truncated`] when there are fewer than 61 bytes, [`BatchError::Magic`] for an
    /// older or unknown format, [`BatchError::Length`] when the length field is shorter than a
    /// header.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        // The magic sits at the same place in every format, so an old format is named as such even
        // when its (shorter) message ends before a v2 header would.
        if let Some(&magic) = bytes.get(16)
            && magic as i8 != MAGIC
        {
            return Err(BatchError::Magic { magic: magic as i8 });
        }
        let Some((fixed, _)) = bytes.split_first_chunk::<HEADER_SIZE>() else {
            return Err(BatchError::Truncated { needed: HEADER_SIZE, available: bytes.len() });
        };
        let header = Self {
            base_offset: i64::from_be_bytes(field(fixed, 0)),
            batch_length: i32::from_be_bytes(field(fixed, 8)),
            partition_leader_epoch: i32::from_be_bytes(field(fixed, 12)),
            magic: MAGIC,
            crc: u32::from_be_bytes(field(fixed, 17)),
            attributes: i16::from_be_bytes(field(fixed, 21)),
            last_offset_delta: i32::from_be_bytes(field(fixed, 23)),
            base_timestamp: i64::from_be_bytes(field(fixed, 27)),
            max_timestamp: i64::from_be_bytes(field(fixed, 35)),
            producer_id: i64::from_be_bytes(field(fixed, 43)),
            producer_epoch: i16::from_be_bytes(field(fixed, 51)),
            base_sequence: i32::from_be_bytes(field(fixed, 53)),
            record_count: i32::from_be_bytes(field(fixed, 57)),
        };
        if header.batch_length < (HEADER_SIZE - LENGTH_PREFIX_SIZE) as i32 {
            return Err(BatchError::Length { length: header.batch_length });
        }
        Ok(header)
    }

    /// The header's 61 bytes.
    pub fn to_bytes(&self) -> [u8; HEADER_SIZE] {
        let mut out = [0; HEADER_SIZE];
        put(&mut out, 0, self.base_offset.to_be_bytes());
        put(&mut out, 8, self.batch_length.to_be_bytes());
        put(&mut out, 12, self.partition_leader_epoch.to_be_bytes());
        put(&mut out, 16, self.magic.to_be_bytes());
        put(&mut out, 17, self.crc.to_be_bytes());
        put(&mut out, 21, self.attributes.to_be_bytes());
        put(&mut out, 23, self.last_offset_delta.to_be_bytes());
        put(&mut out, 27, self.base_timestamp.to_be_bytes());
        put(&mut out, 35, self.max_timestamp.to_be_bytes());
        put(&mut out, 43, self.producer_id.to_be_bytes());
        put(&mut out, 51, self.producer_epoch.to_be_bytes());
        put(&mut out, 53, self.base_sequence.to_be_bytes());
        put(&mut out, 57, self.record_count.to_be_bytes());
        out
    }

    /// Size of the whole batch in bytes, header included. At least 61 for a parsed header.
    pub fn size(&self) -> usize {
        LENGTH_PREFIX_SIZE + usize::try_from(self.batch_length).unwrap_or(0)
    }

    /// The codec of the records.
    ///
    /// # Errors
    /// [`BatchError::Codec`] for an id without a codec.
    pub fn compression(&self) -> Result<Compression, BatchError> {
        let id = (self.attributes & CODEC_MASK) as u8;
        Compression::from_id(id).ok_or(BatchError::Codec { id })
    }

    /// Who set the timestamps.
    pub fn timestamp_type(&self) -> TimestampType {
        match self.attributes & TIMESTAMP_TYPE_BIT {
            0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        }
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether the batch holds a control record (a transaction marker) and no user data.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Whether the base timestamp is a delete horizon, set by compaction.
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON_BIT != 0
    }

    /// Whether an idempotent producer made the batch.
    pub fn is_idempotent(&self) -> bool {
        self.producer_id >= 0
    }

    /// Whether the count and the last offset delta agree and there is at least one record: what a
    /// leader demands of a produced batch. Compacted batches have gaps and are not dense.
    pub fn is_dense(&self) -> bool {
        self.record_count > 0 && self.last_offset_delta == self.record_count - 1
    }

    /// Offset of the last record (or of the one compaction removed); saturates on hostile input.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The offset after the last one; saturates on hostile input.
    pub fn end_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// The attributes for a batch of these properties.
    pub(super) fn attributes_of(codec: Compression, transactional: bool, control: bool) -> i16 {
        let mut attributes = i16::from(codec.id());
        if transactional {
            attributes |= TRANSACTIONAL_BIT;
        }
        if control {
            attributes |= CONTROL_BIT;
        }
        attributes
    }
}

/// The `N` bytes at `at`. The indices are constants below the header size.
fn field<const N: usize>(fixed: &[u8; HEADER_SIZE], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&fixed[at..at + N]);
    out
}

fn put<const N: usize>(out: &mut [u8; HEADER_SIZE], at: usize, value: [u8; N]) {
    out[at..at + N].copy_from_slice(&value);
}
