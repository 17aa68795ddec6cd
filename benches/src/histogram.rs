//! Latencies.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longest latency told apart; longer ones count as this.
const MAX: Duration = Duration::from_secs(3600);

/// Significant decimal digits.
const DIGITS: u8 = 3;

/// Durations, each to a thousandth of itself, in constant memory.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    nanos: Histogram<u64>,
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) min: f64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) p9999: f64,
    pub(crate) max: f64,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        let nanos = Histogram::new_with_bounds(1, MAX.as_nanos() as u64, DIGITS);
        Self { nanos: nanos.expect("the bounds are constants that fit") }
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.record_many(latency, 1);
    }

    /// `count` times the same latency.
    pub(crate) fn record_many(&mut self, latency: Duration, count: u64) {
        let nanos = latency.min(MAX).as_nanos() as u64;
        self.nanos.saturating_record_n(nanos.max(1), count);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        // The bounds are the same, so every value fits.
        let _ = self.nanos.add(&other.nanos);
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        let micros = |share: f64| self.nanos.value_at_quantile(share) as f64 / 1e3;
        Percentiles {
            count: self.nanos.len(),
            mean: self.nanos.mean() / 1e3,
            min: self.nanos.min() as f64 / 1e3,
            p50: micros(0.5),
            p95: micros(0.95),
            p99: micros(0.99),
            p999: micros(0.999),
            p9999: micros(0.9999),
            max: self.nanos.max() as f64 / 1e3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_a_thousandth() {
        let mut latencies = Latencies::new();
        for micros in 1..=10_000 {
            latencies.record(Duration::from_micros(micros));
        }
        let found = latencies.percentiles();
        assert_eq!(found.count, 10_000);
        for (value, expected) in [(found.p50, 5_000.0), (found.p99, 9_900.0), (found.p999, 9_990.0)]
        {
            assert!((value / expected - 1.0).abs() < 0.002, "{value} for {expected}");
        }
    }

    #[test]
    fn what_is_out_of_bounds_counts_as_the_bound() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::ZERO);
        latencies.record(Duration::MAX);
        assert_eq!(latencies.percentiles().count, 2);
        assert!(latencies.percentiles().max >= MAX.as_secs_f64() * 1e6);
    }

    #[test]
    fn two_are_added() {
        let mut one = Latencies::new();
        let mut other = Latencies::new();
        one.record(Duration::from_micros(1));
        other.record_many(Duration::from_micros(3), 5);
        one.add(&other);
        assert_eq!(one.percentiles().count, 6);
    }
}
