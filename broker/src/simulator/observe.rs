//! Looking at a broker after each of its turns: what its replicas hold against the invariants.

use synod_log::LogError;
use synod_log::key::PartitionKey;
use synod_paxos::Role;

use super::follow::Begun;
use super::invariants::{s04_decided_end, s06_prefixes, s21_bounds};
use super::process::node;
use super::violation::{Checked, Violation};
use super::world::World;
use crate::control::METADATA_KEY;

/// Bytes of decided batches that are looked at in one go.
const LOOK_SIZE: usize = 1 << 20;

impl World {
    /// Looks at the partitions that the last turn of a broker touched.
    pub(crate) fn observe(&mut self, broker: usize) -> Checked {
        let Some(process) = &mut self.machines[broker].process else { return Ok(()) };
        let touched = process.touched.clone();
        let unopened = std::mem::take(&mut process.unopened);
        s21_bounds::check(node(broker), process.waiting_count())?;
        for (key, error) in unopened {
            self.trace.say(self.now, format_args!("{} cannot open {key}: {error}", node(broker)));
        }
        for key in touched {
            self.observe_partition(broker, key)?;
        }
        self.observe_metadata(broker)
    }

    /// Looks at the replicas that have begun, before anything else of them is noted.
    pub(crate) fn observe_all_begun(&mut self, broker: usize) -> Checked {
        let Some(process) = &mut self.machines[broker].process else { return Ok(()) };
        let all = std::mem::take(&mut process.begun);
        all.iter().try_for_each(|begun| self.observe_begun(broker, begun))
    }

    /// A replica has begun with what it found on its disk.
    fn observe_begun(&mut self, broker: usize, begun: &Begun) -> Checked {
        let Begun { key, durable } = begun;
        let id = node(broker);
        self.trace.say(self.now, format_args!("{id} begins {key} with {durable:?}"));
        // A device without power answers no read, and makes nothing durable that follows from that.
        if !self.machines[broker].storage.is_powered() {
            return Ok(());
        }
        let damaged = self.invariants.corruption.is_damaged(id, *key);
        self.invariants.vows.recovered(id, *key, durable, damaged)?;
        self.invariants.deletion.own(broker, *key);
        self.invariants.corruption.recovered(id, *key, durable)?;
        self.seen.remove(&(broker, *key));
        Ok(())
    }

    /// What a broker made of the metadata log, and which directories that left it, if it is news.
    fn observe_metadata(&mut self, broker: usize) -> Checked {
        let Some(process) = &mut self.machines[broker].process else { return Ok(()) };
        let Some(control) = &mut process.control else { return Ok(()) };
        let image = control.image();
        if std::mem::replace(&mut control.observed_end, image.end()) == image.end() {
            return Ok(());
        }
        let is_known = self.invariants.fold.end() >= image.end();
        if is_known || !self.unseen.contains(&METADATA_KEY) {
            self.invariants.fold.check(node(broker), &image)?;
        }
        if let Ok(found) = process.data_dir.partitions() {
            self.invariants.deletion.observe_directories(broker, &found)?;
        }
        self.learn(broker);
        Ok(())
    }

    /// Notes where the logs end that a turn touched.
    pub(crate) fn note_ends(&mut self, broker: usize, failed: bool) {
        let Some(process) = &self.machines[broker].process else { return };
        // A turn that failed may have done so in the middle of the metadata group's part.
        let metadata = process.control.as_ref().map(|_| &METADATA_KEY);
        for key in process.touched.iter().chain(metadata) {
            let Some(partition) = process.replica(*key) else { continue };
            let end = partition.log().end();
            let (id, corruption) = (node(broker), &mut self.invariants.corruption);
            corruption.note_end(id, *key, end, failed);
            if !failed {
                corruption.note_mark(id, *key, partition.replica().promised(), partition.mark());
            }
        }
    }

    fn observe_partition(&mut self, broker: usize, key: PartitionKey) -> Checked {
        let Some(process) = &self.machines[broker].process else { return Ok(()) };
        let Some(partition) = process.replica(key) else { return Ok(()) };
        let (role, ballot) = (partition.role(), partition.ballot());
        let decided_end = partition.decided_end();
        let start = partition.log().start();
        self.trace.note(u64::from(ballot.round) << 32 | decided_end);
        self.invariants.leaders.observe(key, role, ballot)?;
        if let Some(set) = partition.replica().replica_set().filter(|_| role != Role::Follower) {
            self.invariants.quorums.observe(key, ballot, set)?;
        }
        self.invariants.deletion.check(node(broker), key, start)?;
        let seen = self.seen.get(&(broker, key)).copied().unwrap_or(0);
        if decided_end <= seen {
            return Ok(());
        }
        // Before it is ready it may learn of what was decided under earlier ballots.
        let set = partition.replica().replica_set();
        if let (Role::Leader { ready: true, .. }, Some(set)) = (role, set) {
            let held = |member: synod_paxos::NodeId| self.machines[member.0 as usize - 1].held(key);
            s04_decided_end::check(key, ballot, set, decided_end, held)?;
        }
        self.look_at(broker, key, seen.max(start), decided_end)
    }

    /// Reads what is newly decided and holds it against what others decided.
    fn look_at(&mut self, broker: usize, key: PartitionKey, from: u64, end: u64) -> Checked {
        let Some(process) = &self.machines[broker].process else { return Ok(()) };
        let Some(partition) = process.replica(key) else { return Ok(()) };
        let view = partition.view().log().clone();
        let mut from = from;
        // An injected failure of one read is not meant for this one.
        let mut tries = 3;
        while from < end {
            let slice = match view.read(from, LOOK_SIZE, true, end) {
                Err(LogError::Io { .. }) if tries > 0 => {
                    tries -= 1;
                    continue;
                }
                Ok(slice) if slice.is_empty() => break,
                Ok(slice) => slice,
                // Damaged or unreadable here; another replica shows what it is.
                Err(LogError::Corrupt { .. } | LogError::Io { .. }) => {
                    self.unseen.insert(key);
                    return Ok(());
                }
                Err(LogError::OutOfRange { .. }) => return Ok(()),
                Err(error) => {
                    return Err(Violation::new("simulator", format!("reading {key}: {error}")));
                }
            };
            from = slice.next_offset;
            for bytes in slice.batches {
                if key == METADATA_KEY {
                    self.invariants.metadata_decided(&bytes)?;
                }
                for header in s06_prefixes::headers(bytes)? {
                    self.invariants.decided(node(broker), key, &header, &mut self.history)?;
                }
            }
            self.seen.insert((broker, key), from);
        }
        Ok(())
    }
}
