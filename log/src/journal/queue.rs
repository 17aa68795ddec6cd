//! What waits to be written to the journal, in which order, and how much of it goes together.
//!
//! It knows no thread and no clock: the journal's thread drives it, and so does the simulator, in
//! its own time. Times count from whatever moment the owner likes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::error::JournalError;
use super::frame::MAX_PAYLOAD_SIZE;
use super::record::JournalRecord;
use super::store::payload_size;
use crate::key::PartitionKey;

/// Queued records, in encoded bytes, beyond which submitters have to wait.
const QUEUE_SIZE: usize = 4 * MAX_PAYLOAD_SIZE;

/// Queued submissions beyond which submitters have to wait.
const QUEUE_COUNT: usize = 64 * 1024;

/// The longest record's encoded size.
const RECORD_SIZE: usize = 37;

/// Records that become durable together, and whatever is to be done then.
#[derive(Debug)]
pub struct Submission<D> {
    /// The records.
    pub records: Vec<JournalRecord>,
    /// What its submitter gave.
    pub done: Option<D>,
    size: usize,
}

/// Submissions and lazy marks that wait to be written.
#[derive(Debug)]
pub struct JournalQueue<D> {
    submissions: VecDeque<Submission<D>>,
    /// Encoded bytes of all submissions.
    size: usize,
    /// Marks that wait for company. All are newer than any mark among the submissions.
    lazy: BTreeMap<PartitionKey, u64>,
    lazy_since: Option<Duration>,
    lazy_delay: Duration,
}

impl<D> JournalQueue<D> {
    /// An empty queue whose lazy marks wait for company for `lazy_delay` at most.
    #[must_use]
    pub fn new(lazy_delay: Duration) -> Self {
        let (submissions, lazy) = (VecDeque::new(), BTreeMap::new());
        Self { submissions, size: 0, lazy, lazy_since: None, lazy_delay }
    }

    /// Whether far more waits than one write can take.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.size >= QUEUE_SIZE || self.submissions.len() >= QUEUE_COUNT
    }

    /// Whether nothing waits but lazy marks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.submissions.is_empty()
    }

    /// Queues records. A mark among them replaces an older lazy one, and a forgotten partition
    /// needs none.
    ///
    /// # Errors
    /// `TooLarge`: they do not fit one write.
    pub fn submit(
        &mut self,
        records: Vec<JournalRecord>,
        done: Option<D>,
    ) -> Result<(), (JournalError, Option<D>)> {
        let size = payload_size(&records);
        if size > MAX_PAYLOAD_SIZE {
            return Err((JournalError::TooLarge { size, limit: MAX_PAYLOAD_SIZE }, done));
        }
        for record in &records {
            if let JournalRecord::Mark { key, .. } | JournalRecord::Forget { key } = record {
                self.lazy.remove(key);
            }
        }
        self.size += size;
        self.submissions.push_back(Submission { records, done, size });
        Ok(())
    }

    /// Takes marks that nobody waits for; true if they are the first that wait.
    pub fn submit_lazy(
        &mut self,
        marks: impl IntoIterator<Item = (PartitionKey, u64)>,
        now: Duration,
    ) -> bool {
        let was_empty = self.lazy.is_empty();
        self.lazy.extend(marks);
        let first = was_empty && !self.lazy.is_empty();
        if first {
            self.lazy_since = Some(now);
        }
        first
    }

    /// When lazy marks have waited for long enough, if any wait.
    #[must_use]
    pub fn lazy_due(&self) -> Option<Duration> {
        self.lazy_since.map(|since| since + self.lazy_delay)
    }

    /// Turns the lazy marks into submissions behind all others.
    pub fn queue_lazy(&mut self) {
        self.lazy_since = None;
        let marks = std::mem::take(&mut self.lazy);
        let records: Vec<JournalRecord> = marks
            .into_iter()
            .map(|(key, durable_end)| JournalRecord::Mark { key, durable_end })
            .collect();
        for group in records.chunks(MAX_PAYLOAD_SIZE / RECORD_SIZE) {
            let size = payload_size(group);
            self.size += size;
            self.submissions.push_back(Submission { records: group.to_vec(), done: None, size });
        }
    }

    /// The submissions to be written next, as many as fit one frame. Lazy marks ride along where
    /// there is room, and go alone when they are due.
    pub fn poll_group(&mut self, now: Duration) -> Option<Vec<Submission<D>>> {
        let overdue = self.lazy_due().is_some_and(|due| now >= due);
        let company = !self.submissions.is_empty() && self.size < MAX_PAYLOAD_SIZE / 2;
        if overdue || company {
            self.queue_lazy();
        }
        let mut group = Vec::new();
        let mut room = MAX_PAYLOAD_SIZE;
        while let Some(next) = self.submissions.front()
            && next.size <= room
        {
            room -= next.size;
            self.size -= next.size;
            group.extend(self.submissions.pop_front());
        }
        (!group.is_empty()).then_some(group)
    }

    /// Everything that was submitted and will never be written.
    pub fn take_all(&mut self) -> impl Iterator<Item = Submission<D>> + use<D> {
        self.size = 0;
        std::mem::take(&mut self.submissions).into_iter()
    }
}
