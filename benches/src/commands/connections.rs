//! `synod bench connections`

use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde::Serialize;
use synod_client::wire::Str;
use synod_client::wire::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use synod_client::{ClientConfig, Cluster, Connection, Pending};

use crate::error::BenchError;
use crate::options::{Target, parse_seconds};
use crate::process::Usage;
use crate::progress::Progress;
use crate::report::{Report, print, row};
use crate::topic::BenchTopic;

/// Connections opened at the same time.
const OPENING: usize = 64;

/// Descriptors this process needs besides the connections.
const OTHER_DESCRIPTORS: u64 = 64;

/// How much longer a long poll may take than asked for.
const GRACE: Duration = Duration::from_secs(30);

/// Arguments of `bench connections`.
#[derive(Debug, Args)]
pub struct ConnectionsArgs {
    #[command(flatten)]
    target: Target,
    /// Connections, each with one fetch that waits for records that do not come
    #[arg(long, value_name = "N", default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..=60_000))]
    count: u32,
    /// How long the fetches are parked
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    seconds: Duration,
}

/// Result of many connections that wait.
#[derive(Debug, Serialize)]
struct ConnectionsReport {
    command: &'static str,
    connections: u32,
    open_seconds: f64,
    parked_seconds: f64,
    /// Fetches that came back in time and empty, as they should: all of them.
    answered: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    brokers: Option<Parked>,
}

/// What the brokers used while everything was parked.
#[derive(Debug, Serialize)]
struct Parked {
    /// Cores that were busy.
    cores: f64,
    resident_mib: f64,
    /// Resident memory that came with the connections, for each.
    bytes_per_connection: f64,
}

impl Report for ConnectionsReport {
    fn rows(&self) -> Vec<(String, String)> {
        let rate = f64::from(self.connections) / self.open_seconds.max(1e-9);
        let mut rows = vec![
            row("connections", self.connections.to_string()),
            row("opened", format!("{:.2} s ({rate:.0}/s)", self.open_seconds)),
            row("parked", format!("{:.1} s, {} answered", self.parked_seconds, self.answered)),
        ];
        if let Some(parked) = &self.brokers {
            let text = format!(
                "{:.1} % of a core, {:.0} MiB resident, {:.0} B per connection",
                parked.cores * 100.0,
                parked.resident_mib,
                parked.bytes_per_connection
            );
            rows.push(row("brokers", text));
        }
        rows
    }
}

/// Runs `bench connections`: long polls that wait for nothing.
pub(crate) async fn connections(args: ConnectionsArgs) -> Result<(), BenchError> {
    allow_descriptors(u64::from(args.count) + OTHER_DESCRIPTORS)?;
    let client = args.target.client_config();
    let client = client.request_timeout(args.seconds + GRACE);
    let cluster = Cluster::connect(client.clone()).await?;
    let topic = BenchTopic::open(&cluster, &args.target, 1).await?;
    let result = measure(&args, &client, &cluster, &topic).await;
    topic.close().await;
    print(&result?, &args.target.output)
}

async fn measure(
    args: &ConnectionsArgs,
    client: &ClientConfig,
    cluster: &Cluster,
    topic: &BenchTopic,
) -> Result<ConnectionsReport, BenchError> {
    let pids = &args.target.pid;
    let usage = || (!pids.is_empty()).then(|| Usage::of(pids)).transpose();
    let start = topic.starts.values().next().copied().unwrap_or(0);
    let address = leader_address(cluster, topic).await?;
    let request = parked_fetch(topic, start, args.seconds);
    let before = usage()?;
    let begin = Instant::now();
    let connections = open_all(&address, client, args.count as usize).await?;
    let open_seconds = begin.elapsed().as_secs_f64();
    let mut parked: Vec<Pending<FetchRequest>> = Vec::with_capacity(connections.len());
    for connection in &connections {
        parked.push(connection.start(&request, args.seconds + GRACE).await?);
    }
    let parked_at = Instant::now();
    let settled = usage()?;
    // The first fetch comes back after its time; until then all are parked.
    tokio::time::sleep(args.seconds.mul_f64(0.8)).await;
    let measured_for = parked_at.elapsed().as_secs_f64();
    let after = usage()?;
    let mut answered = 0;
    for pending in parked {
        let response = pending.await?;
        answered += u32::from(
            response
                .responses
                .iter()
                .all(|topic| topic.partitions.iter().all(|p| p.records.is_empty())),
        );
    }
    let use_of = |before: Usage, settled: Usage, after: Usage| Parked {
        cores: (after.cpu_seconds - settled.cpu_seconds) / measured_for.max(1e-9),
        resident_mib: after.resident_size as f64 / f64::from(1 << 20),
        bytes_per_connection: after.resident_size.saturating_sub(before.resident_size) as f64
            / f64::from(args.count),
    };
    let brokers = match (before, settled, after) {
        (Some(before), Some(settled), Some(after)) => Some(use_of(before, settled, after)),
        _ => None,
    };
    Ok(ConnectionsReport {
        command: "connections",
        connections: args.count,
        open_seconds,
        parked_seconds: parked_at.elapsed().as_secs_f64(),
        answered,
        brokers,
    })
}

/// A fetch that waits at the end of the topic's first partition.
fn parked_fetch(topic: &BenchTopic, start: u64, wait: Duration) -> FetchRequest {
    let partition = FetchPartition {
        partition: 0,
        fetch_offset: i64::try_from(start).unwrap_or(i64::MAX),
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    FetchRequest {
        max_wait_ms: i32::try_from(wait.as_millis()).unwrap_or(i32::MAX),
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: vec![FetchTopic {
            topic: Str::from(&*topic.name),
            topic_id: topic.id,
            partitions: vec![partition],
        }],
        ..FetchRequest::default()
    }
}

async fn leader_address(cluster: &Cluster, topic: &BenchTopic) -> Result<String, BenchError> {
    let metadata = cluster.refresh_metadata().await?;
    let leader = metadata.leader(&topic.name, 0).and_then(|id| metadata.broker(id));
    match leader {
        Some(broker) => Ok(broker.address()),
        None => Err(BenchError::Process(format!("topic {} has lost its leader", topic.name))),
    }
}

/// Opens connections, some at a time: a listener's queue is finite.
async fn open_all(
    address: &str,
    client: &ClientConfig,
    count: usize,
) -> Result<Vec<Connection>, BenchError> {
    let mut connections = Vec::with_capacity(count);
    let mut progress = Progress::new("open", Some(count as u64));
    while connections.len() < count {
        let now = OPENING.min(count - connections.len());
        let opening = (0..now).map(|_| Connection::open(address, client));
        for opened in futures_util::future::join_all(opening).await {
            connections.push(opened?);
        }
        progress.show(connections.len() as u64, 0);
    }
    Ok(connections)
}

/// Raises the soft limit of open files as far as needed.
fn allow_descriptors(count: u64) -> Result<(), BenchError> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= count) {
        return Ok(());
    }
    if limit.maximum.is_some_and(|maximum| maximum < count) {
        let reason = format!("{count} open files are needed and the system allows fewer");
        return Err(BenchError::usage(reason));
    }
    limit.current = Some(count);
    let raised = setrlimit(Resource::Nofile, limit).map_err(std::io::Error::from);
    raised.map_err(BenchError::io("cannot raise the limit of open files"))
}
