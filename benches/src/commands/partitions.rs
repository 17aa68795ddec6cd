//! `synod bench partitions`

use clap::Args;
use serde::Serialize;

use super::produce::Run;
use crate::error::BenchError;
use crate::options::{LoadArgs, Target, pace};
use crate::report::{ProduceReport, Report, print};

/// Arguments of `bench partitions`.
#[derive(Debug, Args)]
pub struct PartitionsArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    load: LoadArgs,
    /// Numbers of partitions, each with a topic of its own and the same load
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1,10,100,1000,10000",
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    counts: Vec<u32>,
    /// Records a second, by the clock; as many as possible if not given
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
}

/// Results for each number of partitions.
#[derive(Debug, Serialize)]
struct PartitionsReport {
    command: &'static str,
    runs: Vec<ProduceReport>,
}

impl Report for PartitionsReport {
    fn rows(&self) -> Vec<(String, String)> {
        let first = self.runs.first().map_or(0.0, |run| run.speed.megabytes_per_second);
        let row = |run: &ProduceReport| {
            let share = run.speed.megabytes_per_second / first.max(1e-9);
            let text = format!(
                "{:.0} records/s, {:.1} MB/s ({share:.2} of the first), p50 {:.0} µs, p99 {:.0} µs",
                run.speed.records_per_second,
                run.speed.megabytes_per_second,
                run.latency_us.p50,
                run.latency_us.p99
            );
            (format!("{} partitions", run.partitions), text)
        };
        self.runs.iter().map(row).collect()
    }
}

/// Runs `bench partitions`: the same load on topics of more and more partitions.
pub(crate) async fn partitions(args: PartitionsArgs) -> Result<(), BenchError> {
    if args.target.topic.is_some() {
        return Err(BenchError::usage("partitions makes its own topics: leave --topic out"));
    }
    let pace = pace(args.rate)?;
    let mut runs = Vec::new();
    for &partitions in &args.counts {
        let run = Run {
            command: "produce",
            target: &args.target,
            load: &args.load,
            partitions,
            pace,
            stick: args.load.stick(),
        };
        runs.push(run.to_end().await?);
    }
    print(&PartitionsReport { command: "partitions", runs }, &args.target.output)
}
