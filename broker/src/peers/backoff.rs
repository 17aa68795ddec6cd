//! How long a link waits before it dials again.

use std::time::Duration;

use crate::limits::{DIAL_PAUSE, DIAL_PAUSE_LIMIT};

/// Pauses that double from [`DIAL_PAUSE`] to [`DIAL_PAUSE_LIMIT`], each shortened by up to a half
/// at random: brokers that lost each other at one moment do not all come back at one moment.
#[derive(Debug)]
pub(super) struct Backoff {
    pause: Duration,
    random: u64,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Backoff {
        Backoff { pause: DIAL_PAUSE, random: seed | 1 }
    }

    /// How long to wait this time.
    pub(super) fn next(&mut self) -> Duration {
        // xorshift64: plenty for spreading dials.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let pause = self.pause;
        self.pause = (pause * 2).min(DIAL_PAUSE_LIMIT);
        pause - pause.mul_f64((self.random % 1024) as f64 / 2048.0)
    }

    /// The peer was reached: the next pause is a short one.
    pub(super) fn reset(&mut self) {
        self.pause = DIAL_PAUSE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_begin_anew() {
        let mut backoff = Backoff::new(5);
        let mut full = DIAL_PAUSE;
        for _ in 0..20 {
            let pause = backoff.next();
            assert!(pause > full / 2 && pause <= full, "{pause:?} of {full:?}");
            full = (full * 2).min(DIAL_PAUSE_LIMIT);
        }
        assert_eq!(full, DIAL_PAUSE_LIMIT);
        backoff.reset();
        assert!(backoff.next() <= DIAL_PAUSE);
    }
}
