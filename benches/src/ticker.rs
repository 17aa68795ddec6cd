//! A timer that is exact enough for schedules of microseconds; the runtime's own counts in
//! milliseconds.

use std::io;
use std::time::Instant;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::net::unix::pipe;

/// Waits for points in time, one after the other.
#[derive(Debug)]
pub(crate) struct Ticker {
    /// The system's timer. To the runtime it is a pipe: something that becomes readable.
    timer: pipe::Receiver,
}

impl Ticker {
    /// Must be called inside a runtime.
    ///
    /// # Errors
    /// When the system has no descriptor to spare.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { timer: pipe::Receiver::from_owned_fd_unchecked(timer)? })
    }

    /// Returns at `at`, or at once when that has passed.
    ///
    /// # Errors
    /// What the system says against the timer; it has no reason to.
    pub(crate) async fn wait_until(&mut self, at: Instant) -> io::Result<()> {
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let spec = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
        loop {
            self.timer.readable().await?;
            // How often it expired: once, and nobody asks.
            let mut count = [0; 8];
            match self.timer.try_read(&mut count) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_never_returns_early() {
        let mut ticker = Ticker::new().unwrap();
        let begin = Instant::now();
        for step in 1..=20 {
            let at = begin + Duration::from_micros(250 * step);
            ticker.wait_until(at).await.unwrap();
            assert!(Instant::now() >= at);
        }
        ticker.wait_until(begin).await.unwrap();
    }
}
