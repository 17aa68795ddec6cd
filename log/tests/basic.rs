//! The partition log on a real file system, feature by feature.

mod support;

use std::path::PathBuf;
use std::sync::Arc;

use support::{BatchSpec, open, read_all, run_background, small_config, split, sync};
use synod_log::batch::Batch;
use synod_log::memory::{Fault, MemoryStorage};
use synod_log::os::OsStorage;
use synod_log::producers::ProducerCheck;
use synod_log::storage::Storage;
use synod_log::{Log, LogConfig, LogError};

struct Bench {
    _dir: tempfile::TempDir,
    path: PathBuf,
    storage: Arc<dyn Storage>,
    config: LogConfig,
}

fn bench() -> (Bench, Log) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let storage: Arc<dyn Storage> = Arc::new(OsStorage);
    let config = small_config();
    let path = dir.path().to_owned();
    let log = Log::create(storage.clone(), &path, config.clone()).expect("created");
    (Bench { _dir: dir, path, storage, config }, log)
}

impl Bench {
    fn reopen(&self, log: Log) -> Log {
        let mark = log.close().expect("closed");
        let (log, report) = open(&self.storage, &self.path, &self.config, mark);
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(log.end(), mark);
        log
    }

    fn names(&self) -> Vec<String> {
        let entries = self.storage.list(&self.path).expect("listed");
        entries.into_iter().map(|e| e.name).collect()
    }
}

/// Appends `count` batches of ten records, a kilobyte each.
fn fill(log: &mut Log, count: u64) -> Vec<Batch> {
    let batches: Vec<Batch> = (0..count)
        .map(|i| BatchSpec::new(log.end() + i * 10, 10).body(vec![i as u8; 1000]).batch())
        .collect();
    log.append(&batches).expect("appended");
    batches
}

#[test]
fn an_empty_log_is_one_empty_file() {
    let (bench, log) = bench();
    assert_eq!((log.start(), log.durable_end(), log.end()), (0, 0, 0));
    assert_eq!(bench.names(), ["00000000000000000000.log"]);
    assert_eq!(std::fs::metadata(bench.path.join(&bench.names()[0])).expect("there").len(), 0);
    assert!(log.view().read(0, 100, true, 0).expect("empty").is_empty());
    let mut log = bench.reopen(log);
    assert!(log.poll_sync().is_none());
    assert!(log.poll_background().is_none());
    assert_eq!(bench.names(), ["00000000000000000000.log"]);
}

#[test]
fn appended_batches_are_read_back_unchanged_and_survive() {
    let (bench, mut log) = bench();
    let batches = fill(&mut log, 5);
    assert_eq!((log.durable_end(), log.end()), (0, 50));
    assert_eq!(sync(&mut log), 50);
    let wire: Vec<_> = batches.iter().map(Batch::to_bytes).collect();
    assert_eq!(read_all(&log.view(), 0, 50), wire);
    let log = bench.reopen(log);
    assert_eq!(read_all(&log.view(), 0, 50), wire);
}

#[test]
fn a_read_returns_the_whole_batch_around_the_offset_and_nothing_beyond_the_end() {
    let (_bench, mut log) = bench();
    fill(&mut log, 5);
    let view = log.view();
    let slice = view.read(25, 10_000, true, 40).expect("read");
    assert_eq!((slice.first_offset, slice.next_offset), (20, 40));
    assert_eq!(split(&slice.batches).len(), 2);
    assert!(view.read(25, 10, false, 40).expect("read").is_empty());
    assert_eq!(view.read(25, 10, true, 40).expect("read").next_offset, 30);
    assert_eq!(view.read(25, 10_000, true, 35).expect("read").next_offset, 30);
    assert!(view.read(25, 10_000, true, 29).expect("read").is_empty());
    let outside = view.read(41, 1, true, 40);
    assert!(matches!(outside, Err(LogError::OutOfRange { offset: 41, .. })), "{outside:?}");
}

