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

mod config;
mod fetch;
mod fetched;
mod position;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{FuturesUnordered, Stream};
use synod_wire::Str;
use synod_wire::batch::Record;
use synod_wire::messages::fetch::FetchResponse;
use tokio::time::{Instant, sleep_until};

use crate::backoff::Backoff;
use crate::cluster::TopicPartition;
use crate::{Cluster, Error, Remedy};
use fetch::{Asked, Content};
use fetched::Fetched;
use position::Position;

pub use config::{ConsumerConfig, OffsetReset};
pub use position::Start;

/// A record that was read.
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

/// Something the consumer waits for.
enum Outcome {
    Fetched(i32, Vec<Asked>, Result<FetchResponse, Error>),
    Refreshed(Result<(), Error>),
    /// The new place of a partition whose old one does not exist.
    Reset(Asked, Result<i64, Error>),
}

/// Reads partitions that the caller chooses. Records are fetched ahead, up to the configured size.
///
/// Every future of it may be dropped at any time without losing or repeating a record.
pub struct Consumer {
    cluster: Cluster,
    config: ConsumerConfig,
    partitions: BTreeMap<TopicPartition, Position>,
    /// Fetched and not read, in the order in which it came.
    ready: VecDeque<Fetched>,
    buffered_size: usize,
    under_way: FuturesUnordered<Answer>,
    /// Brokers with a fetch under way.
    busy: BTreeSet<i32>,
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
        Ok(Self {
            refresh_backoff: cluster.backoff(),
            cluster,
            config,
            partitions: BTreeMap::new(),
            ready: VecDeque::new(),
            buffered_size: 0,
            under_way: FuturesUnordered::new(),
            busy: BTreeSet::new(),
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

    /// Reads these partitions, each from its start, and no others. Replaces what was assigned before.
    ///
    /// # Errors
    /// [`Error::Broker`] or [`Error::Config`] for a topic or partition that does not exist; what kept
    /// the cluster from telling the offsets. The assignment is then as before.
    pub async fn assign(
        &mut self,
        partitions: impl IntoIterator<Item = (TopicPartition, Start)>,
    ) -> Result<(), Error> {
        let wanted: BTreeMap<_, _> = partitions.into_iter().collect();
        let offsets = position::resolve(&self.cluster, &wanted, self.config.isolation).await?;
        self.generation += 1;
        self.partitions.clear();
        self.ready.clear();
        self.pending.clear();
        self.buffered_size = 0;
        for (partition, offset) in offsets {
            let position = Position::new(offset, self.generation, self.cluster.backoff());
            self.partitions.insert(partition, position);
        }
        Ok(())
    }

    /// Reads all partitions of a topic and nothing else.
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
    pub fn assignment(&self) -> impl Iterator<Item = &TopicPartition> {
        self.partitions.keys()
    }

    /// Goes on reading a partition from another place.
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
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<i64> {
        self.partitions.get(partition)?.high_watermark
    }

    /// Stops handing out records of a partition until [`Consumer::resume`]; its place is kept.
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
    /// # Errors
    /// As [`Consumer::poll`].
    pub async fn next(&mut self) -> Result<ConsumerRecord, Error> {
        loop {
            if let Some(record) = self.pending.pop_front() {
                return Ok(record);
            }
            self.pending = self.poll_records(None).await?.into();
        }
    }

    /// The records as a stream that ends after the first error.
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
    /// # Errors
    /// [`Error::Corrupt`] for damaged records, [`Error::Broker`] for an offset that no longer exists
    /// (if no reset is configured), a topic that is gone, or a denied access. The next call tries
    /// again.
    pub async fn poll(&mut self, max_wait: Duration) -> Result<Vec<ConsumerRecord>, Error> {
        if !self.pending.is_empty() {
            return Ok(std::mem::take(&mut self.pending).into());
        }
        self.poll_records(Some(Instant::now() + max_wait)).await
    }

    async fn poll_records(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Vec<ConsumerRecord>, Error> {
        loop {
            let records = self.read_ready()?;
            let now = Instant::now();
            let wake_at = self.start_fetches(now);
            if !records.is_empty() || deadline.is_some_and(|deadline| deadline <= now) {
                return Ok(records);
            }
            let until = [wake_at, deadline].into_iter().flatten().min();
            let timer = async {
                match until {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(outcome) = self.under_way.next(), if !self.under_way.is_empty() => {
                    self.handle(outcome)?;
                }
                () = timer => {}
            }
        }
    }

    /// Reads from what was fetched.
    fn read_ready(&mut self) -> Result<Vec<ConsumerRecord>, Error> {
        let mut records = Vec::new();
        let mut paused = VecDeque::new();
        let mut result = Ok(());
        while let Some(mut fetched) = self.ready.pop_front() {
            let Some(position) = self.partitions.get_mut(&fetched.partition) else { continue };
            if position.is_paused {
                paused.push_back(fetched);
                continue;
            }
            let config = &self.config;
            let read = fetched.read(
                &mut position.offset,
                config.isolation,
                config.max_batch_size,
                config.max_poll_records,
                &mut records,
            );
            match read {
                Ok(true) => self.buffered_size -= fetched.size,
                Ok(false) => {
                    self.ready.push_front(fetched);
                    break;
                }
                Err(error) => {
                    // What was read before the damage is handed out first; then it is fetched again,
                    // since it may be repaired by then.
                    self.buffered_size -= fetched.size;
                    self.refetch(&fetched.partition);
                    result = if records.is_empty() { Err(error) } else { Ok(()) };
                    break;
                }
            }
        }
        self.ready.extend(paused);
        result.map(|()| records)
    }

    /// Sends a fetch to every leader that has none under way. Returns when to look again.
    fn start_fetches(&mut self, now: Instant) -> Option<Instant> {
        let mut wake_at = self.refresh(now);
        if self.buffered_size >= self.config.max_buffered_size {
            return wake_at;
        }
        let metadata = self.cluster.metadata();
        let mut by_leader: BTreeMap<i32, Vec<Asked>> = BTreeMap::new();
        for (partition, position) in &self.partitions {
            if position.is_paused || position.is_resetting {
                continue;
            }
            if let Some(at) = position.retry_at.filter(|&at| at > now) {
                wake_at = Some(wake_at.map_or(at, |known| known.min(at)));
                continue;
            }
            let known = metadata.topic(&partition.topic);
            let known = known.and_then(|topic| topic.partition(partition.partition));
            let Some((known, leader)) = known.and_then(|known| Some((known, known.leader?))) else {
                self.wants_refresh = true;
                continue;
            };
            if !self.busy.contains(&leader) {
                by_leader.entry(leader).or_default().push(Asked {
                    partition: partition.clone(),
                    offset: position.fetch_offset,
                    leader_epoch: known.leader_epoch,
                    generation: position.generation,
                });
            }
        }
        for (leader, mut asked) in by_leader {
            self.turn = self.turn.wrapping_add(1);
            let first = self.turn % asked.len();
            asked.rotate_left(first);
            self.start_fetch(leader, asked);
        }
        let refresh_at = self.refresh(now);
        [wake_at, refresh_at].into_iter().flatten().min()
    }

    fn start_fetch(&mut self, leader: i32, asked: Vec<Asked>) {
        self.busy.insert(leader);
        let request = fetch::request(&self.config, &asked);
        let cluster = self.cluster.clone();
        // The broker may rightly take the time it is given.
        let within = cluster.config().request_timeout + self.config.max_fetch_wait;
        self.under_way.push(Box::pin(async move {
            let answer = async {
                let connection = cluster.broker(leader).await?;
                connection.start(&request, within).await?.await
            };
            Outcome::Fetched(leader, asked, answer.await)
        }));
    }

    /// Asks for fresh metadata when something said so or when it is old. Returns when that is allowed.
    fn refresh(&mut self, now: Instant) -> Option<Instant> {
        if self.is_refreshing || !(self.wants_refresh || self.cluster.is_stale()) {
            return None;
        }
        if let Some(at) = self.refresh_not_before.filter(|&at| at > now) {
            return Some(at);
        }
        self.is_refreshing = true;
        self.wants_refresh = false;
        let cluster = self.cluster.clone();
        self.under_way.push(Box::pin(async move {
            Outcome::Refreshed(cluster.refresh_metadata().await.map(drop))
        }));
        None
    }

    fn handle(&mut self, outcome: Outcome) -> Result<(), Error> {
        let now = Instant::now();
        match outcome {
            Outcome::Refreshed(result) => {
                self.is_refreshing = false;
                if result.is_ok() {
                    self.refresh_backoff.reset();
                }
                self.refresh_not_before = Some(now + self.refresh_backoff.next());
                Ok(())
            }
            Outcome::Reset(asked, offset) => self.handle_reset(&asked, offset),
            Outcome::Fetched(leader, asked, answer) => {
                self.busy.remove(&leader);
                let answers = answer.and_then(|response| fetch::answers(response, &asked));
                let answers = match answers {
                    Ok(answers) => answers,
                    Err(error) => {
                        for asked in &asked {
                            self.postpone(asked, now);
                        }
                        return self.tolerate(error);
                    }
                };
                let mut result = Ok(());
                for answer in answers {
                    let found = asked.iter().find(|asked| asked.partition == answer.partition);
                    let Some(asked) = found else { continue };
                    let handled = self.handle_answer(asked, answer.result, now);
                    result = result.and(handled);
                }
                result
            }
        }
    }

    fn handle_answer(
        &mut self,
        asked: &Asked,
        answer: Result<Content, Error>,
        now: Instant,
    ) -> Result<(), Error> {
        let Some(position) = self.current(asked) else { return Ok(()) };
        match answer {
            Ok(content) => {
                position.handle_fetched(content.next_offset, content.high_watermark);
                if !content.batches.is_empty() {
                    let Content { batches, aborted, .. } = content;
                    let partition = asked.partition.clone();
                    let fetched = Fetched::new(partition, batches, aborted);
                    self.buffered_size += fetched.size;
                    self.ready.push_back(fetched);
                }
                Ok(())
            }
            Err(error) if fetch::is_out_of_range(&error) => self.reset(asked, error),
            Err(error) => {
                self.postpone(asked, now);
                self.tolerate(error)
            }
        }
    }

    /// The offset does not exist: goes where the settings say.
    fn reset(&mut self, asked: &Asked, error: Error) -> Result<(), Error> {
        let start = match self.config.offset_reset {
            OffsetReset::Beginning => Start::Beginning,
            OffsetReset::End => Start::End,
            OffsetReset::Fail => {
                self.postpone(asked, Instant::now());
                return Err(error);
            }
        };
        if self.ready.iter().any(|fetched| fetched.partition == asked.partition) {
            // What is buffered is still good: hand it out first, then ask again.
            self.postpone(asked, Instant::now());
            return Ok(());
        }
        tracing::info!(partition = %asked.partition, offset = asked.offset, "offset is gone");
        if let Some(position) = self.current(asked) {
            position.is_resetting = true;
        }
        let (cluster, isolation) = (self.cluster.clone(), self.config.isolation);
        let asked = asked.clone();
        self.under_way.push(Box::pin(async move {
            let wanted = BTreeMap::from([(asked.partition.clone(), start)]);
            let found = position::resolve(&cluster, &wanted, isolation).await;
            let offset = found.map(|offsets| offsets.into_values().next().unwrap_or(0));
            Outcome::Reset(asked, offset)
        }));
        Ok(())
    }

    fn handle_reset(&mut self, asked: &Asked, offset: Result<i64, Error>) -> Result<(), Error> {
        let Some(position) = self.current(asked) else { return Ok(()) };
        match offset {
            Ok(offset) => {
                position.move_to(offset);
                Ok(())
            }
            Err(error) => {
                // The next fetch finds the offset gone again.
                position.is_resetting = false;
                position.postpone(Instant::now());
                self.tolerate(error)
            }
        }
    }

    /// Swallows an error that passes, having seen to its remedy.
    fn tolerate(&mut self, error: Error) -> Result<(), Error> {
        match error.remedy() {
            Remedy::Retry => {}
            Remedy::RefreshMetadata | Remedy::Reconnect => self.wants_refresh = true,
            Remedy::Fix | Remedy::GiveUp => return Err(error),
        }
        tracing::debug!(%error, "fetching again");
        Ok(())
    }

    /// The partition's place, unless it was moved since the question was sent.
    fn current(&mut self, asked: &Asked) -> Option<&mut Position> {
        let position = self.partitions.get_mut(&asked.partition)?;
        (position.generation == asked.generation).then_some(position)
    }

    fn postpone(&mut self, asked: &Asked, now: Instant) {
        if let Some(position) = self.current(asked) {
            position.postpone(now);
        }
    }

    /// Forgets what was fetched of a partition and fetches it again.
    fn refetch(&mut self, partition: &TopicPartition) {
        self.drop_fetched(partition);
        self.generation += 1;
        let generation = self.generation;
        if let Some(position) = self.partitions.get_mut(partition) {
            position.refetch(generation);
        }
    }

    fn drop_fetched(&mut self, partition: &TopicPartition) {
        let mut freed = 0;
        self.ready.retain(|fetched| {
            let stays = fetched.partition != *partition;
            freed += if stays { 0 } else { fetched.size };
            stays
        });
        self.buffered_size -= freed;
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
