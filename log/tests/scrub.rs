//! Background checks of segments.

mod support;

use std::path::Path;
use std::sync::Arc;

use support::{BatchSpec, run_background, small_config, sync};
use synod_log::memory::{Fault, MemoryStorage};
use synod_log::storage::Storage;
use synod_log::{Log, LogError};

/// A log of several sealed segments, all synced and sealed.
fn filled() -> (Arc<MemoryStorage>, Log) {
    let twin = Arc::new(MemoryStorage::new(7));
    twin.create_dir(Path::new("/p")).expect("twin");
    let storage: Arc<dyn Storage> = twin.clone();
    let mut log = Log::create(storage, Path::new("/p"), small_config()).expect("created");
    for _ in 0..60 {
        let batch = BatchSpec::new(log.end(), 10).body(vec![3; 1000]).batch();
        log.append(&[batch]).expect("appended");
        sync(&mut log);
        run_background(&mut log);
    }
    (twin, log)
}

#[test]
fn damage_in_a_sealed_segment_is_found_by_one_round() {
    let (twin, mut log) = filled();
    let segment_count = log.view().segment_count();
    assert!(segment_count > 3, "{segment_count}");
    for _ in 0..2 * segment_count {
        assert!(log.scrub_next());
        run_background(&mut log);
    }
    assert!(log.corrupt().is_empty(), "nothing is damaged");

    let names = twin.list(Path::new("/p")).expect("listed");
    let second = names.iter().filter(|e| e.name.ends_with(".log")).nth(1).expect("a second");
    let base: u64 = second.name.trim_end_matches(".log").parse().expect("a base offset");
    twin.flip_bit(&Path::new("/p").join(&second.name), 5000, 3).expect("flipped");
    for _ in 0..segment_count {
        log.scrub_next();
        run_background(&mut log);
    }
    let [found] = log.corrupt() else { panic!("one range, not {:?}", log.corrupt()) };
    assert!(found.start >= base && found.start < base + 160, "{found:?} begins in its segment");
    log.scrub_next();
    run_background(&mut log);
    assert_eq!(log.corrupt().len(), 1, "told once");
    assert!(!log.is_intact(found_range(&log)) && log.is_intact(&(0..base)));
}

fn found_range(log: &Log) -> &std::ops::Range<u64> {
    &log.corrupt()[0]
}

#[test]
fn what_could_not_be_read_for_a_moment_may_be_intact() {
    let (twin, mut log) = filled();
    // A read that fails is repeated once, with less.
    for failing in 0..2 {
        twin.schedule(twin.operation_count() + failing, Fault::ReadError);
    }
    for _ in 0..2 * log.view().segment_count() {
        log.scrub_next();
        run_background(&mut log);
    }
    assert!(log.is_intact(found_range(&log)), "the device answers again");
    let first = Path::new("/p/00000000000000000000.log");
    twin.set_unreadable(first, 100..101).expect("unreadable");
    assert!(!log.is_intact(&(0..10)) && log.is_intact(&(20..log.end() + 5)));
}

#[test]
fn an_empty_log_has_nothing_to_scrub() {
    let twin: Arc<dyn Storage> = Arc::new(MemoryStorage::new(7));
    twin.create_dir(Path::new("/p")).expect("twin");
    let mut log = Log::create(twin, Path::new("/p"), small_config()).expect("created");
    assert!(!log.scrub_next());
    assert!(log.poll_background().is_none());
}

/// A partition that nobody writes to keeps its last segment for long.
#[test]
fn damage_in_the_active_segment_is_found() {
    let twin = Arc::new(MemoryStorage::new(7));
    twin.create_dir(Path::new("/p")).expect("twin");
    let mut log = Log::create(twin.clone(), Path::new("/p"), small_config()).expect("created");
    for _ in 0..3 {
        let batch = BatchSpec::new(log.end(), 10).body(vec![3; 1000]).batch();
        log.append(&[batch]).expect("appended");
    }
    sync(&mut log);
    run_background(&mut log);
    assert!(log.scrub_next());
    run_background(&mut log);
    assert!(log.corrupt().is_empty(), "nothing is damaged");
    twin.flip_bit(Path::new("/p/00000000000000000000.log"), 1500, 3).expect("flipped");
    log.scrub_next();
    run_background(&mut log);
    assert_eq!(found_range(&log), &(10..30), "from the damaged batch on");
}

#[test]
fn damage_that_a_reader_finds_is_known_to_the_owner_with_the_next_tick() {
    let (twin, mut log) = filled();
    let names = twin.list(Path::new("/p")).expect("listed");
    let second = names.iter().filter(|e| e.name.ends_with(".log")).nth(1).expect("a second");
    let base: u64 = second.name.trim_end_matches(".log").parse().expect("a base offset");
    twin.flip_bit(&Path::new("/p").join(&second.name), 500, 3).expect("flipped");
    let view = log.view();
    let read = |from| view.read(from, 100, true, view.end());
    assert!(read(0).is_ok());
    log.tick(0);
    assert!(log.corrupt().is_empty(), "nobody has read it");
    for _ in 0..3 {
        assert!(matches!(read(base), Err(LogError::Corrupt { .. })));
    }
    // The batches before it are read without an error.
    assert!(view.read(base - 10, 1 << 20, true, view.end()).is_ok());
    assert!(log.corrupt().is_empty(), "the owner has not looked");
    log.tick(1000);
    log.tick(2000);
    let [found] = log.corrupt() else { panic!("once, not {:?}", log.corrupt()) };
    assert_eq!(*found, base..base + 10, "the damaged batch");
}

/// The leader stamps it after the producer has computed the checksum.
#[test]
fn a_changed_leader_epoch_is_damage_although_no_checksum_covers_it() {
    let (twin, mut log) = filled();
    let first = Path::new("/p/00000000000000000000.log");
    let position = BatchSpec::new(0, 10).body(vec![3; 1000]).batch().size() as u64;
    twin.flip_bit(first, position + 14, 1).expect("flipped");
    let view = log.view();
    assert_eq!(view.read(0, 1 << 20, true, view.end()).expect("sound").next_offset, 10);
    assert!(matches!(view.read(10, 100, true, view.end()), Err(LogError::Corrupt { .. })));
    assert!(log.is_intact(&(0..10)) && !log.is_intact(&(10..20)));
    while log.corrupt().is_empty() {
        assert!(log.scrub_next());
        run_background(&mut log);
    }
    assert_eq!(found_range(&log).start, 10);
}
