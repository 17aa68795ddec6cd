//! A producer that keeps requests in flight and remembers what was acked.

use std::collections::VecDeque;

use kafka_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use kafka_protocol::messages::produce_request::ProduceRequest;
use kafka_protocol::messages::{ProduceResponse, ProducerId};
use kafka_protocol::records::Record;

use crate::support::batch::Batch;
use crate::support::random::Random;
use crate::support::wire::{Connection, produce_request, read_partition};

/// Requests in flight, as many as an idempotent producer may have.
const IN_FLIGHT: usize = 5;

/// Largest number of records in one batch.
const RECORDS_MAX: u64 = 20;

/// Largest padding of a value in bytes: enough for segments of 1 MiB to roll now and then.
const PADDING_MAX: i64 = 1000;

/// Writes numbered records to one partition with `acks=all`; each record's value begins with its
/// number.
#[derive(Debug)]
pub(crate) struct Load {
    topic: String,
    /// Producer id, if idempotent.
    producer: Option<i64>,
    /// Number of the first record not sent yet.
    next: i64,
    /// Batches sent and not acked, oldest first: first number and count.
    unacked: VecDeque<(i64, i64)>,
    /// Batches acked: first number, count and the offset told.
    acked: Vec<(i64, i64, i64)>,
}

impl Load {
    pub(crate) fn plain(topic: &str) -> Load {
        Load {
            topic: topic.to_owned(),
            producer: None,
            next: 0,
            unacked: VecDeque::new(),
            acked: Vec::new(),
        }
    }

    pub(crate) fn idempotent(topic: &str, connection: &mut Connection) -> Load {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let response = connection.call(4, &request);
        assert_eq!((response.error_code, response.producer_epoch), (0, 0));
        Load { producer: Some(response.producer_id.0), ..Load::plain(topic) }
    }

    /// Sends until `count` more batches are acked, and leaves some in flight.
    pub(crate) fn run(&mut self, connection: &mut Connection, count: usize, random: &mut Random) {
        let goal = self.acked.len() + count;
        loop {
            while self.unacked.len() < IN_FLIGHT {
                self.send(connection, random);
            }
            if self.acked.len() == goal {
                return;
            }
            let (_, response) = connection.receive::<ProduceRequest>(9).expect("an answer");
            self.note(&response);
        }
    }

    /// Waits for every answer that is due.
    pub(crate) fn finish(&mut self, connection: &mut Connection) {
        while !self.unacked.is_empty() {
            let (_, response) = connection.receive::<ProduceRequest>(9).expect("an answer");
            self.note(&response);
        }
    }

    fn send(&mut self, connection: &mut Connection, random: &mut Random) {
        let count = 1 + i64::try_from(random.below(RECORDS_MAX)).expect("a small number");
        self.unacked.push_back((self.next, count));
        self.write(connection, self.next, count);
        self.next += count;
    }

    fn write(&self, connection: &mut Connection, first: i64, count: i64) {
        let values: Vec<String> = (first..first + count).map(value).collect();
        let mut batch = Batch::of(&values);
        if let Some(id) = self.producer {
            batch = batch.with_producer(id, 0, i32::try_from(first).expect("a sequence number"));
        }
        let request = produce_request(&self.topic, 0, -1, batch.encode());
        connection.send(9, &request).expect("a request can be sent");
    }

    fn note(&mut self, response: &ProduceResponse) {
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, 0, "{}", self.topic);
        let (first, count) = self.unacked.pop_front().expect("a batch in flight");
        self.acked.push((first, count, answer.base_offset));
    }

    /// After a restart: an idempotent producer sends again what was not acked, and goes on. A plain
    /// one cannot know, forgets it and goes on with new numbers.
    pub(crate) fn recover(&mut self, connection: &mut Connection) {
        if self.producer.is_none() {
            self.unacked.clear();
            return;
        }
        for (first, count) in &self.unacked {
            self.write(connection, *first, *count);
        }
        self.finish(connection);
    }

    /// Every acked record is where the answer said. An idempotent producer's records are there once
    /// each, in order, without a gap.
    pub(crate) fn check(&self, connection: &mut Connection) {
        let read = read_partition(connection, &self.topic, 0, 0);
        let values: Vec<i64> = read.iter().map(number).collect();
        for (record, offset) in read.iter().zip(0..) {
            assert_eq!(record.offset, offset, "{}: offsets are dense", self.topic);
        }
        for (first, count, base) in &self.acked {
            let base = usize::try_from(*base).expect("an offset");
            let end = base + usize::try_from(*count).expect("a count");
            let there = values.get(base..end).unwrap_or_default();
            let expected: Vec<i64> = (*first..first + count).collect();
            assert_eq!(there, expected, "{}: acked at {base}", self.topic);
        }
        if self.producer.is_some() {
            let expected: Vec<i64> = (0..values.len() as i64).collect();
            assert_eq!(values, expected, "{}: each record once, in order", self.topic);
        } else {
            // Records that were never acked may be there, too, but in the order sent and once.
            assert!(values.is_sorted_by(|a, b| a < b), "{}: order", self.topic);
        }
    }

    pub(crate) fn producer_id(&self) -> Option<i64> {
        self.producer
    }

    pub(crate) fn acked_count(&self) -> usize {
        self.acked.len()
    }
}

/// The value of record `number`: the number and as much padding as follows from it.
fn value(number: i64) -> String {
    let padding = usize::try_from(number * 37 % PADDING_MAX).expect("a size");
    format!("{number}:{}", "x".repeat(padding))
}

/// The number of a record that was read, whole.
fn number(record: &Record) -> i64 {
    let text = std::str::from_utf8(record.value.as_deref().unwrap_or_default()).expect("text");
    let number = text.split(':').next().and_then(|number| number.parse().ok()).expect("a number");
    assert_eq!(text, value(number), "the value of a record");
    number
}
