//! Measures a log on the real file system, quickly; for comparing two builds on one machine.
//!
//! ```text
//! cargo run --release -p synod-log --example throughput -- DIR [partitions] [MiB per partition]
//! ```
//!
//! The first part appends with a sync each, then in bulk, and reads back. The second part fills
//! that many partitions, opens all of them as after a kill, and says how long that took.

#![allow(clippy::unwrap_used, reason = "a measurement ends at the first failure")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use synod_log::batch::{Batch, HEADER_SIZE};
use synod_log::os::OsStorage;
use synod_log::storage::Storage;
use synod_log::sync::SyncPool;
use synod_log::{Log, LogConfig};

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().unwrap_or_else(|| "throughput-data".to_owned()));
    let partition_count: usize = args.next().map_or(0, |n| n.parse().unwrap());
    let partition_mib: usize = args.next().map_or(100, |n| n.parse().unwrap());
    std::fs::create_dir_all(&dir).unwrap();
    let storage: Arc<dyn Storage> = Arc::new(OsStorage);
    for size in [4 << 10, 16 << 10, 128 << 10, 1 << 20] {
        measure_latency(&storage, &dir, size);
    }
    measure_bulk(&storage, &dir, 16 << 10);
    measure_bulk(&storage, &dir, 1 << 10);
    if partition_count > 0 {
        measure_start(&storage, &dir, partition_count, partition_mib);
    }
}

/// Each append synced before the next.
fn measure_latency(storage: &Arc<dyn Storage>, dir: &Path, size: usize) {
    let mut log = create(storage, &dir.join(format!("latency-{size}")));
    let pool = SyncPool::spawn(2).unwrap();
    let count = if size > 100_000 { 1000 } else { 5000 };
    let mut times = Vec::with_capacity(count);
    let (send, done) = std::sync::mpsc::channel();
    for i in 0..count {
        let batch = batch(log.end(), size);
        let begin = Instant::now();
        log.append(&[batch]).unwrap();
        let job = log.poll_sync().unwrap();
        let _ = log.handle_synced(job.run()).unwrap();
        if i >= count / 10 {
            times.push(begin.elapsed());
        }
        while let Some(job) = log.poll_background() {
            let send = send.clone();
            pool.submit_background(|| job.run(), move |r| drop(send.send(r.result)));
        }
        while let Ok(result) = done.try_recv() {
            log.handle_background(result.unwrap()).unwrap();
        }
    }
    times.sort_unstable();
    let at = |share: usize| times[times.len() * share / 100].as_micros();
    let total: Duration = times.iter().sum();
    let rate = (size * times.len()) as f64 / total.as_secs_f64() / 1e6;
    println!("append+sync {size:>8} B: p50 {:>5} p99 {:>5} µs, {rate:>7.1} MB/s", at(50), at(99));
}

