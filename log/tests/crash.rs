//! The power goes at every single operation of a roll, a truncation, a trim, a restart: what the
//! log is afterwards is one of the states that its promises allow.

mod support;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use support::{BatchSpec, open, read_all, run_background, small_config, sync};
use synod_log::batch::Batch;
use synod_log::memory::{Fault, MemoryStorage};
use synod_log::storage::Storage;
use synod_log::{Log, LogConfig, LogError};

const DIR: &str = "/p";
/// Outcomes of one power cut: what was not synced is kept, lost or torn by chance.
const SEED_COUNT: u64 = 6;

fn config() -> LogConfig {
    LogConfig { segment_size: 5000.try_into().expect("not zero"), ..small_config() }
}

fn batch(base_offset: u64, leader_epoch: i32) -> Batch {
    let body = vec![leader_epoch as u8; 900];
    BatchSpec::new(base_offset, 1).leader_epoch(leader_epoch).body(body).batch()
}

fn batches(range: std::ops::Range<u64>, leader_epoch: i32) -> Vec<Batch> {
    range.map(|i| batch(i, leader_epoch)).collect()
}

fn wire(batches: &[Batch]) -> Vec<Bytes> {
    batches.iter().map(Batch::to_bytes).collect()
}

/// A disk with a synced log of `count` batches.
fn prepared(count: u64) -> MemoryStorage {
    let memory = MemoryStorage::new(1);
    memory.create_dir(DIR.as_ref()).expect("created");
    memory.sync_dir("/".as_ref()).expect("synced");
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let mut log = Log::create(storage, DIR.as_ref(), config()).expect("created");
    for b in batches(0..count, 1) {
        log.append(&[b]).expect("appended");
        sync(&mut log);
        run_background(&mut log);
    }
    memory
}

/// Cuts the power at each operation of `act` in turn, and hands the log that is found afterwards to
/// `check`, together with what `act` had reached.
fn at_every_operation<T: Default>(
    memory: &MemoryStorage,
    mark: u64,
    act: impl Fn(&mut Log, &mut T) -> Result<(), LogError>,
    check: impl Fn(Log, Vec<Bytes>, T, &Arc<dyn Storage>, &MemoryStorage),
) {
    for seed in 0..SEED_COUNT {
        for cut_after in 0.. {
            let disk = memory.fork(seed * 10_000 + cut_after);
            let storage: Arc<dyn Storage> = Arc::new(disk.clone());
            let (mut log, _) = open(&storage, DIR.as_ref(), &config(), mark);
            disk.schedule(disk.operation_count() + cut_after, Fault::PowerOff);
            let mut reached = T::default();
            let finished = act(&mut log, &mut reached).is_ok();
            drop(log);
            while storage.list(DIR.as_ref()).is_ok() {}
            disk.crash();
            let opened = Log::open(storage.clone(), Path::new(DIR), config(), mark);
            let (log, report) = opened.expect("opened");
            assert!(report.faulty.is_empty(), "after {cut_after} operations: {report:?}");
            let held = read_all(&log.view(), log.start(), log.end());
            check(log, held, reached, &storage, &disk);
            if finished {
                break;
            }
        }
    }
}

#[test]
fn a_power_cut_during_a_roll_keeps_what_was_synced() {
    let memory = prepared(4);
    let all = wire(&batches(0..12, 1));
    let act = |log: &mut Log, synced: &mut u64| {
        for some in batches(4..12, 1).chunks(3) {
            log.append(some)?;
            while let Some(job) = log.poll_sync() {
                *synced = log.handle_synced(job.run())?;
            }
            while let Some(job) = log.poll_background() {
                log.handle_background(job.run())?;
            }
        }
        Ok(())
    };
    at_every_operation(&memory, 4, act, |log, held, synced, _, _| {
        assert!(log.end() >= synced.max(4), "synced to {synced}, found {}", log.end());
        assert_eq!(held, all[..held.len()]);
    });
}

