//! `synod bench produce`

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use synod_client::{ClientConfig, Cluster};

use crate::ceiling::Ceiling;
use crate::check::check;
use crate::error::BenchError;
use crate::flow::Meter;
use crate::load::{Extent, Outcome, Pace, Plan};
use crate::options::{LoadArgs, Target, pace};
use crate::payload::Payload;
use crate::process::Usage;
use crate::progress::Progress;
use crate::report::{BrokerUse, ProduceReport, Speed, percentiles_of, print};
use crate::topic::{BenchTopic, run_number};

/// Arguments of `bench produce`.
#[derive(Debug, Args)]
pub struct ProduceArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    load: LoadArgs,
    /// Partitions of a topic that is made
    #[arg(short, long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    partitions: u32,
    /// Records a second, by the clock; as many as possible if not given
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
}

/// Runs `bench produce`.
pub(crate) async fn produce(args: ProduceArgs) -> Result<(), BenchError> {
    let pace = pace(args.rate)?;
    let run = Run {
        command: "produce",
        target: &args.target,
        load: &args.load,
        partitions: args.partitions,
        pace,
        stick: args.load.stick(),
    };
    let report = run.to_end().await?;
    print(&report, &args.target.output)
}

/// A run of producers with everything around it.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) command: &'static str,
    pub(super) target: &'a Target,
    pub(super) load: &'a LoadArgs,
    pub(super) partitions: u32,
    pub(super) pace: Pace,
    /// Bytes that go to a partition before the next one has its turn.
    pub(super) stick: usize,
}

impl Run<'_> {
    /// Makes the topic, writes, reads back, and deletes the topic.
    ///
    /// # Errors
    /// Whatever keeps the run from being a measurement, above all records that are not there.
    pub(super) async fn to_end(&self) -> Result<ProduceReport, BenchError> {
        self.to_end_with(|| async { Ok(()) }).await
    }

    /// As [`Run::to_end`]; `meanwhile` runs beside the writing, from the end of the warm-up on.
    ///
    /// # Errors
    /// As [`Run::to_end`], and those of `meanwhile`.
    pub(super) async fn to_end_with<F>(
        &self,
        meanwhile: impl FnOnce() -> F,
    ) -> Result<ProduceReport, BenchError>
    where
        F: Future<Output = Result<(), BenchError>>,
    {
        let ceiling = Ceiling::read(self.target.output.ceiling.as_deref())?;
        let client = self.target.client_config();
        let cluster = Cluster::connect(client.clone()).await?;
        let topic = BenchTopic::open(&cluster, self.target, self.partitions).await?;
        let ceiling = ceiling.map(|ceiling| ceiling.of_processes(topic.replica_count));
        let result = self.measure(&client, &topic, meanwhile).await;
        topic.close().await;
        let mut report = result?;
        if let Some(ceiling) = ceiling {
            report.of_ceiling = ceiling.share(report.speed.megabytes_per_second);
            report.latency_over_ceiling = ceiling.latency_ratio(report.latency_us.p50);
        }
        Ok(report)
    }

    async fn measure<F>(
        &self,
        client: &ClientConfig,
        topic: &BenchTopic,
        meanwhile: impl FnOnce() -> F,
    ) -> Result<ProduceReport, BenchError>
    where
        F: Future<Output = Result<(), BenchError>>,
    {
        self.load.check_lanes(topic.partitions)?;
        let payload = Payload::new(run_number(), self.load.size());
        let plan = Plan {
            topic: topic.name.clone(),
            partitions: topic.partitions,
            producers: self.load.producers,
            payload: payload.clone(),
            pace: self.pace,
            extent: self.load.extent(),
            warmup: self.load.warmup,
            stick: self.stick,
        };
        let (outcome, brokers) = self.write(client, &plan, meanwhile).await?;
        let checked = match self.load.is_acknowledged() {
            true => Some(check(client, &topic.starts, &outcome.tally, &payload).await?),
            // Nothing was promised, so there is nothing to check.
            false => None,
        };
        let checked = checked.map(|check| check.sound(self.load.is_idempotent())).transpose()?;
        let latency = outcome.latencies.percentiles();
        let longest = outcome.pauses.iter().max().copied().unwrap_or_default();
        let bytes = latency.count * payload.size() as u64;
        Ok(ProduceReport {
            command: self.command,
            topic: topic.name.to_string(),
            partitions: topic.partitions,
            producers: plan.producers,
            record_size: payload.size(),
            speed: Speed::new(latency.count, bytes, outcome.elapsed),
            failed: outcome.tally.failed(),
            latency_us: latency,
            lateness_us: percentiles_of(&outcome.lateness),
            longest_pause_ms: longest.as_secs_f64() * 1e3,
            pauses: outcome.pauses,
            brokers: brokers.map(|(before, after)| BrokerUse::between(&before, &after, bytes)),
            of_ceiling: None,
            latency_over_ceiling: None,
            check: checked,
        })
    }

    /// Writes, with the brokers' use before and after if their processes were named.
    async fn write<F>(
        &self,
        client: &ClientConfig,
        plan: &Plan,
        meanwhile: impl FnOnce() -> F,
    ) -> Result<(Outcome, Option<(Usage, Usage)>), BenchError>
    where
        F: Future<Output = Result<(), BenchError>>,
    {
        let pids = &self.target.pid;
        let usage = || (!pids.is_empty()).then(|| Usage::of(pids)).transpose();
        usage()?;
        let meter = Arc::new(Meter::new(Instant::now() + plan.warmup));
        let watch = tokio::spawn(watch(meter.clone(), plan.clone()));
        let writing = async {
            let outcome = plan.run(client, &self.load.producer_config(), &meter).await;
            outcome.and_then(|outcome| Ok((outcome, usage()?)))
        };
        let measuring = async {
            tokio::time::sleep_until(meter.measure_from.into()).await;
            let before = usage()?;
            meanwhile().await?;
            Ok::<_, BenchError>(before)
        };
        let (written, before) = tokio::join!(writing, measuring);
        watch.abort();
        let (outcome, after) = written?;
        Ok((outcome, before?.zip(after)))
    }
}

/// Shows how far the run has come.
async fn watch(meter: Arc<Meter>, plan: Plan) {
    let total = match plan.extent {
        Extent::Records(records) => Some(records),
        Extent::Time(_) => None,
    };
    let mut progress = Progress::new("produce", total);
    while progress.is_on() {
        let acked = meter.acked();
        progress.show(acked + meter.failed(), acked * plan.payload.size() as u64);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
