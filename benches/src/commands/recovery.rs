//! `synod bench recovery`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use synod_client::Cluster;
use synod_client::admin::NewTopic;

use crate::broker::Broker;
use crate::check;
use crate::error::BenchError;
use crate::flow::Meter;
use crate::load::{Extent, Outcome, Pace, Plan};
use crate::options::{LoadArgs, OutputArgs};
use crate::payload::{NAME_SIZE, Payload};
use crate::report::{Report, print, row};
use crate::sparse::{ZeroBatch, is_sealed, is_zeros};
use crate::topic::{BenchTopic, run_number};

const TOPIC: &str = "synod-bench-recovery";

/// How long the broker may take to seal what it found.
const SEAL_TIMEOUT: Duration = Duration::from_secs(120);

/// Pause between two looks whether segments are sealed.
const SEAL_POLL: Duration = Duration::from_millis(100);

/// Arguments of `bench recovery`.
#[derive(Debug, Args)]
pub struct RecoveryArgs {
    /// Directory for the broker's data; must not exist, and is removed at the end
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Partitions that are filled evenly
    #[arg(short, long, value_name = "N", default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    partitions: u32,
    /// How often the broker is killed and started again
    #[arg(long, value_name = "N", default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    restarts: u32,
    /// Bytes of batches of zeros to be there before, spread evenly; they take hardly any room
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    sparse: u64,
    /// The topic's segment.bytes
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30,
        value_parser = clap::value_parser!(u64).range(1 << 20..=1 << 30))]
    segment_size: u64,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Result of starts after kill -9.
#[derive(Debug, Serialize)]
struct RecoveryReport {
    command: &'static str,
    partitions: u32,
    bytes: u64,
    /// Batches of zeros that were there before the bytes above.
    sparse_bytes: u64,
    /// From exec to the ready line, for each restart.
    ready_ms: Vec<f64>,
    /// From exec until a client knew the end of every partition, for each restart.
    answer_ms: Vec<f64>,
    /// From exec until the last record of every partition was read, for each restart.
    read_ms: Vec<f64>,
    resident_mib: f64,
}

impl Report for RecoveryReport {
    fn rows(&self) -> Vec<(String, String)> {
        let list = |times: &[f64]| {
            let texts: Vec<_> = times.iter().map(|time| format!("{time:.0}")).collect();
            texts.join(", ") + " ms"
        };
        let mib = |bytes| bytes as f64 / f64::from(1 << 20);
        let sparse = match self.sparse_bytes {
            0 => String::new(),
            bytes => format!("{:.0} MiB of zeros and ", mib(bytes)),
        };
        let data = format!("{sparse}{:.0} MiB in {} partitions", mib(self.bytes), self.partitions);
        vec![
            row("data", data),
            row("start to ready", list(&self.ready_ms)),
            row("to all ends known", list(&self.answer_ms)),
            row("to last records", list(&self.read_ms)),
            row("memory", format!("{:.0} MiB resident after the last", self.resident_mib)),
            row("check", "what was acknowledged is there after the last start"),
        ]
    }
}

/// Runs `bench recovery`: fills a broker, kills it, and starts it again.
pub(crate) async fn recovery(args: RecoveryArgs) -> Result<(), BenchError> {
    let path = args.data_dir.display();
    if args.data_dir.exists() {
        return Err(BenchError::usage(format!("{path} exists; give a path that does not")));
    }
    let result = measure(&args).await;
    if let Err(error) = std::fs::remove_dir_all(&args.data_dir) {
        eprintln!("synod: {path} stays: {error}");
    }
    print(&result?, &args.output)
}

