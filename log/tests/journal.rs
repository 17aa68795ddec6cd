//! The journal's thread, on the real file system: group commit, order, laziness, endings.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use synod_log::identity::{ClusterId, Identity};
use synod_log::journal::{
    Ballot, Journal, JournalConfig, JournalError, JournalRecord, JournalStore, OpenedJournal, Vow,
};
use synod_log::key::PartitionKey;
use synod_log::memory::{Fault, MemoryStorage};
use synod_log::os::OsStorage;

const OWNER: Identity = Identity { cluster_id: ClusterId([3; 16]), node_id: 1 };

fn key(partition: u32) -> PartitionKey {
    PartitionKey { topic: [7; 16], partition }
}

fn vow(partition: u32, round: u32) -> JournalRecord {
    let ballot = Ballot { round, node: 1 };
    JournalRecord::Vow { key: key(partition), vow: Vow { promised: ballot, accepted: ballot } }
}

fn mark(partition: u32, durable_end: u64) -> JournalRecord {
    JournalRecord::Mark { key: key(partition), durable_end }
}

struct Dir {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Dir {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        JournalStore::create(&OsStorage, &path, OWNER).unwrap();
        Self { _dir: dir, path }
    }

    fn open(&self, config: JournalConfig) -> OpenedJournal {
        Journal::open(Arc::new(OsStorage), &self.path, OWNER, config).unwrap()
    }
}

/// Counts syncs and tells of each.
fn counting() -> (JournalConfig, Arc<AtomicU32>, mpsc::Receiver<()>) {
    let count = Arc::new(AtomicU32::new(0));
    let (sender, receiver) = mpsc::channel();
    let counter = Arc::clone(&count);
    let on_sync = move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        let _ = sender.send(());
    };
    let config = JournalConfig { on_sync: Some(Box::new(on_sync)), ..JournalConfig::default() };
    (config, count, receiver)
}

/// Submits something whose callback holds the journal's thread until the sender is dropped.
fn hold(journal: &Journal) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (started, start) = mpsc::channel();
    let done = move |result: Result<(), JournalError>| {
        result.unwrap();
        started.send(()).unwrap();
        let _ = released.recv();
    };
    journal.submit(vec![mark(999, 1)], Some(Box::new(done)));
    start.recv().unwrap();
    release
}

#[test]
fn whatever_gathers_during_a_sync_shares_the_next() {
    let dir = Dir::new();
    let (config, count, _syncs) = counting();
    let journal = dir.open(config).journal;
    let release = hold(&journal);
    let (sender, receiver) = mpsc::channel();
    for partition in 0..10_000u32 {
        let sender = sender.clone();
        let done = move |result: Result<(), JournalError>| {
            result.unwrap();
            sender.send(partition).unwrap();
        };
        journal.submit(vec![vow(partition, 1)], Some(Box::new(done)));
    }
    let before = count.load(Ordering::SeqCst);
    drop(release);
    let order: Vec<u32> = receiver.iter().take(10_000).collect();
    assert!(order.is_sorted(), "callbacks come in the order of submission");
    assert_eq!(count.load(Ordering::SeqCst) - before, 1, "ten thousand vows are one sync");
    drop(journal);
    assert_eq!(dir.open(JournalConfig::default()).partitions.len(), 10_000);
}

#[test]
fn threads_share_syncs_and_lose_nothing() {
    const THREADS: u32 = 8;
    const ROUNDS: u32 = 100;
    let dir = Dir::new();
    let (config, count, _syncs) = counting();
    let journal = dir.open(config).journal;
    std::thread::scope(|scope| {
        for partition in 0..THREADS {
            let journal = journal.clone();
            scope.spawn(move || {
                for round in 1..=ROUNDS {
                    journal.submit_and_wait(vec![vow(partition, round)]).unwrap();
                }
            });
        }
    });
    assert!(count.load(Ordering::SeqCst) <= THREADS * ROUNDS);
    drop(journal);
    let found = dir.open(JournalConfig::default()).partitions;
    assert_eq!(found.len(), THREADS as usize);
    assert!(found.values().all(|known| known.vow.unwrap().promised.round == ROUNDS));
}

