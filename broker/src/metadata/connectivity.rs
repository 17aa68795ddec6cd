//! Who hears whom among the brokers, as one of them knows it from heartbeats.
//!
//! Every broker tells all others whom it hears. Two brokers are *linked* if each hears the other:
//! a link that is cut in one direction is no link, because replicas need answers. A broker that
//! hears nothing of this one is as good as silent: it would learn of no appointment. Pure: time is
//! ticks, and nothing here decides about safety.

use std::collections::{BTreeMap, BTreeSet};

use super::links::{CALM_TICKS, Links};
use super::{BrokerId, TopicId, image::BrokerImage};

/// A broker is not judged by its links before it has been heard for this long: when it starts, it
/// hears nobody at first.
const SETTLE_TIMEOUTS: u64 = 2;

/// A registered broker that was never heard counts as gone only after this many time-outs of this
/// broker's own life: when all start together, some come later.
const START_TIMEOUTS: u64 = 6;

/// What a broker's heartbeat tells about itself and others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many times its data directory has been started.
    pub start: u64,
    /// Its present life.
    pub incarnation: TopicId,
    /// How far it has folded the metadata log.
    pub metadata_end: u64,
    /// The brokers that it hears.
    pub hears: BTreeSet<BrokerId>,
    /// The brokers that it is linked to.
    pub linked: BTreeMap<BrokerId, Sighting>,
}

/// What a broker tells of another one that it is linked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The other one's life.
    pub incarnation: TopicId,
    /// How far that one has folded the metadata log.
    pub metadata_end: u64,
}

/// A broker's last heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Heard {
    /// When it came.
    tick: u64,
    /// Tick of the last heartbeat that told of hearing this broker.
    linked_tick: Option<u64>,
    /// Tick since when there was no gap between those.
    since: u64,
    report: Report,
}

/// The heartbeats that one broker hears. Drive it with ticks and heartbeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connectivity {
    me: BrokerId,
    timeout_ticks: u64,
    tick: u64,
    heard: BTreeMap<BrokerId, Heard>,
    links: Links,
}

impl Connectivity {
    /// Begins with nobody heard. A broker counts as gone after `timeout_ticks` of silence.
    #[must_use]
    pub fn new(me: BrokerId, timeout_ticks: u32) -> Self {
        assert!(timeout_ticks > 0, "a heartbeat has to count for some time");
        let (heard, links) = (BTreeMap::new(), Links::default());
        Self { me, timeout_ticks: timeout_ticks.into(), tick: 0, heard, links }
    }

    /// A tick passed.
    pub fn handle_tick(&mut self) {
        self.tick += 1;
        let brokers: BTreeSet<BrokerId> = self.heard.keys().copied().chain([self.me]).collect();
        for a in &brokers {
            for b in brokers.range(a..).filter(|b| *b != a) {
                // Of two that are both out of sight nothing is known.
                if self.sees(*a) || self.sees(*b) {
                    let is_up = self.is_linked(*a, *b);
                    self.links.note(self.tick, *a, *b, is_up);
                }
            }
        }
    }

    /// Takes a heartbeat. One of an earlier start than known is old news.
    pub fn handle_heartbeat(&mut self, from: BrokerId, report: Report) {
        let known = self.heard.get(&from);
        if from == self.me || known.is_some_and(|known| known.report.start > report.start) {
            return;
        }
        let same = known.filter(|known| known.report.incarnation == report.incarnation);
        let linked = report.hears.contains(&self.me);
        let linked_tick =
            if linked { Some(self.tick) } else { same.and_then(|known| known.linked_tick) };
        let since = match same {
            Some(known) if self.is_linked_lately(known) => known.since,
            Some(known) if known.linked_tick.is_none() && !linked => known.since,
            _ => self.tick,
        };
        self.heard.insert(from, Heard { tick: self.tick, linked_tick, since, report });
    }

    /// Ticks of this broker's life.
    #[must_use]
    pub fn tick(&self) -> u64 {
        self.tick
    }

