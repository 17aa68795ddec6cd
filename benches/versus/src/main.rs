//! Synod's client beside the C library under its Rust wrapper: the same broker, the same settings,
//! the same records, in turns.
//!
//! The C library is measured twice: as it is fastest (`callback`: one callback for each record
//! written, and a poll loop), and as asynchronous programs use it (`future`). Ours has one API, and
//! hands out a future for every record.

mod ours;
mod table;
mod theirs;

use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use rustix::time::{ClockId, clock_gettime};
use table::Table;

/// Bytes of records on their way at most.
const BUFFER_SIZE: usize = 32 << 20;

/// How long a record may wait for company.
const LINGER_MS: u64 = 5;

/// Bytes of a full batch.
const BATCH_SIZE: usize = 128 << 10;

/// Deliveries that a program keeps before it looks at the oldest.
const OPEN_DELIVERIES: usize = 100_000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Compares two clients of the Kafka protocol
#[derive(Debug, Parser)]
struct Options {
    /// A broker, as HOST:PORT
    #[arg(short, long, default_value = "127.0.0.1:9092")]
    brokers: String,
    /// Sizes of a record's value
    #[arg(short, long, value_delimiter = ',', default_value = "100,1024,16384")]
    sizes: Vec<usize>,
    /// MB (10^6) of values in one run
    #[arg(short, long, default_value_t = 200)]
    megabytes: usize,
    /// How often each run is repeated; the median counts
    #[arg(short, long, default_value_t = 3)]
    rounds: usize,
    /// Partitions of the topic
    #[arg(short, long, default_value_t = 4)]
    partitions: i32,
    /// Only these clients: ours, callback, future
    #[arg(short, long, value_delimiter = ',', default_value = "ours,callback,future")]
    clients: Vec<Client>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
enum Client {
    Ours,
    Callback,
    Future,
}

/// What all clients are given.
#[derive(Debug, Clone)]
struct Task {
    brokers: String,
    topic: String,
    /// Records, besides the first one, which is not measured.
    count: usize,
    value: Bytes,
}

/// What a run took.
#[derive(Debug, Clone, Copy)]
struct Cost {
    seconds: f64,
    cpu_seconds: f64,
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let mut table = Table::default();
    for &size in &options.sizes {
        for round in 0..options.rounds {
            for &client in &options.clients {
                run(&options, client, size, round, &mut table)?;
            }
        }
    }
    print!("{table}");
    Ok(())
}

/// One client writes a topic of its own, and reads it.
fn run(
    options: &Options,
    client: Client,
    size: usize,
    round: usize,
    table: &mut Table,
) -> Result<(), Failure> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let task = Task {
        brokers: options.brokers.clone(),
        topic: format!("versus-{}-{size}-{round}-{client:?}", std::process::id()),
        count: options.megabytes * 1_000_000 / size,
        // Not compressible, not constant: neither side gains by accident.
        value: (0..size).map(|at| (at * 131 + at / 7 * 17) as u8).collect::<Vec<_>>().into(),
    };
    runtime.block_on(ours::create_topic(&task, options.partitions))?;
    let produced = match client {
        Client::Ours => runtime.block_on(ours::produce(task.clone())),
        Client::Callback => theirs::produce_with_callback(&task),
        Client::Future => runtime.block_on(theirs::produce_with_futures(task.clone())),
    }?;
    table.add("produce", size, client, &task, produced);
    let consumed = match client {
        Client::Ours => runtime.block_on(ours::consume(task.clone())),
        Client::Callback => theirs::consume_by_poll(&task, options.partitions),
        Client::Future => {
            runtime.block_on(theirs::consume_stream(task.clone(), options.partitions))
        }
    }?;
    table.add("consume", size, client, &task, consumed);
    runtime.block_on(ours::delete_topic(&task))
}

/// Runs from when the first record is through, so that finding the cluster and connecting to it do
/// not count.
struct Watch {
    started: Instant,
    cpu: Duration,
}

impl Watch {
    fn start() -> Self {
        Self { started: Instant::now(), cpu: cpu_time() }
    }

    fn stop(&self) -> Cost {
        Cost {
            seconds: self.started.elapsed().as_secs_f64(),
            cpu_seconds: (cpu_time() - self.cpu).as_secs_f64(),
        }
    }
}

/// Processor time of this process so far, all threads.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
