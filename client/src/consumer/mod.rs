//! Reading records.
//!
//! ```no_run
//! use synod_client::{ClientConfig, Cluster};
//! use synod_client::consumer::{Consumer, ConsumerConfig, Start};
//!
//! # async fn example() -> Result<(), synod_client::Error> {
//! let cluster = Cluster::connect(ClientConfig::new(["127.0.0.1:9092"])).await?;
//! let mut consumer = Consumer::new(cluster, ConsumerConfig::default())?;
//! consumer.assign_topic("orders", Start::Beginning).await?;
//! loop {
//!     let record = consumer.next().await?;
//!     println!("{}: {:?}", record.offset, record.value);
//! }
//! # }
//! ```

mod commits;
mod config;
mod divergence;
mod fetch;
mod fetched;
mod fetching;
pub(crate) mod group;
mod grouped;
mod inquiry;
mod pattern;
mod position;
mod session;

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, Stream};
use synod_wire::Str;
use synod_wire::batch::Record;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::cluster::{Channel, TopicPartition};
use crate::coordinator::Coordinator;
use crate::{Cluster, Error};
use commits::Commits;
use fetched::Fetched;
use fetching::Outcome;
use grouped::Membership;
use inquiry::Inquiry;
use pattern::Pattern;
use position::Position;
use session::Session;

pub use config::{ConsumerConfig, OffsetReset};
pub use group::assignor::Assignor;
pub use group::config::GroupConfig;
pub use group::offsets::CommittedOffset;
pub use grouped::ConsumerEvent;
pub use position::Start;

/// A record that was read.
///
/// ```no_run
/// # async fn example(mut consumer: synod_client::consumer::Consumer)
/// # -> Result<(), synod_client::Error> {
/// let record = consumer.next().await?;
/// println!("{}/{} offset {}", record.topic, record.partition, record.offset);
/// for (name, value) in &record.headers {
///     println!("{}: {value:?}", &**name);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: i64,
    /// Round in which it was written; -1 if unknown.
    pub leader_epoch: i32,
    /// Its timestamp in ms since 1970.
    pub timestamp: i64,
    /// Its key. Like the value a slice of the fetched batch, which it keeps in memory.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its headers, in order.
    pub headers: Vec<(Str, Option<Bytes>)>,
}

impl ConsumerRecord {
    fn new(topic: Arc<str>, partition: i32, leader_epoch: i32, record: Record) -> Self {
        let Record { offset, timestamp, key, value, headers } = record;
        Self { topic, partition, offset, leader_epoch, timestamp, key, value, headers }
    }
}

type Answer = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Reads partitions that the caller chooses. Records are fetched ahead, up to the configured size.
///
/// Every future of it may be dropped at any time without losing or repeating a record.
///
/// ```no_run
/// use synod_client::consumer::{Consumer, ConsumerConfig, GroupConfig};
/// # async fn example(cluster: synod_client::Cluster) -> Result<(), synod_client::Error> {
/// let config = ConsumerConfig::default().group(GroupConfig::new("billing"));
/// let mut consumer = Consumer::new(cluster, config)?;
/// consumer.subscribe(["orders"])?;
/// let record = consumer.next().await?;
/// consumer.close().await;
/// # Ok(())
/// # }
/// ```
pub struct Consumer {
    cluster: Cluster,
    config: ConsumerConfig,
    partitions: BTreeMap<TopicPartition, Position>,
    /// Fetched and not read, in the order in which it came.
    ready: VecDeque<Fetched>,
    buffered_size: usize,
    under_way: FuturesUnordered<Answer>,
    channel: Channel,
    /// Brokers with a fetch under way.
    inquiries: BTreeMap<i32, Inquiry>,
    /// What each leader remembers of what was asked.
    sessions: BTreeMap<i32, Session>,
    is_refreshing: bool,
    wants_refresh: bool,
    refresh_not_before: Option<Instant>,
    refresh_backoff: Backoff,
    /// Counts seeks and assignments; answers from before one are void.
    generation: u64,
    /// Records that [`Consumer::next`] has not given out yet.
    pending: VecDeque<ConsumerRecord>,
    /// Which partition is asked for first; moves on so that none starves.
    turn: usize,
    /// The way to the group's coordinator, if there is a group.
    coordinator: Option<Coordinator>,
    membership: Option<Membership>,
    /// Which topics are subscribed, if by their names' shape.
    pattern: Option<Pattern>,
    commits: Commits,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer")
            .field("partitions", &self.partitions)
            .field("buffered_size", &self.buffered_size)
            .finish_non_exhaustive()
    }
}