    /// The other brokers that this one hears, whether or not they hear it.
    pub fn heard(&self) -> impl Iterator<Item = BrokerId> + '_ {
        let fresh = |heard: &Heard| self.tick - heard.tick < self.timeout_ticks;
        self.heard.iter().filter(move |(_, heard)| fresh(heard)).map(|(broker, _)| *broker)
    }

    /// The other brokers that this one is linked to, to be told to all. Told of for a shorter time
    /// than a silent broker counts as there: whoever is told must not wait longer for that.
    pub fn linked(&self) -> impl Iterator<Item = (BrokerId, Sighting)> + '_ {
        let lately = |tick: u64| 5 * (self.tick - tick) < 3 * self.timeout_ticks;
        let linked = self.heard.iter().filter(move |(_, it)| it.linked_tick.is_some_and(lately));
        linked.map(|(broker, Heard { report, .. })| {
            let Report { incarnation, metadata_end, .. } = *report;
            (*broker, Sighting { incarnation, metadata_end })
        })
    }

    /// Whether `a` and `b` hear each other. Of two others, only what they tell themselves counts;
    /// where this broker is linked to one of them alone, its word does for both.
    #[must_use]
    pub fn is_linked(&self, a: BrokerId, b: BrokerId) -> bool {
        a == b || self.hears(a, b) && self.hears(b, a) || self.tells(a, b) || self.tells(b, a)
    }

    fn hears(&self, a: BrokerId, b: BrokerId) -> bool {
        if a == self.me {
            return self.fresh(b).is_some();
        }
        self.fresh(a).is_some_and(|heard| heard.report.hears.contains(&b))
    }

    /// Whether `teller` says that it is linked to a broker that this one is not linked to.
    fn tells(&self, teller: BrokerId, of: BrokerId) -> bool {
        of != self.me
            && self.fresh(of).is_none()
            && self.fresh(teller).is_some_and(|heard| heard.report.linked.contains_key(&of))
    }

    /// Whether the broker is heard in the very life that is registered.
    #[must_use]
    pub fn is_up(&self, broker: &BrokerImage) -> bool {
        broker.id == self.me
            || self.fresh(broker.id).is_some_and(|it| it.report.incarnation == broker.incarnation)
    }

    /// Whether the registered life of the broker must be taken to have ended.
    #[must_use]
    pub fn is_gone(&self, broker: &BrokerImage) -> bool {
        self.is_silent(broker) && self.sighting(broker).is_none()
    }

    /// If this broker hears nothing of the registered life of the other one, and others are linked
    /// to it: how far that one has folded the metadata log, of which it learns no more.
    #[must_use]
    pub fn detached_end(&self, broker: &BrokerImage) -> Option<u64> {
        self.sighting(broker).filter(|_| self.is_silent(broker))
    }

    /// How far the registered life of the broker has folded the metadata log, as others tell that
    /// are linked to it.
    fn sighting(&self, broker: &BrokerImage) -> Option<u64> {
        let tellers = self.heard.values().filter(|heard| self.is_linked_lately(heard));
        let sightings = tellers.filter_map(|heard| heard.report.linked.get(&broker.id));
        let current = sightings.filter(|it| it.incarnation == broker.incarnation);
        current.map(|it| it.metadata_end).max()
    }

    /// Whether this broker should have heard of the registered life of the other one, and has not.
    fn is_silent(&self, broker: &BrokerImage) -> bool {
        if self.is_up(broker) {
            return false;
        }
        match self.heard.get(&broker.id) {
            None => self.tick >= START_TIMEOUTS * self.timeout_ticks,
            Some(heard) if heard.report.incarnation == broker.incarnation => {
                // At first it hears nobody.
                heard.linked_tick.is_some() || self.tick - heard.since >= self.timeout_ticks
            }
            // Its next life is on the way to register itself.
            Some(heard) => self.tick - heard.since >= self.timeout_ticks,
        }
    }

    /// For how long the broker has been heard without a gap, in ticks.
    #[must_use]
    pub fn steady_ticks(&self, broker: BrokerId) -> u64 {
        if broker == self.me {
            return self.tick;
        }
        self.fresh(broker).map_or(0, |heard| self.tick - heard.since)
    }

    /// Whether the broker is linked to a majority of the replicas, itself included.
    #[must_use]
    pub fn reaches_majority(&self, broker: BrokerId, replicas: &[BrokerId]) -> bool {
        is_majority(replicas, |replica| self.is_linked(broker, replica))
    }

    /// Whether this broker is linked to a majority of `brokers`, itself included, and has been for
    /// long enough to have heard of whoever else is there.
    #[must_use]
    pub fn is_informed(&self, brokers: &[BrokerId]) -> bool {
        let is_up = |other| self.links.is_up_for(self.tick, self.me, other, self.timeout_ticks);
        self.reaches_majority(self.me, brokers) && is_majority(brokers, is_up)
    }

    /// Whether links that were not lost lately join the broker to this one, and to a majority of
    /// the replicas.
    #[must_use]
    pub fn is_steady(&self, broker: BrokerId, replicas: &[BrokerId]) -> bool {
        let is_steady = |other| self.links.is_steady(self.tick, broker, other);
        is_steady(self.me) && is_majority(replicas, is_steady)
    }

    /// Whether the broker has been heard without a gap for [`CALM_TICKS`], and links that have been
    /// there for as long, and did not come and go before, join it to this one, and to a majority of
    /// the replicas.
    #[must_use]
    pub fn is_calm(&self, broker: BrokerId, replicas: &[BrokerId]) -> bool {
        let is_calm = |other| self.links.is_calm(self.tick, broker, other);
        self.steady_ticks(broker) >= CALM_TICKS
            && is_calm(self.me)
            && is_majority(replicas, is_calm)
    }

    /// For how many ticks the broker, one of the replicas, has surely been linked to no majority of
    /// them; 0 if it is, or nothing is known.
    #[must_use]
    pub fn alone_ticks(&self, broker: BrokerId, replicas: &[BrokerId]) -> u64 {
        let others = replicas.iter().filter(|other| **other != broker);
        let missing = others.map(|other| self.links.missing_ticks(self.tick, broker, *other));
        let mut missing: Vec<u64> = missing.collect();
        missing.sort_unstable();
        // So many others make a majority; at most one less has been there since this one is not.
        let needed = replicas.len() / 2;
        needed.checked_sub(1).and_then(|last| missing.get(last)).copied().unwrap_or_default()
    }

    /// Whether what the broker's heartbeats tell of its links can be relied on.
    #[must_use]
    pub fn is_settled(&self, broker: BrokerId) -> bool {
        self.steady_ticks(broker) >= SETTLE_TIMEOUTS * self.timeout_ticks
    }

    fn is_linked_lately(&self, heard: &Heard) -> bool {
        heard.linked_tick.is_some_and(|tick| self.tick - tick < self.timeout_ticks)
    }

    fn sees(&self, broker: BrokerId) -> bool {
        broker == self.me || self.fresh(broker).is_some()
    }

    /// What is known of a broker that is linked to this one.
    fn fresh(&self, broker: BrokerId) -> Option<&Heard> {
        self.heard.get(&broker).filter(|heard| self.is_linked_lately(heard))
    }
}

