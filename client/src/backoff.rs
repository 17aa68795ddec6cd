//! Pauses between attempts.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Grows exponentially from `first` to `max`, each pause shortened at random by up to a fifth so
/// that many clients do not come back in step.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    attempts: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, max: Duration) -> Self {
        Self { first, max: max.max(first), attempts: 0 }
    }

    /// The pause before the next attempt.
    pub(crate) fn next(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.attempts.min(20));
        self.attempts = self.attempts.saturating_add(1);
        let full = doubled.min(self.max);
        full - full.mul_f64(0.2 * random_fraction())
    }

    /// The next failure starts from the first pause again.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// A number in `0..bound`, good enough to spread load; `bound` must not be zero.
pub(crate) fn random_below(bound: usize) -> usize {
    (random_u64() % bound as u64) as usize
}

fn random_fraction() -> f64 {
    (random_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Every `RandomState` has its own keys, so hashing nothing gives a new number each time.
fn random_u64() -> u64 {
    RandomState::new().hash_one(0u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_maximum_and_start_over_after_reset() {
        let first = Duration::from_millis(100);
        let mut backoff = Backoff::new(first, Duration::from_secs(1));
        for expected in [100, 200, 400, 800, 1000, 1000] {
            let pause = backoff.next().as_millis();
            assert!((expected * 4 / 5..=expected).contains(&pause), "{pause} for {expected}");
        }
        for _ in 0..100 {
            assert!(backoff.next() <= Duration::from_secs(1));
        }
        backoff.reset();
        assert!(backoff.next() <= first);
    }

    #[test]
    fn random_numbers_stay_below_their_bound_and_vary() {
        let numbers: Vec<_> = (0..64).map(|_| random_below(10)).collect();
        assert!(numbers.iter().all(|&n| n < 10));
        assert!(numbers.iter().any(|&n| n != numbers[0]));
    }
}