impl Consumer {
    /// A consumer that reads nothing yet.
    ///
    /// # Errors
    /// [`Error::Config`] when settings make no sense.
    pub fn new(cluster: Cluster, config: ConsumerConfig) -> Result<Self, Error> {
        config.validate()?;
        let group = config.group.as_ref();
        let coordinator = group.map(|group| Coordinator::new(cluster.clone(), group.id.clone()));
        Ok(Self {
            coordinator,
            membership: None,
            commits: Commits::default(),
            refresh_backoff: cluster.backoff(),
            channel: cluster.channel(),
            cluster,
            config,
            partitions: BTreeMap::new(),
            ready: VecDeque::new(),
            buffered_size: 0,
            under_way: FuturesUnordered::new(),
            inquiries: BTreeMap::new(),
            sessions: BTreeMap::new(),
            pattern: None,
            is_refreshing: false,
            wants_refresh: false,
            refresh_not_before: None,
            generation: 0,
            pending: VecDeque::new(),
            turn: 0,
        })
    }

    /// The cluster it reads from.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Reads these partitions, each from its start, and no others. Replaces what was assigned
    /// before.
    ///
    /// ```no_run
    /// use synod_client::cluster::TopicPartition;
    /// use synod_client::consumer::Start;
    /// # async fn example(mut consumer: synod_client::consumer::Consumer)
    /// # -> Result<(), synod_client::Error> {
    /// let places = [(TopicPartition::new("orders", 0), Start::Last(10))];
    /// consumer.assign(places).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Broker`] or [`Error::Config`] for a topic or partition that does not exist; what
    /// kept the cluster from telling the offsets. The assignment is then as before.
    pub async fn assign(
        &mut self,
        partitions: impl IntoIterator<Item = (TopicPartition, Start)>,
    ) -> Result<(), Error> {
        let wanted: BTreeMap<_, _> = partitions.into_iter().collect();
        let offsets = position::resolve(&self.cluster, &wanted, self.config.isolation).await?;
        self.unsubscribe().await;
        self.clear_assignment();
        for (partition, offset) in offsets {
            let position = Position::new(offset, self.generation, self.cluster.backoff());
            self.partitions.insert(partition, position);
        }
        Ok(())
    }

    fn clear_assignment(&mut self) {
        self.generation += 1;
        self.partitions.clear();
        self.ready.clear();
        self.pending.clear();
        self.buffered_size = 0;
        self.commits = Commits::default();
    }

    /// Reads all partitions of a topic and nothing else.
    ///
    /// ```no_run
    /// use synod_client::consumer::Start;
    /// # async fn example(mut consumer: synod_client::consumer::Consumer)
    /// # -> Result<(), synod_client::Error> {
    /// consumer.assign_topic("orders", Start::Beginning).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Consumer::assign`].
    pub async fn assign_topic(&mut self, topic: &str, start: Start) -> Result<(), Error> {
        let topic = self.cluster.topic(topic, false).await?;
        let all = topic.partitions.iter();
        let all = all.map(|p| (TopicPartition::new(topic.name.clone(), p.index), start));
        self.assign(all.collect::<Vec<_>>()).await
    }

