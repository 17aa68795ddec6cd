//! What this machine allows: bytes over loopback TCP, written and synced by one process, or by
//! three of which two must have them. No protocol, no checks: what a broker reaches is told as a
//! share of this.
//!
//! ```text
//! cargo run --release -p synod-benches --bin synod-ceiling -- --dir DIR
//! ```

mod client;
mod majority;
mod replica;
mod space;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use synod_benches::ceiling::{Ceiling, Paced, Reached};

use client::Run;
use replica::Processes;

/// Measures raw loopback TCP, pwrite and fdatasync, for one process and for three with a majority
/// rule
#[derive(Debug, Parser)]
#[command(name = "synod-ceiling", version)]
struct Args {
    #[command(subcommand)]
    role: Option<Role>,
    /// Directory for the files; should be on the disk that brokers use. Removed at the end
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Processes that write everything: 1, or 3 with a majority rule
    #[arg(long, value_delimiter = ',', default_value = "1,3",
        value_parser = clap::value_parser!(u32).range(1..=7))]
    processes: Vec<u32>,
    /// Bytes of a batch
    #[arg(long, value_delimiter = ',', default_value = "1024,16384,131072,1048576",
        value_parser = clap::value_parser!(u64).range(1..=16 << 20))]
    batch: Vec<u64>,
    /// Batches under way when throughput is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    window: u32,
    /// Batches a second, of the smallest size, for commits by the clock
    #[arg(long, value_delimiter = ',', default_value = "1000,5000,10000",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Vec<u32>,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Size of each process's zero-filled file, in MiB; it is written round and round
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(16..=65536))]
    file: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a process that was started by this program does.
#[derive(Debug, Subcommand)]
enum Role {
    /// Used by the program itself: writes what one connection brings
    #[command(hide = true)]
    Replica(replica::ReplicaArgs),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.role {
        Some(Role::Replica(replica)) => replica::run(replica),
        None => measure(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "synod-ceiling: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> io::Result<()> {
    if !(0.01..=3600.0).contains(&args.seconds) {
        return Err(io::Error::other("--seconds is from 0.01 to 3600"));
    }
    let time = Duration::from_secs_f64(args.seconds);
    let space = space::Space::make(args.dir.as_deref())?;
    let mut ceiling = Ceiling {
        loopback_megabytes_per_second: client::loopback(time)? / 1e6,
        ..Ceiling::default()
    };
    for &count in &args.processes {
        for &batch_size in &args.batch {
            let processes = Processes::start(&space, count, args.file << 20)?;
            let run = Run { batch_size: batch_size as usize, time };
            let bytes_per_second = run.throughput(processes.address(), args.window)?;
            processes.stop()?;
            let processes = Processes::start(&space, count, args.file << 20)?;
            let commits = run.commits(processes.address())?;
            processes.stop()?;
            ceiling.reached.push(Reached {
                processes: count,
                batch_size,
                megabytes_per_second: bytes_per_second / 1e6,
                commit_p50_us: commits.at(0.5),
                commit_p99_us: commits.at(0.99),
            });
        }
        let Some(&batch_size) = args.batch.iter().min() else { continue };
        for &rate in &args.rate {
            let processes = Processes::start(&space, count, args.file << 20)?;
            let run = Run { batch_size: batch_size as usize, time };
            let commits = run.paced(processes.address(), rate)?;
            processes.stop()?;
            ceiling.paced.push(Paced {
                processes: count,
                batch_size,
                rate,
                commit_p50_us: commits.at(0.5),
                commit_p99_us: commits.at(0.99),
            });
        }
    }
    drop(space);
    let text = match args.json {
        true => serde_json::to_string_pretty(&ceiling)? + "\n",
        false => table(&ceiling),
    };
    io::stdout().write_all(text.as_bytes())
}

fn table(ceiling: &Ceiling) -> String {
    let loopback = ceiling.loopback_megabytes_per_second;
    let mut text = format!("one loopback stream, nothing written: {loopback:.0} MB/s\n");
    text.push_str("processes  batch B      MB/s  one at a time: p50 µs  p99 µs\n");
    for Reached { processes, batch_size, megabytes_per_second, commit_p50_us, commit_p99_us } in
        &ceiling.reached
    {
        text.push_str(&format!(
            "{processes:>9}  {batch_size:>7}  {megabytes_per_second:>8.1}  {commit_p50_us:>21.0}  \
             {commit_p99_us:>6.0}\n"
        ));
    }
    text.push_str("processes  batch B  a second: p50 µs  p99 µs\n");
    for Paced { processes, batch_size, rate, commit_p50_us, commit_p99_us } in &ceiling.paced {
        text.push_str(&format!(
            "{processes:>9}  {batch_size:>7}  {rate:>8}  {commit_p50_us:>6.0}  {commit_p99_us:>6.0}\n"
        ));
    }
    text
}
