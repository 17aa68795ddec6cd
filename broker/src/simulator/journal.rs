//! A broker's journal in simulated time: the real store and the real queue, whose writes take as
//! long as the simulated device says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use synod_log::journal::{
    JournalError, JournalOpenError, JournalQueue, JournalRecord, JournalStore, PartitionDurable,
    Submission,
};
use synod_log::key::PartitionKey;
use synod_log::{Identity, Storage};

use super::agenda::Micros;

/// How long a mark that nobody waits for may wait for company.
const LAZY_DELAY: Duration = Duration::from_millis(5);

/// What a broker hears of its submissions.
pub(crate) type Journaled = (Vec<JournalRecord>, Result<(), JournalError>);

#[derive(Debug)]
pub(crate) struct Journal {
    store: JournalStore,
    queue: JournalQueue<()>,
    told_due: Option<Micros>,
    under_way: Option<Vec<Submission<()>>>,
}

impl Journal {
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        path: &Path,
        identity: Identity,
    ) -> Result<Journal, JournalOpenError> {
        let (store, _) = JournalStore::open(storage, path, identity)?;
        let queue = JournalQueue::new(LAZY_DELAY);
        Ok(Journal { store, queue, told_due: None, under_way: None })
    }

    /// What the journal holds of a partition; submissions under way do not count.
    pub(crate) fn partition(&self, key: PartitionKey) -> PartitionDurable {
        self.store.partitions().get(&key).copied().unwrap_or_default()
    }

    pub(crate) fn submit(&mut self, records: Vec<JournalRecord>) {
        let submitted = self.queue.submit(records, None);
        assert!(submitted.is_ok(), "a turn's records fit one frame");
    }

    pub(crate) fn submit_lazy(
        &mut self,
        marks: impl IntoIterator<Item = (PartitionKey, u64)>,
        now: Micros,
    ) {
        self.queue.submit_lazy(marks, Duration::from_micros(now));
    }

    /// Writes one thing durably at once, as a start does.
    pub(crate) fn write_now(&mut self, record: JournalRecord) -> Result<(), JournalError> {
        self.store.write(&[record])
    }

    /// What the journal holds.
    pub(crate) fn partitions(&self) -> BTreeMap<PartitionKey, PartitionDurable> {
        self.store.partitions().clone()
    }

    /// Writes some things durably at once, as a start does.
    pub(crate) fn write_all_now(&mut self, records: &[JournalRecord]) -> Result<(), JournalError> {
        self.store.write(records)
    }

    /// Begins a write if there is something to write and none is under way; true if it began.
    pub(crate) fn begin(&mut self, now: Micros) -> bool {
        if self.under_way.is_some() {
            return false;
        }
        self.under_way = self.queue.poll_group(Duration::from_micros(now));
        self.under_way.is_some()
    }

    /// When the waiting marks are overdue, if any wait; told once.
    pub(crate) fn poll_lazy_due(&mut self) -> Option<Micros> {
        let due = self.queue.lazy_due()?.as_micros() as Micros;
        let told = self.told_due.replace(due) == Some(due);
        (!told).then_some(due)
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// Ends the write that is under way, as the journal's thread does.
    ///
    /// # Errors
    /// The journal failed for good.
    pub(crate) fn finish(&mut self) -> Result<Vec<Journaled>, JournalError> {
        let group = self.under_way.take().unwrap_or_default();
        let results = self.store.write_group(group);
        if let Some(failure) = self.store.failure() {
            return Err(failure.clone());
        }
        if self.queue.is_empty() {
            self.store.maintain()?;
        }
        Ok(results.into_iter().map(|(submission, result)| (submission.records, result)).collect())
    }
}
