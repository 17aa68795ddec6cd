//! Threads that do what must not block an event loop: syncs, and preparing space ahead.
//!
//! A log hands out at most one sync and one background job at a time, so the queues here hold at
//! most one of each per log. Syncs go first; background work never takes the last free thread when
//! there is more than one, since zeroing a segment takes far longer than a sync may wait.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The work of a job panicked: a bug. What it was doing is unfinished, as after a failed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a storage job panicked")]
pub struct JobPanicked;

/// How a job went.
#[derive(Clone, Copy, Debug)]
pub struct JobReport<T> {
    /// What the work returned.
    pub result: Result<T, JobPanicked>,
    /// Time between submission and start.
    pub waited: Duration,
    /// Time that the work took: for a sync, what the device needed.
    pub took: Duration,
}

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads with two queues. Dropping it finishes what is queued.
pub struct SyncPool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    queues: Mutex<Queues>,
    work: Condvar,
    background_limit: usize,
}

#[derive(Default)]
struct Queues {
    syncs: VecDeque<Job>,
    background: VecDeque<Job>,
    background_running: usize,
    closing: bool,
}

impl fmt::Debug for SyncPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncPool").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

impl SyncPool {
    /// Starts `thread_count` threads, at least one.
    ///
    /// # Errors
    /// When the system has no thread to give; those started by then end.
    pub fn spawn(thread_count: usize) -> io::Result<Self> {
        let thread_count = thread_count.max(1);
        let shared = Arc::new(Shared {
            queues: Mutex::default(),
            work: Condvar::new(),
            background_limit: (thread_count - 1).max(1),
        });
        let mut pool = Self { shared, threads: Vec::with_capacity(thread_count) };
        for index in 0..thread_count {
            let shared = Arc::clone(&pool.shared);
            let builder = thread::Builder::new().name(format!("sync-{index}"));
            pool.threads.push(builder.spawn(move || shared.run())?);
        }
        Ok(pool)
    }

    /// Queues a sync. `done` runs on the pool's thread after it and must neither block nor panic.
    pub fn submit<T: 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        done: impl FnOnce(JobReport<T>) + Send + 'static,
    ) {
        self.shared.lock().syncs.push_back(job(work, done));
        self.shared.work.notify_one();
    }

    /// Queues work that may take long and that nobody waits for, behind all syncs.
    pub fn submit_background<T: 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        done: impl FnOnce(JobReport<T>) + Send + 'static,
    ) {
        self.shared.lock().background.push_back(job(work, done));
        self.shared.work.notify_one();
    }
}

impl Drop for SyncPool {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_all();
        let this = thread::current().id();
        for thread in self.threads.drain(..) {
            // The pool may go with the last job, on one of its own threads.
            if thread.thread().id() != this && thread.join().is_err() {
                tracing::error!("a sync thread panicked");
            }
        }
    }
}

fn job<T: 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    done: impl FnOnce(JobReport<T>) + Send + 'static,
) -> Job {
    let queued = Instant::now();
    Box::new(move || {
        let started = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(work)).map_err(|_| JobPanicked);
        let (waited, took) = (started - queued, started.elapsed());
        done(JobReport { result, waited, took });
    })
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        while let Some((job, background)) = self.next() {
            // A `done` that panics must not take the thread along, and with it everybody's syncs.
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!("the receiver of a storage job's report panicked");
            }
            if background {
                self.lock().background_running -= 1;
                // Others may have left background work alone because of this one.
                self.work.notify_one();
            }
        }
    }

    /// Waits for a job; `None` when the pool is closing and nothing is left for this thread.
    fn next(&self) -> Option<(Job, bool)> {
        let mut queues = self.lock();
        loop {
            if let Some(job) = queues.syncs.pop_front() {
                return Some((job, false));
            }
            if queues.background_running < self.background_limit
                && let Some(job) = queues.background.pop_front()
            {
                queues.background_running += 1;
                return Some((job, true));
            }
            // What is left in the background queue is taken by the thread that is busy with it.
            if queues.closing {
                return None;
            }
            queues = self.work.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn every_job_is_reported_even_while_the_pool_goes() {
        let reported = Arc::new(AtomicUsize::new(0));
        let pool = SyncPool::spawn(3).expect("threads");
        for index in 0..500 {
            let reported = Arc::clone(&reported);
            let done = move |report: JobReport<usize>| {
                assert_eq!(report.result, Ok(index));
                reported.fetch_add(1, Ordering::Relaxed);
            };
            if index % 2 == 0 {
                pool.submit(move || index, done);
            } else {
                pool.submit_background(move || index, done);
            }
        }
        drop(pool);
        assert_eq!(reported.load(Ordering::Relaxed), 500);
    }

    #[test]
    fn a_panic_is_reported_and_the_thread_lives_on() {
        let pool = SyncPool::spawn(1).expect("threads");
        let (sender, receiver) = mpsc::channel();
        let first = sender.clone();
        pool.submit(
            || panic!("on purpose"),
            move |r: JobReport<()>| {
                first.send(r.result).expect("receiver");
            },
        );
        assert_eq!(receiver.recv(), Ok(Err(JobPanicked)));
        pool.submit(|| (), |_| panic!("on purpose"));
        pool.submit(|| (), move |report| sender.send(report.result).expect("receiver"));
        assert_eq!(receiver.recv(), Ok(Ok(())));
    }

    #[test]
    fn background_work_leaves_a_thread_for_syncs() {
        let pool = SyncPool::spawn(2).expect("threads");
        let (release, blocked) = mpsc::channel::<()>();
        pool.submit_background(move || blocked.recv(), |_| {});
        let (second, second_done) = mpsc::channel();
        pool.submit_background(|| (), move |_| second.send(()).expect("receiver"));
        for _ in 0..10 {
            let (sender, receiver) = mpsc::channel();
            pool.submit(|| (), move |_| sender.send(()).expect("receiver"));
            receiver.recv().expect("a sync runs while background work blocks");
        }
        assert!(second_done.try_recv().is_err(), "the second background job waits for the first");
        release.send(()).expect("receiver");
        second_done.recv().expect("and runs after it");
    }
}
