//! Batches that were fetched and wait to be read.

use std::collections::{BTreeSet, VecDeque};

use synod_wire::batch::{Batch, BatchError, RecordIter};

use super::ConsumerRecord;
use crate::Error;
use crate::cluster::{Isolation, TopicPartition};

/// A transaction that was aborted, as a fetch response tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Aborted {
    pub(super) producer_id: i64,
    pub(super) first_offset: i64,
}

/// One partition's part of a fetch response.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) partition: TopicPartition,
    /// Bytes as they came.
    pub(super) size: usize,
    batches: VecDeque<Batch>,
    /// Aborted transactions that begin in these batches, by first offset.
    aborted: VecDeque<Aborted>,
    /// Producers whose transaction at this point is an aborted one.
    aborting: BTreeSet<i64>,
    /// The batch that is being read.
    current: Option<(Batch, RecordIter)>,
    /// Round of the last batch of which something was read or passed over; -1: none yet.
    pub(super) read_epoch: i32,
}

impl Fetched {
    pub(super) fn new(
        partition: TopicPartition,
        batches: VecDeque<Batch>,
        mut aborted: Vec<Aborted>,
    ) -> Self {
        aborted.sort_by_key(|transaction| transaction.first_offset);
        Self {
            partition,
            size: batches.iter().map(Batch::size).sum(),
            batches,
            aborted: aborted.into(),
            aborting: BTreeSet::new(),
            current: None,
            read_epoch: -1,
        }
    }

    /// Reads records at and after `position` into `out`, at most up to `max` there, and moves the
    /// position on. Returns true when nothing is left here.
    ///
    /// # Errors
    /// [`Error::Corrupt`]; the position stands at the damaged batch or record.
    pub(super) fn read(
        &mut self,
        position: &mut i64,
        isolation: Isolation,
        max_batch_size: usize,
        max: usize,
        out: &mut Vec<ConsumerRecord>,
    ) -> Result<bool, Error> {
        let topic = self.partition.topic.clone();
        loop {
            while let Some((batch, records)) = &mut self.current {
                if out.len() >= max {
                    return Ok(false);
                }
                match records.next() {
                    Some(Ok(record)) if record.offset < *position => {}
                    Some(Ok(record)) => {
                        *position = record.offset + 1;
                        let epoch = batch.header().partition_leader_epoch;
                        self.read_epoch = epoch;
                        let partition = self.partition.partition;
                        let record = ConsumerRecord::new(topic.clone(), partition, epoch, record);
                        out.push(record);
                    }
                    Some(Err(source)) => return Err(self.corrupt(*position, source)),
                    None => {
                        // Compaction may have taken the last records of the batch away.
                        *position = batch.header().end_offset().max(*position);
                        self.read_epoch = batch.header().partition_leader_epoch;
                        self.current = None;
                    }
                }
            }
            let Some(batch) = self.batches.pop_front() else { return Ok(true) };
            batch.verify_crc().map_err(|source| self.corrupt(*position, source))?;
            if self.is_hidden(&batch, isolation) {
                *position = batch.header().end_offset().max(*position);
                self.read_epoch = batch.header().partition_leader_epoch;
                continue;
            }
            let records = batch.records(max_batch_size);
            let records = records.map_err(|source| self.corrupt(*position, source))?;
            self.current = Some((batch, records));
        }
    }

    /// Whether the reader must not see a batch: a marker, or part of an aborted transaction.
    fn is_hidden(&mut self, batch: &Batch, isolation: Isolation) -> bool {
        let header = batch.header();
        if isolation == Isolation::ReadUncommitted {
            return header.is_control();
        }
        while let Some(transaction) = self.aborted.front()
            && transaction.first_offset <= header.last_offset()
        {
            self.aborting.insert(transaction.producer_id);
            self.aborted.pop_front();
        }
        if header.is_control() {
            // A marker ends the producer's transaction, this way or that.
            self.aborting.remove(&header.producer_id);
            return true;
        }
        header.is_transactional() && self.aborting.contains(&header.producer_id)
    }

