//! The C library under its Rust wrapper, with the settings that ours has.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{
    BaseProducer, BaseRecord, FutureProducer, FutureRecord, Producer, ProducerContext,
};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::{BATCH_SIZE, BUFFER_SIZE, Cost, Failure, LINGER_MS, OPEN_DELIVERIES, Task, Watch};

fn producing(task: &Task) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &task.brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", LINGER_MS.to_string())
        .set("batch.size", BATCH_SIZE.to_string())
        // Bytes alone bound a batch, as with ours.
        .set("batch.num.messages", "100000")
        .set("queue.buffering.max.kbytes", (BUFFER_SIZE >> 10).to_string())
        .set("queue.buffering.max.messages", "10000000");
    config
}

fn consuming(task: &Task) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &task.brokers)
        .set("group.id", "versus")
        .set("enable.auto.commit", "false")
        // Ours looks at every checksum.
        .set("check.crcs", "true")
        // Else it rests for a second whenever it has fetched enough.
        .set("fetch.queue.backoff.ms", "0");
    config
}

/// Counts what was written.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl ClientContext for Count {}

impl ProducerContext for Count {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

pub(crate) fn produce_with_callback(task: &Task) -> Result<Cost, Failure> {
    let count = Count::default();
    let producer: BaseProducer<Count> = producing(task).create_with_context(count.clone())?;
    let first = BaseRecord::<(), [u8]>::to(&task.topic).payload(&task.value[..]);
    producer.send(first).map_err(|(error, _)| error)?;
    producer.flush(Duration::from_secs(60))?;
    let watch = Watch::start();
    for number in 0..task.count {
        let mut record = BaseRecord::<(), [u8]>::to(&task.topic).payload(&task.value[..]);
        while let Err((error, refused)) = producer.send(record) {
            if !is_full(&error) {
                return Err(error.into());
            }
            producer.poll(Duration::from_millis(10));
            record = refused;
        }
        if number % 1000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(Duration::from_secs(60))?;
    assert_eq!(count.0.load(Ordering::Relaxed), task.count + 1);
    Ok(watch.stop())
}

fn is_full(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull))
}

pub(crate) async fn produce_with_futures(task: Task) -> Result<Cost, Failure> {
    let producer: FutureProducer = producing(&task).create()?;
    let writing = tokio::spawn(async move {
        let first = FutureRecord::<(), [u8]>::to(&task.topic).payload(&task.value[..]);
        producer.send(first, Duration::from_secs(60)).await.map_err(|(error, _)| error)?;
        let watch = Watch::start();
        let mut open = VecDeque::new();
        for _ in 0..task.count {
            let mut record = FutureRecord::<(), [u8]>::to(&task.topic).payload(&task.value[..]);
            loop {
                match producer.send_result(record) {
                    Ok(delivery) => break open.push_back(delivery),
                    Err((error, refused)) if is_full(&error) => record = refused,
                    Err((error, _)) => return Err(error.into()),
                }
                // Full: the oldest has to go first.
                if let Some(oldest) = open.pop_front() {
                    oldest.await?.map_err(|(error, _)| error)?;
                }
            }
            if open.len() >= OPEN_DELIVERIES
                && let Some(oldest) = open.pop_front()
            {
                oldest.await?.map_err(|(error, _)| error)?;
            }
        }
        for delivery in open {
            delivery.await?.map_err(|(error, _)| error)?;
        }
        Ok::<_, Failure>(watch.stop())
    });
    writing.await?
}

fn beginning(task: &Task, partitions: i32) -> Result<TopicPartitionList, Failure> {
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(&task.topic, partition, Offset::Beginning)?;
    }
    Ok(list)
}

pub(crate) fn consume_by_poll(task: &Task, partitions: i32) -> Result<Cost, Failure> {
    let consumer: BaseConsumer = consuming(task).create()?;
    consumer.assign(&beginning(task, partitions)?)?;
    while consumer.poll(Duration::from_secs(1)).is_none() {}
    let watch = Watch::start();
    let (mut count, mut size) = (0, 0);
    while count < task.count {
        if let Some(message) = consumer.poll(Duration::from_secs(1)) {
            count += 1;
            size += message?.payload().map_or(0, <[u8]>::len);
        }
    }
    assert_eq!(size, task.count * task.value.len());
    Ok(watch.stop())
}

pub(crate) async fn consume_stream(task: Task, partitions: i32) -> Result<Cost, Failure> {
    let consumer: StreamConsumer = consuming(&task).create()?;
    consumer.assign(&beginning(&task, partitions)?)?;
    let reading = tokio::spawn(async move {
        consumer.recv().await?;
        let watch = Watch::start();
        let mut size = 0;
        for _ in 0..task.count {
            size += consumer.recv().await?.payload().map_or(0, <[u8]>::len);
        }
        assert_eq!(size, task.count * task.value.len());
        Ok::<_, Failure>(watch.stop())
    });
    reading.await?
}
