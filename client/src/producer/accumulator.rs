//! All partitions' batches, shared by those who append and the sender.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use synod_wire::batch::{BatchError, NewRecord};
use tokio::time::Instant;

use super::completion::{Completion, Delivery};
use super::queue::PartitionQueue;
use crate::backoff::Backoff;

/// Topic and partition.
pub(super) type Key = (Arc<str>, i32);

/// The queues of all partitions.
#[derive(Debug)]
pub(super) struct Accumulator {
    batch_size: usize,
    backoff: Backoff,
    topics: HashMap<Arc<str>, BTreeMap<i32, PartitionQueue>>,
    /// Partitions that are not idle.
    active: BTreeSet<Key>,
    /// Batches with unsettled records, by address: what a flush waits for.
    unsettled: HashMap<usize, Arc<Completion>>,
    /// No more records are taken.
    pub(super) is_closed: bool,
    /// Flushes that wait: while there are any, batches do not wait for company.
    pub(super) flushes: usize,
}

impl Accumulator {
    pub(super) fn new(batch_size: usize, backoff: Backoff) -> Self {
        Self {
            batch_size,
            backoff,
            topics: HashMap::new(),
            active: BTreeSet::new(),
            unsettled: HashMap::new(),
            is_closed: false,
            flushes: 0,
        }
    }

    /// Adds a record that holds `held` bytes of the buffer. Returns true with the delivery when the
    /// sender has something new to look at.
    pub(super) fn append(
        &mut self,
        topic: &Arc<str>,
        partition: i32,
        record: &NewRecord<'_>,
        held: usize,
        now: Instant,
    ) -> Result<(Delivery, bool), BatchError> {
        let Self { topics, backoff, unsettled, .. } = self;
        let partitions = topics.entry(topic.clone()).or_default();
        let queue =
            partitions.entry(partition).or_insert_with(|| PartitionQueue::new(backoff.clone()));
        let make = || {
            let completion = Completion::new(topic.clone(), partition);
            unsettled.insert(Arc::as_ptr(&completion) as usize, completion.clone());
            completion
        };
        let (delivery, news) = queue.append(record, held, self.batch_size, now, make)?;
        if news {
            self.active.insert((topic.clone(), partition));
        }
        Ok((delivery, news))
    }

    /// The partitions that are not idle.
    pub(super) fn active(&self) -> Vec<Key> {
        self.active.iter().cloned().collect()
    }

    /// The queue of an active partition.
    pub(super) fn queue(&mut self, (topic, partition): &Key) -> Option<&mut PartitionQueue> {
        self.topics.get_mut(topic)?.get_mut(partition)
    }

    /// Takes the partition off the active ones, until the next record comes.
    pub(super) fn set_idle(&mut self, key: &Key) {
        self.active.remove(key);
    }

    /// All records of this batch are settled.
    pub(super) fn settled(&mut self, completion: &Arc<Completion>) {
        self.unsettled.remove(&(Arc::as_ptr(completion) as usize));
    }

    /// Batches with unsettled records.
    pub(super) fn unsettled(&self) -> Vec<Arc<Completion>> {
        self.unsettled.values().cloned().collect()
    }
}
