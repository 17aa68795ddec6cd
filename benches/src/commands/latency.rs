//! `synod bench latency`

use clap::Args;

use super::produce::Run;
use crate::error::BenchError;
use crate::load::Pace;
use crate::options::{LoadArgs, Target, pace};
use crate::report::print;

/// Arguments of `bench latency`.
#[derive(Debug, Args)]
pub struct LatencyArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    load: LoadArgs,
    /// Partitions of a topic that is made
    #[arg(short, long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    partitions: u32,
    /// Records a second, by the clock: a late one counts from when it was due
    #[arg(long, value_name = "N", default_value_t = 1000.0)]
    rate: f64,
    /// Send each record when the one before it is acknowledged, at no fixed rate
    #[arg(long, conflicts_with = "rate")]
    one_by_one: bool,
}

/// Runs `bench latency`.
pub(crate) async fn latency(args: LatencyArgs) -> Result<(), BenchError> {
    let pace = if args.one_by_one { Pace::OneByOne } else { pace(Some(args.rate))? };
    let run = Run {
        command: "latency",
        target: &args.target,
        load: &args.load,
        partitions: args.partitions,
        pace,
        stick: args.load.stick(),
    };
    let report = run.to_end().await?;
    print(&report, &args.target.output)
}
