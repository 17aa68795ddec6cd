//! The fate of a batch, and the futures that wait for it.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::Error;

/// Where a record ended up.
///
/// ```no_run
/// use synod_client::producer::{ProducerRecord, Receipt};
/// # async fn example(producer: synod_client::producer::Producer)
/// # -> Result<(), synod_client::Error> {
/// let delivery = producer.send(ProducerRecord::new("orders").value("paid")).await?;
/// let Receipt { topic, partition, offset, timestamp } = delivery.await?;
/// println!("{topic}/{partition} offset {offset:?} at {timestamp}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset; `None` without acknowledgement, or when the broker only knows that the record is
    /// a repetition of one it has.
    pub offset: Option<i64>,
    /// The record's timestamp in ms since 1970, as stored.
    pub timestamp: i64,
}

/// What became of some records of a batch.
#[derive(Debug, Clone)]
pub(super) struct Written {
    /// Offset of the first one, if known.
    pub(super) base_offset: Option<i64>,
    /// Set when the broker stamped its own time.
    pub(super) append_time: Option<i64>,
}

/// Shared by a batch and the deliveries of its records. A batch that is split resolves in parts.
#[derive(Debug)]
pub(super) struct Completion {
    topic: Arc<str>,
    partition: i32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    resolved: Vec<(Range<u32>, Result<Written, Error>)>,
    resolved_count: u32,
    /// Set once no more records can join.
    total: Option<u32>,
    /// One for each future that waits.
    wakers: Vec<Waker>,
    /// Counts how often the wakers were taken out, which makes the places in the list invalid.
    generation: u32,
}

/// A waiting future's place in the list of wakers.
#[derive(Debug, Clone, Copy)]
struct Place {
    generation: u32,
    at: usize,
}

impl Completion {
    pub(super) fn new(topic: Arc<str>, partition: i32) -> Arc<Self> {
        Arc::new(Self { topic, partition, state: Mutex::default() })
    }

    /// No record joins after these.
    pub(super) fn seal(&self, total: u32) {
        self.state().total = Some(total);
    }

    /// Settles the records with these indexes and wakes who waits. Returns whether all are settled.
    pub(super) fn resolve(&self, records: Range<u32>, outcome: Result<Written, Error>) -> bool {
        let mut state = self.state();
        state.resolved_count += records.end - records.start;
        state.resolved.push((records, outcome));
        let done = state.is_done();
        let wakers = std::mem::take(&mut state.wakers);
        state.generation += 1;
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        done
    }

    /// Waits until every record is settled, however.
    pub(super) async fn done(&self) {
        let mut place = None;
        std::future::poll_fn(|context| {
            let mut state = self.state();
            if state.is_done() {
                return Poll::Ready(());
            }
            state.register(&mut place, context.waker());
            Poll::Pending
        })
        .await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No change under this lock can stop half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_done(&self) -> bool {
        self.total.is_some_and(|total| self.resolved_count >= total)
    }

    /// Remembers a waker; `place` is where the same future stood the last time.
    fn register(&mut self, place: &mut Option<Place>, waker: &Waker) {
        match place {
            Some(place) if place.generation == self.generation => {
                self.wakers[place.at].clone_from(waker);
            }
            _ => {
                *place = Some(Place { generation: self.generation, at: self.wakers.len() });
                self.wakers.push(waker.clone());
            }
        }
    }
}

/// Future of one record's fate. Dropping it does not take the record back.
///
/// ```no_run
/// use synod_client::producer::ProducerRecord;
/// # async fn example(producer: synod_client::producer::Producer)
/// # -> Result<(), synod_client::Error> {
/// let mut deliveries = Vec::new();
/// for number in 0..1000 {
///     let record = ProducerRecord::new("numbers").value(number.to_string());
///     deliveries.push(producer.send(record).await?);
/// }
/// // All of them are under way by now.
/// for delivery in deliveries {
///     delivery.await?;
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a record's fate is known only to who waits for it"]
pub struct Delivery {
    completion: Arc<Completion>,
    index: u32,
    timestamp: i64,
    place: Option<Place>,
}

impl Delivery {
    pub(super) fn new(completion: Arc<Completion>, index: u32, timestamp: i64) -> Self {
        Self { completion, index, timestamp, place: None }
    }

    /// The partition that was chosen.
    pub fn partition(&self) -> i32 {
        self.completion.partition
    }
}

impl Future for Delivery {
    type Output = Result<Receipt, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut state = this.completion.state();
        let found = state.resolved.iter().find(|(records, _)| records.contains(&this.index));
        let Some((records, outcome)) = found else {
            state.register(&mut this.place, context.waker());
            return Poll::Pending;
        };
        Poll::Ready(match outcome {
            Err(error) => Err(error.clone()),
            Ok(written) => Ok(Receipt {
                topic: this.completion.topic.clone(),
                partition: this.completion.partition,
                offset: written
                    .base_offset
                    .map(|base| base + i64::from(this.index - records.start)),
                timestamp: written.append_time.unwrap_or(this.timestamp),
            }),
        })
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("topic", &self.completion.topic)
            .field("partition", &self.completion.partition)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(base_offset: i64) -> Result<Written, Error> {
        Ok(Written { base_offset: Some(base_offset), append_time: None })
    }

    #[tokio::test]
    async fn each_record_gets_its_own_offset_even_after_a_split() {
        let completion = Completion::new("t".into(), 3);
        let delivery = |index| Delivery::new(completion.clone(), index, 7);
        completion.seal(4);
        assert!(!completion.resolve(2..4, written(100)));
        assert_eq!(delivery(2).await.unwrap().offset, Some(100));
        assert_eq!(delivery(3).await.unwrap().offset, Some(101));
        let waiting = tokio::spawn(delivery(0));
        let done = tokio::spawn({
            let completion = completion.clone();
            async move { completion.done().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished() && !done.is_finished());
        assert!(completion.resolve(0..2, Err(Error::Closed)));
        assert!(matches!(waiting.await.unwrap(), Err(Error::Closed)));
        done.await.unwrap();
        let receipt = delivery(3).await.unwrap();
        assert_eq!((receipt.partition, receipt.timestamp), (3, 7));
    }
}
