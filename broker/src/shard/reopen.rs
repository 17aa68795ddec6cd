//! Opening partitions anew whose incarnation ended while the broker goes on.

use synod_log::key::PartitionKey;

use super::event_loop::{Shard, Storage};
use super::events::Event;
use super::open::{Copies, Past};
use crate::control::open_metadata;
use crate::limits::REOPEN_FREE_SIZE;
use crate::metadata::TopicId;
use crate::partition::{EndReason, Ended};

impl Shard {
    /// Closes replicas that had to stop, once nothing of them is under way, and opens them anew.
    /// Those that found the disk full wait for space.
    pub(super) fn reopen_ended(&mut self) {
        let ended: Vec<(PartitionKey, Ended)> = self
            .partitions
            .iter()
            .filter_map(|(key, partition)| Some((*key, partition.poll_ended()?)))
            .collect();
        for (key, Ended { reason, journaled, corrupt }) in ended {
            if let Some(partition) = self.partitions.remove(&key) {
                drop(partition.close());
            }
            self.broker.directory().update([], [(TopicId::from_bytes(key.topic), key.partition)]);
            // Whoever stops because of its disk has peers to go on with, or a reason to ask them.
            let past = Past { journaled, corrupt, copies: Copies::Several };
            self.reconciler.pasts.insert(key, past);
            match reason {
                EndReason::DiskFull => {
                    self.reconciler.waiting.insert(key);
                }
                EndReason::Corrupt => self.reopen(key),
                EndReason::Left => {}
            }
        }
        self.reopen_metadata();
        if !self.reconciler.waiting.is_empty() && has_space(&self.storage) {
            for key in std::mem::take(&mut self.reconciler.waiting) {
                self.reopen(key);
            }
        }
    }

    /// Opens the metadata log anew if its replica had to stop.
    fn reopen_metadata(&mut self) {
        let storage = self.storage.clone();
        let control = self.control.as_mut();
        let past = control.and_then(|control| control.poll_reopening(|| has_space(&storage)));
        let Some(past) = past else { return };
        let (broker, events) = (self.broker.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            let result = open_metadata(&storage, &broker, &past);
            events.push(Event::MetadataOpened(Box::new(result)));
        });
    }
}

fn has_space(storage: &Storage) -> bool {
    storage.data_dir.free_size().is_ok_and(|size| size >= REOPEN_FREE_SIZE)
}
