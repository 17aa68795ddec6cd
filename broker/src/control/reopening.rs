//! When a replica that had to stop is opened anew.

/// Until the next attempt after one that failed, in ticks of 50 ms: 10 s. What kept the files from
/// being opened may be mended while the broker runs.
const PAUSE_TICKS: u32 = 200;

/// Attempts to open one replica's files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Reopening {
    /// None is under way.
    #[default]
    Idle,
    UnderWay,
    /// The last one failed; none before so many ticks have passed.
    Paused(u32),
}

impl Reopening {
    pub(super) fn handle_tick(&mut self) {
        match self {
            Reopening::Paused(1) => *self = Reopening::Idle,
            Reopening::Paused(ticks) => *ticks -= 1,
            Reopening::Idle | Reopening::UnderWay => {}
        }
    }

    /// Whether an attempt may begin now.
    pub(super) fn is_due(&self) -> bool {
        *self == Reopening::Idle
    }

    pub(super) fn begin(&mut self) {
        assert!(self.is_due(), "one attempt at a time");
        *self = Reopening::UnderWay;
    }

    /// The attempt is over. One that failed for want of space is followed by another as soon as
    /// there is some.
    pub(super) fn end(&mut self, pauses: bool) {
        assert!(*self == Reopening::UnderWay, "an attempt was under way");
        *self = if pauses { Reopening::Paused(PAUSE_TICKS) } else { Reopening::Idle };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_attempt_is_repeated_after_a_pause_and_never_beside_another() {
        let mut reopening = Reopening::default();
        for _ in 0..3 {
            assert!(reopening.is_due());
            reopening.begin();
            (0..2 * PAUSE_TICKS).for_each(|_| reopening.handle_tick());
            assert!(!reopening.is_due(), "it is under way");
            reopening.end(true);
            (1..PAUSE_TICKS).for_each(|_| reopening.handle_tick());
            assert!(!reopening.is_due());
            reopening.handle_tick();
        }
        reopening.begin();
        reopening.end(false);
        assert!(reopening.is_due());
    }
}