#[test]
fn a_full_queue_makes_submitters_wait_and_loses_nothing() {
    let dir = Dir::new();
    let journal = dir.open(JournalConfig::default()).journal;
    let release = hold(&journal);
    let (progress, submitted) = mpsc::channel();
    let other = journal.clone();
    let submitter = std::thread::spawn(move || {
        for round in 1..=400 {
            other.submit((0..1000).map(|partition| vow(partition, round)).collect(), None);
            progress.send(round).unwrap();
        }
    });
    // 4 MiB of vows fit, and the one that fills the queue; 400 groups are 14 MiB.
    let limit = 4 * 1024 * 1024 / (37 * 1000) + 1;
    for round in submitted.iter().take(limit) {
        assert!(round <= limit as u32);
    }
    assert!(submitted.try_recv().is_err(), "the queue has an end");
    drop(release);
    submitter.join().unwrap();
    journal.close().unwrap();
    let found = dir.open(JournalConfig::default()).partitions;
    assert!((0..1000).all(|at| found[&key(at)].vow.unwrap().promised.round == 400));
}

#[test]
fn lazy_marks_go_alone_when_nothing_else_comes() {
    let dir = Dir::new();
    let (config, _count, syncs) = counting();
    let journal = dir.open(config).journal;
    journal.submit_lazy([(key(1), 10)]);
    syncs.recv().unwrap();
    // As a crash would leave the file: nothing was closed.
    let copy = dir.path.with_file_name("copy");
    std::fs::copy(&dir.path, &copy).unwrap();
    let opened =
        Journal::open(Arc::new(OsStorage), &copy, OWNER, JournalConfig::default()).unwrap();
    assert_eq!(opened.partitions[&key(1)].mark, 10);
    assert!(!opened.report.clean);
}

#[test]
fn lazy_marks_keep_their_place_in_the_order() {
    let dir = Dir::new();
    let config = JournalConfig { lazy_delay: Duration::from_secs(3600), ..Default::default() };
    let journal = dir.open(config).journal;
    let release = hold(&journal);
    // Older than a submitted mark, newer than one, and of a partition that goes.
    journal.submit_lazy([(key(1), 10), (key(2), 10), (key(3), 10), (key(4), 10)]);
    journal.submit(vec![mark(1, 5), mark(2, 5)], None);
    journal.forget(key(3), None);
    journal.submit_lazy([(key(2), 7)]);
    drop(release);
    journal.close().unwrap();
    let opened = dir.open(JournalConfig::default());
    let mark_of = |partition| opened.partitions.get(&key(partition)).map(|known| known.mark);
    assert_eq!([1, 2, 3, 4].map(mark_of), [Some(5), Some(7), None, Some(10)]);
    assert!(opened.report.clean);
}

#[test]
fn each_opening_has_a_number_of_its_own() {
    let dir = Dir::new();
    for expected in 1..5 {
        let opened = dir.open(JournalConfig::default());
        assert_eq!(opened.report.incarnation, expected);
        if expected % 2 == 0 {
            opened.journal.close().unwrap();
        }
    }
}

#[test]
fn a_closed_journal_takes_nothing() {
    let dir = Dir::new();
    let journal = dir.open(JournalConfig::default()).journal;
    let clone = journal.clone();
    journal.close().unwrap();
    assert!(matches!(clone.submit_and_wait(vec![vow(0, 1)]), Err(JournalError::Closed)));
    assert!(dir.open(JournalConfig::default()).partitions.is_empty());
}

