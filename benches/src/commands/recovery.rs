//! `synod bench recovery`

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use synod_client::admin::NewTopic;
use synod_client::{ClientConfig, Cluster};

use crate::check::check;
use crate::error::BenchError;
use crate::flow::Meter;
use crate::load::{Pace, Plan};
use crate::options::{LoadArgs, OutputArgs};
use crate::payload::Payload;
use crate::report::{Report, print, row};
use crate::topic::{BenchTopic, run_number};

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
    /// From exec to the ready line, for each restart.
    ready_ms: Vec<f64>,
    /// From exec to the first answer to a client, for each restart.
    answer_ms: Vec<f64>,
    resident_mib: f64,
}

impl Report for RecoveryReport {
    fn rows(&self) -> Vec<(String, String)> {
        let list = |times: &[f64]| {
            let texts: Vec<_> = times.iter().map(|time| format!("{time:.0}")).collect();
            texts.join(", ") + " ms"
        };
        let mib = self.bytes as f64 / f64::from(1 << 20);
        vec![
            row("data", format!("{mib:.0} MiB in {} partitions", self.partitions)),
            row("start to ready", list(&self.ready_ms)),
            row("to first answer", list(&self.answer_ms)),
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
    let client = ClientConfig::new([broker.kafka.clone()]).client_id("synod-bench");
    let cluster = Cluster::connect(client.clone()).await?;
    let name = "synod-bench-recovery";
    let new = NewTopic::new(name).partitions(args.partitions as i32);
    let topic = BenchTopic::make(&cluster, name, Some(new)).await?;
    let payload = Payload::new(run_number(), args.load.size());
    let plan = Plan {
        topic: topic.name.clone(),
        partitions: args.partitions,
        producers: args.load.producers,
        payload: payload.clone(),
        pace: Pace::Unlimited,
        extent: args.load.extent(),
        warmup: Duration::ZERO,
        stick: args.load.stick(),
    };
    let meter = std::sync::Arc::new(Meter::new(Instant::now()));
    let outcome = plan.run(&client, &args.load.producer_config(), &meter).await?;
    let (mut ready_ms, mut answer_ms) = (Vec::new(), Vec::new());
    let mut latest = client;
    for _ in 0..args.restarts {
        broker.kill();
        let begin = Instant::now();
        broker = Broker::start(&args.data_dir)?;
        ready_ms.push(begin.elapsed().as_secs_f64() * 1e3);
        latest = ClientConfig::new([broker.kafka.clone()]).client_id("synod-bench");
        let cluster = Cluster::connect(latest.clone()).await?;
        crate::check::ends(&cluster, &topic.name, args.partitions).await?;
        answer_ms.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let resident = crate::process::Usage::of(&[broker.child.id()])?.resident_size;
    let checked = check(&latest, &topic.starts, &outcome.tally, &payload).await?;
    let checked = checked.sound(args.load.is_idempotent())?;
    broker.kill();
    Ok(RecoveryReport {
        command: "recovery",
        partitions: args.partitions,
        bytes: checked.bytes,
        ready_ms,
        answer_ms,
        resident_mib: resident as f64 / f64::from(1 << 20),
    })
}

/// A broker of the same binary as this one, on free ports.
#[derive(Debug)]
struct Broker {
    child: Child,
    kafka: String,
}

impl Broker {
    /// Returns when its ready line has come.
    fn start(data_dir: &Path) -> Result<Self, BenchError> {
        let broken = |reason: &str| BenchError::Process(format!("the broker: {reason}"));
        let binary = std::env::current_exe().map_err(BenchError::io("cannot find this binary"))?;
        let mut command = Command::new(binary);
        command.arg("serve").arg("--data-dir").arg(data_dir);
        for listener in ["--listen", "--peer-listen", "--http-listen"] {
            command.args([listener, "127.0.0.1:0"]);
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SYNOD_") {
                command.env_remove(name);
            }
        }
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.spawn().map_err(BenchError::io("cannot start a broker"))?;
        // From here on it ends with this value, however this goes on.
        let mut broker = Self { child, kafka: String::new() };
        let stdout = broker.child.stdout.take().ok_or_else(|| broken("no pipe"))?;
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        read.map_err(BenchError::io("cannot read the broker's ready line"))?;
        let address = line.split_whitespace().find_map(|field| field.strip_prefix("kafka="));
        broker.kafka = address.ok_or_else(|| broken("it did not become ready"))?.to_owned();
        Ok(broker)
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}