#[test]
fn a_slice_outlives_its_segment() {
    let (bench, mut log) = bench();
    let batches = fill(&mut log, 40);
    sync(&mut log);
    let slice = log.view().read(0, 5000, true, 400).expect("read");
    log.trim(300).expect("trimmed");
    run_background(&mut log);
    assert!(!bench.names().contains(&"00000000000000000000.log".to_owned()));
    drop(log);
    assert_eq!(split(&slice.batches)[0], batches[0].to_bytes());
}

#[test]
fn segments_roll_by_size() {
    let (bench, mut log) = bench();
    fill(&mut log, 40);
    sync(&mut log);
    assert_eq!(log.view().segment_count(), 3);
    run_background(&mut log);
    let indexes = bench.names().iter().filter(|n| n.ends_with(".index")).count();
    assert_eq!(indexes, 2, "sealed segments have their footer: {:?}", bench.names());
    let log = bench.reopen(log);
    assert_eq!(read_all(&log.view(), 0, 400).len(), 40);
}

#[test]
fn segments_roll_by_the_age_of_the_appended_batch() {
    let (_bench, mut log) = bench();
    log.set_config(LogConfig { segment_ms: Some(1000), ..small_config() });
    for (i, timestamp) in [5000, 5999, 4000, 6000].into_iter().enumerate() {
        let batch = BatchSpec::new(i as u64, 1).timestamp(timestamp).batch();
        log.append(&[batch]).expect("appended");
    }
    assert_eq!(log.view().segment_count(), 2);
}

#[test]
fn a_batch_larger_than_a_segment_gets_its_own() {
    let (_bench, mut log) = bench();
    fill(&mut log, 1);
    let large = BatchSpec::new(10, 1).body(vec![7; 100_000]).batch();
    log.append(std::slice::from_ref(&large)).expect("appended");
    fill(&mut log, 1);
    assert_eq!(log.view().segment_count(), 3);
    let slice = log.view().read(10, 10, true, 21).expect("read");
    assert_eq!(slice.batches, [large.to_bytes()]);
}

#[test]
fn what_does_not_continue_the_log_is_refused() {
    let (_bench, mut log) = bench();
    fill(&mut log, 1);
    for wrong in [
        BatchSpec::new(9, 1),
        BatchSpec::new(11, 1),
        BatchSpec::new(10, 1).leader_epoch(0),
        BatchSpec::new(10, 1).leader_epoch(-1),
    ] {
        let result = log.append(&[wrong.batch()]);
        assert!(matches!(result, Err(LogError::NotContiguous { .. })), "{result:?}");
    }
    assert_eq!(log.end(), 10);
}

#[test]
fn truncation_cuts_segments_epochs_and_producers() {
    let (bench, mut log) = bench();
    for i in 0..60 {
        let spec = BatchSpec::new(i, 1).leader_epoch(1 + i as i32 / 20).body(vec![1; 1000]);
        log.append(&[spec.producer(9, 0, i as i32).batch()]).expect("appended");
    }
    sync(&mut log);
    run_background(&mut log);
    assert!(log.view().segment_count() > 3);
    log.truncate(25).expect("truncated");
    assert_eq!((log.durable_end(), log.end()), (25, 25));
    assert_eq!(log.epochs().latest(), Some(2));
    assert_eq!(log.producers().state(9).and_then(|s| s.last_sequence()), Some(24));
    let log = bench.reopen(log);
    assert_eq!(read_all(&log.view(), 0, 25).len(), 25);
    assert_eq!(log.producers().state(9).and_then(|s| s.last_sequence()), Some(24));
    assert_eq!(log.view().epoch_end_offset(1, 25), Some((1, 20)));
}

#[test]
fn truncation_inside_a_batch_is_refused() {
    let (_bench, mut log) = bench();
    fill(&mut log, 3);
    let result = log.truncate(15);
    assert!(matches!(result, Err(LogError::InsideBatch { offset: 15 })), "{result:?}");
    assert_eq!(log.end(), 30);
    log.truncate(20).expect("truncated");
    log.truncate(0).expect("truncated");
    fill(&mut log, 1);
    assert_eq!(log.end(), 10);
}

