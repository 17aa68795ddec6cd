//! `synod bench end-to-end`

use std::time::{Duration, Instant};

use bytes::BytesMut;
use clap::Args;
use serde::Serialize;
use synod_client::Cluster;
use synod_client::cluster::TopicPartition;
use synod_client::consumer::{Consumer, ConsumerConfig, Start};
use synod_client::producer::{Producer, ProducerRecord};
use tokio::task::JoinHandle;

use crate::error::BenchError;
use crate::histogram::{Latencies, Percentiles};
use crate::load::Extent;
use crate::options::{LoadArgs, Target};
use crate::payload::{Content, Payload, Place};
use crate::report::{Report, percentiles_text, print, row};
use crate::ticker::Ticker;
use crate::topic::{BenchTopic, led_partitions, run_number};

/// How long the consumer waits for a record that was acknowledged.
const PATIENCE: Duration = Duration::from_secs(30);

/// Arguments of `bench end-to-end`.
#[derive(Debug, Args)]
pub struct EndToEndArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    load: LoadArgs,
    /// Records a second, by the clock
    #[arg(long, value_name = "N", default_value_t = 1000.0)]
    rate: f64,
}

/// Result of a run with a consumer that waits.
#[derive(Debug, Serialize)]
struct EndToEndReport {
    command: &'static str,
    topic: String,
    record_size: usize,
    rate: f64,
    /// From when a record was due to be sent until the consumer had it.
    end_to_end_us: Percentiles,
    /// From when it was due until its producer had the acknowledgement.
    ack_us: Percentiles,
    lateness_us: Percentiles,
}

impl Report for EndToEndReport {
    fn rows(&self) -> Vec<(String, String)> {
        let what =
            format!("{} of {} B, {}/s", self.end_to_end_us.count, self.record_size, self.rate);
        vec![
            row("topic", self.topic.clone()),
            row("records", what),
            row("end to end", percentiles_text(&self.end_to_end_us)),
            row("acknowledged", percentiles_text(&self.ack_us)),
            row("sent late by", percentiles_text(&self.lateness_us)),
            row("check", "every record was read once, in order, byte for byte"),
        ]
    }
}

/// Runs `bench end-to-end`: one producer and one consumer on one partition.
pub(crate) async fn end_to_end(args: EndToEndArgs) -> Result<(), BenchError> {
    if !(0.001..=1e6).contains(&args.rate) {
        return Err(BenchError::usage("a rate is a number of records a second up to 1e6"));
    }
    let client = args.target.client_config();
    let cluster = Cluster::connect(client).await?;
    let topic = BenchTopic::open(&cluster, &args.target, 1).await?;
    let result = measure(&args, &topic).await;
    topic.close().await;
    print(&result?, &args.target.output)
}

async fn measure(args: &EndToEndArgs, topic: &BenchTopic) -> Result<EndToEndReport, BenchError> {
    let payload = Payload::new(run_number(), args.load.size());
    let warmup_count = (args.load.warmup.as_secs_f64() * args.rate) as u64;
    let count = match args.load.extent() {
        Extent::Records(records) => records,
        Extent::Time(time) => (time.as_secs_f64() * args.rate) as u64,
    };
    let schedule = Schedule {
        // Time for both sides to get ready.
        begin: Instant::now() + Duration::from_millis(500),
        rate: args.rate,
        measure_from: warmup_count,
        count: warmup_count + count,
    };
    let partition = TopicPartition::new(topic.name.clone(), 0);
    let start = topic.starts.get(&partition).copied().unwrap_or(0);
    let cluster = Cluster::connect(args.target.client_config()).await?;
    let mut consumer = Consumer::new(cluster, ConsumerConfig::default())?;
    consumer.assign([(partition, Start::Offset(start))]).await?;
    let reading = tokio::spawn(read(consumer, payload.clone(), schedule));
    let sent = send(args, topic, &payload, schedule).await;
    let reading = Aborting(reading);
    let (acks, lateness) = sent?;
    let read = reading.finish().await?;
    Ok(EndToEndReport {
        command: "end-to-end",
        topic: topic.name.to_string(),
        record_size: payload.size(),
        rate: args.rate,
        end_to_end_us: read.percentiles(),
        ack_us: acks.percentiles(),
        lateness_us: lateness.percentiles(),
    })
}