#[test]
fn a_failed_sync_ends_the_journal_for_everybody() {
    let disk = MemoryStorage::new(1);
    let path = Path::new("/journal");
    JournalStore::create(&disk, path, OWNER).unwrap();
    let opened =
        Journal::open(Arc::new(disk.clone()), path, OWNER, JournalConfig::default()).unwrap();
    let journal = opened.journal;
    journal.submit_and_wait(vec![vow(0, 1)]).unwrap();
    let release = hold(&journal);
    let (sender, receiver) = mpsc::channel();
    for partition in 0..20 {
        let sender = sender.clone();
        let done = move |result| sender.send(result).unwrap();
        journal.submit(vec![vow(partition, 2)], Some(Box::new(done)));
    }
    disk.aim(path, Fault::SyncError).unwrap();
    drop(release);
    for result in receiver.iter().take(20) {
        assert!(matches!(result, Err(JournalError::Failed(_))));
    }
    let later = journal.submit_and_wait(vec![vow(0, 3)]);
    assert!(matches!(later, Err(JournalError::Failed(_))));
    assert!(journal.close().is_err());
    assert!(matches!(journal.failure(), Some(JournalError::Failed(_))));
}

#[test]
fn one_wrong_submission_does_not_harm_its_company() {
    let dir = Dir::new();
    let journal = dir.open(JournalConfig::default()).journal;
    journal.submit_and_wait(vec![vow(0, 5)]).unwrap();
    let release = hold(&journal);
    let (sender, receiver) = mpsc::channel();
    for record in [vow(1, 1), vow(0, 4), vow(2, 1)] {
        let sender = sender.clone();
        let done = move |result: Result<(), JournalError>| sender.send(result.is_ok()).unwrap();
        journal.submit(vec![record], Some(Box::new(done)));
    }
    drop(release);
    assert_eq!(receiver.iter().take(3).collect::<Vec<_>>(), [true, false, true]);
    let many = vec![vow(0, 6); 100_000];
    assert!(matches!(journal.submit_and_wait(many), Err(JournalError::TooLarge { .. })));
    drop(journal);
    let found = dir.open(JournalConfig::default()).partitions;
    assert_eq!(found[&key(0)].vow.unwrap().promised.round, 5);
    assert!(found.contains_key(&key(1)) && found.contains_key(&key(2)));
}

/// The format is a promise to files that exist: this one was written by format 1's first build.
#[test]
fn the_golden_journal_still_opens() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/journal-1");
    let disk = MemoryStorage::new(1);
    let path = Path::new("/journal");
    if std::env::var_os("SYNOD_WRITE_GOLDEN").is_some() {
        write_golden(&disk, path);
        let content = disk.content(path).unwrap();
        let used = content.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
        std::fs::write(&golden, &content[..used.next_multiple_of(512)]).unwrap();
    }
    disk.install(path, &std::fs::read(&golden).unwrap()).unwrap();
    let (store, report) = JournalStore::open(Arc::new(disk.clone()), path, OWNER).unwrap();
    assert!(report.clean);
    assert_eq!(report.incarnation, 2);
    let known = store.partitions();
    assert_eq!(known.len(), 2);
    assert_eq!(known[&key(0)].vow.unwrap().promised, Ballot { round: 9, node: 1 });
    assert_eq!((known[&key(1)].mark, known[&key(1)].start), (1 << 40, 77));
    // And this build writes the same bytes.
    let again = MemoryStorage::new(1);
    write_golden(&again, path);
    let content = again.content(path).unwrap();
    let golden = std::fs::read(&golden).unwrap();
    assert_eq!(content[..golden.len()], golden);
}

fn write_golden(disk: &MemoryStorage, path: &Path) {
    JournalStore::create(disk, path, OWNER).unwrap();
    let (mut store, _) = JournalStore::open(Arc::new(disk.clone()), path, OWNER).unwrap();
    store.write(&[vow(0, 8), mark(2, 4)]).unwrap();
    store.write(&[vow(0, 9), mark(1, 1 << 40), JournalRecord::Forget { key: key(2) }]).unwrap();
    store.write(&[JournalRecord::Start { key: key(1), offset: 77 }]).unwrap();
    store.close().unwrap();
}
