//! What a shard does because time passes.

use std::sync::Arc;
use std::time::Instant;

use synod_log::key::PartitionKey;
use synod_paxos::NodeId;

use super::appeals::unopened;
use super::event_loop::Shard;
use crate::control::METADATA_KEY;
use crate::limits::{DATA_TICKS, SCRUB_INTERVAL, UPKEEP_TICKS};
use crate::partition::PartitionError;
use crate::peers::Contacts;

/// When what is due. Nothing here is needed for safety.
#[derive(Debug)]
pub(super) struct Clock {
    contacts: Arc<Contacts>,
    /// Ticks since the shard began.
    ticks: u32,
    /// When the data partitions' replicas were ticked last.
    replicas_ticked: Instant,
    retention_due: Instant,
    scrub_due: Instant,
    /// The partition that was scrubbed last.
    scrubbed: Option<PartitionKey>,
}

impl Clock {
    pub(super) fn new(contacts: Arc<Contacts>) -> Clock {
        let now = Instant::now();
        Clock {
            contacts,
            ticks: 0,
            replicas_ticked: now,
            retention_due: now,
            scrub_due: now + SCRUB_INTERVAL,
            scrubbed: None,
        }
    }
}

impl Shard {
    /// A tick passed.
    pub(super) fn tick(&mut self, now_ms: i64) -> Result<(), PartitionError> {
        self.clock.ticks = self.clock.ticks.wrapping_add(1);
        if let Some(control) = &mut self.control {
            control.tick(&mut self.effects)?;
        }
        self.tick_groups();
        if self.clock.ticks.is_multiple_of(DATA_TICKS) {
            self.tick_replicas()?;
        }
        if self.clock.ticks.is_multiple_of(UPKEEP_TICKS) {
            self.upkeep(now_ms)?;
        }
        Ok(())
    }

    fn tick_replicas(&mut self) -> Result<(), PartitionError> {
        let since = std::mem::replace(&mut self.clock.replicas_ticked, Instant::now());
        let contacts = &self.clock.contacts;
        let heard = |node: NodeId| contacts.heard_since(node, since);
        for partition in self.partitions.values_mut() {
            partition.tick(&heard, &mut self.effects)?;
        }
        let (reconciler, me) = (&self.reconciler, self.broker.id());
        let missing = reconciler.unopened().filter_map(|key| unopened(key, reconciler.image(), me));
        self.effects.resignations.extend(missing);
        Ok(())
    }

    /// Ages segments, drops old ones, forgets producers, opens anew what had to stop.
    fn upkeep(&mut self, now_ms: i64) -> Result<(), PartitionError> {
        let now = Instant::now();
        let retain = now >= self.clock.retention_due;
        if retain {
            let interval = self.broker.config().storage.retention_check_interval;
            self.clock.retention_due = now + interval;
        }
        self.carrier.tick();
        let (partitions, control) = (&self.partitions, &self.control);
        let again = self.unwritten.take(|key| match partitions.get(&key) {
            Some(partition) => Some(partition.mark()),
            None => control.as_ref()?.mark(key),
        });
        self.effects.journal.splice(0..0, again);
        if now >= self.clock.scrub_due {
            self.clock.scrub_due = now + SCRUB_INTERVAL;
            self.scrub();
        }
        for partition in self.partitions.values_mut() {
            partition.upkeep(now_ms, retain, &mut self.effects)?;
        }
        if let Some(control) = &mut self.control {
            control.upkeep(now_ms, &mut self.effects)?;
        }
        self.reopen_ended();
        self.look_after_groups()?;
        self.nominate();
        Ok(())
    }

    /// Has one segment of one partition checked, of each partition in turn.
    fn scrub(&mut self) {
        let metadata = self.control.as_ref().map(|_| METADATA_KEY);
        let mut keys: Vec<PartitionKey> = self.partitions.keys().copied().chain(metadata).collect();
        keys.sort_unstable();
        let scrubbed = self.clock.scrubbed;
        let after = keys.partition_point(|key| scrubbed.is_some_and(|last| *key <= last));
        keys.rotate_left(after);
        self.clock.scrubbed = keys
            .into_iter()
            .find(|key| self.partition(*key).is_some_and(|(partition, _)| partition.scrub_next()));
    }
}
