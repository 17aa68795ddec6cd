//! Schedules with a purpose: the network parts around a leader in one certain way, and a replica
//! that reaches a majority has to lead in time, with few new rounds.

use std::collections::BTreeMap;
use std::fmt;

use synod_log::key::PartitionKey;

use super::agenda::{MS, Micros, SECOND};
use super::bug::{Bug, Plant};
use super::controller::Assignment;
use super::options::Options;
use super::process::node;
use super::violation::{Checked, Violation, demand};
use super::world::{World, is_ready};
use crate::control::METADATA_KEY;

/// Until then the cluster has formed, and everything has come to rest.
const SETTLED: Micros = 10 * SECOND;

/// A replica that can lead has to lead after this long.
const LEADING: Micros = 2 * SECOND;

/// How long the network stays parted, or flaps; the last third has to be quiet.
const PARTED: Micros = 18 * SECOND;

/// How often a flapping network changes.
const FLAP: Micros = 500 * MS;

/// New rounds of a partition for one fault.
const MOST_ROUNDS: u32 = 3;

const NAME_LEADER: &str = "liveness: a connected replica leads";
const NAME_ROUNDS: &str = "liveness: few rounds";
const NAME_QUIET: &str = "liveness: quiet in the end";

/// How the network parts around one broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// It reaches nobody.
    Isolated,
    /// Nobody hears it.
    Unheard,
    /// It hears nobody.
    Deaf,
    /// It reaches the controller alone.
    ControllerOnly,
    /// It reaches all but the controller.
    NoController,
    /// It and its neighbour do not reach each other.
    Neighbours,
    /// Its neighbour does not hear it.
    OneWay,
    /// Each reaches those next to it, beginning with this one.
    Chain,
    /// All reach this one only.
    Star,
}

impl Shape {
    pub(crate) const ALL: [Shape; 9] = [
        Shape::Isolated,
        Shape::Unheard,
        Shape::Deaf,
        Shape::ControllerOnly,
        Shape::NoController,
        Shape::Neighbours,
        Shape::OneWay,
        Shape::Chain,
        Shape::Star,
    ];

    /// Whether packets from one broker to another are lost.
    fn cuts(self, count: usize, at: usize, controller: usize, from: usize, to: usize) -> bool {
        let (out, back) = (from == at, to == at);
        let next = (at + 1) % count;
        let place = |broker: usize| (broker + count - at) % count;
        match self {
            Shape::Isolated => out || back,
            Shape::Unheard => out,
            Shape::Deaf => back,
            Shape::ControllerOnly => out && to != controller || back && from != controller,
            Shape::NoController => out && to == controller || back && from == controller,
            Shape::Neighbours => out && to == next || back && from == next,
            Shape::OneWay => out && to == next,
            Shape::Chain => place(from).abs_diff(place(to)) > 1,
            Shape::Star => !out && !back,
        }
    }
}

/// One schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) broker_count: usize,
    pub(crate) replica_count: usize,
    pub(crate) shape: Shape,
    /// The broker in the middle of it.
    pub(crate) at: usize,
    pub(crate) flaps: bool,
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Schedule { broker_count, replica_count, shape, at, flaps } = self;
        let how = if *flaps { "flapping" } else { "parted" };
        write!(f, "{replica_count} of {broker_count} brokers, {how}, {shape:?} around {}", at + 1)
    }
}

impl Schedule {
    /// Every shape around every broker, for clusters of three and five; and around one of seven.
    pub(crate) fn all() -> Vec<Schedule> {
        let mut all = Vec::new();
        // (brokers, replicas, brokers that it happens around)
        for (broker_count, replica_count, around) in [(3, 3, 3), (5, 3, 5), (5, 5, 5), (7, 7, 1)] {
            for shape in Shape::ALL {
                for at in 0..around {
                    for flaps in [false, true] {
                        all.push(Schedule { broker_count, replica_count, shape, at, flaps });
                    }
                }
            }
        }
        all
    }

    /// Lets it happen.
    ///
    /// # Errors
    /// No connected replica led in time, or leadership moved too often.
    pub(crate) fn run(&self, seed: u64, bug: Option<Bug>, printed: bool) -> Checked {
        let _plant = Plant::new(bug);
        let options = Options::calm(self.broker_count, self.replica_count);
        let mut world = World::of(seed, options, Vec::new(), bug, printed);
        world.run_until(SETTLED)?;
        world.check_leaders()?;
        let before = world.controller.rounds();
        let links = self.links(&world)?;
        world.trace.say(world.now, format_args!("parted: {links:?}"));
        if self.flaps {
            world.flap(&links)?;
        } else {
            world.network.cut(&links);
            world.run_until(SETTLED + LEADING)?;
            world.check_leaders()?;
            world.run_until(SETTLED + PARTED / 3 * 2)?;
            let quiet = world.controller.rounds();
            world.run_until(SETTLED + PARTED)?;
            world.check_leaders()?;
            world.check_quiet(&quiet)?;
            world.network.mend(&links);
        }
        let healed = world.controller.rounds();
        few_rounds(&before, &healed)?;
        let end = SETTLED + PARTED;
        world.trace.say(world.now, format_args!("healed"));
        world.run_until(end + LEADING)?;
        world.check_leaders()?;
        world.run_until(end + PARTED / 3 * 2)?;
        let quiet = world.controller.rounds();
        world.run_until(end + PARTED)?;
        world.check_quiet(&quiet)?;
        world.check_leaders()?;
        few_rounds(&healed, &quiet)
    }

