//! How often leadership may move: the controller's memory of what it did lately.
//!
//! A link or a broker that comes and goes must not make rounds without end. Each partition waits
//! longer after each appointment, and each broker after each loss, until they have been left in
//! peace for a while. Kept in memory only: a new controller begins afresh.

use std::collections::{BTreeMap, BTreeSet};

use super::{BrokerId, TopicId};

/// A partition: its topic and index.
pub type PartitionRef = (TopicId, u32);

/// Wait after a first event.
const FIRST_WAIT_TICKS: u64 = 10;

/// Longest wait.
const LONGEST_WAIT_TICKS: u64 = 600;

/// Peace of this many waits takes one event back.
const PEACE_WAITS: u64 = 4;

/// Level at which the wait is longest.
const HIGHEST_LEVEL: u32 = 7;

const _: () = assert!(FIRST_WAIT_TICKS << (HIGHEST_LEVEL - 1) >= LONGEST_WAIT_TICKS);

/// How long to wait at a level.
fn wait_ticks(level: u32) -> u64 {
    match level.checked_sub(1) {
        None => 0,
        Some(doublings) => (FIRST_WAIT_TICKS << doublings).min(LONGEST_WAIT_TICKS),
    }
}

/// Exponential back-off of one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Backoff {
    level: u32,
    event_tick: u64,
}

impl Backoff {
    fn note(&mut self, tick: u64) {
        self.level = (self.level_at(tick) + 1).min(HIGHEST_LEVEL);
        self.event_tick = tick;
    }

    /// The level after the peace since the last event.
    fn level_at(&self, tick: u64) -> u32 {
        let mut peace = tick - self.event_tick;
        let mut level = self.level;
        while level > 0 && peace >= PEACE_WAITS * wait_ticks(level) {
            peace -= PEACE_WAITS * wait_ticks(level);
            level -= 1;
        }
        level
    }

    fn due_tick(&self) -> u64 {
        self.event_tick + wait_ticks(self.level)
    }
}

/// The waits of all partitions and brokers. Drive it with ticks and with what was decided.
#[derive(Clone, Debug, Default)]
pub struct Pacing {
    tick: u64,
    partitions: BTreeMap<PartitionRef, Backoff>,
    brokers: BTreeMap<BrokerId, Backoff>,
    /// Brokers that could not lead a partition, and until when they are rather not asked again.
    unfit: BTreeMap<(PartitionRef, BrokerId), u64>,
    /// Lives that said they are ending.
    leaving: BTreeSet<(BrokerId, TopicId)>,
}

impl Pacing {
    /// A tick passed.
    pub fn handle_tick(&mut self) {
        self.tick += 1;
        if self.tick.is_multiple_of(LONGEST_WAIT_TICKS) {
            let tick = self.tick;
            self.partitions.retain(|_, backoff| backoff.level_at(tick) > 0);
            self.unfit.retain(|_, until_tick| *until_tick > tick);
            self.brokers.retain(|_, backoff| backoff.level_at(tick) > 0);
        }
    }

    /// A leader was appointed.
    pub fn note_appointed(&mut self, partition: PartitionRef) {
        self.partitions.entry(partition).or_default().note(self.tick);
    }

    /// A broker could not lead a partition that it was appointed for.
    pub fn note_unfit(&mut self, partition: PartitionRef, broker: BrokerId) {
        self.unfit.insert((partition, broker), self.tick + LONGEST_WAIT_TICKS);
    }

    /// Whether the broker could not lead the partition lately: others are asked first.
    #[must_use]
    pub fn is_unfit(&self, partition: PartitionRef, broker: BrokerId) -> bool {
        self.unfit.get(&(partition, broker)).is_some_and(|until_tick| *until_tick > self.tick)
    }

    /// A broker was lost.
    pub fn note_lost(&mut self, broker: BrokerId) {
        self.brokers.entry(broker).or_default().note(self.tick);
    }

    /// A broker in this life is about to stop.
    pub fn note_leaving(&mut self, broker: BrokerId, incarnation: TopicId) {
        self.leaving.retain(|(other, _)| *other != broker);
        self.leaving.insert((broker, incarnation));
    }

    /// Whether the partition's leader may be replaced now.
    #[must_use]
    pub fn may_appoint(&self, partition: PartitionRef) -> bool {
        self.partitions.get(&partition).is_none_or(|backoff| backoff.due_tick() <= self.tick)
    }

