//! Splitting a buffer of back-to-back batches.

use bytes::{Bytes, BytesMut};

use super::builder::seal;
use super::record::RecordIter;
use super::{BatchError, BatchHeader, CRC_START, HEADER_SIZE, ProducerStamp};

/// Iterator over the batches that lie back to back in a buffer, as in a produce request, a fetch
/// response or a segment file. Ends after the first error.
///
/// A fetch response may end inside a batch; that shows as a last item [`BatchError::Truncated`],
/// which a consumer that got at least one batch takes as the end.
#[derive(Debug, Clone)]
pub struct Batches {
    rest: Bytes,
}

impl Batches {
    /// Reads batches from the start of `bytes`, without copying.
    pub fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub fn remaining(&self) -> &Bytes {
        &self.rest
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = Batch::split_from(&mut self.rest);
        if item.is_err() {
            self.rest.clear();
        }
        Some(item)
    }
}

impl std::iter::FusedIterator for Batches {}

/// One batch: its decoded header and all its bytes. The checksum is not verified until
/// [`Batch::verify_crc`] is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    header: BatchHeader,
    bytes: Bytes,
}

impl Batch {
    /// Takes the first batch off `bytes`, without copying. On error `bytes` is as before.
    ///
    /// # Errors
    /// As [`BatchHeader::parse`], and [`BatchError::Truncated`] when the batch is longer than
    /// `bytes`.
    pub fn split_from(bytes: &mut Bytes) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        let size = header.size();
        if size > bytes.len() {
            return Err(BatchError::Truncated { needed: size, available: bytes.len() });
        }
        Ok(Self { header, bytes: bytes.split_to(size) })
    }

    /// The decoded header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// All bytes of the batch, header included.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// All bytes of the batch, header included.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Size of the whole batch in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The record section as it is on the wire, perhaps compressed.
    pub fn body(&self) -> Bytes {
        self.bytes.slice(HEADER_SIZE..)
    }

    /// Compares the stored checksum with the bytes.
    ///
    /// # Errors
    /// [`BatchError::Checksum`] when they differ.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let computed = crc_fast::crc32_iscsi(&self.bytes[CRC_START..]);
        if computed == self.header.crc {
            Ok(())
        } else {
            Err(BatchError::Checksum { stored: self.header.crc, computed })
        }
    }

    /// The batch's records, decompressed if need be into at most `max_size` bytes. An uncompressed
    /// batch is not copied, and `max_size` does not apply to it.
    ///
    /// # Errors
    /// [`BatchError::Codec`], [`BatchError::Compressed`], [`BatchError::TooLarge`] from
    /// decompression; [`BatchError::Count`] when the record count cannot be true. Errors inside
    /// single records come from the iterator.
    pub fn records(&self, max_size: usize) -> Result<RecordIter, BatchError> {
        let codec = self.header.compression()?;
        RecordIter::new(&self.header, codec.decompress(self.body(), max_size)?)
    }

    /// The same batch under another producer id, epoch and base sequence, checksum renewed: what an
    /// idempotent producer sends after it got a new id, without compressing again.
    pub fn with_producer(&self, stamp: ProducerStamp) -> Bytes {
        let mut header = self.header;
        header.producer_id = stamp.producer_id;
        header.producer_epoch = stamp.producer_epoch;
        header.base_sequence = stamp.base_sequence;
        let mut out = BytesMut::from(&self.bytes[..]);
        seal(&mut out, &mut header);
        out.freeze()
    }
}
