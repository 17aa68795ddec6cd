//! Durations, and how they are told.

use std::fmt;
use std::time::Duration;

/// Durations of one kind of event.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Duration>);

impl Figures {
    pub(crate) fn add(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    /// The duration that `percent` of all do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

impl Extend<Duration> for Figures {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, durations: I) {
        self.0.extend(durations);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |percent| self.percentile(percent).as_secs_f64() * 1000.0;
        let count = self.count();
        write!(f, "p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms of {count}", ms(50), ms(99), ms(100))
    }
}

#[test]
fn percentiles() {
    let mut figures = Figures::default();
    assert_eq!(figures.percentile(99), Duration::ZERO);
    figures.extend((1..=200).rev().map(Duration::from_millis));
    assert_eq!(figures.percentile(50), Duration::from_millis(100));
    assert_eq!(figures.percentile(99), Duration::from_millis(198));
    assert_eq!(figures.percentile(100), Duration::from_millis(200));
    assert_eq!(figures.to_string(), "p50 100.0 ms, p99 198.0 ms, max 200.0 ms of 200");
}
