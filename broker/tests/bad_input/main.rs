//! Bytes that no well-meaning client sends. Whatever comes: no panic, no unbounded memory, nothing
//! lost, and everybody else is served meanwhile.
//!
//! What single requests with wrong content are answered is the differential suite's matter.

#[path = "../support/mod.rs"]
mod support;

mod bombs;
mod frames;
mod mutations;
mod pipelines;
mod poison;
mod requests;

use std::fs;

use bytes::Bytes;
use support::batch::Batch;
use support::broker::Broker;
use support::wire::{self, Connection};

/// How much a broker's resident memory may grow under an attack that sends next to nothing, in
/// bytes.
const GROWTH_MAX: u64 = 96 << 20;

/// A broker with a topic, watched for loss and growth.
struct Watched {
    broker: Broker,
    resident: u64,
    values: Vec<String>,
    others: Vec<String>,
}

impl Watched {
    fn start() -> Watched {
        Watched::start_with(&[])
    }

    fn start_with(args: &[&str]) -> Watched {
        let broker = Broker::start_with(args);
        wire::create_topic(&mut Connection::open(broker.kafka()), "watched", 1, &[]);
        let mut watched = Watched { broker, resident: 0, values: Vec::new(), others: Vec::new() };
        watched.check();
        watched.resident = watched.broker.peak_resident_size();
        watched
    }

    /// Creates a topic that need not be watched, unless it is there.
    fn create(&mut self, name: &str) {
        if !self.others.iter().any(|other| other == name) {
            wire::create_topic(&mut self.connect(), name, 1, &[]);
            self.others.push(name.to_owned());
        }
    }

    fn connect(&self) -> Connection {
        Connection::open(self.broker.kafka())
    }

    /// The broker still takes a record and has all earlier ones.
    fn check(&mut self) {
        assert!(self.broker.is_running(), "the broker ended");
        let connection = &mut self.connect();
        let value = format!("value {}", self.values.len());
        let records: Bytes = Batch::of(&[&value]).encode();
        let response = connection.call(9, &wire::produce_request("watched", 0, -1, records));
        let produced = &response.responses[0].partition_responses[0];
        assert_eq!(produced.error_code, 0);
        self.values.push(value);
        let read = wire::read_partition(connection, "watched", 0, 0);
        let read: Vec<_> = read.iter().map(|record| record.value.as_deref()).collect();
        let expected: Vec<_> = self.values.iter().map(|value| Some(value.as_bytes())).collect();
        assert_eq!(read, expected);
    }

    /// As [`Watched::check`], and memory never grew beyond bounds.
    fn check_memory(&mut self) {
        self.check_memory_within(GROWTH_MAX);
    }

    fn check_memory_within(&mut self, growth_max: u64) {
        let resident = self.broker.peak_resident_size();
        let growth = resident.saturating_sub(self.resident);
        assert!(growth <= growth_max, "resident memory grew by {growth} to {resident} bytes");
        self.check();
    }

    /// Open file descriptors of the broker.
    fn descriptor_count(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.broker.id());
        fs::read_dir(folder).expect("the broker's descriptors").count()
    }
}
