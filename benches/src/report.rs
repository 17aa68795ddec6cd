//! Results, and how they are printed.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use crate::check::Check;
use crate::error::BenchError;
use crate::histogram::{Latencies, Percentiles};
use crate::options::{Format, OutputArgs};
use crate::process::Usage;

/// A speed: records and payload bytes over time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Speed {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) records_per_second: f64,
    /// 10^6 payload bytes a second.
    pub(crate) megabytes_per_second: f64,
}

impl Speed {
    pub(crate) fn new(records: u64, bytes: u64, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64();
        let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        Self {
            records,
            bytes,
            seconds,
            records_per_second: per_second(records),
            megabytes_per_second: per_second(bytes) / 1e6,
        }
    }
}

/// What the brokers' processes used for a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct BrokerUse {
    pub(crate) cpu_seconds: f64,
    /// Per 10^9 payload bytes.
    pub(crate) cpu_seconds_per_gigabyte: f64,
    pub(crate) resident_mib: f64,
    /// Of it, what is no mapped file.
    pub(crate) own_mib: f64,
    pub(crate) peak_resident_mib: f64,
}

impl BrokerUse {
    /// Of a measurement that moved so many payload bytes.
    pub(crate) fn between(before: &Usage, after: &Usage, bytes: u64) -> Self {
        let cpu_seconds = after.cpu_seconds - before.cpu_seconds;
        let bytes = (bytes as f64).max(1.0);
        let mib = |size: u64| size as f64 / f64::from(1 << 20);
        Self {
            cpu_seconds,
            cpu_seconds_per_gigabyte: cpu_seconds / (bytes / 1e9),
            resident_mib: mib(after.resident_size),
            own_mib: mib(after.own_size),
            peak_resident_mib: mib(after.peak_resident_size),
        }
    }
}

/// Result of a run of producers.
#[derive(Debug, Serialize)]
pub(crate) struct ProduceReport {
    pub(crate) command: &'static str,
    pub(crate) topic: String,
    pub(crate) partitions: u32,
    pub(crate) producers: u32,
    pub(crate) record_size: usize,
    #[serde(flatten)]
    pub(crate) speed: Speed,
    pub(crate) failed: u64,
    pub(crate) latency_us: Percentiles,
    /// How late records were handed over, if there was a schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lateness_us: Option<Percentiles>,
    /// Longest time that one producer had no acknowledgement from one partition.
    pub(crate) longest_pause_ms: f64,
    /// The same for each of them.
    #[serde(skip)]
    pub(crate) pauses: Vec<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) brokers: Option<BrokerUse>,
    /// Share of the ceiling's speed, if its figures were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) of_ceiling: Option<f64>,
    /// Median latency over that of the ceiling's quorum commit, if its figures were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency_over_ceiling: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) check: Option<Check>,
}

/// A result that can be printed in every form.
pub(crate) trait Report: Serialize {
    /// Names and values, for people.
    fn rows(&self) -> Vec<(String, String)>;

    /// The line of kafka-producer-perf-test, where it makes sense.
    fn perf_test_line(&self) -> Option<String> {
        None
    }
}

