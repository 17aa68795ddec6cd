//! What happens when nothing happens: deadlines by monotonic time that is handed in.

use std::collections::{BTreeMap, BTreeSet};

use synod_wire::Str;

/// What a timer is for. One timer of each kind runs at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A member, or one that only asked for its id, has been silent too long.
    Session {
        /// The group.
        group: Str,
        /// The member's id.
        member: Str,
    },
    /// Members had their time to join.
    Join {
        /// The group.
        group: Str,
    },
    /// Members had their time to fetch their assignments.
    Sync {
        /// The group.
        group: Str,
    },
}

/// All timers of a coordinator.
///
/// Heartbeats put deadlines off all the time, so a queue entry is moved only when it comes up.
#[derive(Debug, Default)]
pub(super) struct Timers {
    deadlines: BTreeMap<Timer, Deadline>,
    queue: BTreeSet<(u64, Timer)>,
}

#[derive(Clone, Copy, Debug)]
struct Deadline {
    at_ms: u64,
    /// Where its entry stands in the queue; never later than `at_ms`.
    queued_ms: u64,
}

impl Timers {
    /// Starts a timer, or starts it anew.
    pub(super) fn start(&mut self, timer: Timer, at_ms: u64) {
        match self.deadlines.get_mut(&timer) {
            Some(deadline) if deadline.queued_ms <= at_ms => deadline.at_ms = at_ms,
            _ => {
                self.stop(&timer);
                self.queue.insert((at_ms, timer.clone()));
                self.deadlines.insert(timer, Deadline { at_ms, queued_ms: at_ms });
            }
        }
    }

    /// Stops a timer if it runs.
    pub(super) fn stop(&mut self, timer: &Timer) {
        if let Some(deadline) = self.deadlines.remove(timer) {
            self.queue.remove(&(deadline.queued_ms, timer.clone()));
        }
    }

    /// The next timer whose deadline has come; it runs no more.
    pub(super) fn poll_due(&mut self, now_ms: u64) -> Option<Timer> {
        while let Some((queued_ms, _)) = self.queue.first()
            && *queued_ms <= now_ms
        {
            let (_, timer) = self.queue.pop_first()?;
            let Some(deadline) = self.deadlines.get_mut(&timer) else {
                unreachable!("{timer:?} is queued and has no deadline")
            };
            if deadline.at_ms <= now_ms {
                self.deadlines.remove(&timer);
                return Some(timer);
            }
            deadline.queued_ms = deadline.at_ms;
            self.queue.insert((deadline.at_ms, timer));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(group: &str) -> Timer {
        Timer::Join { group: group.into() }
    }

    fn due(timers: &mut Timers, now_ms: u64) -> Vec<Timer> {
        std::iter::from_fn(|| timers.poll_due(now_ms)).collect()
    }

    #[test]
    fn come_up_once_in_the_order_of_their_deadlines() {
        let mut timers = Timers::default();
        for (group, at) in [("a", 30), ("b", 10), ("c", 20)] {
            timers.start(join(group), at);
        }
        assert_eq!(due(&mut timers, 9), []);
        assert_eq!(due(&mut timers, 25), [join("b"), join("c")]);
        assert_eq!(due(&mut timers, 25), []);
        assert_eq!(due(&mut timers, 1000), [join("a")]);
        assert!(timers.deadlines.is_empty());
    }

    #[test]
    fn can_be_put_off_brought_forward_and_stopped() {
        let mut timers = Timers::default();
        timers.start(join("a"), 10);
        timers.start(join("a"), 30);
        timers.start(join("a"), 20);
        assert_eq!(due(&mut timers, 19), []);
        timers.start(join("b"), 50);
        timers.start(join("b"), 20);
        timers.start(join("c"), 20);
        timers.stop(&join("c"));
        timers.stop(&join("never started"));
        assert_eq!(due(&mut timers, 20), [join("a"), join("b")]);
        assert!(timers.deadlines.is_empty());
        assert!(timers.queue.is_empty());
    }

    #[test]
    fn a_deadline_that_is_put_off_for_ever_takes_one_entry() {
        let mut timers = Timers::default();
        for now in 0..1000 {
            timers.start(join("a"), now + 10);
            assert_eq!(timers.poll_due(now), None);
            assert_eq!(timers.queue.len(), 1);
        }
    }
}
