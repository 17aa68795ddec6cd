//! `synod bench consume`

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use synod_client::Cluster;
use synod_client::cluster::TopicPartition;
use synod_client::consumer::{Consumer, ConsumerConfig, Start};

use super::produce::Run;
use crate::check::{ends, is_last};
use crate::error::BenchError;
use crate::load::Pace;
use crate::options::{LoadArgs, Target};
use crate::process::Usage;
use crate::progress::Progress;
use crate::report::{BrokerUse, Report, Speed, brokers_text, print, row, speed_text};

/// Nothing may stay silent for longer while there is something to read.
const PATIENCE: Duration = Duration::from_secs(30);

/// After so long without a record it is looked whether there can be more.
const QUIET: Duration = Duration::from_secs(1);

/// Arguments of `bench consume`.
#[derive(Debug, Args)]
pub struct ConsumeArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    load: LoadArgs,
    /// Partitions of a topic that is made
    #[arg(short, long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    partitions: u32,
    /// Read what the topic holds; write nothing
    #[arg(long, requires = "topic")]
    as_is: bool,
    /// Most bytes of one fetch from one partition
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20,
        value_parser = clap::value_parser!(i32).range(1024..))]
    fetch_size: i32,
}

/// Result of reading a topic.
#[derive(Debug, Serialize)]
struct ConsumeReport {
    command: &'static str,
    topic: String,
    partitions: usize,
    #[serde(flatten)]
    speed: Speed,
    #[serde(skip_serializing_if = "Option::is_none")]
    brokers: Option<BrokerUse>,
}

impl Report for ConsumeReport {
    fn rows(&self) -> Vec<(String, String)> {
        let mut rows = vec![
            row("topic", format!("{}, {} partitions", self.topic, self.partitions)),
            row("records", self.speed.records.to_string()),
            row("speed", speed_text(&self.speed)),
        ];
        if let Some(brokers) = &self.brokers {
            rows.push(row("brokers", brokers_text(brokers)));
        }
        rows
    }
}

/// Runs `bench consume`: fills the topic unless told otherwise, then reads it from the beginning.
pub(crate) async fn consume(mut args: ConsumeArgs) -> Result<(), BenchError> {
    let target = &mut args.target;
    let is_named = target.topic.is_some();
    if !args.as_is {
        let keep = std::mem::replace(&mut target.keep, true);
        let run = Run {
            command: "consume",
            target,
            load: &args.load,
            partitions: args.partitions,
            pace: Pace::Unlimited,
            stick: args.load.stick(),
        };
        target.topic = Some(run.to_end().await?.topic);
        target.keep = keep;
    }
    let name = target.topic.clone().unwrap_or_default();
    let cluster = Cluster::connect(target.client_config()).await?;
    let read = read(&cluster, &name, &args).await;
    if !is_named && !args.target.keep {
        let admin = synod_client::admin::Admin::new(cluster);
        if let Err(error) = admin.delete_topic(&name).await {
            eprintln!("synod: topic {name} stays: {error}");
        }
    }
    print(&read?, &args.target.output)
}

async fn read(
    cluster: &Cluster,
    name: &str,
    args: &ConsumeArgs,
) -> Result<ConsumeReport, BenchError> {
    let partitions = cluster.topic(name, false).await?.partitions.len();
    let ends = ends(cluster, name, partitions as u32).await?;
    let all = ends.keys().cloned().map(|partition| (partition, Start::Beginning));
    let config = ConsumerConfig::default().max_partition_fetch_size(args.fetch_size);
    let mut consumer = Consumer::new(cluster.clone(), config)?;
    let pids = &args.target.pid;
    let usage = || (!pids.is_empty()).then(|| Usage::of(pids)).transpose();
    let before = usage()?;
    let begin = Instant::now();
    consumer.assign(all.collect::<Vec<_>>()).await?;
    let mut open: BTreeMap<i32, u64> = BTreeMap::new();
    for (partition, &end) in &ends {
        if position(&consumer, partition)? < end {
            open.insert(partition.partition, end);
        }
    }
    let mut progress = Progress::new("consume", Some(ends.values().sum()));
    let (mut records, mut bytes) = (0, 0);
    let mut heard_at = begin;
    while !open.is_empty() {
        let polled = consumer.poll(QUIET).await?;
        for record in &polled {
            let key = record.key.as_ref().map_or(0, |key| key.len());
            bytes += (key + record.value.as_ref().map_or(0, |value| value.len())) as u64;
            if is_last(&open, record.partition, record.offset) {
                open.remove(&record.partition);
            }
        }
        records += polled.len() as u64;
        progress.show(records, bytes);
        if !polled.is_empty() {
            heard_at = Instant::now();
            continue;
        }
        // The last offsets may belong to something that is no record: then only positions tell.
        for (partition, &end) in &ends {
            if position(&consumer, partition)? >= end {
                open.remove(&partition.partition);
            }
        }
        if !open.is_empty() && heard_at.elapsed() >= PATIENCE {
            let reason = format!("{} partitions of {name} cannot be read to their end", open.len());
            return Err(BenchError::Process(reason));
        }
    }
    let speed = Speed::new(records, bytes, begin.elapsed());
    let brokers = before.zip(usage()?);
    Ok(ConsumeReport {
        command: "consume",
        topic: name.to_owned(),
        partitions,
        speed,
        brokers: brokers.map(|(before, after)| BrokerUse::between(&before, &after, bytes)),
    })
}

fn position(consumer: &Consumer, partition: &TopicPartition) -> Result<u64, BenchError> {
    Ok(u64::try_from(consumer.position(partition)?).unwrap_or(0))
}
