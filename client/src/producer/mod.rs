//! Writing records.
//!
//! [`Producer::send`] puts a record into a batch of its partition and returns a [`Delivery`], the
//! future of its fate. A task behind the producer sends the batches: as soon as there is one while
//! the broker is idle, and ever fuller ones while earlier requests are under way.
//!
//! ```no_run
//! use synod_client::{ClientConfig, Cluster};
//! use synod_client::producer::{Producer, ProducerConfig, ProducerRecord};
//!
//! # async fn example() -> Result<(), synod_client::Error> {
//! let cluster = Cluster::connect(ClientConfig::new(["127.0.0.1:9092"])).await?;
//! let producer = Producer::new(cluster, ProducerConfig::default())?;
//! let delivery = producer.send(ProducerRecord::new("orders").key("4711").value("paid")).await?;
//! println!("written at offset {:?}", delivery.await?.offset);
//! producer.close().await;
//! # Ok(())
//! # }
//! ```

mod accumulator;
mod batch;
mod completion;
mod config;
mod failure;
mod link;
mod partitioner;
mod queue;
mod request;
mod sender;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use synod_wire::ErrorCode;
use synod_wire::Str;
use synod_wire::batch::{HEADER_SIZE, NewRecord};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout};

use crate::cluster::Topic;
use crate::{Cluster, Error};
use accumulator::Accumulator;
use batch::SealedBatch;
use completion::Written;
use partitioner::Sticky;
use sender::Sender;

pub use completion::{Delivery, Receipt};
pub use config::{Acks, ProducerConfig};
pub use partitioner::partition_for_key;

/// A record to write.
///
/// ```
/// use synod_client::producer::ProducerRecord;
/// let record = ProducerRecord::new("orders")
///     .key("4711")
///     .value("paid")
///     .header("trace", Some("af01".into()))
///     .timestamp(1_704_067_200_000);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerRecord {
    topic: Arc<str>,
    partition: Option<i32>,
    timestamp: Option<i64>,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<(Str, Option<Bytes>)>,
}

impl ProducerRecord {
    /// A record without key, value or headers, for this topic.
    pub fn new(topic: impl Into<Arc<str>>) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            timestamp: None,
            key: None,
            value: None,
            headers: Vec::new(),
        }
    }

    /// The key; records with the same key go to the same partition.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The value. Without one the record is a tombstone on compacted topics.
    pub fn value(mut self, value: impl Into<Bytes>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// The partition; without one it follows from the key, or changes from batch to batch.
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// The timestamp in ms since 1970; now if not given.
    pub fn timestamp(mut self, timestamp: i64) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Adds a header; names may repeat.
    pub fn header(mut self, name: &str, value: Option<Bytes>) -> Self {
        self.headers.push((Str::from(name), value));
        self
    }
}

/// Writes records to a cluster. Share it behind an [`Arc`], or by reference: all methods take
/// `&self`. Dropped without [`close`](Producer::close), it gives up what is not yet sent.
///
/// ```no_run
/// use synod_client::producer::{Producer, ProducerConfig, ProducerRecord};
/// # async fn example(cluster: synod_client::Cluster) -> Result<(), synod_client::Error> {
/// let producer = Producer::new(cluster, ProducerConfig::default())?;
/// // Its fate is known once everything is settled.
/// let delivery = producer.send(ProducerRecord::new("orders").value("paid")).await?;
/// producer.close().await;
/// println!("offset {:?}", delivery.await?.offset);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Producer {
    shared: Arc<Shared>,
    sticky: Mutex<Sticky>,
}

/// What the producer's handle and its sender share.
#[derive(Debug)]
pub(crate) struct Shared {
    cluster: Cluster,
    config: ProducerConfig,
    accumulator: Mutex<Accumulator>,
    /// Bytes of the buffer that are free.
    buffer: Semaphore,
    /// Senders that wait for a free byte.
    waiting: AtomicUsize,
    /// Rouses the sender.
    wake: Notify,
}

