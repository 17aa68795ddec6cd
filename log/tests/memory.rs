//! The twin is a test of everything else; this is the test of the twin.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use synod_log::error::{LockError, is_disk_full};
use synod_log::memory::{Fault, FaultRates, MemoryStorage};
use synod_log::storage::{Access, File, Storage, replace_file};

fn at(path: &str) -> &Path {
    Path::new(path)
}

fn put(file: &Arc<dyn File>, position: u64, byte: u8, size: usize) {
    file.write_at(&[IoSlice::new(&vec![byte; size])], position).unwrap();
}

/// A file of 4 KiB of 1s, durable.
fn prepared(seed: u64) -> (MemoryStorage, Arc<dyn File>) {
    let disk = MemoryStorage::new(seed);
    let file = disk.create_file(at("/f")).unwrap();
    put(&file, 0, 1, 4096);
    file.sync().unwrap();
    disk.sync_dir(at("/")).unwrap();
    (disk, file)
}

#[test]
fn what_was_synced_survives_every_crash() {
    for seed in 0..200 {
        let (disk, file) = prepared(seed);
        put(&file, 1024, 2, 1024);
        file.sync().unwrap();
        disk.crash();
        let content = disk.content(at("/f")).unwrap();
        assert!(content[..1024].iter().all(|byte| *byte == 1), "seed {seed}");
        assert!(content[1024..2048].iter().all(|byte| *byte == 2), "seed {seed}");
        assert!(file.sync().is_err() && file.read(0..1).is_err(), "opened before the crash");
        assert!(disk.open_file(at("/f"), Access::ReadWrite).is_ok());
    }
}

#[test]
fn unsynced_writes_are_each_kept_lost_or_torn_by_sector() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..400 {
        let (disk, file) = prepared(seed);
        put(&file, 300, 2, 1200);
        put(&file, 2048, 3, 1024);
        disk.crash();
        let content = disk.content(at("/f")).unwrap();
        for sector in content.chunks(512) {
            // A sector is old or new as a whole, as far as the write reached into it.
            assert!(sector.windows(2).filter(|pair| pair[0] != pair[1]).count() <= 1);
        }
        outcomes.insert([content[400], content[600], content[1100], content[2100], content[2600]]);
    }
    // Three sectors and two sectors, old or new independently.
    assert_eq!(outcomes.len(), 32, "{outcomes:?}");
}

