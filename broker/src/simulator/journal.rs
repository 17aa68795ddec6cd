//! A broker's journal in simulated time: the real store, group commit as its thread does it.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use synod_log::journal::{
    JournalError, JournalOpenError, JournalRecord, JournalStore, PartitionDurable,
};
use synod_log::key::PartitionKey;
use synod_log::{Identity, Storage};

use super::agenda::{MS, Micros};

/// How long a mark that nobody waits for may wait for company.
const LAZY_DELAY: Micros = 5 * MS;

/// A journal is maintained after so many writes.
const MAINTENANCE_WRITES: u64 = 64;

/// Records that a broker submitted together.
type Submission = Vec<JournalRecord>;

/// What a broker hears of its submissions.
pub(crate) type Journaled = (Submission, Result<(), JournalError>);

#[derive(Debug)]
pub(crate) struct Journal {
    store: JournalStore,
    queue: VecDeque<Submission>,
    /// Newer than any mark in the queue.
    lazy: BTreeMap<PartitionKey, u64>,
    lazy_since: Option<Micros>,
    told_due: Option<Micros>,
    /// A write is under way, of that many submissions at the queue's front.
    under_way: Option<usize>,
    writes: u64,
}

impl Journal {
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        path: &Path,
        identity: Identity,
    ) -> Result<Journal, JournalOpenError> {
        let (store, _) = JournalStore::open(storage, path, identity)?;
        Ok(Journal {
            store,
            queue: VecDeque::new(),
            lazy: BTreeMap::new(),
            lazy_since: None,
            told_due: None,
            under_way: None,
            writes: 0,
        })
    }

    /// What the journal holds of a partition; submissions under way do not count.
    pub(crate) fn partition(&self, key: PartitionKey) -> PartitionDurable {
        self.store.partitions().get(&key).copied().unwrap_or_default()
    }

    pub(crate) fn submit(&mut self, records: Submission) {
        for record in &records {
            if let JournalRecord::Mark { key, .. } | JournalRecord::Forget { key } = record {
                self.lazy.remove(key);
            }
        }
        self.queue.push_back(records);
    }

    pub(crate) fn submit_lazy(
        &mut self,
        marks: impl IntoIterator<Item = (PartitionKey, u64)>,
        now: Micros,
    ) {
        self.lazy.extend(marks);
        if !self.lazy.is_empty() && self.lazy_since.is_none() {
            self.lazy_since = Some(now);
        }
    }

    /// Writes one thing durably at once, as a start does.
    pub(crate) fn write_now(&mut self, record: JournalRecord) -> Result<(), JournalError> {
        self.store.write(&[record])
    }

    /// Begins a write if there is something to write and none is under way; true if it began.
    pub(crate) fn begin(&mut self, now: Micros) -> bool {
        if self.under_way.is_some() {
            return false;
        }
        let overdue = self.lazy_since.is_some_and(|since| now >= since + LAZY_DELAY);
        if !self.lazy.is_empty() && (overdue || !self.queue.is_empty()) {
            self.lazy_since = None;
            let mark = |(key, durable_end)| JournalRecord::Mark { key, durable_end };
            let marks = std::mem::take(&mut self.lazy);
            self.queue.push_back(marks.into_iter().map(mark).collect());
        }
        if self.queue.is_empty() {
            return false;
        }
        self.under_way = Some(self.queue.len());
        true
    }

    /// When the waiting marks are overdue, if any wait; told once.
    pub(crate) fn poll_lazy_due(&mut self) -> Option<Micros> {
        let due = self.lazy_since.filter(|_| !self.lazy.is_empty())? + LAZY_DELAY;
        let told = self.told_due.replace(due) == Some(due);
        (!told).then_some(due)
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// Ends the write that is under way. If all of it cannot be written together, each submission
    /// is written alone, so that one that is refused does not hinder the others.
    ///
    /// # Errors
    /// The journal failed for good.
    pub(crate) fn finish(&mut self) -> Result<Vec<Journaled>, JournalError> {
        let count = self.under_way.take().unwrap_or_default();
        let group: Vec<Submission> = self.queue.drain(..count).collect();
        let all: Vec<JournalRecord> = group.concat();
        let together = self.store.write(&all);
        let mut journaled = Vec::with_capacity(count);
        for records in group {
            let result = match &together {
                Err(JournalError::Regression { .. }) => self.store.write(&records),
                other => other.clone(),
            };
            if let Err(error @ JournalError::Failed(_)) = result {
                return Err(error);
            }
            journaled.push((records, result));
        }
        self.writes += 1;
        if self.writes.is_multiple_of(MAINTENANCE_WRITES) {
            self.store.maintain()?;
        }
        Ok(journaled)
    }
}
