//! The first part of a start: a disk is taken, and either belongs to a cluster or has to form one.
//!
//! The decisions are the product's: the data directory's enrolment, what introductions fit
//! together, when voters agree on who they are. Only the dials are simulated.

use std::path::Path;

use synod_log::data_dir::ClaimedDir;
use synod_log::identity::Membership;
use synod_log::key::PartitionKey;
use synod_log::storage::Storage;

use super::agenda::{MS, Micros};
use super::machine::DATA;
use super::process::node;
use super::violation::Checked;
use super::world::{Event, World};
use crate::peers::{Introduction, Round};
use crate::planted::{PlantedBug, is_planted};

/// Pause between two rounds of dials.
const ROUND: Micros = 100 * MS;

/// A broker that holds its disk and waits for its cluster.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) life: u64,
    pub(crate) claimed: ClaimedDir,
    pub(crate) introduction: Introduction,
}

impl World {
    /// Starts a process with the real controller.
    pub(crate) fn claim(&mut self, broker: usize, life: u64) -> Checked {
        if self.options.passing_topics && self.random.chance(20) {
            self.leave_orphan(broker);
        }
        let fresh = [self.random.id(), self.random.id()];
        let machine = &mut self.machines[broker];
        if let Err(error) = machine.claim(life, fresh) {
            self.not_started(broker, &error);
            return Ok(());
        }
        let claimed = machine.entry.as_ref().map(|entry| &entry.claimed);
        if self.setting.broker_count > 1 && claimed.is_some_and(|it| it.membership().is_none()) {
            self.agenda.add(self.now + self.random.below(ROUND), Event::Form { broker, life });
            return Ok(());
        }
        self.enter(broker, life)
    }

    /// Somebody copies a directory to a broker's disk that no metadata speaks of. It has to stay.
    fn leave_orphan(&mut self, broker: usize) {
        let topic = self.random.id();
        let key = PartitionKey { topic, partition: 0 };
        let storage = &self.machines[broker].storage;
        let parent = Path::new(DATA).join("partitions");
        let created = storage.create_dir(&parent.join(key.to_string()));
        if created.is_ok() && storage.sync_dir(&parent).is_ok() {
            self.invariants.deletion.own(broker, key);
        }
    }

    /// The disk belongs to the cluster: the process takes part in it.
    fn enter(&mut self, broker: usize, life: u64) -> Checked {
        match self.machines[broker].enter(&self.setting) {
            Ok(()) => self.started(broker, life),
            Err(error) => {
                self.not_started(broker, &error);
                Ok(())
            }
        }
    }

    /// One round of dials of a broker that belongs to no cluster yet.
    pub(crate) fn form(&mut self, broker: usize, life: u64) -> Checked {
        let Some(entry) = self.machines[broker].entry.as_ref().filter(|it| it.life == life) else {
            return Ok(());
        };
        let own = entry.introduction.clone();
        let mut round = Round::new((0..self.machines.len()).map(|it| node(it).0));
        for other in (0..self.machines.len()).filter(|other| *other != broker) {
            let Some(it) = self.dial(broker, other) else { continue };
            let refusal = it.fits(&own, None).err();
            match round.hear(&own, (node(other).0, "there"), &it, refusal) {
                Ok(None) => {}
                Ok(Some(membership)) => return self.join(broker, membership),
                Err(reason) => {
                    // What only the operator can mend: the process ends and is started again.
                    self.trace.say(self.now, format_args!("{} gives up: {reason}", node(broker)));
                    self.end(broker, false, Some(ROUND));
                    return Ok(());
                }
            }
        }
        if let Some(membership) = round.agreed(&own) {
            return self.join(broker, membership);
        }
        if let Some(entry) = &mut self.machines[broker].entry {
            entry.introduction.tell_found(round.into_found());
        }
        self.agenda.add(self.now + ROUND, Event::Form { broker, life });
        Ok(())
    }

    /// What answers at another broker's address.
    fn dial(&mut self, from: usize, to: usize) -> Option<Introduction> {
        let now = self.now;
        let arrives = |world: &mut World, from, to| {
            world.network.arrivals(from, to, now, &mut world.random)[0].is_some()
        };
        let machine = &self.machines[to];
        let it = machine.introduction().filter(|_| machine.paused_until <= now).cloned()?;
        (arrives(self, from, to) && arrives(self, to, from)).then_some(it)
    }

    /// The broker becomes, durably, a part of the cluster.
    fn join(&mut self, broker: usize, mut membership: Membership) -> Checked {
        let Some(entry) = &mut self.machines[broker].entry else { return Ok(()) };
        if is_planted(PlantedBug::UnknownIncarnationVotes) {
            let directory = entry.claimed.directory();
            let me = membership.members.iter_mut().find(|it| it.node_id == node(broker).0);
            me.into_iter().for_each(|me| me.directory = directory);
        }
        let life = entry.life;
        self.trace.say(self.now, format_args!("{} joins {membership:?}", node(broker)));
        self.invariants.strangers.formed(node(broker), &membership)?;
        match entry.claimed.join(membership) {
            Ok(()) => self.enter(broker, life),
            Err(error) => {
                self.not_started(broker, &error);
                Ok(())
            }
        }
    }
}
