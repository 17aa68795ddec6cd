//! Records on their way: waits for the fate of each, lane by lane, and keeps the figures.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use synod_client::Error;
use synod_client::producer::Delivery;
use tokio::sync::mpsc;

use crate::histogram::Latencies;
use crate::tally::{Lane, MAX_FAILED};

/// A record that was handed to a producer.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Number of its lane among those of its producer.
    pub(crate) lane: usize,
    pub(crate) sequence: u64,
    /// When it should have been sent: latency counts from here.
    pub(crate) due: Instant,
    pub(crate) fate: Fate,
}

/// What is known of a record's fate.
#[derive(Debug)]
pub(crate) enum Fate {
    Open(Delivery),
    Settled(Result<(), Error>, Instant),
}

/// Counts that the progress line shows while a run goes on, and the way to end it early.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Records acknowledged before this moment are no part of the figures.
    pub(crate) measure_from: Instant,
    acked: AtomicU64,
    failed: AtomicU64,
    is_hopeless: AtomicBool,
}

impl Meter {
    pub(crate) fn new(measure_from: Instant) -> Self {
        Self {
            measure_from,
            acked: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            is_hopeless: AtomicBool::new(false),
        }
    }

    /// Records acknowledged so far.
    pub(crate) fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    /// Records failed so far.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Whether so much failed that going on is pointless.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.is_hopeless.load(Ordering::Relaxed)
    }
}

/// What became of one producer's records.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) lanes: Vec<Lane>,
    /// Of what was acknowledged while measuring.
    pub(crate) latencies: Latencies,
    pub(crate) last_ack: Option<Instant>,
    /// Longest time between two acknowledgements while measuring, by lane.
    pub(crate) pauses: Vec<Duration>,
    pub(crate) last_error: Option<Error>,
}

/// Takes the records of one producer, in order, until the queue ends and every fate is known.
pub(crate) async fn collect(
    mut queue: mpsc::Receiver<Vec<Sent>>,
    lane_count: usize,
    meter: &Meter,
) -> Collected {
    let mut ledger = Ledger::new(lane_count, meter);
    // Only the oldest record of a lane is waited for: the others cannot be settled before it, and
    // memory and wake-ups stay small.
    let mut fronts = FuturesUnordered::new();
    let mut behind: Vec<VecDeque<Sent>> = (0..lane_count).map(|_| VecDeque::new()).collect();
    let mut is_busy = vec![false; lane_count];
    let mut is_open = true;
    while is_open || !fronts.is_empty() {
        tokio::select! {
            chunk = queue.recv(), if is_open => match chunk {
                Some(chunk) => for sent in chunk {
                    match std::mem::replace(&mut is_busy[sent.lane], true) {
                        false => fronts.push(settled(sent)),
                        true => behind[sent.lane].push_back(sent),
                    }
                },
                None => is_open = false,
            },
            Some((sent, outcome, at)) = fronts.next(), if !fronts.is_empty() => {
                let lane = sent.lane;
                ledger.settle(&sent, outcome, at);
                // Batches settle whole: what stood behind is mostly known, too.
                loop {
                    let Some(mut next) = behind[lane].pop_front() else {
                        is_busy[lane] = false;
                        break;
                    };
                    match known(&mut next, at) {
                        Some((outcome, at)) => ledger.settle(&next, outcome, at),
                        None => {
                            fronts.push(settled(next));
                            break;
                        }
                    }
                }
            }
        }
    }
    ledger.collected
}

/// Waits for a record's fate.
async fn settled(mut sent: Sent) -> (Sent, Result<(), Error>, Instant) {
    let placeholder = Fate::Settled(Ok(()), sent.due);
    let (outcome, at) = match std::mem::replace(&mut sent.fate, placeholder) {
        Fate::Open(delivery) => {
            let outcome = delivery.await.map(drop);
            (outcome, Instant::now())
        }
        Fate::Settled(outcome, at) => (outcome, at),
    };
    (sent, outcome, at)
}

/// A record's fate if it is known already; `now` is when the one before it became known.
fn known(sent: &mut Sent, now: Instant) -> Option<(Result<(), Error>, Instant)> {
    match &mut sent.fate {
        Fate::Open(delivery) => Some((delivery.now_or_never()?.map(drop), now)),
        Fate::Settled(outcome, at) => Some((outcome.clone(), *at)),
    }
}

struct Ledger<'a> {
    meter: &'a Meter,
    collected: Collected,
    /// When each lane had its last acknowledgement.
    acked_at: Vec<Instant>,
    failed: usize,
}

impl<'a> Ledger<'a> {
    fn new(lane_count: usize, meter: &'a Meter) -> Self {
        let collected = Collected {
            lanes: vec![Lane::default(); lane_count],
            latencies: Latencies::new(),
            last_ack: None,
            pauses: vec![Duration::ZERO; lane_count],
            last_error: None,
        };
        let acked_at = vec![meter.measure_from; lane_count];
        Self { meter, collected, acked_at, failed: 0 }
    }

    fn settle(&mut self, sent: &Sent, outcome: Result<(), Error>, at: Instant) {
        let collected = &mut self.collected;
        let lane = &mut collected.lanes[sent.lane];
        match outcome {
            Ok(()) => {
                lane.handle_acked();
                self.meter.acked.fetch_add(1, Ordering::Relaxed);
                if at >= self.meter.measure_from {
                    collected.latencies.record(at.saturating_duration_since(sent.due));
                    let before = std::mem::replace(&mut self.acked_at[sent.lane], at);
                    let pause = &mut collected.pauses[sent.lane];
                    *pause = at.saturating_duration_since(before).max(*pause);
                    collected.last_ack = Some(at);
                }
            }
            Err(error) => {
                lane.handle_failed(sent.sequence);
                self.failed += 1;
                self.meter.failed.fetch_add(1, Ordering::Relaxed);
                if self.failed >= MAX_FAILED {
                    self.meter.is_hopeless.store(true, Ordering::Relaxed);
                }
                collected.last_error = Some(error);
            }
        }
    }
}
