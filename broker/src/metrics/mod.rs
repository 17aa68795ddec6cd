//! What the broker counts, and how Prometheus reads it.
//!
//! Counting is a handful of relaxed atomic additions: no lock, no allocation, no formatting. Only
//! [`Metrics::topic`] takes a lock, so partitions keep the `Arc` it returns. What partitions and
//! budgets know already is not counted twice: a scrape pulls it through [`Source`].

mod encode;
mod exposition;
mod groups;
mod links;
mod names;
mod process;
mod source;
mod values;

pub use groups::{GroupOffsetSnapshot, GroupSnapshot, GroupsSnapshot, RebalanceSnapshot};
pub use links::LinkMetrics;
pub use source::{BrokerSnapshot, LogSnapshot, PartitionSnapshot, Snapshot, Source};
pub use values::{Counter, Gauge, Histogram};

use links::Links;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

/// API keys that have a row of their own; Kafka's highest is 92.
const API_KEYS: usize = 128;

/// Error codes that have a counter of their own, from -1 (unknown) on; Kafka's highest is 133.
const ERROR_CODES: usize = 192;

/// Everything the broker counts. Shared by `Arc`.
#[derive(Debug)]
pub struct Metrics {
    apis: Box<[Api]>,
    topics: RwLock<BTreeMap<String, Arc<TopicMetrics>>>,
    source: OnceLock<Arc<dyn Source>>,
    links: Links,
    /// Frames of other brokers, or of somebody who wants to look like one, that made no sense.
    pub peer_frames_refused: Counter,
    /// Client connections.
    pub connections: ConnectionMetrics,
    /// Time from the start of a file's sync to its return.
    pub syncs: Histogram,
    /// Time that each write and sync of the journal took.
    pub journal_syncs: Histogram,
    /// Syncs that failed; the process stops at the first, so this is read from its last breath.
    pub sync_failures: Counter,
}

/// Counters of one API key.
#[derive(Debug, Default)]
struct Api {
    latency: Histogram,
    errors: OnceLock<Box<[Counter]>>,
}

/// Counters of one topic.
#[derive(Debug, Default)]
pub struct TopicMetrics {
    /// Bytes of record batches appended for producers.
    pub received_size: Counter,
    /// Records appended for producers.
    pub received_records: Counter,
    /// Bytes of record batches handed to consumers.
    pub sent_size: Counter,
    /// Records handed to consumers.
    pub sent_records: Counter,
    /// Partitions of Produce requests, refused ones included.
    pub produce_requests: Counter,
    /// Partitions of Fetch requests, refused ones included.
    pub fetch_requests: Counter,
}

/// Counters of client connections.
#[derive(Debug, Default)]
pub struct ConnectionMetrics {
    /// Connections open now.
    pub open: Gauge,
    /// Connections accepted since the start.
    pub accepted: Counter,
    /// Connections closed at once because a limit was reached.
    pub refused: Counter,
    /// Connections closed because they were idle too long.
    pub idle_closed: Counter,
    /// Connections closed because of bytes that are no valid request.
    pub invalid_closed: Counter,
    /// Bytes of requests, length prefixes included.
    pub received_size: Counter,
    /// Bytes of responses, length prefixes included.
    pub sent_size: Counter,
}

impl Metrics {
    /// All counters at zero.
    pub fn new() -> Metrics {
        Metrics {
            apis: (0..API_KEYS).map(|_| Api::default()).collect(),
            topics: RwLock::default(),
            source: OnceLock::new(),
            links: Links::default(),
            peer_frames_refused: Counter::default(),
            connections: ConnectionMetrics::default(),
            syncs: Histogram::default(),
            journal_syncs: Histogram::default(),
            sync_failures: Counter::default(),
        }
    }

    /// Counts one answered request of an API key, `latency` after its last byte was read.
    ///
    /// Keys outside Kafka's range share the last row.
    pub fn request(&self, api_key: i16, latency: Duration) {
        self.api(api_key).latency.record(latency);
    }

    /// Counts one error code in a response; a response may hold several. Code 0 is not counted.
    pub fn error(&self, api_key: i16, error_code: i16) {
        if error_code == 0 {
            return;
        }
        let errors = self
            .api(api_key)
            .errors
            .get_or_init(|| (0..ERROR_CODES).map(|_| Counter::default()).collect());
        let index = usize::try_from(i32::from(error_code) + 1).unwrap_or(0).min(ERROR_CODES - 1);
        errors[index].add(1);
    }

    /// Counts a client connection as accepted, and as open until the guard is dropped.
    pub fn connection_opened(self: &Arc<Metrics>) -> OpenConnection {
        self.connections.accepted.add(1);
        self.connections.open.add(1);
        OpenConnection { metrics: self.clone() }
    }

    /// The counters of a topic, made at the first call. Keep the `Arc`: the lookup locks.
    ///
    /// Call it for topics that exist only: each name is kept until [`forget_topic`].
    ///
    /// [`forget_topic`]: Metrics::forget_topic
    pub fn topic(&self, name: &str) -> Arc<TopicMetrics> {
        if let Some(topic) = self.read_topics().get(name) {
            return topic.clone();
        }
        let mut topics = self.topics.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        topics.entry(name.to_owned()).or_default().clone()
    }

    /// Drops the counters of a deleted topic.
    pub fn forget_topic(&self, name: &str) {
        let mut topics = self.topics.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        topics.remove(name);
    }

    /// Says where a scrape finds the state of partitions. Only the first call counts.
    pub fn set_source(&self, source: Arc<dyn Source>) {
        let _ = self.source.set(source);
    }

    fn api(&self, api_key: i16) -> &Api {
        let index = usize::try_from(api_key).unwrap_or(API_KEYS - 1).min(API_KEYS - 1);
        &self.apis[index]
    }

    fn read_topics(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Arc<TopicMetrics>>> {
        // A map of counters is valid whatever a panicking thread was doing with it.
        self.topics.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// An open client connection, counted until dropped.
#[derive(Debug)]
pub struct OpenConnection {
    metrics: Arc<Metrics>,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.metrics.connections.open.add(-1);
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

#[cfg(test)]
mod tests;