/// Prints a result.
///
/// # Errors
/// [`BenchError::Usage`] for a form that the result does not have; a closed output.
pub(crate) fn print(report: &impl Report, output: &OutputArgs) -> Result<(), BenchError> {
    let text = match output.format() {
        Format::Table => table(&report.rows()),
        Format::Json => {
            let text = serde_json::to_string_pretty(report).map_err(io::Error::from);
            text.map_err(BenchError::output)? + "\n"
        }
        Format::PerfTest => report.perf_test_line().ok_or_else(|| {
            BenchError::usage("--format perf-test is for produce and latency only")
        })?,
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(BenchError::output)
}

/// A line of a table.
pub(crate) fn row(name: &str, value: impl Into<String>) -> (String, String) {
    (name.into(), value.into())
}

/// Aligned names and values.
fn table(rows: &[(String, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

impl Report for ProduceReport {
    fn rows(&self) -> Vec<(String, String)> {
        let mut rows = vec![
            row("topic", format!("{}, {} partitions", self.topic, self.partitions)),
            row("records", format!("{} of {} B", self.speed.records, self.record_size)),
            row("speed", speed_text(&self.speed)),
            row("latency", percentiles_text(&self.latency_us)),
        ];
        if let Some(lateness) = &self.lateness_us {
            rows.push(row("sent late by", percentiles_text(lateness)));
        }
        if self.failed > 0 {
            rows.push(row("failed", format!("{} records", self.failed)));
        }
        rows.push(row("longest pause", format!("{:.1} ms", self.longest_pause_ms)));
        if let Some(share) = self.of_ceiling {
            rows.push(row("of the ceiling", format!("{share:.2}")));
        }
        if let Some(ratio) = self.latency_over_ceiling {
            rows.push(row("p50 over ceiling's", format!("{ratio:.2}")));
        }
        if let Some(brokers) = &self.brokers {
            rows.push(row("brokers", brokers_text(brokers)));
        }
        if let Some(check) = &self.check {
            rows.push(row("check", check_text(check)));
        }
        rows
    }

    fn perf_test_line(&self) -> Option<String> {
        let (speed, latency) = (&self.speed, &self.latency_us);
        let mib = speed.megabytes_per_second * 1e6 / f64::from(1 << 20);
        let ms = |micros: f64| micros / 1e3;
        let whole = |micros: f64| (micros / 1e3).floor();
        Some(format!(
            "{} records sent, {:.6} records/sec ({mib:.2} MB/sec), {:.2} ms avg latency, \
             {:.2} ms max latency, {} ms 50th, {} ms 95th, {} ms 99th, {} ms 99.9th.\n",
            speed.records,
            speed.records_per_second,
            ms(latency.mean),
            ms(latency.max),
            whole(latency.p50),
            whole(latency.p95),
            whole(latency.p99),
            whole(latency.p999),
        ))
    }
}

pub(crate) fn speed_text(speed: &Speed) -> String {
    format!(
        "{:.0} records/s, {:.1} MB/s over {:.2} s",
        speed.records_per_second, speed.megabytes_per_second, speed.seconds
    )
}

pub(crate) fn percentiles_text(latency: &Percentiles) -> String {
    format!(
        "p50 {:.0}, p95 {:.0}, p99 {:.0}, p99.9 {:.0}, max {:.0} µs",
        latency.p50, latency.p95, latency.p99, latency.p999, latency.max
    )
}

pub(crate) fn brokers_text(brokers: &BrokerUse) -> String {
    format!(
        "{:.2} CPU-s ({:.2} per GB), {:.0} MiB resident (peak {:.0}), {:.0} without files",
        brokers.cpu_seconds,
        brokers.cpu_seconds_per_gigabyte,
        brokers.resident_mib,
        brokers.peak_resident_mib,
        brokers.own_mib
    )
}

pub(crate) fn check_text(check: &Check) -> String {
    let speed = check.bytes as f64 / 1e6 / check.seconds.max(1e-9);
    format!(
        "{} acknowledged, {} read back at {speed:.0} MB/s: all there",
        check.findings.acked, check.findings.read
    )
}

/// Percentiles of what was collected, or nothing when nothing was.
pub(crate) fn percentiles_of(latencies: &Latencies) -> Option<Percentiles> {
    Some(latencies.percentiles()).filter(|percentiles| percentiles.count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> ProduceReport {
        let mut latencies = Latencies::new();
        for millis in 1..=100 {
            latencies.record(Duration::from_millis(millis));
        }
        ProduceReport {
            command: "produce",
            topic: "t".into(),
            partitions: 1,
            producers: 1,
            record_size: 1024,
            speed: Speed::new(2048, 2048 * 1024, Duration::from_secs(2)),
            failed: 0,
            latency_us: latencies.percentiles(),
            lateness_us: None,
            longest_pause_ms: 0.0,
            pauses: Vec::new(),
            brokers: None,
            of_ceiling: None,
            latency_over_ceiling: None,
            check: None,
        }
    }

    #[test]
    fn the_perf_test_line_reads_as_kafkas() {
        let line = report().perf_test_line().unwrap();
        let begin = "2048 records sent, 1024.000000 records/sec (1.00 MB/sec), ";
        assert!(line.starts_with(begin), "{line}");
        assert!(line.ends_with("ms 99th, 99 ms 99.9th.\n") || line.ends_with("100 ms 99.9th.\n"));
    }

    #[test]
    fn json_says_what_was_measured() {
        let value = serde_json::to_value(report()).unwrap();
        assert_eq!(value["records_per_second"], 1024.0);
        assert_eq!(value["latency_us"]["count"], 100);
        assert!(value.get("check").is_none());
    }

    #[test]
    fn no_time_is_no_speed() {
        assert_eq!(Speed::new(1, 1, Duration::ZERO).records_per_second, 0.0);
    }
}
