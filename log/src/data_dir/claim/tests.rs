//! Ids, starts and memberships over crashes, and directories from before there were any.

use super::*;
use crate::identity::Member;
use crate::memory::{Fault, MemoryStorage};

const NEW: DirectoryId = DirectoryId([7; 16]);
const CLUSTER: ClusterId = ClusterId([9; 16]);
const ALONE: ClusterClaim = ClusterClaim::AnyOrNew(ClusterId([1; 16]));

fn root() -> &'static Path {
    Path::new("/var/data")
}

fn claim(disk: &MemoryStorage) -> Result<ClaimedDir, DataDirError> {
    DataDir::claim(Arc::new(disk.clone()), root(), 2, NEW)
}

fn membership(own: DirectoryId) -> Membership {
    let member = |node_id, directory| Member { node_id, directory };
    let members = vec![member(1, DirectoryId([1; 16])), member(2, own)];
    Membership { cluster_id: CLUSTER, members }
}

/// One start of a broker: claims, joins its cluster if it has none, opens.
fn start(disk: &MemoryStorage) -> Result<(DirectoryId, u64, DataDir), DataDirError> {
    let mut claimed = claim(disk)?;
    if claimed.membership().is_none() {
        claimed.join(membership(claimed.directory()))?;
    }
    let (directory, number) = (claimed.directory(), claimed.start());
    assert_eq!(claimed.membership(), Some(&membership(directory)));
    Ok((directory, number, claimed.open(ALONE)?))
}

#[test]
fn each_start_is_counted_and_the_id_stays() {
    let disk = MemoryStorage::new(0);
    for expected in 1..=4 {
        let claimed = claim(&disk).expect("healthy");
        assert_eq!((claimed.directory(), claimed.start()), (NEW, expected));
        assert_eq!(claimed.membership(), None);
        assert!(matches!(claim(&disk), Err(DataDirError::InUse { .. })));
        drop(claimed);
        disk.crash();
    }
    let (directory, number, dir) = start(&disk).expect("healthy");
    assert_eq!((directory, number), (NEW, 5));
    assert_eq!(dir.identity(), Identity { cluster_id: CLUSTER, node_id: 2 });
    assert!(dir.is_new());
    drop(dir);
    disk.crash();
    let (directory, number, dir) = start(&disk).expect("healthy");
    assert_eq!((directory, number), (NEW, 6));
    assert!(!dir.is_new());
}

/// Whatever was told to others before the power went holds after it: the id once a claim returned,
/// the membership once joining returned; and no start has the number of an earlier one.
#[test]
fn the_power_may_go_anywhere() {
    let disk = MemoryStorage::new(0);
    drop(start(&disk).expect("healthy"));
    let operations = disk.operation_count();
    for (operation, seed) in (0..operations).flat_map(|o| (0..6).map(move |seed| (o, seed))) {
        let disk = MemoryStorage::new(seed);
        disk.schedule(operation, Fault::PowerOff);
        let mut told = None;
        let mut joined = false;
        if let Ok(mut claimed) = claim(&disk) {
            told = Some(claimed.start());
            if claimed.join(membership(NEW)).is_ok() {
                joined = true;
                assert!(claimed.open(ALONE).is_err(), "operation {operation}");
            }
        }
        disk.crash();
        let other = DirectoryId([8; 16]);
        let claimed = DataDir::claim(Arc::new(disk.clone()), root(), 2, other);
        let claimed = claimed.unwrap_or_else(|error| panic!("operation {operation}: {error}"));
        if let Some(number) = told {
            assert_eq!(claimed.directory(), NEW, "operation {operation}");
            assert!(claimed.start() > number, "operation {operation}");
        }
        assert!(!joined || claimed.membership() == Some(&membership(NEW)), "{operation}");
        drop(claimed);
        let (_, _, dir) = start(&disk).expect("a whole directory");
        assert_eq!(dir.identity().cluster_id, CLUSTER);
        dir.open_journal(crate::journal::JournalConfig::default()).expect("a whole journal");
    }
}

#[test]
fn a_directory_from_before_there_were_ids_gets_one() {
    let disk = MemoryStorage::new(0);
    let dir = DataDir::open(Arc::new(disk.clone()), root(), ALONE, 2).expect("healthy");
    let identity = dir.identity();
    drop(dir);
    let meta = String::from_utf8(disk.content(&root().join(META)).expect("there")).expect("text");
    let old = old_meta(&meta);
    disk.install(&root().join(META), old.as_bytes()).expect("healthy");
    disk.remove_file(&root().join(ENROLMENT)).expect("healthy");
    let claimed = claim(&disk).expect("old but sound");
    assert!(claimed.is_alone());
    assert_eq!((claimed.directory(), claimed.start()), (NEW, 1));
    let dir = claimed.open(ALONE).expect("old but sound");
    assert_eq!(dir.identity(), identity);
    drop(dir);
    disk.crash();
    assert_eq!(claim(&disk).expect("sound").directory(), NEW, "the id stays");
    assert_eq!(disk.content(&root().join(META)).expect("there"), old.as_bytes());
}

/// What format 1 wrote.
fn old_meta(meta: &str) -> String {
    let text = meta.replace("format 2", "format 1");
    let (text, _) = text.split_once("crc32").expect("a checksum");
    format!("{text}crc32 {:08x}\n", crc32fast::hash(text.as_bytes()))
}

#[test]
fn lost_and_damaged_enrolments_are_refused() {
    let broken = |break_it: &dyn Fn(&MemoryStorage)| {
        let disk = MemoryStorage::new(0);
        drop(start(&disk).expect("healthy"));
        break_it(&disk);
        claim(&disk).expect_err("refused").to_string()
    };
    let lost = broken(&|disk| disk.remove_file(&root().join(ENROLMENT)).expect("healthy"));
    assert!(lost.starts_with("/var/data has lost its enrolment; restore it"), "{lost}");
    // An enrolment alone is no empty directory: what it swore is gone.
    let lost = broken(&|disk| disk.remove_file(&root().join(META)).expect("healthy"));
    assert!(lost.starts_with("/var/data has lost its meta; restore it"), "{lost}");
    let damaged = broken(&|disk| {
        let path = root().join(ENROLMENT);
        let mut content = disk.content(&path).expect("there");
        content[60] ^= 1;
        disk.install(&path, &content).expect("healthy");
    });
    assert!(damaged.starts_with("/var/data/enrolment: "), "{damaged}");
    assert!(damaged.ends_with("restore the file"), "{damaged}");
}

#[test]
fn another_nodes_directory_is_refused_even_before_it_has_data() {
    let disk = MemoryStorage::new(0);
    drop(claim(&disk).expect("healthy"));
    let error = DataDir::claim(Arc::new(disk.clone()), root(), 3, NEW).expect_err("node 2's");
    assert!(matches!(error, DataDirError::WrongNode { found: 2, expected: 3, .. }), "{error}");
}
