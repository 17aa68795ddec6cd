//! Options that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use synod_client::cli::Connect;
use synod_client::producer::{Acks, ProducerConfig};
use synod_client::{ClientConfig, Compression};

use crate::error::BenchError;
use crate::load::{Extent, Pace};
use crate::payload::NAME_SIZE;

/// Largest record that is written, in bytes.
const MAX_RECORD_SIZE: u64 = 16 << 20;

/// Most lanes, producers times partitions: each takes memory.
const MAX_LANES: u64 = 1_000_000;

/// What is measured, and where.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    #[command(flatten)]
    pub(crate) connect: Connect,
    /// Write to this topic; made if it does not exist. Without it, a topic is made for the run
    #[arg(short, long, value_name = "TOPIC", help_heading = "Topic")]
    pub(crate) topic: Option<String>,
    /// Replicas of a topic that is made; the broker's default if not given
    #[arg(long, value_name = "N", help_heading = "Topic")]
    pub(crate) replicas: Option<i16>,
    /// A setting of a topic that is made; may be given several times
    #[arg(long = "topic-config", value_name = "KEY=VALUE", value_parser = parse_setting,
        help_heading = "Topic")]
    pub(crate) topic_config: Vec<(String, String)>,
    /// Keep the topic that was made
    #[arg(long, help_heading = "Topic")]
    pub(crate) keep: bool,
    /// Processes of the brokers, to measure their processor time and memory, separated by commas
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pub(crate) pid: Vec<u32>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// How results are printed.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputArgs {
    /// How to print the result
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Output")]
    pub(crate) format: Format,
    /// Print JSON: the same as --format json
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// Figures of synod-ceiling --json, to tell what share of them was reached
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) ceiling: Option<PathBuf>,
}

/// Forms of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
    /// The line that kafka-producer-perf-test prints
    PerfTest,
}

impl OutputArgs {
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

impl Target {
    pub(crate) fn client_config(&self) -> ClientConfig {
        self.connect.client_config().client_id("synod-bench")
    }
}

/// What is written, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoadArgs {
    /// Bytes of a record's value
    #[arg(short, long, value_name = "BYTES", default_value_t = 1024,
        value_parser = clap::value_parser!(u64).range(NAME_SIZE as u64..=MAX_RECORD_SIZE))]
    size: u64,
    /// Stop after so many records
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "seconds",
        value_parser = clap::value_parser!(u64).range(1..))]
    records: Option<u64>,
    /// Stop after this time; 10 seconds if nothing else is given
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    seconds: Option<Duration>,
    /// Write for so long before anything is measured
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = parse_seconds)]
    pub(crate) warmup: Duration,
    /// Producers, each with connections of its own
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) producers: u32,
    /// Who must have a record before it counts as written: all, 1 or 0
    #[arg(long, value_name = "ACKS", default_value = "all", allow_negative_numbers = true,
        value_parser = ["all", "-1", "1", "0"], help_heading = "Producer")]
    acks: String,
    /// Allow retries to repeat or reorder records
    #[arg(long, help_heading = "Producer")]
    no_idempotence: bool,
    /// Bytes at which a batch is full
    #[arg(long, value_name = "BYTES", default_value_t = 128 << 10, help_heading = "Producer",
        value_parser = clap::value_parser!(u64).range(1..=MAX_RECORD_SIZE))]
    batch_size: u64,
    /// Most bytes of batches in one request
    #[arg(long, value_name = "BYTES", default_value_t = 1_000_000, help_heading = "Producer",
        value_parser = clap::value_parser!(u64).range(1024..=2 * MAX_RECORD_SIZE))]
    max_request_size: u64,
    /// Bytes of records under way in each producer
    #[arg(long, value_name = "BYTES", default_value_t = 32 << 20, help_heading = "Producer",
        value_parser = clap::value_parser!(u64).range(1024..=512 << 20))]
    buffer_size: u64,
    /// Time that a record may wait for company
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = parse_seconds,
        help_heading = "Producer")]
    linger: Duration,
    /// Requests under way to one broker, 1 to 5
    #[arg(long, value_name = "N", default_value_t = 5, help_heading = "Producer",
        value_parser = clap::value_parser!(u8).range(1..=5))]
    in_flight: u8,
    /// Compression: none, gzip, snappy, lz4 or zstd
    #[arg(
        short = 'z',
        long,
        value_name = "CODEC",
        default_value = "none",
        help_heading = "Producer"
    )]
    compression: Compression,
    /// Bytes written to a partition before the next has its turn; a batch if not given
    #[arg(long, value_name = "BYTES", help_heading = "Producer")]
    stick: Option<u64>,
}

/// What runs for a time do when none is given.
const DEFAULT_TIME: Duration = Duration::from_secs(10);

impl LoadArgs {
    pub(crate) fn size(&self) -> usize {
        self.size as usize
    }

    pub(crate) fn extent(&self) -> Extent {
        match (self.records, self.seconds) {
            (Some(records), _) => Extent::Records(records),
            (None, seconds) => Extent::Time(seconds.unwrap_or(DEFAULT_TIME)),
        }
    }

    pub(crate) fn stick(&self) -> usize {
        self.stick.unwrap_or(self.batch_size) as usize
    }

    /// Whether the run promises each record once and in order.
    pub(crate) fn is_idempotent(&self) -> bool {
        self.acks() == Acks::All && !self.no_idempotence
    }

    /// Whether brokers answer at all.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.acks() != Acks::None
    }

    fn acks(&self) -> Acks {
        match self.acks.as_str() {
            "1" => Acks::Leader,
            "0" => Acks::None,
            _ => Acks::All,
        }
    }

    pub(crate) fn producer_config(&self) -> ProducerConfig {
        ProducerConfig::default()
            .acks(self.acks())
            .idempotent(self.is_idempotent())
            .compression(self.compression)
            .linger(self.linger)
            .batch_size(self.batch_size as usize)
            // A single record and a batch must fit, with room for their headers.
            .max_request_size(self.max_request_size.max(self.size + 1024) as usize)
            .buffer_size(self.buffer_size.max(self.max_request_size).max(self.size + 1024) as usize)
            .max_in_flight(self.in_flight.into())
    }

    /// # Errors
    /// [`BenchError::Usage`] for more lanes than fit into memory.
    pub(crate) fn check_lanes(&self, partitions: u32) -> Result<(), BenchError> {
        match u64::from(self.producers) * u64::from(partitions) {
            lanes if lanes > MAX_LANES => Err(BenchError::usage(format!(
                "{} producers for {partitions} partitions are too many; at most {MAX_LANES} pairs",
                self.producers
            ))),
            _ => Ok(()),
        }
    }
}

/// The pace for a wish of `rate` records in a second.
///
/// # Errors
/// [`BenchError::Usage`] for a rate that cannot be kept.
pub(crate) fn pace(rate: Option<f64>) -> Result<Pace, BenchError> {
    match rate {
        None => Ok(Pace::Unlimited),
        Some(rate) if (0.001..=1e8).contains(&rate) => Ok(Pace::PerSecond(rate)),
        Some(_) => Err(BenchError::usage("a rate is a number of records a second up to 1e8")),
    }
}

pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("give a number of seconds from 0 to 86400".into()),
    }
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_owned(), value.to_owned())),
        None => Err("write it as KEY=VALUE, such as retention.ms=60000".into()),
    }
}
