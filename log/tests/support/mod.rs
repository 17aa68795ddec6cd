//! What the tests of this package share: batches, a small random generator, running jobs inline.
#![allow(dead_code, unreachable_pub, reason = "each test crate uses its own part")]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use synod_log::batch::{Batch, HEADER_SIZE};
use synod_log::storage::Storage;
use synod_log::{Log, LogConfig, LogView, RecoveryReport};

/// A small seeded generator (xorshift64*): the same seed gives the same test on every machine.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// A number in `0..limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// How a test batch is to look.
#[derive(Debug, Clone)]
pub struct BatchSpec {
    pub base_offset: u64,
    pub leader_epoch: i32,
    pub count: u32,
    pub body: Vec<u8>,
    pub timestamp: i64,
    /// Id, epoch, base sequence.
    pub producer: (i64, i16, i32),
}

impl BatchSpec {
    pub fn new(base_offset: u64, count: u32) -> Self {
        Self {
            base_offset,
            leader_epoch: 1,
            count,
            body: (0..count * 10).map(|i| (i as u8) ^ (base_offset as u8)).collect(),
            timestamp: 1_000_000 + base_offset as i64,
            producer: (-1, -1, -1),
        }
    }

    pub fn leader_epoch(self, leader_epoch: i32) -> Self {
        Self { leader_epoch, ..self }
    }

    pub fn body(self, body: Vec<u8>) -> Self {
        Self { body, ..self }
    }

    pub fn timestamp(self, timestamp: i64) -> Self {
        Self { timestamp, ..self }
    }

    pub fn producer(self, id: i64, epoch: i16, sequence: i32) -> Self {
        Self { producer: (id, epoch, sequence), ..self }
    }

    /// The bytes as on the wire.
    pub fn bytes(&self) -> Bytes {
        let mut out = vec![0; HEADER_SIZE];
        out.extend_from_slice(&self.body);
        let size = (out.len() - 12) as i32;
        out[..8].copy_from_slice(&self.base_offset.to_be_bytes());
        out[8..12].copy_from_slice(&size.to_be_bytes());
        out[12..16].copy_from_slice(&self.leader_epoch.to_be_bytes());
        out[16] = 2;
        out[23..27].copy_from_slice(&(self.count as i32 - 1).to_be_bytes());
        out[27..35].copy_from_slice(&self.timestamp.to_be_bytes());
        out[35..43].copy_from_slice(&self.timestamp.to_be_bytes());
        out[43..51].copy_from_slice(&self.producer.0.to_be_bytes());
        out[51..53].copy_from_slice(&self.producer.1.to_be_bytes());
        out[53..57].copy_from_slice(&self.producer.2.to_be_bytes());
        out[57..61].copy_from_slice(&(self.count as i32).to_be_bytes());
        let checksum = crc_fast::crc32_iscsi(&out[21..]);
        out[17..21].copy_from_slice(&checksum.to_be_bytes());
        out.into()
    }

    pub fn batch(&self) -> Batch {
        let (batch, rest) = Batch::parse(self.bytes()).expect("a sound batch");
        assert!(rest.is_empty());
        batch
    }
}

/// Settings under which everything happens soon.
pub fn small_config() -> LogConfig {
    LogConfig {
        segment_size: 16_384.try_into().expect("not zero"),
        index_interval_size: 256.try_into().expect("not zero"),
        prepare_max_size: 16_384,
        segment_ms: None,
        retention_ms: None,
        ..LogConfig::default()
    }
}

pub fn open(
    storage: &Arc<dyn Storage>,
    dir: &Path,
    config: &LogConfig,
    mark: u64,
) -> (Log, RecoveryReport) {
    Log::open(storage.clone(), dir, config.clone(), mark).expect("the log opens")
}

/// Syncs on this thread.
pub fn sync(log: &mut Log) -> u64 {
    while let Some(job) = log.poll_sync() {
        log.handle_synced(job.run()).expect("the sync succeeds");
    }
    log.durable_end()
}

/// Runs all upkeep on this thread.
pub fn run_background(log: &mut Log) {
    while let Some(job) = log.poll_background() {
        log.handle_background(job.run()).expect("upkeep succeeds");
    }
}

/// Splits what a read returned into batches.
pub fn split(runs: &[Bytes]) -> Vec<Bytes> {
    let mut batches = Vec::new();
    for run in runs {
        let mut rest = run.clone();
        while !rest.is_empty() {
            let (batch, after) = Batch::parse(rest.clone()).expect("whole batches");
            batches.push(rest.slice(..batch.size()));
            rest = after;
        }
    }
    batches
}

/// Reads everything in `[from, end)`.
pub fn read_all(view: &LogView, from: u64, end: u64) -> Vec<Bytes> {
    let mut all = Vec::new();
    let mut next = from;
    while next < end {
        let slice = view.read(next, 8192, true, end).expect("readable");
        assert!(!slice.is_empty(), "stuck at {next} of {end}");
        next = slice.next_offset;
        all.extend(split(&slice.batches));
    }
    all
}