    /// Whether the partition has been left in peace: what is merely better is allowed then.
    #[must_use]
    pub fn is_quiet(&self, partition: PartitionRef) -> bool {
        self.partitions.get(&partition).is_none_or(|backoff| backoff.level_at(self.tick) == 0)
    }

    /// Whether a lost broker that has been heard for `steady_ticks` may return.
    #[must_use]
    pub fn may_return(&self, broker: BrokerId, incarnation: TopicId, steady_ticks: u64) -> bool {
        let wait = match self.brokers.get(&broker) {
            None => wait_ticks(1),
            Some(backoff) if backoff.due_tick() > self.tick => return false,
            Some(backoff) => wait_ticks(backoff.level_at(self.tick).max(1)),
        };
        steady_ticks >= wait && !self.leaving.contains(&(broker, incarnation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionRef = (TopicId::from_bytes([1; 16]), 0);

    fn pass(pacing: &mut Pacing, ticks: u64) {
        (0..ticks).for_each(|_| pacing.handle_tick());
    }

    /// Ten minutes with a fault of `length` ticks every `period`, and an appointment whenever it is
    /// there and that is allowed; returns the appointments' ticks.
    fn appointments(period: u64, length: u64) -> Vec<u64> {
        let mut pacing = Pacing::default();
        let mut appointed = Vec::new();
        for tick in 0..12_000 {
            if tick % period < length && pacing.may_appoint(P) {
                pacing.note_appointed(P);
                appointed.push(tick);
            }
            pacing.handle_tick();
        }
        appointed
    }

    #[test]
    fn a_fault_that_stays_or_flaps_makes_few_rounds() {
        for (period, length) in [(1, 1), (20, 10)] {
            let rounds = appointments(period, length);
            assert!(rounds.len() < 28, "{period}: {rounds:?}");
            let late = &rounds[rounds.len() - 5..];
            assert!(late.windows(2).all(|pair| pair[1] - pair[0] >= 600), "{rounds:?}");
        }
    }

    #[test]
    fn faults_far_apart_are_never_held_back() {
        // A broker that is killed every five seconds.
        let rounds = appointments(100, 1);
        assert_eq!(rounds.len(), 120, "{rounds:?}");
    }

    #[test]
    fn a_partition_is_quiet_again_after_some_peace() {
        let mut pacing = Pacing::default();
        assert!(pacing.is_quiet(P) && pacing.may_appoint(P));
        pacing.note_appointed(P);
        assert!(!pacing.is_quiet(P) && !pacing.may_appoint(P));
        assert!(pacing.may_appoint((P.0, 1)));
        pass(&mut pacing, 10);
        assert!(!pacing.is_quiet(P) && pacing.may_appoint(P));
        pass(&mut pacing, 30);
        assert!(pacing.is_quiet(P));
        pass(&mut pacing, 600);
        assert!(pacing.partitions.is_empty(), "nothing is remembered for ever");
    }

    #[test]
    fn whoever_could_not_lead_is_asked_last_for_a_while() {
        let mut pacing = Pacing::default();
        pacing.note_unfit(P, BrokerId(1));
        assert!(pacing.is_unfit(P, BrokerId(1)) && !pacing.is_unfit(P, BrokerId(2)));
        assert!(!pacing.is_unfit((P.0, 1), BrokerId(1)), "another partition");
        pass(&mut pacing, LONGEST_WAIT_TICKS - 1);
        assert!(pacing.is_unfit(P, BrokerId(1)));
        pass(&mut pacing, 1);
        assert!(!pacing.is_unfit(P, BrokerId(1)) && pacing.unfit.is_empty());
    }

    #[test]
    fn a_broker_returns_when_it_was_steady_long_enough() {
        let (broker, life) = (BrokerId(1), P.0);
        let mut pacing = Pacing::default();
        assert!(!pacing.may_return(broker, life, 9) && pacing.may_return(broker, life, 10));
        for expected in [10, 20, 40] {
            pacing.note_lost(broker);
            pass(&mut pacing, expected - 1);
            assert!(!pacing.may_return(broker, life, 1000), "{expected}");
            pass(&mut pacing, 1);
            assert!(!pacing.may_return(broker, life, expected - 1), "{expected}");
            assert!(pacing.may_return(broker, life, expected), "{expected}");
        }
        pacing.note_leaving(broker, life);
        assert!(!pacing.may_return(broker, life, 1000));
        assert!(pacing.may_return(broker, TopicId::from_bytes([9; 16]), 1000), "its next life");
    }
}
