//! `synod bench`.

use std::process::ExitCode;

use clap::Subcommand;

use crate::commands;
use crate::error::BenchError;

pub use commands::{
    ConnectionsArgs, ConsumeArgs, EndToEndArgs, FailoverArgs, LatencyArgs, PartitionsArgs,
    ProduceArgs, RecoveryArgs,
};

const EXAMPLES: &str = "\
Examples:
  synod bench produce --size 100 --partitions 12 --seconds 30
  synod bench latency --rate 5000 --seconds 30 -b mq1.lan,mq2.lan
  synod bench produce --format perf-test -n 1000000
  synod bench consume --size 1024 -n 5000000 --json

Any Kafka-compatible cluster can be measured. Every run ends by reading back what was acknowledged,
and fails if it is not there.";

/// A measurement.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum BenchCommand {
    /// How fast records are written
    Produce(commands::ProduceArgs),
    /// How fast records are read
    Consume(commands::ConsumeArgs),
    /// How long acknowledgements take under a steady load (open loop)
    Latency(commands::LatencyArgs),
    /// How long a record takes from its producer to a consumer that waits for it (open loop)
    EndToEnd(commands::EndToEndArgs),
    /// The same load on topics of more and more partitions
    Partitions(commands::PartitionsArgs),
    /// Many consumers that wait for records that do not come
    Connections(commands::ConnectionsArgs),
    /// How long partitions cannot be written when a broker is killed
    Failover(commands::FailoverArgs),
    /// How long a broker started here takes from kill -9 to ready
    Recovery(commands::RecoveryArgs),
}

impl BenchCommand {
    /// Runs the measurement to its end and says how the process should exit. Results go to standard
    /// output; mistakes go to standard error, one line each.
    pub async fn run(self) -> ExitCode {
        let result = match self {
            Self::Produce(args) => commands::produce(args).await,
            Self::Consume(args) => commands::consume(args).await,
            Self::Latency(args) => commands::latency(args).await,
            Self::EndToEnd(args) => commands::end_to_end(args).await,
            Self::Partitions(args) => commands::partitions(args).await,
            Self::Connections(args) => commands::connections(args).await,
            Self::Failover(args) => commands::failover(args).await,
            Self::Recovery(args) => commands::recovery(args).await,
        };
        match result {
            Ok(()) | Err(BenchError::OutputClosed) => ExitCode::SUCCESS,
            Err(error) => {
                let text = error.to_string().replace(['\n', '\r'], " ");
                eprintln!("synod: {text}");
                let is_usage = matches!(
                    error,
                    BenchError::Usage(_) | BenchError::Client(synod_client::Error::Config(_))
                );
                ExitCode::from(if is_usage { 2 } else { 1 })
            }
        }
    }
}