#[test]
fn a_trim_inside_a_batch_survives_a_restart() {
    let (bench, mut log) = bench();
    fill(&mut log, 3);
    sync(&mut log);
    log.trim(15).expect("trimmed");
    let log = bench.reopen(log);
    assert_eq!(log.start(), 15);
    assert!(matches!(log.view().read(14, 1, true, 30), Err(LogError::OutOfRange { .. })));
    assert_eq!(log.view().read(15, 1, true, 30).expect("read").first_offset, 10);
}

#[test]
fn a_restart_begins_empty_at_the_offset() {
    let (bench, mut log) = bench();
    let batch = BatchSpec::new(0, 10).leader_epoch(3).producer(1, 0, 0).batch();
    log.append(&[batch]).expect("appended");
    sync(&mut log);
    log.restart_at(1000).expect("restarted");
    assert_eq!((log.start(), log.durable_end(), log.end()), (1000, 1000, 1000));
    assert!(log.producers().is_empty());
    run_background(&mut log);
    let mut log = bench.reopen(log);
    assert_eq!((log.start(), log.end()), (1000, 1000));
    let next = BatchSpec::new(1000, 5).leader_epoch(3).batch();
    log.append(&[next]).expect("appended");
    let log = bench.reopen(log);
    assert_eq!((log.start(), log.end()), (1000, 1005));
    assert_eq!(log.epochs().epoch_at(1000), Some(3));
}

#[test]
fn timestamps_are_found_through_the_index() {
    let (bench, mut log) = bench();
    for i in 0..200 {
        let spec = BatchSpec::new(i, 1).timestamp(1000 + 10 * i as i64).body(vec![0; 300]);
        log.append(&[spec.batch()]).expect("appended");
    }
    sync(&mut log);
    run_background(&mut log);
    let log = bench.reopen(log);
    let view = log.view();
    for (timestamp, offset) in [(0, 0), (1000, 0), (1001, 1), (1495, 50), (2990, 199)] {
        let found = view.batch_for_timestamp(timestamp, 200).expect("searched").expect("found");
        let (batch, _) = Batch::parse(found).expect("a batch");
        assert_eq!(batch.base_offset(), offset, "timestamp {timestamp}");
    }
    assert_eq!(view.batch_for_timestamp(2991, 200).expect("searched"), None);
    assert_eq!(view.batch_for_timestamp(2000, 100).expect("searched"), None);
    assert_eq!(view.max_timestamp(200).expect("searched"), Some(2990));
    assert_eq!(view.max_timestamp(77).expect("searched"), Some(1760));
    assert_eq!(view.max_timestamp(0).expect("searched"), None);
}

#[test]
fn retention_by_age_drops_expired_segments_even_the_active_one() {
    let (bench, mut log) = bench();
    fill(&mut log, 40);
    sync(&mut log);
    log.set_config(LogConfig { retention_ms: Some(1000), ..small_config() });
    assert_eq!(log.retain(1_001_000, 400).expect("retained"), None);
    // Fifteen batches fit in a segment; its newest record is that of the last batch.
    let newest_of_first = 1_000_000 + 140;
    assert_eq!(log.retain(newest_of_first + 1000, 400).expect("retained"), None);
    assert_eq!(log.retain(newest_of_first + 1001, 400).expect("retained"), Some(150));
    assert_eq!(log.retain(i64::MAX, 399).expect("retained"), Some(300), "not what is undecided");
    assert_eq!(log.retain(i64::MAX, 400).expect("retained"), Some(400));
    assert_eq!(log.retain(i64::MAX, 400).expect("retained"), None);
    run_background(&mut log);
    let mut log = bench.reopen(log);
    assert_eq!((log.start(), log.end()), (400, 400));
    fill(&mut log, 1);
}

#[test]
fn retention_by_size_keeps_at_least_that_much() {
    let (bench, mut log) = bench();
    fill(&mut log, 60);
    sync(&mut log);
    let size = log.view().size();
    log.set_config(LogConfig { retention_size: Some(20_000), ..small_config() });
    assert_eq!(log.retain(0, 100).expect("retained"), None, "nothing below the decided end");
    let start = log.retain(0, 600).expect("retained").expect("moved");
    assert!(log.view().size() >= 20_000 && log.view().size() < size);
    run_background(&mut log);
    let log = bench.reopen(log);
    assert_eq!(log.start(), start);
}

