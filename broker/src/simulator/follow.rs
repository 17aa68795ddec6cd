//! A process carries out the decided metadata: opens, appoints, deletes, as a shard's reconciler
//! does.

use std::sync::Arc;

use synod_log::journal::JournalRecord;
use synod_log::key::PartitionKey;
use synod_paxos::{Ballot, Durable};

use super::agenda::Micros;
use super::control::Control;
use super::process::Process;
use super::setting::Setting;
use crate::control::METADATA_KEY;
use crate::metadata::{MetadataImage, PartitionImage, TopicId};
use crate::partition::PartitionError;
use crate::shard::{Copies, copies, nominee, replica_set};

impl Process {
    /// Ends a turn: what was decided is folded, and carried out.
    ///
    /// # Errors
    /// The process has to end.
    pub(crate) fn conclude(
        &mut self,
        now: Micros,
        wall_ms: i64,
        setting: &Setting,
    ) -> Result<(), PartitionError> {
        let Some(mut control) = self.control.take() else { return Ok(()) };
        let mut resignations = std::mem::take(&mut self.effects.resignations);
        resignations.retain(|resignation| resignation.key != METADATA_KEY);
        control.resign(resignations, now);
        if self.retries
            && let Some(ended) = control.group.partition().poll_ended()
        {
            // Perhaps there is space later.
            let opened = self.open_metadata(control.node(), Some(&ended), Copies::Several, setting);
            if let Ok(opened) = opened {
                control.group.reopen(opened);
                let may_be_carried = self.carrying.carrier.holds(METADATA_KEY);
                control.group.partition().set_may_be_carried(may_be_carried);
            }
        }
        let concluded = control.group.step(wall_ms, &mut self.effects).and_then(|()| {
            let image = control.image();
            if image.end() > control.followed.end() {
                self.follow(&mut control, &image, setting)?;
            }
            self.open_waiting(&control, setting)
        });
        self.touched.insert(METADATA_KEY);
        self.control = Some(control);
        concluded
    }

    fn follow(
        &mut self,
        control: &mut Control,
        image: &Arc<MetadataImage>,
        setting: &Setting,
    ) -> Result<(), PartitionError> {
        // Before that the image tells of earlier lives of this broker.
        if !control.is_registered(image) {
            return Ok(());
        }
        let is_gone = |key: &PartitionKey| image.topic_by_id(topic_of(*key)).is_none();
        let known = self.partitions.keys().chain(self.ended.keys()).chain(&self.waiting);
        let mut gone: Vec<PartitionKey> = known.copied().filter(is_gone).collect();
        for key in control.leftovers.drain(..) {
            if control.deleted.may_remove(image, topic_of(key)) {
                gone.push(key);
            }
        }
        gone.into_iter().for_each(|key| self.delete(key));
        for topic in image.topics() {
            for (partition, entry) in (0u32..).zip(&topic.partitions) {
                let key = PartitionKey { topic: topic.id.bytes(), partition };
                if !entry.replicas.contains(&control.broker) {
                    continue;
                }
                let is_open = self.partitions.contains_key(&key) || self.ended.contains_key(&key);
                if !is_open && !self.waiting.contains(&key) && !self.refused.contains(&key) {
                    self.open_or_wait(key, control, entry, setting)?;
                }
                self.take_appointment(key, control, entry)?;
            }
        }
        control.followed = image.clone();
        Ok(())
    }

    /// Opens a partition, or notes that it cannot be, yet or at all.
    fn open_or_wait(
        &mut self,
        key: PartitionKey,
        control: &Control,
        entry: &PartitionImage,
        setting: &Setting,
    ) -> Result<(), PartitionError> {
        self.waiting.remove(&key);
        match self.open(key, control.node(), None, copies(entry), setting) {
            Ok(()) => {}
            Err(error) if error.is_device_failure() => return Err(error.into()),
            Err(error) => {
                let full = error.is_disk_full();
                let unopened = if full { &mut self.waiting } else { &mut self.refused };
                unopened.insert(key);
                self.unopened.push((key, error));
            }
        }
        Ok(())
    }

    /// Tries what waited for space, if it is time.
    fn open_waiting(&mut self, control: &Control, setting: &Setting) -> Result<(), PartitionError> {
        if !self.retries || self.waiting.is_empty() {
            return Ok(());
        }
        let image = control.followed.clone();
        for key in self.waiting.clone() {
            if let Some(entry) = image.partition(topic_of(key), key.partition) {
                self.open_or_wait(key, control, entry, setting)?;
                self.take_appointment(key, control, entry)?;
            }
        }
        Ok(())
    }

    /// Tells a replica that has just begun who leads.
    ///
    /// # Errors
    /// The process has to end.
    pub(crate) fn reappoint(&mut self, key: PartitionKey) -> Result<(), PartitionError> {
        let Some(control) = self.control.take() else { return Ok(()) };
        let image = control.followed.clone();
        let mut outcome = Ok(());
        if let Some(entry) = image.partition(topic_of(key), key.partition) {
            outcome = self.take_appointment(key, &control, entry);
        }
        self.control = Some(control);
        outcome
    }

    fn take_appointment(
        &mut self,
        key: PartitionKey,
        control: &Control,
        entry: &PartitionImage,
    ) -> Result<(), PartitionError> {
        let Some(partition) = self.partitions.get_mut(&key) else { return Ok(()) };
        self.touched.insert(key);
        if entry.leader != control.broker {
            partition.handle_appointed_elsewhere();
            return Ok(());
        }
        let ballot = Ballot { round: entry.round, node: control.node() };
        partition.appoint(ballot, replica_set(&entry.replicas), &mut self.effects)
    }

    /// Removes a partition for which a decided record says so.
    fn delete(&mut self, key: PartitionKey) {
        if let Some(partition) = self.partitions.remove(&key) {
            drop(partition.close());
        }
        self.carrying.carrier.void(key);
        self.ended.remove(&key);
        self.waiting.remove(&key);
        self.refused.remove(&key);
        // A failure leaves it to the next start, which reads the same record.
        if self.data_dir.delete_partition(key).is_ok() {
            self.journal.submit(vec![JournalRecord::Forget { key }]);
            drop(self.data_dir.purge_deleted());
        }
    }

    /// Offers partitions led here back to their preferred leaders.
    pub(crate) fn nominate(&mut self) {
        let Some(control) = &mut self.control else { return };
        let image = control.followed.clone();
        let broker = control.broker;
        let due = self.partitions.values().filter_map(|it| nominee(it, &image, broker)).collect();
        control.nominate(due);
    }
}

fn topic_of(key: PartitionKey) -> TopicId {
    TopicId::from_bytes(key.topic)
}

/// What a replica's new incarnation begins with.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) key: PartitionKey,
    pub(crate) durable: Durable,
}
