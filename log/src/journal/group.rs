//! The journal's thread: gathers submissions while a sync is under way, writes them as one.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use super::error::{JournalError, JournalOpenError};
use super::frame::MAX_PAYLOAD_SIZE;
use super::record::JournalRecord;
use super::state::PartitionDurable;
use super::store::{JournalReport, JournalStore, payload_size};
use crate::identity::Identity;
use crate::key::PartitionKey;
use crate::storage::Storage;

/// Queued records, in encoded bytes, beyond which [`Journal::submit`] blocks.
const QUEUE_SIZE: usize = 4 * MAX_PAYLOAD_SIZE;

/// Queued submissions beyond which [`Journal::submit`] blocks.
const QUEUE_COUNT: usize = 64 * 1024;

/// Called on the journal's thread once the submission is durable, or will never be. It must not
/// block for long, as every other submission waits behind it.
pub type JournalDone = Box<dyn FnOnce(Result<(), JournalError>) + Send>;

/// How a journal behaves; the default is right for a broker.
pub struct JournalConfig {
    /// How long a lazy mark may wait for company. 5 ms by default.
    pub lazy_delay: Duration,
    /// Called on the journal's thread with the time that each write and sync took.
    pub on_sync: Option<Box<dyn Fn(Duration) + Send>>,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self { lazy_delay: Duration::from_millis(5), on_sync: None }
    }
}

impl fmt::Debug for JournalConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalConfig")
            .field("lazy_delay", &self.lazy_delay)
            .finish_non_exhaustive()
    }
}

/// A handle on the broker's journal. Clones share one journal; the last one to go ends its thread
/// after everything submitted is durable.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Owner>);

#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    thread_id: ThreadId,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Wakes the journal's thread.
    work: Condvar,
    /// Wakes submitters that wait for room.
    room: Condvar,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Queue {
    submissions: VecDeque<Submission>,
    /// Encoded bytes of all submissions.
    size: usize,
    /// Marks that wait for company. All are newer than any mark among the submissions.
    lazy: BTreeMap<PartitionKey, u64>,
    lazy_since: Option<Instant>,
    closing: Option<Closing>,
    /// Why nothing more is taken.
    ended: Option<JournalError>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    /// Everything submitted so far, then end.
    Drain,
    /// The same, and note that the journal is complete.
    Clean,
}

struct Submission {
    records: Vec<JournalRecord>,
    size: usize,
    done: Option<JournalDone>,
}

