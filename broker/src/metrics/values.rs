//! The three kinds of values: counter, gauge, histogram; all relaxed atomics.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A number that only grows. Wraps after 2^64.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `amount`.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }

    /// The present total.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds `amount`, which may be negative.
    pub fn add(&self, amount: i64) {
        self.0.fetch_add(amount, Relaxed);
    }

    /// Replaces the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// The present value.
    pub fn value(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of the buckets in nanoseconds, with the text Prometheus knows them by.
///
/// From a wake-up of an idle core to a slow disk; steps of about 2.5 keep a quantile's error below
/// the noise of one machine.
pub(super) const BUCKETS: [(u64, &str); 18] = [
    (25_000, "0.000025"),
    (50_000, "0.00005"),
    (100_000, "0.0001"),
    (250_000, "0.00025"),
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1"),
    (2_500_000_000, "2.5"),
    (5_000_000_000, "5"),
    (10_000_000_000, "10"),
];

/// Times, counted per bucket.
///
/// A scrape that runs beside [`Histogram::record`] may see the count without the sum; the next
/// scrape sees both.
#[derive(Debug, Default)]
pub struct Histogram {
    // One more than the bounds: times beyond the last.
    counts: [AtomicU64; BUCKETS.len() + 1],
    sum_ns: AtomicU64,
}

impl Histogram {
    /// Counts one time.
    pub fn record(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BUCKETS.partition_point(|(bound, _)| *bound < ns);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(ns, Relaxed);
    }

    /// Times counted so far.
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Sum of the times counted so far, in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.sum_ns.load(Relaxed) as f64 / 1e9
    }

    /// Counts per bucket, not cumulated; the last is beyond all bounds.
    pub(super) fn bucket_counts(&self) -> [u64; BUCKETS.len() + 1] {
        std::array::from_fn(|bucket| self.counts[bucket].load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_rise_and_match_their_text() {
        assert!(BUCKETS.is_sorted_by(|a, b| a.0 < b.0));
        for (ns, text) in BUCKETS {
            let seconds: f64 = text.parse().expect("a number");
            assert_eq!((seconds * 1e9).round() as u64, ns);
        }
    }

    #[test]
    fn a_time_on_a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::default();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::from_micros(25));
        histogram.record(Duration::from_nanos(25_001));
        histogram.record(Duration::from_secs(10));
        histogram.record(Duration::from_secs(11));
        histogram.record(Duration::MAX);
        let counts = histogram.bucket_counts();
        assert_eq!(counts[..2], [2, 1]);
        assert_eq!(counts[17..], [1, 2]);
        assert_eq!(histogram.count(), 6);
    }
}
