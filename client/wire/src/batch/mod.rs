//! Kafka record batches (format "magic 2"): the unit that is produced, stored, replicated and
//! fetched.
//!
//! | position | size | field | |
//! |---:|---:|---|---|
//! | 0 | 8 | base offset | outside the checksum: the leader stamps it |
//! | 8 | 4 | batch length | bytes after this field |
//! | 12 | 4 | partition leader epoch | outside the checksum: the leader stamps it |
//! | 16 | 1 | magic | 2 |
//! | 17 | 4 | CRC-32C | of everything from position 21 |
//! | 21 | 2 | attributes | codec 0–2, timestamp type 3, transactional 4, control 5, delete horizon 6 |
//! | 23 | 4 | last offset delta | |
//! | 27 | 8 | base timestamp | ms since 1970 |
//! | 35 | 8 | max timestamp | ms since 1970 |
//! | 43 | 8 | producer id | -1: none |
//! | 51 | 2 | producer epoch | |
//! | 53 | 4 | base sequence | |
//! | 57 | 4 | record count | |
//! | 61 | … | records | compressed as one block by the attributes' codec |
//!
//! A record is `length, attributes, timestamp delta, offset delta, key, value, headers`, all
//! lengths and deltas zigzag varints.
//!
//! Reading never copies what is not compressed: [`Batches`] splits a buffer into [`Batch`]es, and
//! the [`Record`]s of an uncompressed batch are slices of the very same buffer.
//!
//! ```
//! use synod_wire::batch::{Batches, BatchBuilder, Compression, NewRecord, ProducerStamp};
//!
//! let mut builder = BatchBuilder::new();
//! builder.append(&NewRecord { timestamp: 1_000, value: Some(b"hello"), ..NewRecord::default() })?;
//! let bytes = builder.build(Compression::Zstd, ProducerStamp::NONE)?;
//!
//! for batch in Batches::new(bytes) {
//!     let batch = batch?;
//!     batch.verify_crc()?;
//!     for record in batch.records(1 << 20)? {
//!         assert_eq!(record?.value.as_deref(), Some(&b"hello"[..]));
//!     }
//! }
//! # Ok::<(), synod_wire::batch::BatchError>(())
//! ```

mod builder;
mod compression;
mod error;
mod header;
mod record;
mod split;
mod varint;

pub use builder::{BatchBuilder, NewRecord, ProducerStamp};
pub use compression::{Compression, UnknownCodec};
pub use error::BatchError;
pub use header::{BatchHeader, TimestampType};
pub use record::{Record, RecordIter};
pub use split::{Batch, Batches};

/// Size of a batch header in bytes; the records follow it.
pub const HEADER_SIZE: usize = 61;

/// Bytes before the part that the batch length counts: base offset and the length itself.
pub const LENGTH_PREFIX_SIZE: usize = 12;

/// Position where the checksummed part begins.
pub const CRC_START: usize = 21;

/// The one record format this crate reads and writes.
pub const MAGIC: i8 = 2;
