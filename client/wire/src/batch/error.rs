//! What can be wrong with a record batch.

use super::Compression;

/// Why a record batch could not be read or built. Remote bytes are never trusted: every variant is
/// an ordinary error, none is a panic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The bytes end inside a batch. At the end of a fetch response this is normal: the broker cut
    /// the answer by size, and the rest comes with the next fetch.
    #[error("batch is cut short: {needed} bytes needed, {available} left")]
    Truncated {
        /// Bytes the batch (or its header) needs.
        needed: usize,
        /// Bytes that are there.
        available: usize,
    },
    /// The length field is smaller than a batch header, or negative.
    #[error("batch length field {length} is smaller than a batch header")]
    Length {
        /// The field as found.
        length: i32,
    },
    /// A format this crate does not read. Only magic 2 is current; 0 and 1 ended with Kafka 4.
    #[error("record format (magic) {magic} is not supported, only 2 is")]
    Magic {
        /// The field as found.
        magic: i8,
    },
    /// The checksum does not match the bytes.
    #[error("batch checksum is {computed:#010x}, the header says {stored:#010x}")]
    Checksum {
        /// CRC-32C in the header.
        stored: u32,
        /// CRC-32C of the bytes.
        computed: u32,
    },
    /// The attributes name a codec that does not exist.
    #[error("unknown compression codec {id}")]
    Codec {
        /// The low three bits of the attributes.
        id: u8,
    },
    /// The record count is negative or more than the bytes could hold.
    #[error("record count {count} does not fit {size} bytes of records")]
    Count {
        /// The field as found.
        count: i32,
        /// Size of the record section, decompressed.
        size: usize,
    },
    /// A record contradicts its batch or itself.
    #[error("record {index}: {reason}")]
    Record {
        /// Place of the record in its batch; the first is 0.
        index: u32,
        /// What is wrong.
        reason: &'static str,
    },
    /// Bytes follow the last record of a batch.
    #[error("{size} bytes follow the last record")]
    Trailing {
        /// How many.
        size: usize,
    },
    /// The compressed section is damaged.
    #[error("{codec} data is damaged: {reason}")]
    Compressed {
        /// The codec named by the attributes.
        codec: Compression,
        /// What the decoder says.
        reason: Box<str>,
    },
    /// The records (decompressed) are larger than the caller allows, or a batch under construction
    /// would outgrow its length field.
    #[error("records are larger than {limit} bytes")]
    TooLarge {
        /// The cap that was reached, in bytes.
        limit: usize,
    },
}
