//! Clients that note all they do in a history.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use synod_client::cluster::{Isolation, OffsetSpec, TopicPartition};
use synod_client::consumer::{Consumer, ConsumerConfig, OffsetReset, Start};
use synod_client::history::{Outcome, Reader, Sender, Value};
use synod_client::producer::{Delivery, Producer, ProducerRecord};
use synod_client::{Cluster, Error};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// The pause after a failed attempt of a client that goes on.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How long one poll waits.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// The partitions of a history: their numbers there are their places in the list.
#[derive(Debug, Clone)]
pub struct Partitions(Arc<[TopicPartition]>);

impl Partitions {
    /// All partitions of these topics, each given by its name and number of partitions.
    pub fn of<'a>(topics: impl IntoIterator<Item = (&'a str, i32)>) -> Partitions {
        let partitions = |(topic, count): (&'a str, i32)| {
            (0..count).map(move |partition| TopicPartition::new(topic, partition))
        };
        Partitions(topics.into_iter().flat_map(partitions).collect())
    }

    /// Each with its number.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, &TopicPartition)> {
        // A history counts its partitions in 32 bits.
        self.0.iter().enumerate().map(|(index, partition)| (index as u32, partition))
    }

    /// Their names, for the history.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(TopicPartition::to_string)
    }

    fn numbers(&self) -> BTreeMap<TopicPartition, u32> {
        self.iter().map(|(number, partition)| (partition.clone(), number)).collect()
    }
}

/// What clients count for whoever watches.
#[derive(Debug, Default)]
pub struct Counters {
    written: AtomicU64,
    read: AtomicU64,
}

impl Counters {
    /// Records acknowledged so far.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Records read so far, by all readers together.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// How a sender sends.
#[derive(Debug, Clone)]
pub struct Load {
    /// The partitions it writes to in turn, by their numbers.
    pub targets: Vec<u32>,
    /// Size of a record's value in bytes.
    pub value_size: usize,
    /// Records handed over and not settled at once.
    pub in_flight: usize,
    /// Time from one record to the next, if it is to be held back.
    pub pace: Option<Duration>,
}

/// When a record was handed over and when it was acknowledged.
#[derive(Debug, Clone, Copy)]
pub struct Ack {
    /// When it was handed over.
    pub invoked: Instant,
    /// When its acknowledgement came.
    pub settled: Instant,
}

/// The longest time without an acknowledgement that overlaps the time from `from` to `to`.
pub fn silence(acks: &[Ack], from: Instant, to: Instant) -> Duration {
    let mut settled: Vec<Instant> = acks.iter().map(|ack| ack.settled).collect();
    settled.sort_unstable();
    let gaps = settled.windows(2).filter(|gap| gap[1] > from && gap[0] < to);
    let longest = gaps.map(|gap| gap[1] - gap[0]).max().unwrap_or_default();
    // Nothing more ever came: the gap is open.
    let open = settled.last().filter(|last| **last < to).map(|last| to - *last);
    longest.max(open.unwrap_or_default())
}

/// What a sender brings back.
#[derive(Debug)]
pub struct Sent {
    /// Its notes.
    pub notes: Sender,
    /// Its acknowledged records, in the order in which they were settled.
    pub acks: Vec<Ack>,
}

/// Sends until told to stop, and then until the fate of every record is known.
pub async fn send(
    producer: &Producer,
    partitions: &Partitions,
    load: &Load,
    notes: Sender,
    counters: &Counters,
    mut stop: watch::Receiver<bool>,
) -> Sent {
    let mut sending = Sending { sent: Sent { notes, acks: Vec::new() }, open: VecDeque::new() };
    let mut due = Instant::now();
    let mut turn = 0;
    while !*stop.borrow() {
        if sending.open.len() >= load.in_flight {
            sending.settle_first(counters).await;
            continue;
        }
        if let Some(pace) = load.pace {
            due += pace;
            let is_stopped = tokio::select! {
                () = sending.settle_until(due, counters) => false,
                _ = stop.wait_for(|stop| *stop) => true,
            };
            if is_stopped {
                break;
            }
        }
        let target = load.targets[turn % load.targets.len()];
        turn += 1;
        sending.invoke(producer, &partitions.0[target as usize], target, load.value_size).await;
    }
    while !sending.open.is_empty() {
        sending.settle_first(counters).await;
    }
    sending.sent
}

struct Sending {
    sent: Sent,
    /// Handed over and not settled, oldest first.
    open: VecDeque<(Value, Instant, Delivery)>,
}

impl Sending {
    async fn invoke(
        &mut self,
        producer: &Producer,
        partition: &TopicPartition,
        number: u32,
        size: usize,
    ) {
        let value = self.sent.notes.invoke(number);
        let record = ProducerRecord::new(partition.topic.clone())
            .partition(partition.partition)
            .value(value.to_bytes(size));
        let invoked = Instant::now();
        match producer.send(record).await {
            Ok(delivery) => self.open.push_back((value, invoked, delivery)),
            // It was never handed over.
            Err(_) => {
                self.sent.notes.settle(value, Outcome::Refused);
                sleep(RETRY_PAUSE).await;
            }
        }
    }

