//! The journal's thread: gathers submissions while a sync is under way, writes them as one.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use super::error::{JournalError, JournalOpenError};
use super::queue::{JournalQueue, Submission};
use super::record::JournalRecord;
use super::state::PartitionDurable;
use super::store::{JournalReport, JournalStore};
use crate::identity::Identity;
use crate::key::PartitionKey;
use crate::storage::Storage;

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
    /// The moment from which the queue's times count.
    begun: Instant,
    state: Mutex<State>,
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

struct State {
    queue: JournalQueue<JournalDone>,
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
            begun: Instant::now(),
            state: Mutex::new(State {
                queue: JournalQueue::new(config.lazy_delay),
                closing: None,
                ended: None,
            }),
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
        let mut state = self.0.shared.lock();
        let may_wait = thread::current().id() != self.0.thread_id;
        while state.queue.is_full() && state.ended.is_none() && may_wait {
            state = self.0.shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let refused = match state.refusal() {
            Some(error) => Err((error, done)),
            None => state.queue.submit(records, done),
        };
        drop(state);
        match refused {
            Ok(()) => self.0.shared.work.notify_one(),
            Err((error, Some(done))) => done(Err(error)),
            Err((_, None)) => {}
        }
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
        let mut state = self.0.shared.lock();
        if state.refusal().is_some() {
            return;
        }
        if state.queue.submit_lazy(marks, self.0.shared.begun.elapsed()) {
            drop(state);
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
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refusal(&self) -> Option<JournalError> {
        self.ended.clone().or_else(|| self.closing.map(|_| JournalError::Closed))
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
            if self.shared.lock().queue.is_empty()
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
    fn next_group(&self) -> Option<Vec<Submission<JournalDone>>> {
        let mut state = self.shared.lock();
        loop {
            let now = self.shared.begun.elapsed();
            if state.closing.is_some() {
                state.queue.queue_lazy();
            }
            if let Some(group) = state.queue.poll_group(now) {
                drop(state);
                self.shared.room.notify_all();
                return Some(group);
            }
            if state.closing.is_some() {
                return None;
            }
            state = match state.queue.lazy_due() {
                None => self.shared.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let woken = self.shared.work.wait_timeout(state, due.saturating_sub(now));
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Makes a group durable and tells everybody in it.
    ///
    /// # Errors
    /// `Failed`, when the journal has to end.
    fn write_group(&mut self, group: Vec<Submission<JournalDone>>) -> Result<(), JournalError> {
        let started = Instant::now();
        let results = self.store.write_group(group);
        if let Some(on_sync) = &self.config.on_sync
            && results.iter().any(|(_, result)| result.is_ok())
        {
            on_sync(started.elapsed());
        }
        for (submission, result) in results {
            if let Some(done) = submission.done {
                done(result);
            }
        }
        self.store.failure().cloned().map_or(Ok(()), Err)
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
        let mut state = self.0.lock();
        let error = state
            .ended
            .get_or_insert_with(|| {
                let panicked = io::Error::other("the journal's thread panicked");
                JournalError::Failed(Arc::new(panicked))
            })
            .clone();
        let left = state.queue.take_all();
        drop(state);
        self.0.room.notify_all();
        for done in left.filter_map(|submission| submission.done) {
            done(Err(error.clone()));
        }
    }
}
