//! A partition's log on the real file system: append, sync, read.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use synod_log::{Batch, Log, LogConfig, OsStorage};
use synod_wire::batch::{BatchBuilder, Compression, NewRecord, ProducerStamp};

/// Bytes after which a measurement begins a new log: it must not fill the disk.
const LOG_SIZE: u64 = 256 << 20;

/// A batch of about `size` bytes.
fn batch(size: usize) -> Batch {
    let value = vec![0x5a; 1024.min(size - 100)];
    let mut builder = BatchBuilder::new();
    while builder.size() < size - 100 {
        let record = NewRecord { value: Some(&value), ..NewRecord::default() };
        builder.append(&record).expect("it fits");
    }
    let bytes = builder.build(Compression::None, ProducerStamp::NONE).expect("it fits");
    Batch::parse(bytes).expect("ours").0
}

/// A log in a directory of its own that begins anew when it is full.
struct Bounded {
    _dir: tempfile::TempDir,
    log: Log,
    template: Batch,
    written: u64,
}

impl Bounded {
    fn new(size: usize) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let log = create(dir.path());
        Self { _dir: dir, log, template: batch(size), written: 0 }
    }

    fn append(&mut self) {
        if self.written > LOG_SIZE {
            let dir = tempfile::tempdir().expect("a directory");
            self.log = create(dir.path());
            self._dir = dir;
            self.written = 0;
        }
        let mut batch = self.template.clone();
        batch.stamp(self.log.end(), 1);
        self.log.append(&[batch]).expect("an append");
        while let Some(job) = self.log.poll_background() {
            self.log.handle_background(job.run()).expect("background work");
        }
        self.written += self.template.size() as u64;
    }

    fn sync(&mut self) {
        if let Some(job) = self.log.poll_sync() {
            let _ = self.log.handle_synced(job.run()).expect("a sync");
        }
    }
}

fn create(dir: &Path) -> Log {
    Log::create(Arc::new(OsStorage), dir, LogConfig::default()).expect("a new log")
}

fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("log");
    group.sample_size(20);
    for (size, name) in [(4 << 10, "4 KiB"), (128 << 10, "128 KiB"), (1 << 20, "1 MiB")] {
        group.throughput(Throughput::Bytes(size as u64));
        let mut log = Bounded::new(size);
        group.bench_function(format!("append {name}"), |b| {
            b.iter_batched(|| (), |()| log.append(), BatchSize::PerIteration);
        });
        let mut log = Bounded::new(size);
        group.bench_function(format!("append and sync {name}"), |b| {
            b.iter(|| {
                log.append();
                log.sync();
            });
        });
    }
    group.finish();
}

fn read(c: &mut Criterion) {
    let mut group = c.benchmark_group("log");
    let mut log = Bounded::new(16 << 10);
    for _ in 0..2048 {
        log.append();
    }
    log.sync();
    let (view, end) = (log.log.view(), log.log.end());
    group.throughput(Throughput::Bytes(1 << 20));
    let mut from = 0;
    group.bench_function("read 1 MiB, one after the other", |b| {
        b.iter(|| {
            let slice = view.read(from, 1 << 20, true, end).expect("a read");
            from = if slice.next_offset >= end { 0 } else { slice.next_offset };
            black_box(slice)
        });
    });
    let last = end - 1;
    group.throughput(Throughput::Elements(1));
    group.bench_function("read the last batch", |b| {
        b.iter(|| view.read(black_box(last), 1 << 20, true, end).expect("a read"));
    });
    let bytes: Bytes = log.template.to_bytes();
    group.bench_function("parse a batch of 16 KiB", |b| {
        b.iter(|| Batch::parse(black_box(bytes.clone())).expect("ours"));
    });
    group.finish();
}

criterion_group!(benches, append, read);
criterion_main!(benches);
