//! A partition that checks producers as a broker must: no gap, no repetition, no reordering.

use std::collections::BTreeMap;

use bytes::Bytes;
use synod_client::wire::ErrorCode;
use synod_client::wire::batch::Batch;

/// How many batches of each producer are remembered.
const REMEMBERED: usize = 5;

/// The log of one partition.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    pub(crate) values: Vec<Bytes>,
    /// Base offset and bytes of each batch, as they came.
    pub(crate) batches: Vec<(i64, Bytes)>,
    producers: BTreeMap<i64, Producer>,
}

#[derive(Debug, Default)]
struct Producer {
    epoch: i16,
    /// First and last sequence, and base offset.
    batches: Vec<(i32, i32, i64)>,
}

impl Partition {
    /// Loses what lies at and behind `end`, the beginning of a batch.
    pub(crate) fn truncate(&mut self, end: usize) {
        self.values.truncate(end);
        self.batches.retain(|(base_offset, _)| *base_offset < end as i64);
    }

    /// Appends a batch, or says why not.
    pub(crate) fn append(&mut self, bytes: Bytes) -> Result<i64, ErrorCode> {
        let batch =
            Batch::split_from(&mut bytes.clone()).map_err(|_| ErrorCode::CORRUPT_MESSAGE)?;
        batch.verify_crc().map_err(|_| ErrorCode::CORRUPT_MESSAGE)?;
        let header = batch.header();
        assert!(header.is_dense(), "count and last offset delta agree");
        let base_offset = self.values.len() as i64;
        if header.is_idempotent() {
            let producer = self.producers.entry(header.producer_id).or_default();
            let first = header.base_sequence;
            let last = first + header.record_count - 1;
            if header.producer_epoch < producer.epoch {
                return Err(ErrorCode::INVALID_PRODUCER_EPOCH);
            }
            if header.producer_epoch > producer.epoch {
                if first != 0 {
                    return Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
                }
                *producer = Producer { epoch: header.producer_epoch, batches: Vec::new() };
            }
            let known = producer.batches.iter().find(|known| (known.0, known.1) == (first, last));
            if let Some(&(_, _, base_offset)) = known {
                return Ok(base_offset);
            }
            // Apache Kafka takes any sequence from a producer that it does not know.
            let expected = producer.batches.last().map(|(_, last, _)| last + 1);
            if expected.is_some_and(|expected| first != expected) {
                return Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
            }
            producer.batches.push((first, last, base_offset));
            if producer.batches.len() > REMEMBERED {
                producer.batches.remove(0);
            }
        }
        self.batches.push((base_offset, bytes));
        for record in batch.records(1 << 24).expect("the client's batch decompresses") {
            let record = record.expect("the client's record decodes");
            self.values.push(record.value.unwrap_or_default());
        }
        Ok(base_offset)
    }
}

/// Small and fast, from one seed: what goes wrong is the same in every run.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }
}