    fn links(&self, world: &World) -> Result<Vec<(usize, usize)>, Violation> {
        let controller = world.controller_broker().ok_or_else(|| {
            Violation::new(NAME_LEADER, format!("there is no controller: {}", world.describe()))
        })?;
        let count = self.broker_count;
        let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
        let cut = |&(from, to): &(usize, usize)| {
            from != to && self.shape.cuts(count, self.at, controller, from, to)
        };
        Ok(pairs.filter(cut).collect())
    }
}

/// An hour in which nothing goes wrong: no leader changes, neither of partitions nor of the
/// metadata group.
///
/// # Errors
/// One did.
pub(crate) fn calm_hour(seed: u64, broker_count: usize) -> Checked {
    let options = Options::calm(broker_count, broker_count.min(3));
    let mut world = World::of(seed, options, Vec::new(), None, false);
    // As leaders are placed by their number, some may still go to the replicas preferred.
    world.run_until(SETTLED)?;
    world.check_leaders()?;
    let (rounds, controller) = (world.controller.rounds(), world.controller_ballot());
    world.run_until(SETTLED + 3_600 * SECOND)?;
    world.check_leaders()?;
    world.check_quiet(&rounds)?;
    demand(NAME_QUIET, world.controller_ballot() == controller, || {
        format!("the controller's ballot was {controller:?}, is {:?}", world.controller_ballot())
    })
}

fn few_rounds(
    before: &BTreeMap<PartitionKey, u32>,
    after: &BTreeMap<PartitionKey, u32>,
) -> Checked {
    for (key, round) in after {
        let first = before.get(key).copied().unwrap_or(*round);
        demand(NAME_ROUNDS, round - first <= MOST_ROUNDS, || {
            format!("{key} went from round {first} to {round}")
        })?;
    }
    Ok(())
}

impl World {
    /// Lets everything happen up to a time.
    pub(crate) fn run_until(&mut self, until: Micros) -> Checked {
        while self.agenda.next_at().is_some_and(|at| at <= until) {
            self.step()?;
        }
        self.now = until;
        Ok(())
    }

    /// Cuts the links and mends them, over and over. No partition is without a leader that reaches
    /// a majority for longer than promised.
    fn flap(&mut self, links: &[(usize, usize)]) -> Checked {
        let begun = self.now;
        let mut led_at: BTreeMap<PartitionKey, Micros> = BTreeMap::new();
        for half in 0..PARTED / FLAP {
            match half % 2 {
                0 => self.network.cut(links),
                _ => self.network.mend(links),
            }
            self.run_until(begun + (half + 1) * FLAP)?;
            for (key, assignment) in self.controller.assignments() {
                let led_at = led_at.entry(key).or_insert(begun);
                if self.is_led(key, assignment) {
                    *led_at = self.now;
                }
                demand(NAME_LEADER, self.now - *led_at <= LEADING, || {
                    format!("nobody has led {key} since {led_at} µs\n{}", self.describe())
                })?;
            }
        }
        Ok(())
    }

    /// The ballot of the metadata group's newest leader that serves.
    fn controller_ballot(&self) -> Option<synod_paxos::Ballot> {
        let replicas = self.machines.iter().filter_map(|machine| {
            machine.process.as_ref().and_then(|process| process.replica(METADATA_KEY))
        });
        replicas.filter(|it| is_ready(it.role())).map(|it| it.ballot()).max()
    }

    fn controller_broker(&self) -> Option<usize> {
        self.controller_ballot().map(|ballot| ballot.node.0 as usize - 1)
    }

    /// Wherever a replica is linked to a majority and to the controller, a replica leads that is
    /// linked to a majority.
    fn check_leaders(&self) -> Checked {
        let controller = self.controller_broker();
        demand(NAME_LEADER, controller.is_some(), || {
            format!("no controller: {}", self.describe())
        })?;
        for (key, assignment) in self.controller.assignments() {
            let could = |broker: usize| {
                self.is_connected(broker, assignment)
                    && controller.is_some_and(|it| self.network.connects(it, broker))
            };
            if !voters(assignment).any(could) {
                continue;
            }
            demand(NAME_LEADER, self.is_led(key, assignment), || {
                let controller = controller.map(node);
                format!(
                    "{key} is not led as {:?} says, controller {controller:?}\n{}",
                    assignment.ballot,
                    self.describe()
                )
            })?;
        }
        Ok(())
    }

    /// Whether a broker is linked to a majority of a partition's replicas.
    fn is_connected(&self, broker: usize, assignment: &Assignment) -> bool {
        let linked = voters(assignment).filter(|other| self.network.connects(broker, *other));
        2 * linked.count() > assignment.voters.len()
    }

    /// Whether the newest of those that lead a partition is linked to a majority.
    fn is_led(&self, key: PartitionKey, assignment: &Assignment) -> bool {
        let leading = voters(assignment).filter_map(|broker| {
            let partition = self.machines[broker].process.as_ref()?.replica(key)?;
            is_ready(partition.role()).then(|| (partition.ballot(), broker))
        });
        leading.max().is_some_and(|(_, broker)| self.is_connected(broker, assignment))
    }

    fn check_quiet(&self, before: &BTreeMap<PartitionKey, u32>) -> Checked {
        let now = self.controller.rounds();
        demand(NAME_QUIET, *before == now, || format!("rounds went from {before:?} to {now:?}"))
    }
}

fn voters(assignment: &Assignment) -> impl Iterator<Item = usize> {
    assignment.voters.iter().map(|voter| voter.0 as usize - 1)
}