impl Journal {
    /// Opens an existing journal and starts its thread. Returns what is known of each partition.
    ///
    /// # Errors
    /// See [`JournalOpenError`].
    pub fn open(
        storage: Arc<dyn Storage>,
        path: &Path,
        identity: Identity,
        config: JournalConfig,
    ) -> Result<OpenedJournal, JournalOpenError> {
        let (store, report) = JournalStore::open(storage, path, identity)?;
        let partitions = store.partitions().clone();
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            work: Condvar::new(),
            room: Condvar::new(),
        });
        let worker = Worker { store, shared: Arc::clone(&shared), config };
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || worker.run())
            .map_err(JournalOpenError::Thread)?;
        let thread_id = thread.thread().id();
        let owner = Owner { shared, thread: Mutex::new(Some(thread)), thread_id };
        Ok(OpenedJournal { journal: Self(Arc::new(owner)), partitions, report })
    }

    /// Makes the records durable together, with whatever else is queued, and then calls `done`.
    /// Records of earlier submissions, by anyone, are durable by then too. Without records it is a
    /// barrier.
    ///
    /// Blocks while far more is queued than one sync can take, except on the journal's own thread.
    /// When the journal has ended, `done` is called here and now.
    pub fn submit(&self, records: Vec<JournalRecord>, done: Option<JournalDone>) {
        let size = payload_size(&records);
        let mut queue = self.0.shared.lock();
        let may_wait = thread::current().id() != self.0.thread_id;
        while queue.is_full() && queue.ended.is_none() && may_wait {
            queue = self.0.shared.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let refusal = if size > MAX_PAYLOAD_SIZE {
            Some(JournalError::TooLarge { size, limit: MAX_PAYLOAD_SIZE })
        } else {
            queue.refusal()
        };
        if let Some(error) = refusal {
            drop(queue);
            if let Some(done) = done {
                done(Err(error));
            }
            return;
        }
        queue.drop_outdated_lazy(&records);
        queue.size += size;
        queue.submissions.push_back(Submission { records, size, done });
        drop(queue);
        self.0.shared.work.notify_one();
    }

    /// As [`Journal::submit`], blocking until the records are durable. Not for the journal's own
    /// thread.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub fn submit_and_wait(&self, records: Vec<JournalRecord>) -> Result<(), JournalError> {
        assert!(thread::current().id() != self.0.thread_id, "the journal would wait for itself");
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let done = move |result| drop(sender.send(result));
        self.submit(records, Some(Box::new(done)));
        receiver.recv().unwrap_or(Err(JournalError::Closed))
    }

    /// Takes durability marks that nobody waits for: they become durable with the next submission,
    /// at the latest after the configured delay. A newer mark of a partition replaces an older one,
    /// so this never blocks and holds one mark per partition at most.
    pub fn submit_lazy(&self, marks: impl IntoIterator<Item = (PartitionKey, u64)>) {
        let mut queue = self.0.shared.lock();
        if queue.refusal().is_some() {
            return;
        }
        let was_empty = queue.lazy.is_empty();
        queue.lazy.extend(marks);
        if was_empty && !queue.lazy.is_empty() {
            queue.lazy_since = Some(Instant::now());
            drop(queue);
            self.0.shared.work.notify_one();
        }
    }

    /// Records that a partition is gone from this node.
    pub fn forget(&self, key: PartitionKey, done: Option<JournalDone>) {
        self.submit(vec![JournalRecord::Forget { key }], done);
    }

    /// Why the journal takes nothing more, if that is so.
    #[must_use]
    pub fn failure(&self) -> Option<JournalError> {
        self.0.shared.lock().ended.clone()
    }

    /// Makes everything submitted so far durable, notes that the journal is complete, and ends it
    /// for all clones. Not for the journal's own thread.
    ///
    /// # Errors
    /// `Failed` or `DiskFull` when that did not work; then the next opening is not clean.
    pub fn close(&self) -> Result<(), JournalError> {
        self.0.end(Closing::Clean);
        match self.0.shared.lock().ended.clone() {
            None | Some(JournalError::Closed) => Ok(()),
            Some(error) => Err(error),
        }
    }
}

/// What [`Journal::open`] gives.
#[derive(Debug)]
pub struct OpenedJournal {
    /// The handle.
    pub journal: Journal,
    /// What the journal knows of each partition.
    pub partitions: BTreeMap<PartitionKey, PartitionDurable>,
    /// What opening it found.
    pub report: JournalReport,
}

