//! Data directories that are checked in: the format on disk does not change unnoticed, and damaged
//! directories are handled as they always were.
//!
//! `SYNOD_LOG_REWRITE_FIXTURES=1 cargo test -p synod-log --test fixtures` writes them anew.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use support::{BatchSpec, read_all, run_background, small_config, sync};
use synod_log::check::{Found, SegmentDump, check_dir};
use synod_log::memory::MemoryStorage;
use synod_log::os::OsStorage;
use synod_log::storage::Storage;
use synod_log::{Log, LogConfig, RecoveryReport};

/// The durability mark that belongs to the golden directory.
const MARK: u64 = 60;
const ACTIVE: &str = "00000000000000000045.log";
const SEALED: &str = "00000000000000000000.log";

type Files = BTreeMap<String, Vec<u8>>;

fn fixture_dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn config() -> LogConfig {
    LogConfig { segment_size: 4096.try_into().expect("not zero"), ..small_config() }
}

/// A log of sixty records with two segments, three leader epochs and a producer, trimmed to 7.
fn golden() -> Files {
    let memory = MemoryStorage::new(0);
    memory.create_dir("/p".as_ref()).expect("created");
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let mut log = Log::create(storage, "/p".as_ref(), config()).expect("created");
    for i in 0..12 {
        let offset = i * 5;
        let body = (0..350).map(|b| (b as u8) ^ (i as u8)).collect();
        let spec = BatchSpec::new(offset, 5).leader_epoch(1 + i as i32 / 5).body(body);
        let spec = spec.timestamp(1_700_000_000_000 + offset as i64);
        log.append(&[spec.producer(77, 2, offset as i32).batch()]).expect("appended");
        sync(&mut log);
        run_background(&mut log);
    }
    log.trim(7).expect("trimmed");
    assert_eq!(log.close().expect("closed"), MARK);
    files(&memory)
}

fn files(memory: &MemoryStorage) -> Files {
    let entries = memory.list("/p".as_ref()).expect("listed");
    let content = |name: &str| memory.content(&Path::new("/p").join(name)).expect("read");
    entries.into_iter().map(|e| (e.name.clone(), content(&e.name))).collect()
}

/// The damaged directories, by name.
fn damaged() -> BTreeMap<&'static str, Files> {
    let with = |change: &dyn Fn(&mut Files)| {
        let mut files = golden();
        change(&mut files);
        files
    };
    let edit = |name: &'static str, edit: fn(&mut Vec<u8>)| {
        with(&|files| edit(files.get_mut(name).expect("a file of the golden directory")))
    };
    BTreeMap::from([
        ("flipped-record", edit(ACTIVE, |f| f[100] ^= 1)),
        ("flipped-leader-epoch", edit(ACTIVE, |f| f[15] ^= 4)),
        ("flipped-base-offset", edit(ACTIVE, |f| f[411 + 7] ^= 1)),
        ("torn-tail", edit(ACTIVE, |f| f[1000..].fill(0))),
        ("garbage-tail", edit(ACTIVE, |f| f[1233..1300].fill(0xaa))),
        ("missing-sealed", with(&|files| drop(files.remove(SEALED)))),
        ("missing-active", with(&|files| drop(files.remove(ACTIVE)))),
        (
            "damaged-hints",
            with(&|files| {
                for (name, content) in files.iter_mut() {
                    if name.ends_with(".index") || name.ends_with(".snapshot") {
                        content[10] ^= 1;
                    }
                }
                files.remove("leader-epochs");
            }),
        ),
        (
            "damaged-start",
            edit("log-start", |f| {
                f[0] ^= 1;
                f[512] ^= 1;
            }),
        ),
        (
            "half-deleted",
            with(&|files| {
                let sealed = files.remove(SEALED).expect("there");
                files.insert(format!("{SEALED}.deleted"), sealed);
            }),
        ),
    ])
}

fn rewrite() -> bool {
    std::env::var_os("SYNOD_LOG_REWRITE_FIXTURES").is_some()
}

fn load(name: &str) -> Files {
    let entries = std::fs::read_dir(fixture_dir(name)).expect("the fixture is checked in");
    entries
        .map(|e| {
            let e = e.expect("listed");
            let name = e.file_name().into_string().expect("a plain name");
            (name, std::fs::read(e.path()).expect("read"))
        })
        .collect()
}

fn store(name: &str, files: &Files) {
    let dir = fixture_dir(name);
    std::fs::remove_dir_all(&dir).ok();
    std::fs::create_dir_all(&dir).expect("created");
    for (file, content) in files {
        std::fs::write(dir.join(file), content).expect("written");
    }
}

/// A copy on the real file system.
fn copied(files: &Files) -> (tempfile::TempDir, Arc<dyn Storage>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (file, content) in files {
        std::fs::write(dir.path().join(file), content).expect("written");
    }
    (dir, Arc::new(OsStorage))
}