/// When each record is due; both sides know it, so no clock travels in the records.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    begin: Instant,
    rate: f64,
    /// Records before this one are warm-up.
    measure_from: u64,
    count: u64,
}

impl Schedule {
    fn due(&self, sequence: u64) -> Instant {
        self.begin + Duration::from_secs_f64(sequence as f64 / self.rate)
    }
}

/// Sends to the schedule. Returns latencies of acknowledgements, and how late records were sent.
async fn send(
    args: &EndToEndArgs,
    topic: &BenchTopic,
    payload: &Payload,
    schedule: Schedule,
) -> Result<(Latencies, Latencies), BenchError> {
    let cluster = Cluster::connect(args.target.client_config()).await?;
    led_partitions(&cluster, &topic.name).await?;
    let producer = Producer::new(cluster, args.load.producer_config())?;
    let mut ticker = Ticker::new().map_err(BenchError::io("cannot make a timer"))?;
    let mut lateness = Latencies::new();
    let mut arena = BytesMut::new();
    let (queue, mut deliveries) = tokio::sync::mpsc::unbounded_channel();
    // Unbounded in name only: what is in it takes room in the producer's buffer.
    let acks = tokio::spawn(async move {
        let mut acks = Latencies::new();
        while let Some((sequence, delivery)) = deliveries.recv().await {
            let delivery: synod_client::producer::Delivery = delivery;
            delivery.await?;
            if sequence >= schedule.measure_from {
                acks.record(schedule.due(sequence).elapsed());
            }
        }
        Ok::<_, synod_client::Error>(acks)
    });
    for sequence in 0..schedule.count {
        let due = schedule.due(sequence);
        let waited = ticker.wait_until(due).await;
        waited.map_err(BenchError::io("cannot wait for a timer"))?;
        if sequence >= schedule.measure_from {
            lateness.record(due.elapsed());
        }
        let value = payload.value(&mut arena, Place { lane: 0, sequence });
        let record = ProducerRecord::new(topic.name.clone()).partition(0).value(value);
        // A delivery that failed ended the other side, and its error is told below.
        if queue.send((sequence, producer.send(record).await?)).is_err() {
            break;
        }
    }
    drop(queue);
    let acks = acks.await;
    producer.close().await;
    Ok((acks.map_err(|error| BenchError::Process(error.to_string()))??, lateness))
}

/// Reads what the schedule sends. It is the check, too: every record, in order, byte for byte.
async fn read(
    mut consumer: Consumer,
    payload: Payload,
    schedule: Schedule,
) -> Result<Latencies, BenchError> {
    let mut latencies = Latencies::new();
    let mut next = 0;
    while next < schedule.count {
        let records = consumer.poll(PATIENCE).await?;
        let now = Instant::now();
        if records.is_empty() {
            return Err(BenchError::Process(format!("record {next} did not come")));
        }
        for record in records {
            let value = record.value.as_deref().unwrap_or_default();
            if payload.recognise(value) != Content::Record(Place { lane: 0, sequence: next }) {
                let offset = record.offset;
                let reason = format!("at offset {offset} is another record than number {next}");
                return Err(BenchError::Process(reason));
            }
            if next >= schedule.measure_from {
                latencies.record(now.saturating_duration_since(schedule.due(next)));
            }
            next += 1;
        }
    }
    Ok(latencies)
}

/// A task that ends when nobody waits for it any more.
struct Aborting<T>(JoinHandle<Result<T, BenchError>>);

impl<T> Aborting<T> {
    async fn finish(mut self) -> Result<T, BenchError> {
        (&mut self.0).await.map_err(|error| BenchError::Process(error.to_string()))?
    }
}

impl<T> Drop for Aborting<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
