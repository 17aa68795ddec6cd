//! Synod's client.

use std::collections::VecDeque;
use std::time::Duration;

use synod_client::admin::{Admin, NewTopic};
use synod_client::consumer::{Consumer, ConsumerConfig, Start};
use synod_client::producer::{Producer, ProducerConfig, ProducerRecord};
use synod_client::{ClientConfig, Cluster};

use crate::{BATCH_SIZE, BUFFER_SIZE, Cost, Failure, LINGER_MS, OPEN_DELIVERIES, Task, Watch};

async fn cluster(task: &Task) -> Result<Cluster, Failure> {
    Ok(Cluster::connect(ClientConfig::new([task.brokers.as_str()])).await?)
}

pub(crate) async fn create_topic(task: &Task, partitions: i32) -> Result<(), Failure> {
    let new = NewTopic::new(&task.topic).partitions(partitions);
    Admin::new(cluster(task).await?).create_topic(new).await?;
    Ok(())
}

pub(crate) async fn delete_topic(task: &Task) -> Result<(), Failure> {
    Ok(Admin::new(cluster(task).await?).delete_topic(&task.topic).await?)
}

pub(crate) async fn produce(task: Task) -> Result<Cost, Failure> {
    let config = ProducerConfig::default()
        .linger(Duration::from_millis(LINGER_MS))
        .batch_size(BATCH_SIZE)
        .buffer_size(BUFFER_SIZE);
    let producer = Producer::new(cluster(&task).await?, config)?;
    let topic: std::sync::Arc<str> = task.topic.as_str().into();
    // As a program would run: on a worker of the runtime, not on the thread that waits for it.
    let writing = tokio::spawn(async move {
        let record = || ProducerRecord::new(topic.clone()).value(task.value.clone());
        producer.send(record()).await?.await?;
        let watch = Watch::start();
        let mut open = VecDeque::new();
        for _ in 0..task.count {
            open.push_back(producer.send(record()).await?);
            if open.len() >= OPEN_DELIVERIES
                && let Some(oldest) = open.pop_front()
            {
                oldest.await?;
            }
        }
        for delivery in open {
            delivery.await?;
        }
        let cost = watch.stop();
        producer.close().await;
        Ok::<_, Failure>(cost)
    });
    writing.await?
}

pub(crate) async fn consume(task: Task) -> Result<Cost, Failure> {
    let mut consumer = Consumer::new(cluster(&task).await?, ConsumerConfig::default())?;
    consumer.assign_topic(&task.topic, Start::Beginning).await?;
    let reading = tokio::spawn(async move {
        consumer.next().await?;
        let watch = Watch::start();
        let (mut count, mut size) = (0, 0);
        while count < task.count {
            for record in consumer.poll(Duration::from_secs(1)).await? {
                count += 1;
                size += record.value.map_or(0, |value| value.len());
            }
        }
        assert_eq!(size, task.count * task.value.len());
        Ok::<_, Failure>(watch.stop())
    });
    reading.await?
}