async fn measure(args: &RecoveryArgs) -> Result<RecoveryReport, BenchError> {
    args.load.check_lanes(args.partitions)?;
    let mut broker = Broker::start(&args.data_dir)?;
    let cluster = broker.connect().await?;
    let new = NewTopic::new(TOPIC).partitions(args.partitions as i32);
    let new = new.config("segment.bytes", args.segment_size.to_string());
    let mut topic = BenchTopic::make(&cluster, TOPIC, Some(new)).await?;
    let mut sparse_bytes = 0;
    if args.sparse > 0 {
        sparse_bytes = make_sparse(args, &topic, &mut broker).await?;
        topic = BenchTopic::make(&broker.connect().await?, TOPIC, None).await?;
    }
    let payload = Payload::new(run_number(), args.load.size());
    let plan = Plan {
        producers: args.load.producers,
        payload: payload.clone(),
        extent: args.load.extent(),
        stick: args.load.stick(),
        ..one_each(args.partitions)
    };
    let outcome = write(&plan, args, &broker).await?;
    let (mut ready_ms, mut answer_ms, mut read_ms) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.restarts {
        broker.kill();
        let begin = Instant::now();
        let note = |times: &mut Vec<f64>| times.push(begin.elapsed().as_secs_f64() * 1e3);
        broker = Broker::start(&args.data_dir)?;
        note(&mut ready_ms);
        let cluster = broker.connect().await?;
        let ends = check::ends(&cluster, TOPIC, args.partitions).await?;
        note(&mut answer_ms);
        check::last_before(&cluster, &ends).await?;
        note(&mut read_ms);
    }
    let resident = crate::process::Usage::of(&[broker.id()])?.resident_size;
    if sparse_bytes > 0 {
        check_zeros(&broker.connect().await?, &topic).await?;
    }
    let checked = check::check(&broker.client(), &topic.starts, &outcome.tally, &payload).await?;
    let checked = checked.sound(args.load.is_idempotent())?;
    broker.kill();
    Ok(RecoveryReport {
        command: "recovery",
        partitions: args.partitions,
        bytes: checked.bytes,
        sparse_bytes,
        ready_ms,
        answer_ms,
        read_ms,
        resident_mib: resident as f64 / f64::from(1 << 20),
    })
}

/// A load of one small record for each partition.
fn one_each(partitions: u32) -> Plan {
    Plan {
        topic: TOPIC.into(),
        partitions,
        producers: 1,
        payload: Payload::new(run_number(), NAME_SIZE),
        pace: Pace::Unlimited,
        extent: Extent::Records(partitions.into()),
        warmup: Duration::ZERO,
        stick: 1,
    }
}

async fn write(plan: &Plan, args: &RecoveryArgs, broker: &Broker) -> Result<Outcome, BenchError> {
    let meter = Arc::new(Meter::new(Instant::now()));
    plan.run(&broker.client(), &args.load.producer_config(), &meter).await
}

/// Has every partition go on with its share of zeros, and the broker take them over. Returns how
/// many bytes that is.
async fn make_sparse(
    args: &RecoveryArgs,
    topic: &BenchTopic,
    broker: &mut Broker,
) -> Result<u64, BenchError> {
    let zeros = ZeroBatch::new().map_err(|error| BenchError::Process(error.to_string()))?;
    let partitions = u64::from(args.partitions);
    let count = args.sparse / partitions / zeros.size();
    if count == 0 {
        let least = partitions * zeros.size();
        return Err(BenchError::usage(format!("give --sparse {least} or more")));
    }
    // They go on from a batch that a broker wrote, whose leader epoch it knows.
    write(&one_each(args.partitions), args, broker).await?;
    broker.stop()?;
    let dirs =
        (0..args.partitions).map(|partition| partition_dir(&args.data_dir, topic, partition));
    let dirs: Vec<_> = dirs.collect();
    for dir in &dirs {
        let extended = zeros.extend(dir, count, args.segment_size);
        extended.map_err(BenchError::io(dir.display().to_string()))?;
    }
    *broker = Broker::start(&args.data_dir)?;
    let ends = check::ends(&broker.connect().await?, TOPIC, args.partitions).await?;
    if let Some((partition, end)) = ends.iter().find(|(_, end)| **end != 1 + count) {
        let reason = format!("{partition:?} ends at {end} instead of {}", 1 + count);
        return Err(BenchError::Process(reason));
    }
    let deadline = Instant::now() + SEAL_TIMEOUT;
    for dir in &dirs {
        while !is_sealed(dir).map_err(BenchError::io(dir.display().to_string()))? {
            if Instant::now() >= deadline {
                let reason = format!("segments in {} are not sealed", dir.display());
                return Err(BenchError::Process(reason));
            }
            tokio::time::sleep(SEAL_POLL).await;
        }
    }
    // A stop in order leaves nothing to be done later.
    broker.stop()?;
    *broker = Broker::start(&args.data_dir)?;
    Ok(partitions * count * zeros.size())
}

fn partition_dir(data_dir: &Path, topic: &BenchTopic, partition: u32) -> PathBuf {
    let id = u128::from_be_bytes(*topic.id.as_bytes());
    data_dir.join("partitions").join(format!("{id:032x}-{partition}"))
}

/// Reads the last batch of zeros of every partition.
async fn check_zeros(cluster: &Cluster, topic: &BenchTopic) -> Result<(), BenchError> {
    for record in check::last_before(cluster, &topic.starts).await? {
        if !is_zeros(record.value.as_deref().unwrap_or_default()) {
            let reason = format!("partition {} at {}: no zeros", record.partition, record.offset);
            return Err(BenchError::Process(reason));
        }
    }
    Ok(())
}
