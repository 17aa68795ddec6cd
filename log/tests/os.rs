//! The real storage on a temporary directory.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{self, IoSlice};
use std::path::Path;
use std::process::Command;

use synod_log::error::LockError;
use synod_log::os::OsStorage;
use synod_log::storage::{
    Access, EntryKind, Storage, find_nonzero, read_file, remove_tree, replace_file,
};

fn write(file: &dyn synod_log::storage::File, position: u64, bytes: &[u8]) {
    file.write_at(&[IoSlice::new(bytes)], position).unwrap();
}

#[test]
fn reads_are_slices_that_see_later_writes_and_outlive_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let file = OsStorage.create_file(&path).unwrap();
    file.zero(0..100_000).unwrap();
    file.sync().unwrap();
    assert_eq!(find_nonzero(&*file, 0..100_000).unwrap(), None);
    let before = file.read(5_000..5_004).unwrap();
    assert_eq!(before[..], [0; 4]);
    write(&*file, 5_000, b"abcd");
    assert_eq!(before[..], *b"abcd", "one page cache for descriptor and mapping");
    assert_eq!(find_nonzero(&*file, 0..100_000).unwrap(), Some(5_000));
    // Growth makes a new mapping; the old slice stays.
    file.zero(100_000..3_000_000).unwrap();
    write(&*file, 2_999_996, b"tail");
    assert_eq!(file.read(2_999_996..3_000_000).unwrap()[..], *b"tail");
    OsStorage.remove_file(&path).unwrap();
    drop(file);
    assert_eq!(before[..], *b"abcd");
}

#[test]
fn nothing_beyond_the_end_is_ever_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = OsStorage.create_file(&dir.path().join("file")).unwrap();
    let eof = |result: io::Result<bytes::Bytes>| {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    };
    eof(file.read(0..1));
    assert_eq!(file.read(0..0).unwrap().len(), 0);
    write(&*file, 0, b"12345");
    eof(file.read(0..6));
    eof(file.read(u64::MAX - 1..u64::MAX));
    assert!(!file.is_resident(0..6));
    let mut buffer = [0; 6];
    assert!(file.read_at(&mut buffer, 0).is_err());
    assert!(file.read_at(&mut buffer, u64::MAX).is_err());
    assert_eq!(file.size(), 5);
}

#[test]
fn vectored_writes_of_any_number_of_parts_arrive_whole() {
    let dir = tempfile::tempdir().unwrap();
    let file = OsStorage.create_file(&dir.path().join("file")).unwrap();
    let content: Vec<u8> = (0..5_000u32).flat_map(u32::to_le_bytes).collect();
    let parts: Vec<IoSlice<'_>> = content.chunks(3).map(IoSlice::new).collect();
    assert!(parts.len() > 4096);
    file.write_at(&parts, 10).unwrap();
    file.write_at(&[], 0).unwrap();
    assert_eq!(file.size(), 10 + content.len() as u64);
    assert_eq!(file.read(10..file.size()).unwrap()[..], content[..]);
    assert_eq!(file.read(0..10).unwrap()[..], [0; 10]);
}

#[test]
fn hints_never_change_what_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let file = OsStorage.create_file(&path).unwrap();
    file.zero(0..1 << 20).unwrap();
    write(&*file, 4096, b"kept");
    file.sync().unwrap();
    assert!(file.is_resident(0..1 << 20), "just written");
    file.release(8192..1 << 20);
    file.release(0..u64::MAX);
    file.evict(0..1 << 20);
    file.prefetch(0..1 << 20);
    file.prefetch(7..7);
    assert_eq!(file.size(), 1 << 20);
    assert_eq!(file.read(4096..4100).unwrap()[..], *b"kept");
    assert!(file.is_resident(4096..4100), "just read");
    assert_eq!(find_nonzero(&*file, 4100..1 << 20).unwrap(), None);
}

#[test]
fn a_failed_write_poisons_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    replace_file(&OsStorage, &path, b"content").unwrap();
    let file = OsStorage.open_file(&path, Access::ReadOnly).unwrap();
    assert!(file.write_at(&[IoSlice::new(b"x")], 0).is_err());
    let error = file.sync().unwrap_err();
    assert!(error.to_string().contains("earlier"), "{error}");
    assert_eq!(read_file(&OsStorage, &path, 100).unwrap(), b"content");
    assert_eq!(read_file(&OsStorage, &path, 6).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
}

#[test]
fn names_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let storage = OsStorage;
    storage.create_dir(&at("d")).unwrap();
    assert_eq!(storage.create_dir(&at("d")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    drop(storage.create_file(&at("b")).unwrap());
    assert!(storage.create_file(&at("b")).is_err());
    replace_file(&storage, &at("b"), b"12").unwrap();
    std::os::unix::fs::symlink(at("b"), at("link")).unwrap();
    let entries = storage.list(dir.path()).unwrap();
    let seen: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.kind, e.size)).collect();
    let expected =
        [("b", EntryKind::File, 2), ("d", EntryKind::Directory, 0), ("link", EntryKind::Other, 0)];
    assert_eq!(seen, expected);
    assert!(storage.rename(&at("b"), &at("d/b")).is_err(), "another directory");
    storage.create_dir(&at("e")).unwrap();
    assert!(storage.rename(&at("d"), &at("e")).is_err(), "a directory replaces nothing");
    storage.rename(&at("d"), &at("f")).unwrap();
    storage.sync_dir(dir.path()).unwrap();
    assert!(!storage.exists(&at("d")).unwrap() && storage.exists(&at("f")).unwrap());
    replace_file(&storage, &at("f/inner"), b"").unwrap();
    assert!(storage.remove_dir(&at("f")).is_err());
    remove_tree(&storage, &at("f")).unwrap();
    assert!(!storage.exists(&at("f")).unwrap());
    assert!(storage.free_size(dir.path()).unwrap() > 0);
}

const LOCK_PATH: &str = "SYNOD_TEST_LOCK_PATH";

/// Not a test by itself: what the second process of the next test runs.
#[test]
fn lock_in_second_process() {
    let Some(path) = std::env::var_os(LOCK_PATH) else { return };
    match OsStorage.lock(Path::new(&path)) {
        Ok(_) => println!("lock taken"),
        Err(LockError::Held { holder }) => println!("lock held by {holder:?}"),
        Err(error) => println!("lock failed: {error}"),
    }
}

#[test]
fn a_second_process_is_kept_out_and_told_by_whom() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let second = || {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "lock_in_second_process", "--nocapture"])
            .env(LOCK_PATH, &path)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let lock = OsStorage.lock(&path).unwrap();
    let held = format!("lock held by Some({})", std::process::id());
    assert!(second().contains(&held));
    drop(lock);
    assert!(second().contains("lock taken"));
    let error = LockError::Held { holder: Some(12) };
    assert_eq!(error.to_string(), "in use by process 12");
}