fn open(files: &Files) -> (tempfile::TempDir, Result<(Log, RecoveryReport), String>) {
    let (dir, storage) = copied(files);
    let opened = Log::open(storage, dir.path(), config(), MARK)
        .map_err(|e| e.to_string().replace(&dir.path().display().to_string(), "DIR"));
    (dir, opened)
}

#[test]
fn the_format_on_disk_is_as_checked_in() {
    let files = golden();
    if rewrite() {
        store("golden", &files);
        for (name, files) in damaged() {
            store(name, &files);
        }
    }
    let stored = load("golden");
    assert_eq!(stored.keys().collect::<Vec<_>>(), files.keys().collect::<Vec<_>>());
    for (name, content) in &files {
        assert!(stored[name] == *content, "{name} is written differently than it was");
    }
    for (name, files) in damaged() {
        assert!(load(name) == files, "{name} is not what the golden directory makes of it");
    }
}

#[test]
fn the_golden_directory_opens() {
    let (_dir, opened) = open(&load("golden"));
    let (log, report) = opened.expect("opened");
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((log.start(), log.durable_end(), log.end()), (7, MARK, MARK));
    let batches = read_all(&log.view(), 7, MARK);
    assert_eq!(batches.len(), 11);
    assert_eq!(log.epochs().latest(), Some(3));
    assert_eq!(log.producers().state(77).and_then(|s| s.last_sequence()), Some(59));
}

#[test]
fn damaged_directories_are_handled_as_always() {
    let expected = BTreeMap::from([
        ("damaged-hints", "7..60 faulty [] epochs rebuilt"),
        ("damaged-start", "DIR/log-start is damaged: the log's start is not known"),
        ("flipped-base-offset", "7..50 faulty [50..60]"),
        ("flipped-leader-epoch", "7..45 faulty [45..60]"),
        ("flipped-record", "7..60 faulty [45..50]"),
        ("garbage-tail", "7..60 faulty [] cut"),
        ("half-deleted", "45..60 faulty []"),
        ("missing-active", "7..45 faulty [45..60]"),
        ("missing-sealed", "45..60 faulty [7..45]"),
        ("torn-tail", "7..60 faulty [55..60]"),
    ]);
    let found: BTreeMap<_, _> = damaged()
        .into_keys()
        .map(|name| {
            let (_dir, opened) = open(&load(name));
            let found = match opened {
                Err(error) => error,
                Ok((log, report)) => {
                    let mut text =
                        format!("{}..{} faulty {:?}", log.start(), log.end(), report.faulty);
                    if report.cut_size > 0 {
                        text.push_str(" cut");
                    }
                    if report.epochs_rebuilt {
                        text.push_str(" epochs rebuilt");
                    }
                    text
                }
            };
            (name, found)
        })
        .collect();
    for (name, found) in &found {
        assert_eq!(Some(found.as_str()), expected.get(name).copied(), "{name}");
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn check_finds_the_damage_and_changes_nothing() {
    let (dir, storage) = copied(&load("golden"));
    let report = check_dir(&storage, dir.path()).expect("checked");
    assert!(report.problems.is_empty(), "{report:?}");
    assert_eq!((report.start, report.end, report.segments.len()), (7, MARK, 2));
    let sealed = &report.segments[0];
    assert!(sealed.is_sealed);
    assert_eq!((sealed.batch_count, sealed.record_count, sealed.end_offset), (9, 45, 45));
    for name in damaged().into_keys().filter(|n| *n != "half-deleted") {
        let files = load(name);
        let (dir, storage) = copied(&files);
        let report = check_dir(&storage, dir.path()).expect("checked");
        assert!(
            !report.problems.is_empty() || name == "missing-active" || name == "torn-tail",
            "{name}: {report:?}"
        );
        let harmless = ["damaged-hints", "garbage-tail", "missing-active", "torn-tail"];
        let unknown_end = ["flipped-base-offset"];
        if !unknown_end.contains(&name) {
            assert_eq!(report.is_sound(), harmless.contains(&name), "{name}: {report:?}");
        }
        for (file, content) in &files {
            assert!(std::fs::read(dir.path().join(file)).expect("read") == *content, "{file}");
        }
    }
}

#[test]
fn a_dump_shows_every_batch_and_the_rest() {
    let (dir, storage) = copied(&load("flipped-record"));
    let mut dump = SegmentDump::open(&*storage, &dir.path().join(ACTIVE)).expect("opened");
    let mut damages = Vec::new();
    let mut unused = None;
    while let Some(found) = dump.step().expect("read") {
        match found {
            Found::Batch { damage, .. } => damages.push(damage.is_some()),
            Found::Unused { position, .. } => unused = Some(position),
            Found::Bad { .. } => panic!("{found:?}"),
        }
    }
    assert_eq!(damages, [true, false, false]);
    assert_eq!(unused, Some(3 * 411));
    assert!(SegmentDump::open(&*storage, &dir.path().join("leader-epochs")).is_err());
}
