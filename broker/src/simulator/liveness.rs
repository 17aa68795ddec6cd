//! After the faults: everything heals, and then the cluster has to come back to life.

use bytes::Bytes;
use synod_log::key::PartitionKey;
use synod_paxos::NodeId;

use super::agenda::{MS, Micros, SECOND};
use super::clients::key_of;
use super::invariants::{s05_acked, s06_prefixes, s16_definite};
use super::process::node;
use super::violation::{Checked, Violation, demand};
use super::world::{Event, World, is_ready};
use crate::control::METADATA_KEY;
use crate::metadata::controller::FIRST_ROUND;

/// A leader and an acked probe have to be there after this long.
const PROBE_LIMIT: Micros = 2 * SECOND;

/// The same where something damaged has to be repaired first.
const REPAIR_LIMIT: Micros = 10 * SECOND;

/// All replicas are equal after this long.
const EQUAL_LIMIT: Micros = 60 * SECOND;

/// New rounds of a partition for each fault.
const MOST_ROUNDS: u32 = 3;

const NAME_ROUNDS: &str = "liveness: few rounds";
const NAME_PROBE: &str = "liveness: an acked probe";
const NAME_EQUAL: &str = "liveness: equal replicas";

impl World {
    /// No more faults; everything that is broken is put right from outside.
    pub(crate) fn heal(&mut self) {
        self.trace.say(self.now, format_args!("heal"));
        self.healed_at = Some(self.now);
        self.rounds_at_heal = self.controller.rounds();
        self.network.heal(self.now);
        self.controller.heal(self.now);
        for broker in 0..self.machines.len() {
            self.return_disk(broker);
            let machine = &mut self.machines[broker];
            machine.paused_until = machine.paused_until.min(self.now);
            machine.busy_until = machine.busy_until.min(self.now);
            machine.slow = (1, 0);
            machine.slow_disk = (1, 0);
            machine.storage.set_capacity(None);
            if !machine.power_off {
                machine.storage.clear_faults();
            } else {
                self.end(broker, true, None);
            }
            if !self.machines[broker].is_up() {
                self.agenda.add(self.now + 10 * MS, Event::Start { broker });
            } else {
                self.agenda.add(self.now, Event::Wake { broker });
            }
        }
        for partition in 0..self.options.partition_count as u32 {
            let probe = self.clients.add_probe(key_of(partition));
            self.agenda.add(self.now + 50 * MS, Event::Send(probe));
        }
        self.agenda.add(self.now + 100 * MS, Event::Settle);
    }

    /// Looks whether what has to come after the heal has come.
    pub(crate) fn settle(&mut self) -> Checked {
        let since = self.now - self.healed_at.unwrap_or(self.now);
        let acked = self.clients.probes.values().all(Option::is_some);
        if !acked {
            let damaged = self.partition_keys().any(|key| self.is_damaged(key));
            let limit = if damaged { REPAIR_LIMIT } else { PROBE_LIMIT };
            demand(NAME_PROBE, since <= limit, || self.describe())?;
            self.agenda.add(self.now + 100 * MS, Event::Settle);
            return Ok(());
        }
        self.clients.quiet = true;
        if self.clients.are_done() && self.are_equal() {
            self.trace.say(self.now, format_args!("all replicas are equal"));
            self.is_over = true;
            return self.check_end();
        }
        demand(NAME_EQUAL, since <= EQUAL_LIMIT, || self.describe())?;
        self.agenda.add(self.now + 250 * MS, Event::Settle);
        Ok(())
    }