    /// The partitions that are read, in order.
    ///
    /// ```no_run
    /// # async fn example(consumer: synod_client::consumer::Consumer)
    /// # -> Result<(), synod_client::Error> {
    /// for partition in consumer.assignment() {
    ///     println!("{partition} at {}", consumer.position(partition)?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn assignment(&self) -> impl Iterator<Item = &TopicPartition> {
        self.partitions.keys()
    }

    /// Whether a partition is read.
    pub fn is_assigned(&self, partition: &TopicPartition) -> bool {
        self.partitions.contains_key(partition)
    }

    /// Goes on reading a partition from another place.
    ///
    /// ```no_run
    /// use synod_client::cluster::TopicPartition;
    /// use synod_client::consumer::Start;
    /// # async fn example(mut consumer: synod_client::consumer::Consumer)
    /// # -> Result<(), synod_client::Error> {
    /// let yesterday = Start::Timestamp(1_700_000_000_000);
    /// consumer.seek(&TopicPartition::new("orders", 0), yesterday).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] when the partition is not assigned; else as [`Consumer::assign`].
    pub async fn seek(&mut self, partition: &TopicPartition, start: Start) -> Result<(), Error> {
        self.check_assigned(partition)?;
        let wanted = BTreeMap::from([(partition.clone(), start)]);
        let offsets = position::resolve(&self.cluster, &wanted, self.config.isolation).await?;
        self.generation += 1;
        for (partition, offset) in offsets {
            self.pending.retain(|record| {
                record.partition != partition.partition || record.topic != partition.topic
            });
            self.drop_fetched(&partition);
            let position = Position::new(offset, self.generation, self.cluster.backoff());
            self.partitions.insert(partition, position);
        }
        Ok(())
    }

    /// Offset of the next record that will be read from a partition.
    ///
    /// # Errors
    /// [`Error::Config`] when the partition is not assigned.
    pub fn position(&self, partition: &TopicPartition) -> Result<i64, Error> {
        self.check_assigned(partition)?;
        let pending = self.pending.iter().find(|record| {
            record.partition == partition.partition && record.topic == partition.topic
        });
        let read = self.partitions.get(partition).map(|position| position.offset);
        Ok(pending.map(|record| record.offset).or(read).unwrap_or(0))
    }

    /// The high watermark of a partition as the last fetch told it.
    ///
    /// ```no_run
    /// # async fn example(consumer: synod_client::consumer::Consumer)
    /// # -> Result<(), synod_client::Error> {
    /// for partition in consumer.assignment() {
    ///     let (at, end) = (consumer.position(partition)?, consumer.high_watermark(partition));
    ///     println!("{partition}: at {at} of {end:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<i64> {
        self.partitions.get(partition)?.high_watermark
    }

    /// Stops handing out records of a partition until [`Consumer::resume`]; its place is kept.
    ///
    /// ```no_run
    /// use synod_client::cluster::TopicPartition;
    /// # async fn example(mut consumer: synod_client::consumer::Consumer)
    /// # -> Result<(), synod_client::Error> {
    /// let slow = TopicPartition::new("orders", 0);
    /// consumer.pause(&slow)?;
    /// let of_others = consumer.poll(std::time::Duration::from_secs(1)).await?;
    /// consumer.resume(&slow)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] when the partition is not assigned.
    pub fn pause(&mut self, partition: &TopicPartition) -> Result<(), Error> {
        self.set_paused(partition, true)
    }

    /// Hands out records of a partition again.
    ///
    /// # Errors
    /// [`Error::Config`] when the partition is not assigned.
    pub fn resume(&mut self, partition: &TopicPartition) -> Result<(), Error> {
        self.set_paused(partition, false)
    }

    /// The next record, however long it takes.
    ///
    /// ```no_run
    /// # async fn example(mut consumer: synod_client::consumer::Consumer)
    /// # -> Result<(), synod_client::Error> {
    /// let record = consumer.next().await?;
    /// println!("{:?} = {:?}", record.key, record.value);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Consumer::poll`].
    pub async fn next(&mut self) -> Result<ConsumerRecord, Error> {
        loop {
            if let Some(record) = self.pending.pop_front() {
                return Ok(record);
            }
            self.pending = self.poll_records(None, false).await?.into();
        }
    }

    /// The records as a stream that ends after the first error.
    ///
    /// ```no_run
    /// use std::pin::pin;
    /// use futures_util::StreamExt;
    /// # async fn example(consumer: synod_client::consumer::Consumer)
    /// # -> Result<(), synod_client::Error> {
    /// let records = pin!(consumer.into_stream().take(10));
    /// println!("{} records", records.count().await);
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_stream(self) -> impl Stream<Item = Result<ConsumerRecord, Error>> {
        futures_util::stream::unfold(Some(self), |consumer| async move {
            let mut consumer = consumer?;
            match consumer.next().await {
                Ok(record) => Some((Ok(record), Some(consumer))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    /// Records as soon as there are any, at most as many as configured; none when nothing comes
    /// within `max_wait`. Passing errors are dealt with behind the scenes.
    ///
    /// ```no_run
    /// # async fn example(mut consumer: synod_client::consumer::Consumer)
    /// # -> Result<(), synod_client::Error> {
    /// for record in consumer.poll(std::time::Duration::from_secs(1)).await? {
    ///     println!("{}: {:?}", record.offset, record.value);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Corrupt`] for damaged records, [`Error::Broker`] for an offset that no longer
    /// exists (if no reset is configured), a topic that is gone, or a denied access. The next call
    /// tries again.
    pub async fn poll(&mut self, max_wait: Duration) -> Result<Vec<ConsumerRecord>, Error> {
        if !self.pending.is_empty() {
            return Ok(std::mem::take(&mut self.pending).into());
        }
        self.poll_records(Some(Instant::now() + max_wait), false).await
    }

    fn set_paused(&mut self, partition: &TopicPartition, paused: bool) -> Result<(), Error> {
        self.check_assigned(partition)?;
        if let Some(position) = self.partitions.get_mut(partition) {
            position.is_paused = paused;
        }
        Ok(())
    }

    fn check_assigned(&self, partition: &TopicPartition) -> Result<(), Error> {
        if self.partitions.contains_key(partition) {
            return Ok(());
        }
        Err(Error::config(format!("{partition} is not assigned to this consumer")))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record for tests of what is done with records.
    pub(crate) fn record(
        topic: &str,
        partition: i32,
        offset: i64,
        key: Option<&str>,
        value: Option<&str>,
    ) -> ConsumerRecord {
        let bytes = |text: Option<&str>| text.map(|text| Bytes::copy_from_slice(text.as_bytes()));
        let (key, value) = (bytes(key), bytes(value));
        let record = Record { offset, timestamp: 0, key, value, headers: Vec::new() };
        ConsumerRecord::new(topic.into(), partition, -1, record)
    }
}
