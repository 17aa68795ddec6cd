//! Since when a connection keeps us waiting.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The value for: nothing is awaited.
const IDLE: u64 = u64::MAX;

/// Written by the connection's driver, read by whoever wonders whether the broker still lives.
#[derive(Debug)]
pub(super) struct Pulse {
    opened: Instant,
    /// Microseconds from `opened` to the moment from which the present wait counts, or [`IDLE`].
    waiting_since: AtomicU64,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self { opened: Instant::now(), waiting_since: AtomicU64::new(IDLE) }
    }

    /// Something was sent after nothing, or an answer came; `waiting`: more answers have to come.
    pub(super) fn set_waiting(&self, waiting: bool) {
        let since = if waiting { self.elapsed() } else { IDLE };
        // A number that stands for itself: nothing else is read on the strength of it.
        self.waiting_since.store(since, Ordering::Relaxed);
    }

    /// How long an answer has been awaited, if one is.
    pub(super) fn silence(&self) -> Option<Duration> {
        let since = self.waiting_since.load(Ordering::Relaxed);
        (since != IDLE).then(|| Duration::from_micros(self.elapsed().saturating_sub(since)))
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(IDLE - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_counts_from_the_first_unanswered_request_or_the_last_answer() {
        let pulse = Pulse::new();
        assert_eq!(pulse.silence(), None);
        let second = Duration::from_secs(1);
        tokio::time::advance(second).await;
        pulse.set_waiting(true);
        tokio::time::advance(second * 2).await;
        assert_eq!(pulse.silence(), Some(second * 2));
        pulse.set_waiting(true);
        assert_eq!(pulse.silence(), Some(Duration::ZERO), "an answer came, another is awaited");
        pulse.set_waiting(false);
        tokio::time::advance(second).await;
        assert_eq!(pulse.silence(), None);
    }
}