    fn partition_keys(&self) -> impl Iterator<Item = PartitionKey> + '_ {
        self.controller.assignments().map(|(key, _)| key)
    }

    fn is_damaged(&self, key: PartitionKey) -> bool {
        self.invariants.corruption.count(key) > 0
    }

    /// All partitions and the metadata group, with their replicas.
    fn replicated(&self) -> Vec<(PartitionKey, Vec<NodeId>)> {
        let assignments = self.controller.assignments();
        let mut all: Vec<_> = assignments.map(|(key, a)| (key, a.voters.clone())).collect();
        if !self.options.scripted {
            all.push((METADATA_KEY, (0..self.machines.len()).map(node).collect()));
        }
        all
    }

    /// Whether every replica holds and has decided the same, everything there is.
    fn are_equal(&self) -> bool {
        self.replicated().into_iter().all(|(key, voters)| {
            let decided = self.invariants.decided.end(key);
            let mut leads = false;
            let complete = voters.iter().all(|voter| {
                let broker = voter.0 as usize - 1;
                let partition = self.machines[broker].process.as_ref();
                let Some(partition) = partition.and_then(|p| p.replica(key)) else {
                    return false;
                };
                leads |= is_ready(partition.role());
                let log = partition.log();
                let whole = self.bytes_of(broker, key, log.start(), decided).is_ok();
                partition.decided_end() == decided && log.durable_end() == decided && whole
            });
            complete && leads
        })
    }

    /// A replica's bytes of `[from, end)`.
    fn bytes_of(
        &self,
        broker: usize,
        key: PartitionKey,
        from: u64,
        end: u64,
    ) -> Result<Bytes, Violation> {
        let process = self.machines[broker].process.as_ref();
        let Some(partition) = process.and_then(|process| process.replica(key)) else {
            return Err(Violation::new(NAME_EQUAL, format!("{} is down", node(broker))));
        };
        let view = partition.view().log();
        let mut bytes = Vec::new();
        let mut from = from;
        while from < end {
            let slice = view.read(from, 1 << 20, true, end).map_err(|error| {
                Violation::new(NAME_EQUAL, format!("{} of {key}: {error}", node(broker)))
            })?;
            demand(NAME_EQUAL, !slice.is_empty(), || {
                format!("{} of {key} has a gap at {from}", node(broker))
            })?;
            from = slice.next_offset;
            slice.batches.iter().for_each(|part| bytes.extend_from_slice(part));
        }
        Ok(bytes.into())
    }

    /// What can only be known at the end.
    fn check_end(&self) -> Checked {
        for (key, voters) in self.replicated() {
            let decided = self.invariants.decided.end(key);
            let starts = voters.iter().filter_map(|voter| {
                let process = self.machines[voter.0 as usize - 1].process.as_ref()?;
                Some(process.replica(key)?.log().start())
            });
            // Followers trim by whole batches, and later.
            let start = starts.max().unwrap_or(0);
            let mut first: Option<(NodeId, Bytes)> = None;
            for voter in &voters {
                let bytes = self.bytes_of(voter.0 as usize - 1, key, start, decided)?;
                s06_prefixes::check_end(&self.invariants.decided, key, voter, &bytes)?;
                let bases: std::collections::BTreeSet<u64> = s06_prefixes::headers(bytes.clone())?
                    .iter()
                    .map(|header| header.base_offset())
                    .collect();
                s05_acked::check_end(&self.history, key, voter, start, |o| bases.contains(&o))?;
                self.check_producers(key, voter)?;
                match &first {
                    None => first = Some((*voter, bytes)),
                    Some((other, theirs)) => {
                        s06_prefixes::compare(key, (other, theirs), (voter, &bytes))?;
                    }
                }
            }
        }
        for broker in 0..self.machines.len() {
            let process = self.machines[broker].process.as_ref();
            let found = process.and_then(|process| process.data_dir.partitions().ok());
            self.invariants.deletion.check_end(broker, &found.unwrap_or_default())?;
        }
        self.check_rounds()?;
        s16_definite::check_end(&self.history)
    }

    fn check_producers(&self, key: PartitionKey, voter: &NodeId) -> Checked {
        let process = self.machines[voter.0 as usize - 1].process.as_ref();
        let Some(partition) = process.and_then(|process| process.replica(key)) else {
            return Ok(());
        };
        // What was deleted, or not looked at when it was decided, may be missing here or there.
        let forgets = self.options.forgets_producers;
        if forgets || !self.invariants.deletion.is_whole(key) || self.unseen.contains(&key) {
            return Ok(());
        }
        self.invariants.producers.check_end(key, voter, partition.log().producers())
    }

    /// Few new rounds for each fault; the heal is one more.
    fn check_rounds(&self) -> Checked {
        if self.options.scripted {
            return Ok(());
        }
        // Where packets are lost all the time, each loss is a fault of its own.
        let is_fair = self.options.weather.loss_percent <= 1;
        for (key, round) in self.controller.rounds() {
            let healed = self.rounds_at_heal.get(&key).copied().unwrap_or(FIRST_ROUND);
            demand(NAME_ROUNDS, round - healed <= MOST_ROUNDS, || {
                format!("{key} was in round {healed} when all healed, and is in {round}")
            })?;
            let most = FIRST_ROUND + MOST_ROUNDS * (1 + self.fault_count);
            demand(NAME_ROUNDS, !is_fair || round <= most, || {
                format!("{key} is in round {round} after {} faults", self.fault_count)
            })?;
        }
        Ok(())
    }

    /// One line for each replica, for the report of a failed run.
    pub(crate) fn describe(&self) -> String {
        let mut lines = vec![format!("clients: {}", self.clients.open_batches())];
        for (key, voters) in self.replicated() {
            let decided_end = self.invariants.decided.end(key);
            let appointed = self.controller.get(key).map(|assignment| assignment.ballot);
            lines.push(format!("{key}: appointed {appointed:?} decided {decided_end}"));
            for voter in &voters {
                let machine = &self.machines[voter.0 as usize - 1];
                let partition = machine.process.as_ref().and_then(|p| p.replica(key));
                lines.push(match partition {
                    None => format!("  {voter} down"),
                    Some(p) => {
                        let (r, log) = (p.replica(), p.log());
                        format!(
                            "  {voter} {:?} {} promised {} accepted {} log {}..{} durable {} \
                             decided {} shown {} faulty {:?} corrupt {:?} {:?}",
                            p.role(),
                            r.ballot(),
                            r.promised(),
                            r.accepted_ballot(),
                            log.start(),
                            log.end(),
                            log.durable_end(),
                            r.decided_end(),
                            p.decided_end(),
                            r.faulty_end(),
                            log.corrupt(),
                            r.followers(),
                        )
                    }
                });
            }
        }
        lines.join("\n")
    }
}