/// Appends of a mebibyte, with one sync out at a time on the pool, then reads it all back.
fn measure_bulk(storage: &Arc<dyn Storage>, dir: &Path, batch_size: usize) {
    let mut log = create(storage, &dir.join(format!("bulk-{batch_size}")));
    let pool = SyncPool::spawn(2).unwrap();
    let total: usize = 2 << 30;
    let per_append = (1 << 20) / batch_size;
    let body = Bytes::from(vec![7; batch_size - HEADER_SIZE]);
    let (send_sync, synced) = std::sync::mpsc::channel();
    let (send, done) = std::sync::mpsc::channel();
    let template = batch_with(0, body);
    let begin = Instant::now();
    for _ in 0..total / per_append / batch_size {
        let batches: Vec<Batch> = (0..per_append as u64)
            .map(|i| {
                let mut batch = template.clone();
                batch.stamp(log.end() + i * 10, 1);
                batch
            })
            .collect();
        log.append(&batches).unwrap();
        if log.end() - log.durable_end() > 16 * per_append as u64 * 10
            && let Ok(result) = synced.recv()
        {
            let result: synod_log::sync::JobReport<_> = result;
            let _ = log.handle_synced(result.result.unwrap()).unwrap();
        }
        while let Ok(result) = synced.try_recv() {
            let _ = log.handle_synced(result.result.unwrap()).unwrap();
        }
        if let Some(job) = log.poll_sync() {
            let send = send_sync.clone();
            pool.submit(|| job.run(), move |r| drop(send.send(r)));
        }
        while let Some(job) = log.poll_background() {
            let send = send.clone();
            pool.submit_background(|| job.run(), move |r| drop(send.send(r.result)));
        }
        while let Ok(result) = done.try_recv() {
            log.handle_background(result.unwrap()).unwrap();
        }
    }
    while log.durable_end() < log.end() {
        if let Some(job) = log.poll_sync() {
            let _ = log.handle_synced(job.run()).unwrap();
        } else {
            let _ = log.handle_synced(synced.recv().unwrap().result.unwrap()).unwrap();
        }
    }
    let rate = total as f64 / begin.elapsed().as_secs_f64() / 1e6;
    println!("bulk append, batches of {batch_size} B: {rate:.0} MB/s durable");
    let (view, end) = (log.view(), log.end());
    let begin = Instant::now();
    let (mut next, mut size) = (0, 0);
    while next < end {
        let slice = view.read(next, 1 << 20, true, end).unwrap();
        (next, size) = (slice.next_offset, size + slice.size());
    }
    let rate = size as f64 / begin.elapsed().as_secs_f64() / 1e6;
    println!("sequential read of 1 MiB, checksums checked: {rate:.0} MB/s");
    let begin = Instant::now();
    let read_count = 200_000;
    for _ in 0..read_count {
        let slice = view.read(end - 10, 1 << 20, true, end).unwrap();
        assert_eq!(slice.next_offset, end);
    }
    println!("read of the last batch: {} ns", begin.elapsed().as_nanos() / read_count);
}

fn measure_start(storage: &Arc<dyn Storage>, dir: &Path, count: usize, mib: usize) {
    let mut marks = Vec::new();
    for i in 0..count {
        let path = dir.join(format!("partition-{i}"));
        let mut log = create(storage, &path);
        let size = 16 << 10;
        let body = Bytes::from(vec![i as u8; size - HEADER_SIZE]);
        let template = batch_with(0, body);
        for _ in 0..mib {
            let batches: Vec<Batch> = (0..64)
                .map(|i| {
                    let mut batch = template.clone();
                    batch.stamp(log.end() + i * 10, 1);
                    batch
                })
                .collect();
            log.append(&batches).unwrap();
            while let Some(job) = log.poll_background() {
                log.handle_background(job.run()).unwrap();
            }
        }
        let job = log.poll_sync().unwrap();
        marks.push((path, log.handle_synced(job.run()).unwrap()));
    }
    let begin = Instant::now();
    let mut logs = Vec::new();
    let mut scanned = 0;
    for (path, mark) in &marks {
        let (log, report) = Log::open(storage.clone(), path, LogConfig::default(), *mark).unwrap();
        assert_eq!(log.end(), *mark);
        scanned += report.scanned_size;
        logs.push(log);
    }
    println!(
        "open {count} partitions of {mib} MiB: {} ms, {} MiB walked, one thread",
        begin.elapsed().as_millis(),
        scanned >> 20
    );
}

fn create(storage: &Arc<dyn Storage>, dir: &Path) -> Log {
    let _ = std::fs::remove_dir_all(dir);
    std::fs::create_dir_all(dir).unwrap();
    Log::create(storage.clone(), dir, LogConfig::default()).unwrap()
}

fn batch(base_offset: u64, size: usize) -> Batch {
    let mut batch = batch_with(0, vec![7; size - HEADER_SIZE].into());
    batch.stamp(base_offset, 1);
    batch
}

/// A batch of ten records with a right checksum.
fn batch_with(base_offset: u64, body: Bytes) -> Batch {
    let mut out = vec![0; HEADER_SIZE];
    out.extend_from_slice(&body);
    let size = (out.len() - 12) as i32;
    out[8..12].copy_from_slice(&size.to_be_bytes());
    out[16] = 2;
    out[23..27].copy_from_slice(&9_i32.to_be_bytes());
    out[43..51].copy_from_slice(&(-1_i64).to_be_bytes());
    out[57..61].copy_from_slice(&10_i32.to_be_bytes());
    let checksum = crc_fast::crc32_iscsi(&out[21..]);
    out[17..21].copy_from_slice(&checksum.to_be_bytes());
    let mut batch = Batch::parse(out.into()).unwrap().0;
    batch.stamp(base_offset, 1);
    batch
}