impl Shared {
    fn accumulator(&self) -> MutexGuard<'_, Accumulator> {
        // No panic can leave the queues half changed: what runs under the lock does not panic.
        self.accumulator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether someone waits for room in the buffer, so that batches must not wait for company.
    fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether the producer is closed and everything is settled.
    fn is_finished(&self) -> bool {
        let accumulator = self.accumulator();
        accumulator.is_closed && accumulator.unsettled().is_empty()
    }

    /// Settles the records of a batch and frees their part of the buffer.
    fn settle(
        &self,
        accumulator: &mut Accumulator,
        batch: &SealedBatch,
        outcome: Result<Written, Error>,
    ) {
        if batch.resolve(outcome) {
            accumulator.settled(batch.completion());
        }
        self.buffer.add_permits(batch.held);
    }
}

impl Producer {
    /// Starts a producer. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Config`] when settings contradict each other.
    pub fn new(cluster: Cluster, config: ProducerConfig) -> Result<Self, Error> {
        config.validate()?;
        let shared = Arc::new(Shared {
            accumulator: Mutex::new(Accumulator::new(config.batch_size, cluster.backoff())),
            buffer: Semaphore::new(config.buffer_size),
            waiting: AtomicUsize::new(0),
            wake: Notify::new(),
            cluster,
            config,
        });
        let sticky = Mutex::new(Sticky::new(shared.config.batch_size));
        tokio::spawn(Sender::new(shared.clone()).run());
        Ok(Self { shared, sticky })
    }

    /// Hands over a record; returns once it has its place in a batch, waiting while the buffer is
    /// full or the topic unknown. Records handed over one after the other keep that order within
    /// their partition. Dropped before it returns, it has sent nothing.
    ///
    /// ```no_run
    /// use synod_client::producer::ProducerRecord;
    /// # async fn example(producer: synod_client::producer::Producer)
    /// # -> Result<(), synod_client::Error> {
    /// let delivery = producer.send(ProducerRecord::new("orders").value("paid")).await?;
    /// println!("partition {}, offset {:?}", delivery.partition(), delivery.await?.offset);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::RecordTooLarge`]; [`Error::Broker`] for a topic or partition that does not exist;
    /// [`Error::Expired`] when the buffer stays full for the delivery time-out; [`Error::Closed`].
    pub async fn send(&self, record: ProducerRecord) -> Result<Delivery, Error> {
        let ProducerRecord { topic, partition, timestamp, key, value, headers } = record;
        let new = NewRecord {
            timestamp: timestamp.unwrap_or_else(now_ms),
            key: key.as_deref(),
            value: value.as_deref(),
            headers: &headers,
        };
        let size = new.max_size();
        let limit = self.shared.config.max_request_size;
        if HEADER_SIZE + size > limit {
            return Err(Error::RecordTooLarge { size: HEADER_SIZE + size, limit });
        }
        let known = self.shared.cluster.topic(&topic, true).await?;
        let partition = match partition {
            Some(partition) => self.check_partition(known, partition).await?,
            None => self.choose_partition(&known, key.as_deref(), size)?,
        };
        self.reserve(size, &topic, partition).await?;
        let mut accumulator = self.shared.accumulator();
        let appended = if accumulator.is_closed {
            Err(Error::Closed)
        } else {
            accumulator.append(&topic, partition, &new, size, Instant::now()).map_err(|source| {
                let context = format!("topic {topic}, partition {partition}").into();
                Error::Corrupt { context, source }
            })
        };
        drop(accumulator);
        match appended {
            Ok((delivery, news)) => {
                if news {
                    self.shared.wake.notify_one();
                }
                Ok(delivery)
            }
            Err(error) => {
                self.shared.buffer.add_permits(size);
                Err(error)
            }
        }
    }