    /// Waits for the fate of the oldest record; may be dropped while it waits.
    async fn settle_first(&mut self, counters: &Counters) {
        let Some((value, invoked, delivery)) = self.open.front_mut() else { return };
        let answer = delivery.await;
        let outcome = Outcome::of_delivery(&answer);
        self.sent.notes.settle(*value, outcome);
        if answer.is_ok() {
            counters.written.fetch_add(1, Ordering::Relaxed);
            self.sent.acks.push(Ack { invoked: *invoked, settled: Instant::now() });
        }
        self.open.pop_front();
    }

    /// Settles what can be settled until a time comes.
    async fn settle_until(&mut self, due: Instant, counters: &Counters) {
        let settle = async {
            loop {
                match self.open.is_empty() {
                    true => std::future::pending().await,
                    false => self.settle_first(counters).await,
                }
            }
        };
        tokio::select! {
            () = settle => {}
            () = sleep_until(due) => {}
        }
    }
}

/// Why reading ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The client gave up.
    #[error("reading: {0}")]
    Client(#[from] Error),
    /// Not everything came in time.
    #[error("{partition} was read up to {position} of {end} after {} s", .after.as_secs())]
    Late {
        /// One partition that is not read to its end.
        partition: TopicPartition,
        /// Offset of the next record to be read.
        position: i64,
        /// The end of the partition.
        end: i64,
        /// How long was waited.
        after: Duration,
    },
    /// The ends of the partitions were not told in time.
    #[error("{partition}: its end is unknown: {source}")]
    EndUnknown {
        /// The partition.
        partition: TopicPartition,
        /// What the cluster says.
        source: Error,
    },
}

/// Where and when readers stop.
#[derive(Debug, Clone)]
pub struct Until {
    ends: Arc<BTreeMap<TopicPartition, i64>>,
    after: Duration,
    deadline: Instant,
}

impl Until {
    /// The ends that the partitions have now; readers have this long to reach them.
    ///
    /// # Errors
    /// When the ends are not told within that time.
    pub async fn now(
        cluster: &Cluster,
        partitions: &Partitions,
        after: Duration,
    ) -> Result<Until, ReadError> {
        let deadline = Instant::now() + after;
        let ends = Arc::new(ends(cluster, partitions, deadline).await?);
        Ok(Until { ends, after, deadline })
    }

