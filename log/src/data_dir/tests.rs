//! First starts cut short anywhere, wrong owners, missing pieces, deletions.

use super::*;
use crate::journal::JournalRecord;
use crate::memory::{Fault, MemoryStorage};

const CLUSTER: ClusterId = ClusterId([1; 16]);
const OTHER: ClusterId = ClusterId([2; 16]);

fn root() -> &'static Path {
    Path::new("/var/data")
}

fn open(disk: &MemoryStorage) -> Result<DataDir, DataDirError> {
    DataDir::open(Arc::new(disk.clone()), root(), ClusterClaim::AnyOrNew(CLUSTER), 1)
}

fn key(partition: u32) -> PartitionKey {
    PartitionKey { topic: [0xab; 16], partition }
}

fn message(disk: &MemoryStorage) -> String {
    match open(disk) {
        Ok(_) => panic!("opened"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_first_start_may_be_cut_short_anywhere() {
    let disk = MemoryStorage::new(0);
    open(&disk).expect("healthy");
    let operations = disk.operation_count();
    for operation in 0..operations {
        for (seed, claim) in (0..8).map(|seed| (seed, ClusterClaim::AnyOrNew(CLUSTER))) {
            let disk = MemoryStorage::new(seed);
            disk.schedule(operation, Fault::PowerOff);
            assert!(open(&disk).is_err(), "operation {operation}");
            if seed % 4 == 0 {
                disk.kill()
            } else {
                disk.crash()
            }
            let open = || DataDir::open(Arc::new(disk.clone()), root(), claim, 1);
            let dir = open().unwrap_or_else(|error| panic!("operation {operation}: {error}"));
            dir.open_journal(JournalConfig::default()).expect("a whole journal");
            drop(dir);
            disk.crash();
            let dir = open().expect("what was complete stays complete");
            assert!(!dir.is_new(), "operation {operation}");
        }
    }
}

#[test]
fn a_directory_keeps_its_owner() {
    let disk = MemoryStorage::new(0);
    let dir = open(&disk).expect("healthy");
    assert!(dir.is_new());
    assert_eq!(dir.identity(), Identity { cluster_id: CLUSTER, node_id: 1 });
    assert_eq!(
        message(&disk),
        "/var/data is in use by another process; one broker per data directory"
    );
    drop(dir);
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let again = |claim, node| DataDir::open(Arc::clone(&storage), root(), claim, node);
    let dir = again(ClusterClaim::AnyOrNew(OTHER), 1).expect("any cluster will do");
    assert_eq!(dir.identity().cluster_id, CLUSTER);
    assert!(!dir.is_new());
    drop(dir);
    let error = again(ClusterClaim::Expect(OTHER), 1).expect_err("another cluster");
    assert!(matches!(error, DataDirError::WrongCluster { found: CLUSTER, expected: OTHER, .. }));
    let error = again(ClusterClaim::AnyOrNew(CLUSTER), 2).expect_err("another node");
    assert!(matches!(error, DataDirError::WrongNode { found: 1, expected: 2, .. }));
    // And a journal copied from elsewhere is noticed even with the right meta file.
    let foreign = Identity { cluster_id: OTHER, node_id: 1 };
    JournalStore::create(&disk, &root().join(JOURNAL), foreign).expect("healthy");
    let dir = again(ClusterClaim::Expect(CLUSTER), 1).expect("meta is right");
    let error = dir.open_journal(JournalConfig::default()).expect_err("a foreign journal");
    assert!(matches!(error, JournalOpenError::Foreign { .. }));
}

#[test]
fn missing_pieces_are_refused_never_taken_for_empty() {
    let broken = |break_it: &dyn Fn(&MemoryStorage)| {
        let disk = MemoryStorage::new(0);
        let dir = open(&disk).expect("healthy");
        let opened = dir.open_journal(JournalConfig::default()).expect("healthy");
        let mark = JournalRecord::Mark { key: key(0), durable_end: 9 };
        opened.journal.submit_and_wait(vec![mark]).expect("healthy");
        dir.create_partition(key(0)).expect("healthy");
        drop((dir, opened));
        break_it(&disk);
        message(&disk)
    };
    let lost = |missing: &str| {
        format!(
            "/var/data has lost its {missing}; restore it, or move the directory away and start \
             with an empty one"
        )
    };
    let remove = |name: &'static str| {
        move |disk: &MemoryStorage| disk.remove_file(&root().join(name)).expect("healthy")
    };
    assert_eq!(broken(&remove(JOURNAL)), lost("journal"));
    assert_eq!(broken(&remove(META)), lost("meta"));
    assert_eq!(
        broken(&|disk| remove_tree(disk, &root().join(PARTITIONS)).expect("healthy")),
        lost("partitions")
    );
    // Without any partition directory the used journal alone says that meta was there.
    assert_eq!(
        broken(&|disk| {
            remove(META)(disk);
            remove_tree(disk, &root().join(PARTITIONS)).expect("healthy");
        }),
        lost("meta")
    );
}

#[test]
fn what_is_not_ours_or_not_for_us_gets_a_clear_answer() {
    let disk = MemoryStorage::new(0);
    create_dirs(&disk, root()).expect("healthy");
    disk.install(&root().join("thesis.odt"), b"years of work").expect("healthy");
    assert!(message(&disk).contains("it holds \"thesis.odt\""));
    assert!(!disk.exists(&root().join(META)).expect("healthy"), "nothing was put beside it");

    let disk = MemoryStorage::new(0);
    drop(open(&disk).expect("healthy"));
    let meta = String::from_utf8(disk.content(&root().join(META)).expect("there")).expect("text");
    disk.install(&root().join(META), meta.replace("format 2", "format 3").as_bytes()).expect("ok");
    assert_eq!(
        message(&disk),
        "/var/data has format 3, this build knows up to 2; use a newer build"
    );
    disk.install(&root().join(META), meta.replace("node 1", "node 2").as_bytes()).expect("ok");
    assert_eq!(message(&disk), "/var/data/meta: the checksum does not match; restore the file");
    disk.install(&root().join(META), meta.as_bytes()).expect("ok");
    disk.set_read_only(true);
    assert!(message(&disk).starts_with("/var/data is not writable: "));
    disk.set_read_only(false);
    open(&disk).expect("as it was");
}

#[test]
fn partitions_come_and_go_whole() {
    for seed in 0..40 {
        let disk = MemoryStorage::new(seed);
        let dir = open(&disk).expect("healthy");
        for partition in [2, 0, 1] {
            let path = dir.create_partition(key(partition)).expect("healthy");
            replace_file(&disk, &path.join("segment"), b"records").expect("healthy");
        }
        dir.create_partition(key(1)).expect("creating it again changes nothing");
        drop(dir);
        disk.crash();
        let dir = open(&disk).expect("healthy");
        assert_eq!(dir.partitions().expect("healthy"), [key(0), key(1), key(2)]);
        dir.delete_partition(key(1)).expect("healthy");
        dir.delete_partition(key(1)).expect("deleting it again changes nothing");
        let stranger = root().join(PARTITIONS).join("lost-and-found");
        disk.create_dir(&stranger).expect("healthy");
        disk.sync_dir(&root().join(PARTITIONS)).expect("healthy");
        if seed % 2 == 0 {
            // The power may go anywhere on the way.
            disk.schedule(disk.operation_count() + seed % 9, Fault::PowerOff);
        }
        let purged = dir.purge_deleted();
        assert!(seed % 2 == 0 || matches!(purged, Ok(1)));
        drop(dir);
        disk.crash();
        let disk = disk.fork(seed);
        let dir = open(&disk).expect("healthy");
        assert_eq!(dir.partitions().expect("healthy"), [key(0), key(2)]);
        dir.purge_deleted().expect("healthy");
        assert_eq!(disk.list(&root().join(PARTITIONS)).expect("healthy").len(), 3);
        assert!(disk.exists(&stranger).expect("healthy"), "what is not understood stays");
        for partition in [0, 2] {
            let segment = dir.partition_path(key(partition)).join("segment");
            assert_eq!(disk.content(&segment).expect("there"), b"records");
        }
    }
}

#[test]
fn a_suspect_directory_says_so_until_it_is_cleared() {
    let disk = MemoryStorage::new(0);
    let dir = open(&disk).expect("healthy");
    assert_eq!(dir.suspect(), None);
    dir.mark_suspect(&"sync failed ".repeat(1000)).expect("healthy");
    drop(dir);
    disk.crash();
    let mut dir = open(&disk).expect("healthy");
    assert!(dir.suspect().expect("noted").starts_with("sync failed sync failed"));
    dir.clear_suspect().expect("healthy");
    assert_eq!(dir.suspect(), None);
    drop(dir);
    disk.crash();
    assert_eq!(open(&disk).expect("healthy").suspect(), None);
}