#[test]
fn names_need_their_directory_synced() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..100 {
        let disk = MemoryStorage::new(seed);
        let file = disk.create_file(at("/a")).unwrap();
        put(&file, 0, 1, 10);
        file.sync().unwrap();
        disk.crash();
        match disk.exists(at("/a")).unwrap() {
            true => kept += 1,
            false => lost += 1,
        }
    }
    assert!(kept > 20 && lost > 20, "{kept} kept, {lost} lost");
    let (mut old, mut new) = (0, 0);
    for seed in 0..200 {
        let disk = MemoryStorage::new(seed);
        replace_file(&disk, at("/a"), b"old").unwrap();
        let file = disk.create_file(at("/a.tmp")).unwrap();
        file.write_at(&[IoSlice::new(b"new")], 0).unwrap();
        file.sync().unwrap();
        disk.rename(at("/a.tmp"), at("/a")).unwrap();
        disk.crash();
        match &disk.content(at("/a")).unwrap()[..] {
            b"old" => old += 1,
            b"new" => new += 1,
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(old > 20 && new > 20, "{old} old, {new} new");
}

#[test]
fn a_failed_sync_forgets_what_it_should_have_written() {
    let mut lost = 0;
    for seed in 0..100 {
        let (disk, file) = prepared(seed);
        put(&file, 0, 2, 512);
        disk.aim(at("/f"), Fault::SyncError).unwrap();
        assert!(file.sync().is_err());
        file.sync().expect("the second time the kernel says yes");
        assert_eq!(file.read(0..1).unwrap()[0], 2, "memory has it");
        disk.crash();
        lost += u32::from(disk.content(at("/f")).unwrap()[0] == 1);
    }
    assert!(lost > 20, "a retried sync must be able to lose data: {lost}");
}

#[test]
fn every_fault_strikes_once_where_it_was_aimed() {
    let (disk, file) = prepared(1);
    disk.aim(at("/f"), Fault::ReadError).unwrap();
    assert!(file.read(0..1).is_err() && file.read(0..1).is_ok());
    disk.aim(at("/f"), Fault::WriteError).unwrap();
    assert!(file.zero(0..1).is_err() && file.zero(0..1).is_ok());
    disk.aim(at("/f"), Fault::DiskFull).unwrap();
    assert!(is_disk_full(&file.zero(0..1).unwrap_err()) && file.zero(0..1).is_ok());
    disk.set_unreadable(at("/f"), 512..513).unwrap();
    assert!(file.read(0..512).is_ok() && file.read(500..513).is_err());
    put(&file, 512, 9, 512);
    assert!(file.read(500..513).is_ok());
    disk.flip_bit(at("/f"), 512, 1).unwrap();
    assert_eq!(file.read(512..513).unwrap()[0], 9 ^ 2);
    for (fault, survives) in [(Fault::LostWrite, false), (Fault::MisdirectedWrite, false)] {
        let (disk, file) = prepared(2);
        disk.aim(at("/f"), fault).unwrap();
        put(&file, 1024, 7, 512);
        file.sync().unwrap();
        assert_eq!(file.read(1024..1025).unwrap()[0], 7);
        disk.crash();
        let content = disk.content(at("/f")).unwrap();
        assert_eq!(content[1024] == 7, survives);
        assert_eq!(content.contains(&7), fault == Fault::MisdirectedWrite);
    }
}

#[test]
fn the_power_can_go_at_any_operation() {
    let run = |disk: &MemoryStorage| -> std::io::Result<()> {
        replace_file(disk, at("/a"), b"content")?;
        replace_file(disk, at("/b"), b"content")
    };
    let disk = MemoryStorage::new(0);
    run(&disk).unwrap();
    for operation in 0..disk.operation_count() {
        let disk = MemoryStorage::new(operation);
        disk.schedule(operation, Fault::PowerOff);
        assert!(run(&disk).is_err());
        assert!(disk.exists(at("/a")).is_err(), "the power is off");
        disk.crash();
        for path in ["/a", "/b"].map(at) {
            if disk.exists(path).unwrap() {
                assert_eq!(disk.content(path).unwrap(), b"content", "at operation {operation}");
            }
        }
    }
}

#[test]
fn capacity_and_locks_and_kills() {
    let (disk, file) = prepared(1);
    disk.set_capacity(Some(5000));
    assert_eq!(disk.free_size(at("/")).unwrap(), 904);
    assert!(is_disk_full(&file.zero(4096..5001).unwrap_err()));
    assert_eq!(file.size(), 4096);
    file.zero(4096..5000).unwrap();
    let lock = disk.lock(at("/lock")).unwrap();
    assert!(matches!(disk.lock(at("/lock")), Err(LockError::Held { .. })));
    drop(lock);
    let lock = disk.lock(at("/lock")).unwrap();
    put(&file, 0, 5, 10);
    disk.kill();
    assert_eq!(disk.content(at("/f")).unwrap()[0], 5, "the page cache survives");
    let second = disk.lock(at("/lock")).expect("a dead process holds nothing");
    drop(lock);
    assert!(disk.lock(at("/lock")).is_err(), "a dead process gives nothing back either");
    drop(second);
    disk.remove_file(at("/f")).unwrap();
    disk.sync_dir(at("/")).unwrap();
    assert_eq!(disk.free_size(at("/")).unwrap(), 5000, "space of a removed file comes back");
}

/// A workload that uses everything, driven by a seed.
fn busy(seed: u64) -> (u64, u64) {
    let disk = MemoryStorage::new(seed);
    let rates = FaultRates {
        sync_error: 20_000,
        write_error: 20_000,
        disk_full: 20_000,
        read_error: 20_000,
        lost_write: 50_000,
        misdirected_write: 50_000,
    };
    for life in 0..5u64 {
        let mut files = Vec::new();
        for number in 0..5 {
            let path = format!("/{number}");
            files.extend(disk.create_file(at(&path)));
            files.extend(disk.open_file(at(&path), Access::ReadWrite));
        }
        disk.set_rates(rates);
        for step in 0..40u64 {
            if let Some(file) = files.get((step % 7) as usize) {
                let _ = file.write_at(&[IoSlice::new(&[step as u8; 700])], step * 300);
                let _ = if step % 5 == 0 { file.sync() } else { Ok(()) };
            }
            if step % 11 == 0 {
                let _ = disk.sync_dir(at("/"));
            }
        }
        disk.set_rates(FaultRates::default());
        if life % 2 == 0 { disk.crash() } else { disk.kill() }
    }
    (disk.state_hash(), disk.elapsed_ns())
}

#[test]
fn the_same_seed_is_the_same_disk() {
    let hashes: BTreeSet<_> = (0..50).map(busy).collect();
    assert!(hashes.len() > 45, "seeds differ");
    for seed in 0..50 {
        assert_eq!(busy(seed), busy(seed), "seed {seed}");
    }
}

#[test]
fn a_fork_shares_nothing_but_the_past() {
    let (disk, file) = prepared(1);
    put(&file, 0, 2, 4096);
    let forks: BTreeSet<Vec<u8>> = (0..50)
        .map(|seed| {
            let fork = disk.fork(seed);
            fork.crash();
            fork.content(at("/f")).unwrap()
        })
        .collect();
    assert!(forks.len() > 5, "crashes from one point differ");
    assert_eq!(disk.content(at("/f")).unwrap(), [2; 4096]);
    file.sync().expect("the original runs on");
}

#[test]
fn after_a_failed_sync_memory_shows_what_the_device_lacks_until_it_is_evicted() {
    let mut lost = 0;
    for seed in 0..40 {
        let (disk, file) = prepared(seed);
        put(&file, 0, 3, 4096);
        disk.schedule(disk.operation_count(), Fault::SyncError);
        file.sync().expect_err("injected");
        disk.kill();
        assert_eq!(disk.content(at("/f")).unwrap(), [3; 4096], "the page cache survives");
        let file = disk.open_file(at("/f"), Access::ReadWrite).unwrap();
        file.evict(0..file.size());
        let evicted = disk.content(at("/f")).unwrap();
        assert_eq!(evicted.len(), 4096, "the length stays");
        lost += usize::from(evicted != [3; 4096]);
        put(&file, 0, 4, 512);
        file.evict(0..file.size());
        assert_eq!(disk.content(at("/f")).unwrap()[..512], [4; 512], "what is dirty stays");
        drop(file);
        disk.crash();
    }
    assert!(lost > 10, "some of it never reached the device");
}