    fn corrupt(&self, position: i64, source: BatchError) -> Error {
        let context = format!("{}, offset {position}", self.partition);
        Error::Corrupt { context: context.into(), source }
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use synod_wire::batch::{
        BatchBuilder, BatchHeader, Compression, HEADER_SIZE, NewRecord, ProducerStamp,
    };

    use super::*;

    /// A batch of these values at this offset.
    fn batch(base_offset: i64, values: &[&str], kind: fn(BatchBuilder) -> BatchBuilder) -> Batch {
        let mut builder = kind(BatchBuilder::new());
        for value in values {
            let value = Some(value.as_bytes());
            builder.append(&NewRecord { value, ..NewRecord::default() }).unwrap();
        }
        let stamp = ProducerStamp { producer_id: 9, producer_epoch: 0, base_sequence: 0 };
        let mut bytes = BytesMut::from(&builder.build(Compression::None, stamp).unwrap()[..]);
        let header = BatchHeader {
            base_offset,
            partition_leader_epoch: base_offset as i32,
            ..BatchHeader::parse(&bytes).unwrap()
        };
        bytes[..HEADER_SIZE].copy_from_slice(&header.to_bytes());
        Batch::split_from(&mut bytes.freeze()).unwrap()
    }

    fn plain(builder: BatchBuilder) -> BatchBuilder {
        builder
    }

    fn marker(builder: BatchBuilder) -> BatchBuilder {
        builder.transactional().control()
    }

    fn fetched(batches: impl IntoIterator<Item = Batch>, aborted: Vec<Aborted>) -> Fetched {
        let partition = TopicPartition::new("t", 0);
        Fetched::new(partition, batches.into_iter().collect(), aborted)
    }

    fn read_all(mut fetched: Fetched, position: &mut i64, isolation: Isolation) -> Vec<String> {
        let mut out = Vec::new();
        assert!(fetched.read(position, isolation, 1 << 20, usize::MAX, &mut out).unwrap());
        let text = |value: Option<Bytes>| String::from_utf8(value.unwrap().to_vec()).unwrap();
        out.into_iter().map(|record| text(record.value)).collect()
    }

    #[test]
    fn reading_begins_at_the_position_inside_a_batch() {
        let mut position = 11;
        let fetched =
            fetched([batch(10, &["a", "b", "c"], plain), batch(13, &["d"], plain)], Vec::new());
        let values = read_all(fetched, &mut position, Isolation::ReadCommitted);
        assert_eq!(values, ["b", "c", "d"]);
        assert_eq!(position, 14);
    }

    #[test]
    fn at_most_the_wanted_number_is_read_at_a_time() {
        let mut position = 0;
        let mut fetched = fetched([batch(0, &["a", "b", "c"], plain)], Vec::new());
        for expected in [1, 2] {
            let mut out = Vec::new();
            let isolation = Isolation::ReadCommitted;
            assert!(!fetched.read(&mut position, isolation, 1 << 20, 1, &mut out).unwrap());
            assert_eq!((out.len(), position), (1, expected));
        }
    }

    #[test]
    fn aborted_transactions_and_markers_stay_hidden() {
        let batches = || {
            [
                batch(0, &["aborted"], BatchBuilder::transactional),
                batch(1, &["plain"], plain),
                batch(2, &["marker"], marker),
                batch(3, &["committed"], BatchBuilder::transactional),
                batch(4, &["marker"], marker),
            ]
        };
        let aborted = vec![Aborted { producer_id: 9, first_offset: 0 }];
        let mut position = 0;
        let committed = fetched(batches(), aborted.clone());
        let values = read_all(committed, &mut position, Isolation::ReadCommitted);
        assert_eq!(values, ["plain", "committed"]);
        assert_eq!(position, 5, "markers take offsets too");
        let mut position = 0;
        let all = fetched(batches(), aborted);
        let values = read_all(all, &mut position, Isolation::ReadUncommitted);
        assert_eq!(values, ["aborted", "plain", "committed"]);
    }

    #[test]
    fn the_round_is_told_of_what_stays_hidden_too() {
        let batches = [batch(3, &["a", "b"], plain), batch(7, &["marker"], marker)];
        let (mut fetched, mut position, mut out) = (fetched(batches, Vec::new()), 0, Vec::new());
        let isolation = Isolation::ReadCommitted;
        assert!(!fetched.read(&mut position, isolation, 1 << 20, 1, &mut out).unwrap());
        assert_eq!((position, fetched.read_epoch), (4, 3));
        assert!(fetched.read(&mut position, isolation, 1 << 20, 9, &mut out).unwrap());
        assert_eq!((position, fetched.read_epoch), (8, 7));
    }

    #[test]
    fn damage_is_reported_with_its_place_and_what_came_before_is_kept() {
        let mut bytes = BytesMut::from(&batch(1, &["bad"], plain).into_bytes()[..]);
        let last = bytes.len() - 2;
        bytes[last] ^= 1;
        let damaged = Batch::split_from(&mut bytes.freeze()).unwrap();
        let mut fetched = fetched([batch(0, &["good"], plain), damaged], Vec::new());
        let (mut position, mut out) = (0, Vec::new());
        let isolation = Isolation::ReadCommitted;
        let error = fetched.read(&mut position, isolation, 1 << 20, 10, &mut out).unwrap_err();
        assert!(error.to_string().contains("topic t, partition 0, offset 1"), "{error}");
        assert_eq!((out.len(), position), (1, 1));
    }
}