#[test]
fn a_power_cut_during_a_truncation_leaves_a_prefix() {
    let memory = prepared(12);
    let old = wire(&batches(0..12, 1));
    for end in [3, 5, 6, 9] {
        let act = |log: &mut Log, done: &mut bool| {
            log.truncate(end)?;
            *done = true;
            Ok(())
        };
        // The mark was lowered before, as the rule says.
        at_every_operation(&memory, end, act, |log, held, done, _, _| {
            assert!(log.end() >= end && (!done || log.end() == end), "{} {done}", log.end());
            assert_eq!(held, old[..held.len()]);
        });
    }
}

/// A process is killed in the middle of a sync, or right after it failed, before it could note
/// that. What memory still holds then may never reach the device, however often it is synced.
#[test]
fn what_a_killed_process_had_not_synced_is_not_believed_because_memory_has_it() {
    let memory = prepared(4);
    for fault in [Fault::SyncError, Fault::PowerOff] {
        for (seed, after) in (0..20).flat_map(|seed| (0..8).map(move |after| (seed, after))) {
            let disk = memory.fork(seed);
            let storage: Arc<dyn Storage> = Arc::new(disk.clone());
            let (mut log, _) = open(&storage, DIR.as_ref(), &config(), 4);
            log.append(&batches(4..7, 2)).expect("appended");
            let job = log.poll_sync().expect("something to sync");
            disk.schedule(disk.operation_count() + after, fault);
            drop((job.run(), log));
            disk.clear_faults();
            disk.kill();
            let (mut log, _) = open(&storage, DIR.as_ref(), &config(), 4);
            let mark = sync(&mut log);
            drop(log);
            disk.crash();
            let (log, report) = open(&storage, DIR.as_ref(), &config(), mark);
            assert!(report.faulty.is_empty(), "{fault:?} after {after}, {seed}: {report:?}");
            assert!(log.end() >= mark);
        }
    }
}

#[test]
fn cut_batches_never_come_back() {
    let memory = prepared(12);
    let old = wire(&batches(0..12, 1));
    for end in [5, 6, 8] {
        let new = batches(end..end + 3, 2);
        let act = |log: &mut Log, synced: &mut u64| {
            log.truncate(end)?;
            *synced = end;
            // Of the same size as the old ones: each old batch behind would fit.
            for b in &new {
                log.append(std::slice::from_ref(b))?;
                if let Some(job) = log.poll_sync() {
                    *synced = log.handle_synced(job.run())?;
                }
            }
            Ok(())
        };
        let expected = [&old[..end as usize], &wire(&new)].concat();
        at_every_operation(&memory, end, act, |log, held, synced, storage, disk| {
            if synced == 0 {
                assert_eq!(held, old[..held.len()], "not truncated yet, or half");
                return;
            }
            assert!(log.end() >= synced);
            assert_eq!(held, expected[..held.len()], "an overruled batch is back");
            // Nor after going on from there and another cut.
            let (mut log, mark) = (log, synced);
            let next = batches(log.end()..log.end() + 1, 3);
            log.append(&next).expect("appended");
            let known = [&held[..], &wire(&next)].concat();
            drop(log);
            disk.crash();
            let (log, _) = open(storage, DIR.as_ref(), &config(), mark);
            let held = read_all(&log.view(), 0, log.end());
            assert_eq!(held, known[..held.len()], "an overruled batch is back");
        });
    }
}

#[test]
fn what_recovery_cuts_never_comes_back() {
    for seed in 0..60 {
        let disk = prepared(2).fork(seed);
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        let (mut log, _) = open(&storage, DIR.as_ref(), &config(), 2);
        log.append(&batches(2..10, 1)).expect("appended");
        drop(log);
        disk.crash();
        let (mut log, _) = open(&storage, DIR.as_ref(), &config(), 2);
        let kept = log.end();
        let mut known = read_all(&log.view(), 0, kept);
        for round in 0..3 {
            let next = batches(log.end()..log.end() + 1, 2 + round);
            log.append(&next).expect("appended");
            known.extend(wire(&next));
            drop(log);
            disk.crash();
            log = open(&storage, DIR.as_ref(), &config(), 2).0;
            let held = read_all(&log.view(), 0, log.end());
            assert_eq!(held, known[..held.len()], "seed {seed}");
            known = held;
        }
    }
}

