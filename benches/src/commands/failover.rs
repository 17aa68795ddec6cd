//! `synod bench failover`

use std::time::Duration;

use clap::{Args, ValueEnum};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use super::produce::Run;
use crate::error::BenchError;
use crate::histogram::{Latencies, Percentiles};
use crate::options::{LoadArgs, Target, pace, parse_seconds};
use crate::report::{ProduceReport, Report, print, row};

/// A partition counts as hit when it was silent for so many times the pause between its records.
const HIT_FACTOR: f64 = 3.0;

/// Arguments of `bench failover`.
#[derive(Debug, Args)]
pub struct FailoverArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    load: LoadArgs,
    /// Partitions of a topic that is made
    #[arg(short, long, value_name = "N", default_value_t = 12,
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    partitions: u32,
    /// Records a second to each partition: how finely its outage is seen
    #[arg(long, value_name = "N", default_value_t = 20.0)]
    rate: f64,
    /// Process of the broker that is to go; without it, end one by hand
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(2..))]
    kill: Option<i32>,
    /// How the process is ended
    #[arg(long, value_enum, default_value_t, value_name = "SIGNAL")]
    signal: How,
    /// When it is ended, counted from the end of the warm-up
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = parse_seconds)]
    after: Duration,
}

/// How a broker is ended.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum How {
    /// At once, as by kill -9
    #[default]
    Kill,
    /// Politely: it may hand over what it leads
    Term,
}

/// Result of a run during which a broker went away.
#[derive(Debug, Serialize)]
struct FailoverReport {
    command: &'static str,
    /// Partitions that were silent for longer than their records are apart.
    hit_partitions: usize,
    /// How long those could not be written.
    outage_us: Percentiles,
    load: ProduceReport,
}

impl Report for FailoverReport {
    fn rows(&self) -> Vec<(String, String)> {
        let outage = &self.outage_us;
        let ms = |micros: f64| micros / 1e3;
        let text = format!(
            "p50 {:.0}, p99 {:.0}, max {:.0} ms",
            ms(outage.p50),
            ms(outage.p99),
            ms(outage.max)
        );
        let hit = format!("{} of {} partitions", self.hit_partitions, self.load.partitions);
        let mut rows = vec![row("hit", hit), row("outage", text)];
        rows.extend(self.load.rows());
        rows
    }
}

/// Runs `bench failover`: a steady load on all partitions while a broker is ended.
pub(crate) async fn failover(args: FailoverArgs) -> Result<(), BenchError> {
    let pace = pace(Some(args.rate * f64::from(args.partitions)))?;
    let run = Run {
        command: "failover",
        target: &args.target,
        load: &args.load,
        partitions: args.partitions,
        pace,
        // Partitions take turns record by record: one that waits for its turn is not silent.
        stick: 1,
    };
    let pid = args.kill.map(process).transpose()?;
    let ended = run.to_end_with(|| async {
        tokio::time::sleep(args.after).await;
        match (pid, args.signal) {
            (None, _) => Ok(()),
            (Some(pid), How::Kill) => end(pid, Signal::KILL),
            (Some(pid), How::Term) => end(pid, Signal::TERM),
        }
    });
    let load = ended.await?;
    let normal = Duration::from_secs_f64(HIT_FACTOR / args.rate);
    let mut outages = Latencies::new();
    let hit = load.pauses.iter().filter(|&&pause| pause > normal);
    let hit_partitions = hit.inspect(|&&pause| outages.record(pause)).count();
    let outage_us = outages.percentiles();
    let report = FailoverReport { command: "failover", hit_partitions, outage_us, load };
    print(&report, &args.target.output)
}

fn process(pid: i32) -> Result<Pid, BenchError> {
    Pid::from_raw(pid).ok_or_else(|| BenchError::usage(format!("{pid} is no process")))
}

fn end(pid: Pid, signal: Signal) -> Result<(), BenchError> {
    let ended = kill_process(pid, signal).map_err(std::io::Error::from);
    ended.map_err(BenchError::io("cannot end the process"))
}
