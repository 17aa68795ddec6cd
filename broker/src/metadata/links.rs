//! What the links between brokers have been like lately, as one broker sees them.
//!
//! A link that comes and goes looks as good as any other while it is there. So a link is remembered
//! to have been lost, and whoever places leaders prefers, or asks for, links that were not. What is
//! remembered is bounded, and time alone makes it forgotten. Pure: time is ticks.

use std::collections::BTreeMap;

use super::BrokerId;

/// Losses of a link that are remembered at most.
const MOST_LOSSES: u32 = 5;

/// After this long without another loss one of them is forgotten: a minute.
const FORGET_TICKS: u64 = 1_200;

/// A link that was lost is steady again after this long: 2 s, several times what the shortest loss
/// that is noticed takes.
const STEADY_TICKS: u64 = 40;

/// Whoever is to get leaderships back has to have its links for this long, in ticks of 50 ms: 5 s.
pub const CALM_TICKS: u64 = 100;

/// One link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link {
    is_up: bool,
    /// When it became so.
    since: u64,
    /// How often it was lost, up to [`MOST_LOSSES`], as of `lost_tick`.
    losses: u32,
    lost_tick: u64,
}

impl Link {
    fn losses_at(&self, tick: u64) -> u32 {
        let forgotten = (tick - self.lost_tick) / FORGET_TICKS;
        self.losses.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }

    fn is_up_for(&self, tick: u64, ticks: u64) -> bool {
        self.is_up && tick - self.since >= ticks
    }

    fn note(&mut self, tick: u64, is_up: bool) {
        if is_up == self.is_up {
            return;
        }
        if self.is_up {
            self.losses = (self.losses_at(tick) + 1).min(MOST_LOSSES);
            self.lost_tick = tick;
        }
        self.is_up = is_up;
        self.since = tick;
    }
}

/// The links between brokers. Tell it each tick of each link whether it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links(BTreeMap<(BrokerId, BrokerId), Link>);

impl Links {
    /// Whether two brokers are linked at this tick.
    pub fn note(&mut self, tick: u64, a: BrokerId, b: BrokerId, is_up: bool) {
        let new = Link { is_up, since: tick, losses: 0, lost_tick: tick };
        self.0.entry(key(a, b)).or_insert(new).note(tick, is_up);
    }

    /// Whether the link is there and was not lost lately, as far as is known.
    #[must_use]
    pub fn is_steady(&self, tick: u64, a: BrokerId, b: BrokerId) -> bool {
        let steady =
            |link: &Link| link.is_up_for(tick, STEADY_TICKS) || link.is_up && link.losses == 0;
        a == b || self.0.get(&key(a, b)).is_some_and(steady)
    }

    /// Whether the link has been there for a while, and was lost at most once before. So a link
    /// that is lost again and again counts for nothing here until all that is forgotten.
    #[must_use]
    pub fn is_calm(&self, tick: u64, a: BrokerId, b: BrokerId) -> bool {
        let calm = |link: &Link| link.is_up_for(tick, CALM_TICKS) && link.losses_at(tick) <= 1;
        a == b || self.0.get(&key(a, b)).is_some_and(calm)
    }

    /// Whether the link has been there for so many ticks.
    #[must_use]
    pub fn is_up_for(&self, tick: u64, a: BrokerId, b: BrokerId, ticks: u64) -> bool {
        a == b || self.0.get(&key(a, b)).is_some_and(|link| link.is_up_for(tick, ticks))
    }

    /// For how many ticks the link has been missing; 0 if it is there, or nothing is known of it.
    #[must_use]
    pub fn missing_ticks(&self, tick: u64, a: BrokerId, b: BrokerId) -> u64 {
        let missing = self.0.get(&key(a, b)).filter(|link| !link.is_up);
        missing.map_or(0, |link| tick - link.since)
    }
}

fn key(a: BrokerId, b: BrokerId) -> (BrokerId, BrokerId) {
    (a.min(b), a.max(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: BrokerId = BrokerId(1);
    const B: BrokerId = BrokerId(2);

    /// The ticks from `from` on, up to `until`, in which the link is there or not.
    fn pass(links: &mut Links, ticks: std::ops::Range<u64>, is_up: bool) {
        ticks.for_each(|tick| links.note(tick, B, A, is_up));
    }

    #[test]
    fn a_link_that_was_never_lost_is_steady_at_once_and_calm_in_time() {
        let mut links = Links::default();
        assert!(!links.is_steady(0, A, B) && !links.is_calm(1_000, A, B), "nothing is known");
        assert!(links.is_steady(0, A, A) && links.is_calm(0, A, A), "a broker reaches itself");
        pass(&mut links, 0..10, false);
        assert_eq!((links.missing_ticks(9, A, B), links.is_steady(9, A, B)), (9, false));
        pass(&mut links, 10..200, true);
        assert!(links.is_up_for(15, A, B, 5) && !links.is_up_for(15, A, B, 6));
        assert!(links.is_steady(10, A, B) && links.is_steady(10, B, A));
        assert!(!links.is_calm(9 + CALM_TICKS, A, B) && links.is_calm(10 + CALM_TICKS, A, B));
        assert_eq!(links.missing_ticks(199, A, B), 0);
    }

    #[test]
    fn a_link_that_was_lost_once_has_to_last() {
        let mut links = Links::default();
        pass(&mut links, 0..500, true);
        pass(&mut links, 500..510, false);
        assert!(!links.is_steady(509, A, B) && !links.is_calm(509, A, B));
        pass(&mut links, 510..700, true);
        assert!(!links.is_steady(509 + STEADY_TICKS, A, B));
        assert!(links.is_steady(510 + STEADY_TICKS, A, B));
        assert!(!links.is_calm(509 + CALM_TICKS, A, B) && links.is_calm(510 + CALM_TICKS, A, B));
    }

    #[test]
    fn a_link_that_flaps_is_neither_and_becomes_calm_when_that_is_forgotten() {
        for flaps in 2..40 {
            let mut links = Links::default();
            let mut lost_tick = 0;
            for flap in 0..flaps {
                let tick = 20 * flap;
                pass(&mut links, tick..tick + 19, true);
                assert!(flap == 0 || !links.is_steady(tick + 18, A, B));
                assert!(!links.is_calm(tick + 18, A, B));
                lost_tick = tick + 19;
                pass(&mut links, lost_tick..lost_tick + 1, false);
            }
            let losses = flaps.min(u64::from(MOST_LOSSES));
            let calm_tick = lost_tick + (losses - 1) * FORGET_TICKS;
            pass(&mut links, lost_tick + 1..calm_tick, true);
            assert!(links.is_steady(lost_tick + 1 + STEADY_TICKS, A, B));
            assert!(!links.is_calm(calm_tick - 1, A, B) && links.is_calm(calm_tick, A, B));
        }
    }
}