    /// Whether everything was read; fails when it was not in time.
    fn is_reached(&self, consumer: &Consumer) -> Result<bool, ReadError> {
        let open = self.ends.iter().find_map(|(partition, end)| {
            let position = consumer.position(partition).unwrap_or(0);
            (position < *end).then(|| (partition.clone(), position, *end))
        });
        match open {
            None => Ok(true),
            Some((partition, position, end)) if Instant::now() > self.deadline => {
                Err(ReadError::Late { partition, position, end, after: self.after })
            }
            Some(_) => Ok(false),
        }
    }
}

/// Reads all partitions from the beginning on, and stops at the ends it is given some day. Errors
/// that may pass are waited out by the same consumer, as any application's would.
///
/// # Errors
/// What no waiting can heal, such as an offset that no longer exists; ends not reached in time.
pub async fn read(
    cluster: Cluster,
    partitions: &Partitions,
    mut notes: Reader,
    counters: &Counters,
    until: watch::Receiver<Option<Until>>,
) -> Result<Reader, ReadError> {
    let numbers = partitions.numbers();
    let mut consumer = assigned(cluster, partitions, &mut notes, &until).await?;
    loop {
        let until = until.borrow().clone();
        if let Some(until) = until
            && until.is_reached(&consumer)?
        {
            return Ok(notes);
        }
        let count = poll(&mut consumer, &numbers, &mut notes).await?;
        counters.read.fetch_add(count, Ordering::Relaxed);
    }
}

/// A consumer at the beginning of all partitions.
async fn assigned(
    cluster: Cluster,
    partitions: &Partitions,
    notes: &mut Reader,
    until: &watch::Receiver<Option<Until>>,
) -> Result<Consumer, Error> {
    let is_over = || until.borrow().as_ref().is_some_and(|until| Instant::now() > until.deadline);
    // A position that is gone would be an anomaly, not something to get over.
    let config = ConsumerConfig::default().offset_reset(OffsetReset::Fail);
    let mut consumer = Consumer::new(cluster, config)?;
    let wanted: Vec<_> =
        partitions.iter().map(|(_, partition)| (partition.clone(), Start::Beginning)).collect();
    while let Err(error) = consumer.assign(wanted.clone()).await {
        if !error.is_retriable() || is_over() {
            return Err(error);
        }
        sleep(RETRY_PAUSE).await;
    }
    for (number, partition) in partitions.iter() {
        notes.starts_at(number, consumer.position(partition)?);
    }
    Ok(consumer)
}

/// Polls once; returns the number of records.
async fn poll(
    consumer: &mut Consumer,
    numbers: &BTreeMap<TopicPartition, u32>,
    notes: &mut Reader,
) -> Result<u64, Error> {
    let records = match consumer.poll(POLL_WAIT).await {
        Ok(records) => records,
        Err(error) if error.is_retriable() => {
            sleep(RETRY_PAUSE).await;
            return Ok(0);
        }
        Err(error) => return Err(error),
    };
    let count = records.len() as u64;
    for record in records {
        let partition = TopicPartition::new(record.topic, record.partition);
        if let Some(number) = numbers.get(&partition) {
            let value = record.value.as_deref().and_then(Value::from_bytes);
            notes.read(*number, record.offset, value);
        }
    }
    Ok(count)
}

/// The end of each partition.
async fn ends(
    cluster: &Cluster,
    partitions: &Partitions,
    deadline: Instant,
) -> Result<BTreeMap<TopicPartition, i64>, ReadError> {
    loop {
        let asked = partitions.0.iter().cloned();
        let answers = cluster.list_offsets(asked, OffsetSpec::End, Isolation::ReadUncommitted);
        let rest = deadline.saturating_duration_since(Instant::now());
        let Ok(answers) = timeout(rest, answers).await else {
            let source = Error::Timeout { address: "the leaders".into(), after: rest };
            return Err(ReadError::EndUnknown { partition: partitions.0[0].clone(), source });
        };
        let mut ends = BTreeMap::new();
        let mut failure = None;
        for (partition, answer) in answers {
            match answer {
                Ok(found) => {
                    ends.insert(partition, found.map_or(0, |found| found.offset));
                }
                Err(source) => failure = Some(ReadError::EndUnknown { partition, source }),
            }
        }
        match failure {
            None => return Ok(ends),
            Some(failure) if Instant::now() >= deadline => return Err(failure),
            Some(_) => sleep(RETRY_PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_silence_around_a_fault() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let ack = |ms| Ack { invoked: at(ms), settled: at(ms) };
        let acks: Vec<Ack> = [0, 10, 20, 400, 410, 2000].into_iter().map(ack).collect();
        let silence = |from, to| silence(&acks, at(from), at(to)).as_millis();
        assert_eq!(silence(25, 450), 1590);
        assert_eq!(silence(25, 405), 380);
        assert_eq!(silence(0, 15), 10);
        assert_eq!(silence(1990, 5000), 3000);
    }
}
