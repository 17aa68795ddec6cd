//! A writer process is killed 200 times at random points; everything it acknowledged survives.
//!
//! The test starts itself as the writer. Kills do not test the device (the page cache survives
//! them) but every state that the files can be in between two calls.

mod support;

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use support::{BatchSpec, Random, read_all, run_background, small_config};
use synod_log::batch::{Batch, BatchHeader};
use synod_log::os::OsStorage;
use synod_log::storage::Storage;
use synod_log::{Log, LogConfig};

const KILL_COUNT: u64 = 200;
const DIR_VAR: &str = "SYNOD_LOG_KILL_DIR";
const MARK_VAR: &str = "SYNOD_LOG_KILL_MARK";
const SEED_VAR: &str = "SYNOD_LOG_SEED";

fn config() -> LogConfig {
    LogConfig { retention_size: Some(300_000), ..small_config() }
}

fn storage() -> Arc<dyn Storage> {
    Arc::new(OsStorage)
}

/// The batch that any incarnation writes at this offset in this leader epoch.
fn batch_at(base_offset: u64, leader_epoch: i32) -> Batch {
    let mut random = Random::new(base_offset * 1000 + leader_epoch as u64);
    let count = 1 + random.below(10) as u32;
    let body = (0..random.below(2500)).map(|_| random.next() as u8).collect();
    let spec = BatchSpec::new(base_offset, count).leader_epoch(leader_epoch).body(body);
    spec.producer(5, 0, (base_offset % (1 << 31)) as i32).batch()
}

/// The writer: appends, syncs and says what is durable, until it is killed.
#[test]
#[ignore = "run by the other test as a process of its own"]
fn writer() {
    let Ok(dir) = std::env::var(DIR_VAR) else { return };
    let number = |name| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(0);
    let (mark, mut random) = (number(MARK_VAR), Random::new(number(SEED_VAR)));
    let (mut log, report) = Log::open(storage(), Path::new(&dir), config(), mark).expect("opened");
    assert!(report.faulty.is_empty(), "{report:?}");
    let mut epoch = log.epochs().latest().unwrap_or(0) + 1;
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nopened").expect("said");
    loop {
        for _ in 0..1 + random.below(4) {
            let batch = batch_at(log.end(), epoch);
            log.append(&[batch]).expect("appended");
        }
        if random.chance(8) {
            log.truncate(log.durable_end()).expect("truncated");
            epoch += 1;
        }
        if random.chance(5) {
            log.retain(0, log.durable_end()).expect("retained");
        }
        if random.chance(5) {
            log.trim(log.start() + (log.durable_end() - log.start()) / 10).expect("trimmed");
        }
        if random.chance(60) {
            run_background(&mut log);
        }
        while let Some(job) = log.poll_sync() {
            let durable_end = log.handle_synced(job.run()).expect("synced");
            writeln!(out, "durable {durable_end}").expect("said");
            out.flush().expect("said");
        }
        if random.chance(3) {
            // A clean end and a new beginning.
            let mark = log.close().expect("closed");
            let (opened, report) =
                Log::open(storage(), Path::new(&dir), config(), mark).expect("opened");
            assert!(report.is_clean(), "{report:?}");
            log = opened;
        }
    }
}

/// Runs the writer until it has said `count` ends, kills it, and returns the last one it said.
fn run_and_kill(dir: &Path, mark: u64, seed: u64, count: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "writer", "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIR_VAR, dir)
        .env(MARK_VAR, mark.to_string())
        .env(SEED_VAR, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut said = BufReader::new(child.stdout.take().expect("piped")).lines();
    let (mut acked, mut seen) = (mark, 0);
    let mut opened = false;
    for line in said.by_ref().map_while(Result::ok) {
        opened |= line == "opened";
        if let Some(end) = line.strip_prefix("durable ").and_then(|n| n.parse().ok()) {
            acked = acked.max(end);
            seen += 1;
        }
        if opened && seen >= count {
            break;
        }
    }
    child.kill().expect("killed");
    // It may have said more before it died.
    for line in said.map_while(Result::ok) {
        if let Some(end) = line.strip_prefix("durable ").and_then(|n| n.parse().ok()) {
            acked = acked.max(end);
        }
    }
    let output = child.wait_with_output().expect("ended");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code().is_none(), "the writer failed: {complaint}");
    acked
}

fn verify(dir: &Path, acked: u64) {
    let (log, report) = Log::open(storage(), dir, config(), acked).expect("opened");
    assert!(report.faulty.is_empty(), "{report:?}");
    assert!(log.end() >= acked, "acknowledged up to {acked}, held up to {}", log.end());
    for bytes in read_all(&log.view(), log.start(), log.end()) {
        let header = BatchHeader::parse(&bytes).expect("a batch");
        let expected = batch_at(header.base_offset(), header.leader_epoch());
        assert_eq!(bytes, expected.to_bytes(), "at {}", header.base_offset());
    }
    let last = log.producers().state(5).and_then(|s| s.batches().next_back().copied());
    assert!(
        log.end() == log.start()
            || last.is_some_and(|b| {
                b.base_offset + u64::from(b.last_offset_delta) + 1 == log.end()
            })
    );
}

#[test]
fn what_was_acknowledged_survives_two_hundred_kills() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().to_owned();
    drop(Log::create(storage(), &path, config()).expect("created"));
    let mut random = Random::new(11);
    let mut acked = 0;
    for round in 0..KILL_COUNT {
        let count = match round % 4 {
            0 => 0,
            _ => random.below(12),
        };
        acked = run_and_kill(&path, acked, random.next(), count);
        if round % 5 == 4 {
            verify(&path, acked);
        }
    }
    verify(&path, acked);
    assert!(acked > 1000, "the writer got somewhere: {acked}");
}
