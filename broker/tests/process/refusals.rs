//! Starts that must fail: with one line that says why, a failing status, and no harm done.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::support::batch::Batch;
use crate::support::broker::{Broker, Refusal};
use crate::support::wire::{Connection, create_topic, produce_request, read_partition};

/// A directory with one record in it, and the broker that wrote it stopped.
fn used_directory(dir: &Path) {
    let mut broker = Broker::start_in(dir);
    let connection = &mut Connection::open(broker.kafka());
    create_topic(connection, "kept", 1, &[]);
    let records = Batch::of(&["kept"]).encode();
    connection.call(9, &produce_request("kept", 0, -1, records));
    let (status, _, stderr) = broker.terminate();
    assert_eq!(status.code(), Some(0), "{stderr}");
}

fn check_kept(broker: &Broker) {
    let read = read_partition(&mut Connection::open(broker.kafka()), "kept", 0, 0);
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].value.as_deref(), Some(&b"kept"[..]));
}

/// The start fails with one line of error that contains all these words.
fn refused(dir: &Path, args: &[&str], words: &[&str]) {
    let Refusal { status, stderr } = match Broker::try_start(dir, args) {
        Ok(_) => panic!("a broker started on {dir:?} with {args:?}"),
        Err(refusal) => refusal,
    };
    assert!(status.code().is_some_and(|code| code != 0), "{status}: {stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|line| is_error(line)).collect();
    assert_eq!(errors.len(), 1, "not one line of error:\n{stderr}");
    for word in words {
        assert!(errors[0].contains(word), "no {word:?} in {:?}", errors[0]);
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

/// Log lines that tell of the start may come before the error.
fn is_error(line: &str) -> bool {
    line.starts_with("synod: ")
}

#[test]
fn a_directory_in_use() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = temporary.path().join("data");
    used_directory(&dir);
    let broker = Broker::start_in(&dir);
    refused(&dir, &[], &["in use", &dir.display().to_string(), &broker.id().to_string()]);
    check_kept(&broker);
}

/// A lock left behind by a killed broker holds nobody off.
#[test]
fn a_lock_file_without_a_holder() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = temporary.path().join("data");
    used_directory(&dir);
    let mut broker = Broker::start_in(&dir);
    broker.kill();
    check_kept(&Broker::start_in(&dir));
}

#[test]
fn a_directory_that_cannot_be_written() {
    // Not even root can create directories there.
    let dir = Path::new("/proc/synod-data");
    refused(dir, &[], &["/proc/synod-data"]);
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let file = temporary.path().join("file");
    fs::write(&file, "not a directory").expect("a file");
    refused(&file, &[], &[&file.display().to_string()]);
    refused(&file.join("below"), &[], &[&file.display().to_string()]);
}

#[test]
fn somebody_elses_directory() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    fs::write(temporary.path().join("thesis.tex"), "precious").expect("a file");
    refused(temporary.path(), &[], &["thesis.tex", "not empty"]);
    let text = fs::read_to_string(temporary.path().join("thesis.tex")).expect("the file");
    assert_eq!(text, "precious");
}

#[test]
fn another_node() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = temporary.path().join("data");
    used_directory(&dir);
    refused(&dir, &["--node-id", "2"], &["node 1", "node 2"]);
    check_kept(&Broker::start_in(&dir));
}

/// The identity of one cluster over the data of another: disks mixed up by hand.
#[test]
fn another_cluster() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let ours = temporary.path().join("ours");
    let theirs = temporary.path().join("theirs");
    used_directory(&ours);
    used_directory(&theirs);
    let meta = fs::read(ours.join("meta")).expect("the directory's identity");
    fs::copy(theirs.join("meta"), ours.join("meta")).expect("another identity");
    refused(&ours, &[], &["journal", "cluster"]);
    fs::write(ours.join("meta"), meta).expect("the identity restored");
    check_kept(&Broker::start_in(&ours));
}

#[test]
fn a_newer_format() {
    with_changed_meta(
        |meta| meta.replace("format 2\n", "format 99\n"),
        &["format 99", "newer build"],
    );
}

#[test]
fn a_damaged_identity() {
    with_changed_meta(|meta| meta.replace("node 1\n", "node 3\n"), &["checksum"]);
    with_changed_meta(|_| String::new(), &["meta"]);
}

fn with_changed_meta(change: impl Fn(&str) -> String, words: &[&str]) {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = temporary.path().join("data");
    used_directory(&dir);
    let path = dir.join("meta");
    let meta = fs::read_to_string(&path).expect("the directory's identity");
    fs::write(&path, change(&meta)).expect("a changed identity");
    refused(&dir, &[], words);
    // Nothing was touched: with the identity restored everything is there.
    fs::write(&path, meta).expect("the identity restored");
    check_kept(&Broker::start_in(&dir));
}

#[test]
fn a_lost_journal_or_partitions() {
    for missing in ["journal", "partitions"] {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let dir = temporary.path().join("data");
        used_directory(&dir);
        let away = temporary.path().join("away");
        fs::rename(dir.join(missing), &away).expect("something moved away");
        refused(&dir, &[], &[missing]);
        fs::rename(&away, dir.join(missing)).expect("something moved back");
        check_kept(&Broker::start_in(&dir));
    }
}

/// A first start that was cut short before the identity was written is done again.
#[test]
fn a_half_written_first_start() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = temporary.path().join("data");
    drop(Broker::start_in(&dir));
    let whole = fs::read(dir.join("meta")).expect("the directory's identity");
    let half = temporary.path().join("half");
    fs::create_dir_all(half.join("partitions")).expect("a half-made directory");
    fs::write(half.join("meta.tmp"), &whole[..whole.len() / 2]).expect("half an identity");
    match Broker::try_start(&half, &[]) {
        Ok(broker) => create_topic(&mut Connection::open(broker.kafka()), "fresh", 1, &[]),
        Err(refusal) => panic!("{}", refusal.stderr),
    }
}

#[test]
fn a_port_in_use() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    for flag in ["--listen", "--peer-listen", "--http-listen"] {
        refused(temporary.path(), &[flag, &address], &[&address]);
    }
}

#[test]
fn settings_that_make_no_sense() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let dir = temporary.path();
    refused(dir, &["--set", "retention=5"], &["retention"]);
    refused(dir, &["--listen", "nonsense"], &["nonsense"]);
    refused(dir, &["--config", "/nowhere/synod.toml"], &["/nowhere/synod.toml"]);
    let file = dir.join("synod.toml");
    fs::write(&file, "lissen = '127.0.0.1:0'\n").expect("a config file");
    refused(dir, &["--config", &file.display().to_string()], &["lissen", "listen"]);
}