#[test]
fn producer_states_survive_a_restart() {
    let (bench, mut log) = bench();
    for i in 0..100 {
        let batch = BatchSpec::new(i, 1).producer(i as i64 % 7, 0, i as i32 / 7).batch();
        assert_eq!(log.producers().check(&batch.header().into()), ProducerCheck::Append);
        log.append(&[batch]).expect("appended");
    }
    sync(&mut log);
    let before = log.producers().clone();
    let log = bench.reopen(log);
    assert_eq!(log.producers(), &before);
    let repeated = BatchSpec::new(0, 1).producer(1, 0, 14).batch();
    let check = log.producers().check(&repeated.header().into());
    assert!(matches!(check, ProducerCheck::Duplicate(b) if b.base_offset == 99), "{check:?}");
    drop(log);
    for name in bench.names().iter().filter(|n| n.ends_with(".snapshot")) {
        std::fs::write(bench.path.join(name), b"damaged").expect("written");
    }
    let (log, _) = open(&bench.storage, &bench.path, &bench.config, 100);
    assert_eq!(log.producers(), &before, "found again from the batches");
}

#[test]
fn a_full_disk_is_an_ordinary_error() {
    let memory = MemoryStorage::new(1);
    memory.create_dir("/log".as_ref()).expect("created");
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let mut log = Log::create(storage.clone(), "/log".as_ref(), small_config()).expect("created");
    fill(&mut log, 3);
    sync(&mut log);
    memory.set_capacity(Some(20_000));
    let mut refused = 0;
    for _ in 0..50 {
        let batch = BatchSpec::new(log.end(), 10).body(vec![3; 1000]).batch();
        match log.append(&[batch]) {
            Ok(()) => {}
            Err(LogError::DiskFull { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        run_background(&mut log);
        sync(&mut log);
    }
    assert!(refused > 0);
    let full_at = log.end();
    assert_eq!(read_all(&log.view(), 0, full_at).len() as u64, full_at / 10);
    log.set_config(LogConfig { retention_size: Some(0), ..small_config() });
    memory.set_capacity(None);
    log.tick(0);
    fill(&mut log, 30);
    assert_eq!(sync(&mut log), full_at + 300);
    memory.crash();
    let (log, report) = open(&storage, "/log".as_ref(), &small_config(), full_at + 300);
    assert!(report.faulty.is_empty(), "{report:?}");
    assert_eq!(log.end(), full_at + 300);
}

#[test]
fn a_failed_sync_poisons_the_log() {
    use synod_log::memory::Fault;
    let memory = MemoryStorage::new(1);
    memory.create_dir("/log".as_ref()).expect("created");
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let mut log = Log::create(storage, "/log".as_ref(), small_config()).expect("created");
    fill(&mut log, 3);
    let path = PathBuf::from("/log/00000000000000000000.log");
    memory.aim(&path, Fault::SyncError).expect("aimed");
    let job = log.poll_sync().expect("something to sync");
    let result = log.handle_synced(job.run());
    assert!(matches!(result, Err(LogError::Io { .. })), "{result:?}");
    assert_eq!(log.durable_end(), 0);
    assert!(log.poll_sync().is_none());
    let batch = BatchSpec::new(30, 1).batch();
    assert!(matches!(log.append(&[batch]), Err(LogError::Poisoned)));
    assert!(matches!(log.truncate(0), Err(LogError::Poisoned)));
}

/// Several segments that are rolled and not sealed yet.
fn rolled() -> (MemoryStorage, Log) {
    let memory = MemoryStorage::new(1);
    memory.create_dir("/log".as_ref()).expect("created");
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let mut log = Log::create(storage, "/log".as_ref(), small_config()).expect("created");
    fill(&mut log, 20);
    sync(&mut log);
    (memory, log)
}

/// Damages the sixth batch.
fn damage(memory: &MemoryStorage) {
    let path = PathBuf::from("/log/00000000000000000000.log");
    memory.flip_bit(&path, 5 * 1061 + 200, 3).expect("flipped");
}

#[test]
fn reads_never_serve_damage_and_the_log_hears_of_it() {
    let (memory, mut log) = rolled();
    damage(&memory);
    let view = log.view();
    assert_eq!(view.read(40, 10_000, true, 200).expect("the one before").next_offset, 50);
    let read = view.read(50, 10_000, true, 200);
    assert!(
        matches!(&read, Err(LogError::Corrupt { offsets, .. }) if *offsets == (50..60)),
        "{read:?}"
    );
    assert_eq!(view.read(60, 1, true, 200).expect("the one behind").next_offset, 70);
    log.tick(0);
    assert!(matches!(log.corrupt(), [found] if *found == (50..60)), "{:?}", log.corrupt());
    run_background(&mut log);
    fill(&mut log, 1);
}

#[test]
fn sealing_reads_what_was_found_on_the_disk() {
    let (memory, log) = rolled();
    let mark = log.durable_end();
    drop(log);
    let opened = Log::open(Arc::new(memory.clone()), "/log".as_ref(), small_config(), mark);
    let (mut log, _) = opened.expect("opened");
    assert!(log.corrupt().is_empty());
    damage(&memory);
    run_background(&mut log);
    assert_eq!(log.corrupt().len(), 1);
    assert_eq!(log.corrupt()[0].start, 50);
    run_background(&mut log);
    fill(&mut log, 1);
}

/// A segment that was created for nothing may come back after a power loss: not where it would hide
/// what was appended since.
#[test]
fn a_roll_that_found_no_space_leaves_nothing_behind() {
    for seed in 0..40 {
        let twin = Arc::new(MemoryStorage::new(seed));
        let path = std::path::Path::new("/p");
        twin.create_dir(path).expect("twin");
        twin.sync_dir(std::path::Path::new("/")).expect("twin");
        let mut log = Log::create(twin.clone(), path, small_config()).expect("created");
        let append = |size: usize, log: &mut Log| {
            let batch = BatchSpec::new(log.end(), 1).body(vec![1; size]).batch();
            log.append(&[batch])
        };
        let segment_size = u64::from(small_config().segment_size.get());
        while log.view().size() + 2_000 < segment_size {
            append(100, &mut log).expect("appended");
        }
        sync(&mut log);
        run_background(&mut log);
        twin.set_capacity(Some(0));
        assert!(matches!(append(4_000, &mut log), Err(LogError::DiskFull { .. })), "a roll");
        append(100, &mut log).expect("there is space in the old segment");
        let mark = sync(&mut log);
        drop(log);
        twin.set_capacity(None);
        twin.crash();
        let (log, report) = open(&(twin as Arc<dyn Storage>), path, &small_config(), mark);
        assert_eq!((log.end(), &report.faulty), (mark, &vec![]), "seed {seed}: {report:?}");
    }
}

/// Producers are folded anew after a truncation: one that is left out could have its batches
/// appended twice.
#[test]
fn a_truncation_that_cannot_fold_the_producers_fails() {
    let twin = Arc::new(MemoryStorage::new(7));
    let path = std::path::Path::new("/p");
    twin.create_dir(path).expect("twin");
    let mut log = Log::create(twin.clone(), path, small_config()).expect("created");
    for i in 0..4 {
        log.append(&[BatchSpec::new(i, 1).producer(9, 0, i as i32).batch()]).expect("appended");
    }
    sync(&mut log);
    twin.schedule(twin.operation_count(), Fault::ReadError);
    log.truncate(3).expect("a read that fails once is repeated");
    assert_eq!(log.producers().state(9).and_then(|s| s.last_sequence()), Some(2));

    twin.set_unreadable(&path.join("00000000000000000000.log"), 0..10).expect("unreadable");
    assert!(matches!(log.truncate(2), Err(LogError::Corrupt { .. })));
    drop(log);
    let (log, report) = open(&(twin as Arc<dyn Storage>), path, &small_config(), 2);
    assert!(!report.faulty.is_empty() && !log.corrupt().is_empty(), "{report:?}");
}