#[test]
fn a_power_cut_during_a_trim_moves_the_start_or_not() {
    let memory = prepared(12);
    let old = wire(&batches(0..12, 1));
    let act = |log: &mut Log, done: &mut bool| {
        log.trim(7)?;
        *done = true;
        while let Some(job) = log.poll_background() {
            log.handle_background(job.run())?;
        }
        Ok(())
    };
    at_every_operation(&memory, 12, act, |log, held, done, _, _| {
        assert!(log.start() == 7 || log.start() == 0 && !done, "{} {done}", log.start());
        assert_eq!(log.end(), 12);
        assert_eq!(held, old[log.start() as usize..]);
    });
}

#[test]
fn a_power_cut_during_a_restart_leaves_all_or_nothing() {
    let memory = prepared(12);
    let old = wire(&batches(0..12, 1));
    let act = |log: &mut Log, done: &mut bool| {
        log.restart_at(100)?;
        *done = true;
        while let Some(job) = log.poll_background() {
            log.handle_background(job.run())?;
        }
        Ok(())
    };
    at_every_operation(&memory, 12, act, |mut log, held, done, _, _| {
        if log.start() == 100 {
            assert_eq!((log.end(), held.len()), (100, 0));
            log.append(&[batch(100, 9)]).expect("appended");
        } else {
            assert!(!done);
            assert_eq!(held, old);
        }
    });
}

#[test]
fn a_power_cut_during_retention_keeps_a_log_without_gaps() {
    let memory = prepared(30);
    let old = wire(&batches(0..30, 1));
    for is_full in [false, true] {
        let act = |log: &mut Log, _: &mut ()| {
            let limited = LogConfig { retention_size: Some(6000), ..config() };
            log.set_config(limited);
            log.retain(0, 30)?;
            while let Some(job) = log.poll_background() {
                log.handle_background(job.run())?;
            }
            Ok(())
        };
        let memory = memory.fork(9);
        if is_full {
            memory.set_capacity(Some(1));
        }
        at_every_operation(&memory, 30, act, |log, held, (), _, _| {
            assert_eq!(log.end(), 30);
            assert_eq!(held, old[log.start() as usize..]);
        });
    }
}

#[test]
fn retention_works_on_a_full_disk() {
    let memory = prepared(30);
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let limited = LogConfig { retention_size: Some(6000), ..config() };
    let (mut log, _) = open(&storage, DIR.as_ref(), &limited, 30);
    let used = storage.list(DIR.as_ref()).expect("listed").iter().map(|e| e.size).sum();
    memory.set_capacity(Some(used));
    let full = log.append(&batches(30..40, 1));
    assert!(matches!(full, Err(LogError::DiskFull { .. })), "{full:?}");
    let start = log.retain(0, 30).expect("retained").expect("moved");
    run_background(&mut log);
    log.tick(0);
    run_background(&mut log);
    log.append(&batches(30..32, 1)).expect("there is room again");
    sync(&mut log);
    drop(log);
    let (log, report) = open(&storage, DIR.as_ref(), &limited, 32);
    assert!(report.faulty.is_empty(), "{report:?}");
    assert_eq!((log.start(), log.end()), (start, 32));
}

#[test]
fn a_faulty_tail_is_given_up_only_on_demand() {
    let memory = prepared(4);
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let path = Path::new(DIR).join("00000000000000000000.log");
    memory.flip_bit(&path, 2 * 961 + 16, 0).expect("flipped");
    for _ in 0..2 {
        let (mut log, report) = open(&storage, DIR.as_ref(), &config(), 4);
        assert_eq!(report.faulty.len(), 1, "and it is not cut: the same again");
        assert_eq!((log.faulty(), log.end()), (Some(2..4), 2));
        assert!(matches!(log.append(&[batch(2, 1)]), Err(LogError::Faulty(_))));
        assert_eq!(read_all(&log.view(), 0, 2), wire(&batches(0..2, 1)));
    }
    let (mut log, _) = open(&storage, DIR.as_ref(), &config(), 4);
    assert_eq!(log.corrupt().len(), 1);
    log.truncate(2).expect("given up");
    assert_eq!((log.faulty(), log.corrupt().len()), (None, 0));
    log.append(&batches(2..4, 1)).expect("repaired");
    sync(&mut log);
    drop(log);
    let (log, report) = open(&storage, DIR.as_ref(), &config(), 4);
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(read_all(&log.view(), 0, 4), wire(&batches(0..4, 1)));
}