    /// Sends everything handed over so far without waiting for company, and waits until the fate of
    /// every such record is known. Failures show in the deliveries.
    ///
    /// ```no_run
    /// use synod_client::producer::ProducerRecord;
    /// # async fn example(producer: synod_client::producer::Producer)
    /// # -> Result<(), synod_client::Error> {
    /// producer.send(ProducerRecord::new("orders").value("paid")).await?;
    /// producer.flush().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn flush(&self) {
        let _flushing = Flushing::begin(&self.shared);
        let unsettled = self.shared.accumulator().unsettled();
        for completion in unsettled {
            completion.done().await;
        }
    }

    /// Takes no more records, and waits until the fate of every record is known.
    ///
    /// ```no_run
    /// # async fn example(producer: synod_client::producer::Producer)
    /// # -> Result<(), synod_client::Error> {
    /// producer.close().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close(self) {
        self.shared.accumulator().is_closed = true;
        self.flush().await;
    }

    /// Takes `size` bytes of the buffer.
    async fn reserve(&self, size: usize, topic: &Arc<str>, partition: i32) -> Result<(), Error> {
        let shared = &*self.shared;
        let permits = u32::try_from(size).unwrap_or(u32::MAX);
        if let Ok(permit) = shared.buffer.try_acquire_many(permits) {
            permit.forget();
            return Ok(());
        }
        let _waiting = Waiting::begin(shared);
        let after = shared.config.delivery_timeout;
        match timeout(after, shared.buffer.acquire_many(permits)).await {
            Ok(Ok(permit)) => {
                permit.forget();
                Ok(())
            }
            Ok(Err(_)) => Err(Error::Closed),
            Err(_) => {
                let topic = topic.clone();
                Err(Error::Expired { topic, partition, after, sent: false, last: None })
            }
        }
    }

    /// Makes sure that a partition the caller chose exists; it may be new, so asks before refusing.
    async fn check_partition(&self, topic: Arc<Topic>, partition: i32) -> Result<i32, Error> {
        if topic.partition(partition).is_some() {
            return Ok(partition);
        }
        let metadata = self.shared.cluster.refresh_metadata().await?;
        match metadata.topic(&topic.name).and_then(|topic| topic.partition(partition)) {
            Some(_) => Ok(partition),
            None => {
                let code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
                let context = format!("topic {}, partition {partition}", topic.name);
                Err(Error::broker(code, context, Some("there is no such partition")))
            }
        }
    }

    fn choose_partition(
        &self,
        topic: &Arc<Topic>,
        key: Option<&[u8]>,
        size: usize,
    ) -> Result<i32, Error> {
        let unavailable = || {
            let context = format!("topic {}", topic.name);
            Error::broker(ErrorCode::LEADER_NOT_AVAILABLE, context, Some("it has no partitions"))
        };
        let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
        match key {
            _ if count == 0 => Err(unavailable()),
            // Numbers of partitions fit i32, so the result does.
            Some(key) => Ok(partition_for_key(key, count) as i32),
            None => {
                let mut sticky = self.sticky.lock().unwrap_or_else(PoisonError::into_inner);
                sticky.choose(topic, size).ok_or_else(unavailable)
            }
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let mut accumulator = self.shared.accumulator();
        if accumulator.is_closed {
            return;
        }
        accumulator.is_closed = true;
        for key in accumulator.active() {
            let over = accumulator.queue(&key).map(|queue| queue.abandon()).unwrap_or_default();
            for batch in over {
                self.shared.settle(&mut accumulator, &batch, Err(Error::Closed));
            }
        }
        drop(accumulator);
        self.shared.wake.notify_one();
    }
}

/// While it lives, batches do not wait for company.
struct Flushing<'a>(&'a Shared);

impl<'a> Flushing<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.accumulator().flushes += 1;
        shared.wake.notify_one();
        Self(shared)
    }
}

impl Drop for Flushing<'_> {
    fn drop(&mut self) {
        self.0.accumulator().flushes -= 1;
    }
}

/// While it lives, someone waits for room in the buffer.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.waiting.fetch_add(1, Ordering::Relaxed);
        shared.wake.notify_one();
        Self(shared)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Milliseconds since 1970; 0 for a clock before that.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
