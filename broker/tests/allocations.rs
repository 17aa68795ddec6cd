//! What the produce path allocates and copies: printed, never judged. The broker runs in this
//! process under a counting allocator; the load comes from another process, so only the broker
//! counts.
//!
//! ```text
//! cargo test --release -p synod-broker --test allocations -- --nocapture
//! ```

use std::alloc::System;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What is written for each measurement.
const LOAD_SIZE: usize = 8_000_000;

/// A free port; whoever else takes it before the broker does makes this test fail, not pass.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn synod(args: &[&str], address: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
    command.args(args).args(["-b", address]).output().expect("the binary can be started")
}

/// Read and write calls of this process so far, as the kernel counts them: files and pipes, and
/// sockets where they are read and written as such.
fn file_calls() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let counts = text.lines().filter(|line| line.starts_with("sysc"));
    counts.filter_map(|line| line.split(' ').nth(1)?.parse::<u64>().ok()).sum()
}

#[test]
fn the_produce_path_tells_what_it_costs() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let address = format!("127.0.0.1:{}", free_port());
    let args = [
        "synod",
        "serve",
        "--data-dir",
        data.to_str().expect("UTF-8"),
        "--listen",
        &address,
        "--peer-listen",
        "127.0.0.1:0",
        "--http-listen",
        "127.0.0.1:0",
    ];
    let args = args.map(std::ffi::OsString::from);
    // It ends with this process.
    let broker = thread::spawn(move || synod_broker::cli::run(args));
    while TcpStream::connect(&address).is_err() {
        assert!(!broker.is_finished(), "the broker did not start");
        thread::yield_now();
    }
    let made = synod(&["topic", "create", "counted"], &address);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for size in [100, 1024] {
        let count = (LOAD_SIZE / size).to_string();
        let size_text = size.to_string();
        let load = ["bench", "produce", "-t", "counted", "-n", &count, "--size", &size_text];
        let calls = file_calls();
        let region = Region::new(ALLOCATOR);
        let output = synod(&load, &address);
        let stats: Stats = region.change();
        let calls = file_calls() - calls;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(stats.allocations > 0, "the broker is not in this process");
        let megabytes = LOAD_SIZE as f64 / 1e6;
        println!(
            "{size} B records, written and read back once, per MB: {:.0} allocations, {:.0} \
             reallocations, {:.2} bytes allocated per byte, {:.0} read and write calls",
            stats.allocations as f64 / megabytes,
            stats.reallocations as f64 / megabytes,
            stats.bytes_allocated as f64 / LOAD_SIZE as f64,
            calls as f64 / megabytes
        );
    }
}