fn is_majority(replicas: &[BrokerId], counts: impl Fn(BrokerId) -> bool) -> bool {
    2 * replicas.iter().filter(|replica| counts(**replica)).count() > replicas.len()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LIFE: TopicId = TopicId::from_bytes([1; 16]);
    const NEXT_LIFE: TopicId = TopicId::from_bytes([2; 16]);

    fn id(broker: u32) -> BrokerId {
        BrokerId(broker)
    }

    fn image(broker: u32, incarnation: TopicId) -> BrokerImage {
        let endpoints = Arc::new([]);
        BrokerImage { id: id(broker), incarnation, endpoints, rack: None, start: 1, lost: false }
    }

    fn report(start: u64, incarnation: TopicId, hears: &[u32]) -> Report {
        let hears = hears.iter().map(|it| id(*it)).collect();
        Report { start, incarnation, metadata_end: 0, hears, linked: BTreeMap::new() }
    }

    fn beat(connectivity: &mut Connectivity, from: u32, hears: &[u32]) {
        connectivity.handle_heartbeat(id(from), report(1, LIFE, hears));
    }

    /// A heartbeat of a broker that hears broker 1 and is linked to `other`.
    fn beat_linked(connectivity: &mut Connectivity, from: u32, other: u32, life: TopicId) {
        let sighting = Sighting { incarnation: life, metadata_end: 7 };
        let linked = BTreeMap::from([(id(other), sighting)]);
        connectivity.handle_heartbeat(id(from), Report { linked, ..report(1, LIFE, &[1, other]) });
    }

    fn pass(connectivity: &mut Connectivity, ticks: u64) {
        (0..ticks).for_each(|_| connectivity.handle_tick());
    }

    #[test]
    fn a_link_needs_both_directions() {
        let mut connectivity = Connectivity::new(id(1), 10);
        beat(&mut connectivity, 2, &[1, 3]);
        beat(&mut connectivity, 3, &[1, 2, 4]);
        beat(&mut connectivity, 4, &[3]);
        let linked = |a, b| connectivity.is_linked(id(a), id(b));
        assert!(linked(1, 1) && linked(1, 2) && linked(2, 1) && linked(2, 3));
        assert!(!linked(1, 4), "4 does not hear this broker");
        assert!(!linked(2, 4), "neither hears the other");
        assert!(!linked(3, 4), "what 4 says counts for nothing");
        assert_eq!(connectivity.heard().count(), 3, "it is heard all the same");
        assert!(!linked(1, 5) && !linked(2, 5), "5 is not heard");
        assert!(connectivity.reaches_majority(id(1), &[id(1), id(2), id(3)]));
        assert!(!connectivity.reaches_majority(id(1), &[id(1), id(4), id(5)]));
        assert!(!connectivity.reaches_majority(id(1), &[id(1), id(2), id(4), id(5)]), "2 of 4");
    }

    #[test]
    fn silence_for_the_whole_time_out_ends_a_life() {
        let mut connectivity = Connectivity::new(id(1), 10);
        beat(&mut connectivity, 2, &[1]);
        pass(&mut connectivity, 9);
        assert!(connectivity.is_up(&image(2, LIFE)) && !connectivity.is_gone(&image(2, LIFE)));
        assert_eq!(connectivity.heard().collect::<Vec<_>>(), [id(2)]);
        pass(&mut connectivity, 1);
        assert!(!connectivity.is_up(&image(2, LIFE)) && connectivity.is_gone(&image(2, LIFE)));
        assert!(!connectivity.is_linked(id(1), id(2)));
        assert_eq!(connectivity.heard().count(), 0);
        assert!(connectivity.is_up(&image(1, LIFE)), "this broker hears itself");
    }

    #[test]
    fn who_hears_nothing_of_this_broker_is_as_good_as_silent() {
        let mut connectivity = Connectivity::new(id(1), 10);
        for tick in 0..20 {
            beat(&mut connectivity, 2, &[]);
            assert_eq!(connectivity.is_gone(&image(2, LIFE)), tick >= 10, "{tick}");
            assert!(!connectivity.is_up(&image(2, LIFE)));
            pass(&mut connectivity, 1);
        }
        beat(&mut connectivity, 2, &[1]);
        assert!(connectivity.is_up(&image(2, LIFE)));
        for tick in 0..20 {
            assert_eq!(connectivity.is_gone(&image(2, LIFE)), tick >= 10, "{tick}");
            pass(&mut connectivity, 1);
            beat(&mut connectivity, 2, &[]);
        }
    }

    #[test]
    fn who_is_not_heard_is_there_as_long_as_others_are_linked_to_it() {
        let mut connectivity = Connectivity::new(id(1), 10);
        beat(&mut connectivity, 3, &[1, 2]);
        beat_linked(&mut connectivity, 2, 3, LIFE);
        assert_eq!(connectivity.detached_end(&image(3, LIFE)), None, "it is heard");
        for tick in 0..30 {
            pass(&mut connectivity, 1);
            beat_linked(&mut connectivity, 2, 3, LIFE);
            assert!(!connectivity.is_gone(&image(3, LIFE)), "{tick}");
            assert_eq!(connectivity.is_up(&image(3, LIFE)), tick < 9, "{tick}");
        }
        assert_eq!(connectivity.detached_end(&image(3, LIFE)), Some(7));
        assert!(connectivity.is_gone(&image(3, NEXT_LIFE)), "another life was seen");
        assert!(connectivity.is_linked(id(2), id(3)) && connectivity.is_linked(id(3), id(2)));
        assert!(!connectivity.is_linked(id(1), id(3)), "nobody can tell of that");
        assert!(connectivity.reaches_majority(id(3), &[id(3), id(1), id(2)]));
        beat(&mut connectivity, 2, &[1, 3]);
        assert!(connectivity.is_gone(&image(3, LIFE)), "to hear it is not enough");
    }

    #[test]
    fn a_link_is_told_of_for_a_shorter_time_than_it_counts() {
        let mut connectivity = Connectivity::new(id(1), 10);
        beat(&mut connectivity, 2, &[1]);
        beat(&mut connectivity, 3, &[2]);
        let linked = |it: &Connectivity| it.linked().map(|(other, _)| other).collect::<Vec<_>>();
        pass(&mut connectivity, 5);
        assert_eq!(linked(&connectivity), [id(2)]);
        pass(&mut connectivity, 1);
        assert_eq!(linked(&connectivity), []);
        assert!(connectivity.is_up(&image(2, LIFE)));
    }

    #[test]
    fn who_was_never_heard_gets_time_to_start() {
        let mut connectivity = Connectivity::new(id(1), 10);
        pass(&mut connectivity, 59);
        assert!(!connectivity.is_gone(&image(2, LIFE)) && !connectivity.is_up(&image(2, LIFE)));
        pass(&mut connectivity, 1);
        assert!(connectivity.is_gone(&image(2, LIFE)));
    }

    #[test]
    fn the_next_life_gets_time_to_register() {
        let mut connectivity = Connectivity::new(id(1), 10);
        beat(&mut connectivity, 2, &[1]);
        connectivity.handle_heartbeat(id(2), report(2, NEXT_LIFE, &[1]));
        assert!(!connectivity.is_up(&image(2, LIFE)) && !connectivity.is_gone(&image(2, LIFE)));
        assert!(connectivity.is_up(&image(2, NEXT_LIFE)));
        for _ in 0..10 {
            pass(&mut connectivity, 1);
            connectivity.handle_heartbeat(id(2), report(2, NEXT_LIFE, &[1]));
        }
        assert!(connectivity.is_gone(&image(2, LIFE)));
        beat(&mut connectivity, 2, &[]);
        assert!(connectivity.is_linked(id(1), id(2)), "the earlier life's heartbeat came late");
    }

    #[test]
    fn a_gap_and_a_new_life_begin_a_new_run() {
        let mut connectivity = Connectivity::new(id(1), 10);
        beat(&mut connectivity, 2, &[1]);
        pass(&mut connectivity, 9);
        beat(&mut connectivity, 2, &[1]);
        pass(&mut connectivity, 9);
        assert_eq!(connectivity.steady_ticks(id(2)), 18);
        assert!(!connectivity.is_settled(id(2)));
        pass(&mut connectivity, 1);
        assert_eq!(connectivity.steady_ticks(id(2)), 0, "silent");
        beat(&mut connectivity, 2, &[1]);
        assert_eq!(connectivity.steady_ticks(id(2)), 0, "heard again");
        pass(&mut connectivity, 3);
        connectivity.handle_heartbeat(id(2), report(2, NEXT_LIFE, &[1]));
        assert_eq!(connectivity.steady_ticks(id(2)), 0, "another life");
        assert_eq!(connectivity.steady_ticks(id(1)), connectivity.tick());
    }

    #[test]
    fn links_are_remembered_as_they_were() {
        let mut connectivity = Connectivity::new(id(1), 10);
        let replicas = [id(1), id(2), id(3)];
        let all = |it: &mut Connectivity, ticks, cut: bool| {
            for _ in 0..ticks {
                let (of_2, of_3): (&[u32], &[u32]) =
                    if cut { (&[1], &[1]) } else { (&[1, 3], &[1, 2]) };
                beat(it, 2, of_2);
                beat(it, 3, of_3);
                pass(it, 1);
            }
        };
        all(&mut connectivity, 100, false);
        assert!(
            connectivity.is_steady(id(2), &replicas) && !connectivity.is_calm(id(2), &replicas)
        );
        all(&mut connectivity, 10, false);
        assert!(connectivity.is_calm(id(2), &replicas), "heard without a gap for 5 s");
        // The link between the two others: one of two is left to each.
        all(&mut connectivity, 5, true);
        assert_eq!(connectivity.alone_ticks(id(2), &replicas), 0);
        assert_eq!(connectivity.alone_ticks(id(2), &[id(2), id(3)]), 4);
        assert!(connectivity.is_steady(id(2), &replicas));
        assert!(!connectivity.is_steady(id(2), &[id(2), id(3)]));
        all(&mut connectivity, 1, false);
        assert!(!connectivity.is_steady(id(2), &[id(2), id(3)]), "it is there again, and was lost");
        // Of those out of sight nothing is said.
        pass(&mut connectivity, 200);
        assert_eq!(connectivity.alone_ticks(id(2), &[id(2), id(3)]), 0);
        assert!(!connectivity.is_steady(id(2), &[id(2), id(3)]), "the link to this one is lost");
    }
}
