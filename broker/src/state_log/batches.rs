//! Records of a replicated state's log as batches, and back.

use bytes::Bytes;
use synod_log::batch::Batch;
use synod_wire::batch::{BatchBuilder, Compression, NewRecord, ProducerStamp};

use super::{EncodedRecord, Proposal, StateError};

/// Largest decompressed size of a batch; they are never compressed.
const BATCH_SIZE_LIMIT: usize = 64 << 20;

/// One batch of records, as the log stores it; `timestamp` decides nothing.
pub(crate) fn encode(proposal: &Proposal, timestamp: i64) -> Result<Batch, StateError> {
    let mut builder = BatchBuilder::new();
    for record in &proposal.records {
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder.append(&NewRecord { timestamp, key, value, ..NewRecord::default() })?;
    }
    let bytes = builder.build(Compression::None, ProducerStamp::NONE)?;
    let (batch, rest): (Batch, Bytes) = Batch::parse(bytes)?;
    assert!(rest.is_empty(), "one batch was built");
    Ok(batch)
}

/// A batch's base offset and records.
pub(crate) fn decode(
    batch: &synod_wire::batch::Batch,
) -> Result<(u64, Vec<EncodedRecord>), StateError> {
    let base = u64::try_from(batch.header().base_offset)?;
    let mut records = Vec::new();
    for record in batch.records(BATCH_SIZE_LIMIT)? {
        let record = record?;
        records.push(EncodedRecord { key: record.key, value: record.value });
    }
    Ok((base, records))
}