impl Owner {
    fn end(&self, how: Closing) {
        self.shared.lock().closing.get_or_insert(how);
        self.shared.work.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last handle may go with a callback, on the journal's own thread: it ends by itself.
        if let Some(thread) = thread
            && thread::current().id() != self.thread_id
            && thread.join().is_err()
        {
            tracing::error!("the journal's thread panicked");
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.end(Closing::Drain);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn is_full(&self) -> bool {
        self.size >= QUEUE_SIZE || self.submissions.len() >= QUEUE_COUNT
    }

    fn refusal(&self) -> Option<JournalError> {
        self.ended.clone().or_else(|| self.closing.map(|_| JournalError::Closed))
    }

    /// A submitted mark replaces an older lazy one, and a forgotten partition needs none.
    fn drop_outdated_lazy(&mut self, records: &[JournalRecord]) {
        if self.lazy.is_empty() {
            return;
        }
        for record in records {
            if let JournalRecord::Mark { key, .. } | JournalRecord::Forget { key } = record {
                self.lazy.remove(key);
            }
        }
    }

    /// Turns the waiting marks into a submission behind all others.
    fn queue_lazy(&mut self) {
        self.lazy_since = None;
        let marks = std::mem::take(&mut self.lazy);
        let records: Vec<JournalRecord> = marks
            .into_iter()
            .map(|(key, durable_end)| JournalRecord::Mark { key, durable_end })
            .collect();
        // The longest record has 37 bytes.
        for group in records.chunks(MAX_PAYLOAD_SIZE / 37) {
            let size = payload_size(group);
            self.size += size;
            self.submissions.push_back(Submission { records: group.to_vec(), size, done: None });
        }
    }

    /// Takes as many submissions as fit one frame.
    fn take_group(&mut self) -> Vec<Submission> {
        let mut group = Vec::new();
        let mut room = MAX_PAYLOAD_SIZE;
        while let Some(next) = self.submissions.front()
            && next.size <= room
        {
            room -= next.size;
            self.size -= next.size;
            group.extend(self.submissions.pop_front());
        }
        group
    }
}

/// The thread's side.
struct Worker {
    store: JournalStore,
    shared: Arc<Shared>,
    config: JournalConfig,
}

impl Worker {
    fn run(mut self) {
        // Also when a callback panics, nobody may wait for ever.
        let _answer_all = AnswerAll(Arc::clone(&self.shared));
        while let Some(group) = self.next_group() {
            if let Err(error) = self.write_group(group) {
                self.end(error);
                return;
            }
            if self.shared.lock().submissions.is_empty()
                && let Err(error) = self.store.maintain()
            {
                self.end(error);
                return;
            }
        }
        let clean = self.shared.lock().closing == Some(Closing::Clean);
        let result = if clean { self.store.close() } else { Ok(()) };
        self.shared.lock().ended = Some(result.err().unwrap_or(JournalError::Closed));
    }

    /// Waits for something to write; `None` when the journal is to end.
    fn next_group(&self) -> Option<Vec<Submission>> {
        let mut queue = self.shared.lock();
        loop {
            let lazy_age = queue.lazy_since.map(|since| since.elapsed());
            let overdue = lazy_age.is_some_and(|age| age >= self.config.lazy_delay);
            let company = !queue.submissions.is_empty() && queue.size < MAX_PAYLOAD_SIZE / 2;
            if overdue || company || queue.closing.is_some() {
                queue.queue_lazy();
            }
            if !queue.submissions.is_empty() {
                let group = queue.take_group();
                drop(queue);
                self.shared.room.notify_all();
                return Some(group);
            }
            if queue.closing.is_some() {
                return None;
            }
            queue = match lazy_age {
                None => self.shared.work.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(age) => {
                    let left = self.config.lazy_delay.saturating_sub(age);
                    let woken = self.shared.work.wait_timeout(queue, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Makes a group durable and tells everybody in it.
    ///
    /// # Errors
    /// `Failed`, when the journal has to end.
    fn write_group(&mut self, group: Vec<Submission>) -> Result<(), JournalError> {
        let all: Vec<JournalRecord> =
            group.iter().flat_map(|submission| submission.records.iter().copied()).collect();
        if let Err(error) = self.store.reserve_for(&all) {
            answer(group, &error);
            return match error {
                JournalError::Failed(_) => Err(error),
                _ => Ok(()),
            };
        }
        let mut admitted = Vec::with_capacity(all.len());
        let mut answers = Vec::with_capacity(group.len());
        for submission in group {
            let result = self.store.admit(&submission.records);
            if result.is_ok() {
                admitted.extend_from_slice(&submission.records);
            }
            answers.push((submission.done, result));
        }
        let started = Instant::now();
        let written =
            if admitted.is_empty() { Ok(()) } else { self.store.write_admitted(&admitted) };
        if let (Some(on_sync), false) = (&self.config.on_sync, admitted.is_empty()) {
            on_sync(started.elapsed());
        }
        for (done, result) in answers {
            if let Some(done) = done {
                done(result.and_then(|()| written.clone()));
            }
        }
        written
    }

    fn end(&self, error: JournalError) {
        tracing::error!(%error, "journal");
        self.shared.lock().ended = Some(error);
    }
}

/// On the way out of the thread, however it ends, answers everything that is still queued.
struct AnswerAll(Arc<Shared>);

impl Drop for AnswerAll {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        let error = queue
            .ended
            .get_or_insert_with(|| {
                let panicked = io::Error::other("the journal's thread panicked");
                JournalError::Failed(Arc::new(panicked))
            })
            .clone();
        queue.size = 0;
        let left = std::mem::take(&mut queue.submissions);
        drop(queue);
        self.0.room.notify_all();
        answer(left, &error);
    }
}

fn answer(submissions: impl IntoIterator<Item = Submission>, error: &JournalError) {
    for submission in submissions {
        if let Some(done) = submission.done {
            done(Err(error.clone()));
        }
    }
}