#[test]
fn space_is_prepared_ahead_in_growing_steps() {
    let memory = MemoryStorage::new(1);
    memory.create_dir(DIR.as_ref()).expect("created");
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let large = LogConfig {
        segment_size: (1 << 20).try_into().expect("not zero"),
        prepare_max_size: 64 << 10,
        ..config()
    };
    let mut log = Log::create(storage, DIR.as_ref(), large).expect("created");
    let path = Path::new(DIR).join("00000000000000000000.log");
    let file_size = || memory.content(&path).expect("read").len() as u64;
    log.append(&[batch(0, 1)]).expect("appended");
    assert_eq!(file_size(), log.view().size(), "nothing is written twice");
    run_background(&mut log);
    let mut furthest = 0;
    for i in 1..400 {
        let before = file_size();
        log.append(&[batch(i, 1)]).expect("appended");
        assert_eq!(file_size(), before, "the space was there");
        sync(&mut log);
        run_background(&mut log);
        furthest = furthest.max(file_size() - log.view().size());
    }
    assert!((32 << 10..=68 << 10).contains(&furthest), "{furthest}");
}

#[test]
fn nothing_is_prepared_for_a_log_whose_syncs_are_large() {
    let memory = MemoryStorage::new(1);
    memory.create_dir(DIR.as_ref()).expect("created");
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let large = LogConfig { segment_size: (64 << 20).try_into().expect("not zero"), ..config() };
    let mut log = Log::create(storage, DIR.as_ref(), large).expect("created");
    let path = Path::new(DIR).join("00000000000000000000.log");
    let file_size = || memory.content(&path).expect("read").len() as u64;
    let mut append = |from: u64, size: usize| {
        for offset in from..from + 40 {
            log.append(&[BatchSpec::new(offset, 1).body(vec![7; size]).batch()]).expect("appended");
            sync(&mut log);
            run_background(&mut log);
        }
        file_size() - log.view().size()
    };
    assert_eq!(append(0, 300 << 10), 0);
    assert_ne!(append(40, 1 << 10), 0, "small syncs are spared the file's growth");
}

/// Recovery wipes only near the cut; what lies further behind is wiped when the log comes near.
#[test]
fn old_batches_far_behind_a_cut_never_continue_new_ones() {
    for size in [10_000, 8192] {
        old_batches_never_continue_new_ones(size);
    }
}

fn old_batches_never_continue_new_ones(size: usize) {
    let large = LogConfig { segment_size: (1 << 20).try_into().expect("not zero"), ..config() };
    let sized = |offset| BatchSpec::new(offset, 1).body(vec![offset as u8; size - 61]).batch();
    let memory = MemoryStorage::new(1);
    memory.create_dir(DIR.as_ref()).expect("created");
    memory.sync_dir("/".as_ref()).expect("synced");
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let mut log = Log::create(storage, DIR.as_ref(), large.clone()).expect("created");
    log.append(&(0..20).map(sized).collect::<Vec<_>>()).expect("appended");
    sync(&mut log);
    drop(log);
    let path = Path::new(DIR).join("00000000000000000000.log");
    memory.overwrite(&path, size as u64, &vec![0; size]).expect("the second batch is lost");
    for seed in 0..40 {
        let disk = memory.fork(seed);
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        let (mut log, _) = open(&storage, DIR.as_ref(), &large, 1);
        assert_eq!(log.end(), 1);
        let mark = 1 + seed % 18;
        for offset in 1..20 {
            if offset <= mark {
                log.append(&[sized(offset)]).expect("appended");
                sync(&mut log);
            }
        }
        let end = log.end();
        log.append(&[sized(end)]).expect("appended");
        drop(log);
        disk.crash();
        let (log, report) = open(&storage, DIR.as_ref(), &large, end);
        assert!(report.faulty.is_empty(), "{report:?}");
        assert!((end..=end + 1).contains(&log.end()), "{} instead of {end}", log.end());
    }
}
