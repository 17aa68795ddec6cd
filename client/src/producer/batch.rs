//! A batch on its way, from its first record to its last retry.

use std::sync::Arc;

use bytes::Bytes;
use synod_wire::batch::{Batch, BatchBuilder, BatchError, Compression, NewRecord, ProducerStamp};
use tokio::time::Instant;

use super::completion::{Completion, Delivery, Written};
use crate::Error;

/// A batch that still takes records.
#[derive(Debug)]
pub(super) struct OpenBatch {
    builder: BatchBuilder,
    completion: Arc<Completion>,
    pub(super) created: Instant,
    /// Bytes of the buffer that its records hold.
    held: usize,
}

impl OpenBatch {
    pub(super) fn new(completion: Arc<Completion>, now: Instant) -> Self {
        Self { builder: BatchBuilder::new(), completion, created: now, held: 0 }
    }

    /// Bytes so far, before compression.
    pub(super) fn size(&self) -> usize {
        self.builder.size()
    }

    /// Adds a record that holds `held` bytes of the buffer.
    pub(super) fn append(
        &mut self,
        record: &NewRecord<'_>,
        held: usize,
    ) -> Result<Delivery, BatchError> {
        let index = self.builder.append(record)?;
        self.held += held;
        Ok(Delivery::new(self.completion.clone(), index as u32, record.timestamp))
    }

    /// Closes the batch: no record joins any more.
    pub(super) fn seal(self, order: u64) -> SealedBatch {
        let count = self.builder.count() as u32;
        self.completion.seal(count);
        SealedBatch {
            order,
            content: Content::Built(self.builder),
            first_index: 0,
            count,
            completion: self.completion,
            created: self.created,
            held: self.held,
            stamp: None,
            sent: false,
            maybe_written: false,
            last_error: None,
        }
    }
}

/// The records of a sealed batch.
#[derive(Debug)]
enum Content {
    /// Not compressed yet: that is left to the moment of sending.
    Built(BatchBuilder),
    /// As on the wire.
    Encoded(Batch),
}

/// A batch that is complete and waits, or is under way.
#[derive(Debug)]
pub(super) struct SealedBatch {
    /// Place among the batches of its partition.
    pub(super) order: u64,
    content: Content,
    /// Index of its first record in the completion; not 0 after a split.
    first_index: u32,
    pub(super) count: u32,
    completion: Arc<Completion>,
    pub(super) created: Instant,
    pub(super) held: usize,
    /// Producer id, epoch and sequence it was last sent with.
    pub(super) stamp: Option<ProducerStamp>,
    pub(super) sent: bool,
    /// An attempt ended without telling whether the batch was written.
    pub(super) maybe_written: bool,
    pub(super) last_error: Option<Arc<Error>>,
}

impl SealedBatch {
    /// The batch's bytes under its current stamp, compressed the first time.
    pub(super) fn encode(&mut self, compression: Compression) -> Result<Bytes, BatchError> {
        let stamp = self.stamp.unwrap_or(ProducerStamp::NONE);
        match &mut self.content {
            Content::Built(builder) => {
                let bytes = std::mem::take(builder).build(compression, stamp)?;
                self.set_encoded(bytes.clone())?;
                Ok(bytes)
            }
            Content::Encoded(batch) => {
                let header = batch.header();
                let current = ProducerStamp {
                    producer_id: header.producer_id,
                    producer_epoch: header.producer_epoch,
                    base_sequence: header.base_sequence,
                };
                if current == stamp {
                    return Ok(batch.bytes().clone());
                }
                let bytes = batch.with_producer(stamp);
                self.set_encoded(bytes.clone())?;
                Ok(bytes)
            }
        }
    }

    fn set_encoded(&mut self, mut bytes: Bytes) -> Result<(), BatchError> {
        self.content = Content::Encoded(Batch::split_from(&mut bytes)?);
        Ok(())
    }

    /// Bytes that sending it takes: exact once encoded, before that without compression.
    pub(super) fn size(&self) -> usize {
        match &self.content {
            Content::Built(builder) => builder.size(),
            Content::Encoded(batch) => batch.size(),
        }
    }

    /// Settles its records. Returns true when the completion as a whole is settled.
    pub(super) fn resolve(&self, outcome: Result<Written, Error>) -> bool {
        self.completion.resolve(self.first_index..self.first_index + self.count, outcome)
    }

    /// Two batches with half the records each, for a broker to which this one is too large;
    /// together they take the same sequence numbers. `None` when there is nothing to split.
    pub(super) fn split(&self, compression: Compression) -> Result<Option<[Self; 2]>, BatchError> {
        let Content::Encoded(batch) = &self.content else { return Ok(None) };
        if self.count < 2 {
            return Ok(None);
        }
        let first_count = self.count / 2;
        let mut builders = [BatchBuilder::new(), BatchBuilder::new()];
        // These are our own records, so their size is known to be bounded.
        for (index, record) in (0..).zip(batch.records(usize::MAX - 1)?) {
            let record = record?;
            builders[usize::from(index >= first_count)].append(&NewRecord {
                timestamp: record.timestamp,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &record.headers,
            })?;
        }
        let [first, second] = builders;
        Ok(Some([
            // The first half gives back the buffer of both.
            self.part(first, 0, self.held, compression)?,
            self.part(second, first_count, 0, compression)?,
        ]))
    }

    /// A batch of the records from `skipped` on, which are in `builder`.
    fn part(
        &self,
        builder: BatchBuilder,
        skipped: u32,
        held: usize,
        compression: Compression,
    ) -> Result<Self, BatchError> {
        let count = builder.count() as u32;
        let stamp = self.stamp.map(|stamp| ProducerStamp {
            base_sequence: sequence_after(stamp.base_sequence, skipped),
            ..stamp
        });
        let mut bytes = builder.build(compression, stamp.unwrap_or(ProducerStamp::NONE))?;
        Ok(Self {
            order: self.order,
            content: Content::Encoded(Batch::split_from(&mut bytes)?),
            first_index: self.first_index + skipped,
            count,
            completion: self.completion.clone(),
            created: self.created,
            held,
            stamp,
            sent: self.sent,
            maybe_written: self.maybe_written,
            last_error: self.last_error.clone(),
        })
    }

    /// Orders batches of one partition: by place, then by part.
    pub(super) fn position(&self) -> (u64, u32) {
        (self.order, self.first_index)
    }

    pub(super) fn completion(&self) -> &Arc<Completion> {
        &self.completion
    }
}

/// The sequence number `count` records after `sequence`: they wrap to 0 after 2^31 - 1.
pub(super) fn sequence_after(sequence: i32, count: u32) -> i32 {
    (sequence as u32).wrapping_add(count) as i32 & i32::MAX
}
