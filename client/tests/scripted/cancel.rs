//! Futures that are dropped at each place where they can wait: nothing is lost, repeated or stuck.

use std::collections::BTreeSet;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use synod_client::admin::Admin;
use synod_client::cluster::{Isolation, OffsetSpec, TopicPartition};
use synod_client::consumer::{Consumer, ConsumerConfig, Start};
use synod_client::producer::{Producer, ProducerConfig, ProducerRecord};
use synod_client::{Cluster, Compression};

use crate::consumer::{BATCH, batch};
use crate::world::World;

/// Polls a future when it is woken, and gives it up when it still waits after `polls` times.
struct Impatient<F> {
    future: F,
    polls: usize,
}

impl<F: Future + Unpin> Future for Impatient<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        match Pin::new(&mut self.future).poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.polls == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

async fn impatient<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let dropped = Impatient { future: pin!(future), polls }.await;
    // What runs beside it gets its turn before the next attempt.
    tokio::task::yield_now().await;
    dropped
}

/// Tries with ever more patience until it is done. Returns at how many places it was dropped.
async fn with_growing_patience<T, F: Future<Output = T>>(
    mut attempt: impl FnMut() -> F,
) -> (T, usize) {
    for polls in 1.. {
        if let Some(output) = impatient(polls, attempt()).await {
            return (output, polls - 1);
        }
    }
    unreachable!("the numbers do not end")
}

/// One broker whose partitions have these many records, their values their offsets.
async fn world(partitions: usize, records: i64) -> World {
    let world = World::start(1, partitions, 1).await;
    for partition in &mut world.state().partitions {
        for base in (0..records).step_by(BATCH as usize) {
            partition.append(batch(0, Compression::None)).unwrap();
            assert_eq!(partition.log.values.len() as i64, base + BATCH);
        }
    }
    world
}

#[tokio::test]
async fn records_survive_readers_that_give_up() {
    let world = world(2, 200).await;
    let settings = ConsumerConfig::default().max_poll_records(7);
    let mut consumer = Consumer::new(world.cluster().await, settings).unwrap();
    let all = || (0..2).map(|partition| (TopicPartition::new("t", partition), Start::Beginning));
    let mut dropped = 0;
    let mut polls = 0;
    loop {
        polls += 1;
        match impatient(polls, consumer.assign(all())).await {
            Some(assigned) => break assigned.unwrap(),
            None => dropped += 1,
        }
    }
    assert!(dropped > 0, "it waits for the offsets");
    let mut next = [0, 0];
    for turn in 0.. {
        if next == [200, 200] {
            break;
        }
        let polls = 1 + turn % 4;
        let records = match turn % 2 {
            0 => impatient(polls, consumer.next()).await.map(|record| vec![record.unwrap()]),
            _ => {
                let patience = Duration::from_secs(20);
                impatient(polls, consumer.poll(patience)).await.map(Result::unwrap)
            }
        };
        for record in records.unwrap_or_default() {
            let next = &mut next[record.partition as usize];
            assert_eq!(record.offset, *next, "nothing is lost, nothing comes twice");
            *next += 1;
        }
        if turn % 50 == 49 {
            // A seek that is given up leaves the place as it was.
            let partition = TopicPartition::new("t", 0);
            let place = consumer.position(&partition).unwrap();
            if impatient(1, consumer.seek(&partition, Start::Beginning)).await.is_none() {
                assert_eq!(consumer.position(&partition).unwrap(), place);
            }
        }
    }
}

#[tokio::test]
async fn a_send_that_is_given_up_has_sent_nothing_and_its_delivery_may_be_dropped() {
    const RECORDS: usize = 60;
    let world = World::start(1, 1, 1).await;
    // Room for one record, so that most wait.
    let settings = ProducerConfig::default().max_request_size(1024).buffer_size(1024);
    let producer = Producer::new(world.cluster().await, settings).unwrap();
    let value = |number: usize| Bytes::from(format!("{number:0900}"));
    let mut dropped = 0;
    for number in 0..RECORDS {
        let record = ProducerRecord::new("t").partition(0).value(value(number));
        let (sent, times) = with_growing_patience(|| producer.send(record.clone())).await;
        dropped += times;
        let delivery = sent.unwrap();
        if number % 2 == 0 {
            let _ = impatient(1 + number % 3, delivery).await;
        }
        let _ = impatient(number % 3, producer.flush()).await;
    }
    assert!(dropped > RECORDS / 4, "only {dropped} were given up");
    producer.close().await;
    let state = world.state();
    assert_eq!(state.partitions[0].log.values, (0..RECORDS).map(value).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_producer_that_is_given_up_while_it_closes_still_delivers() {
    let world = World::start(1, 1, 1).await;
    for polls in 1..6 {
        // All producers of this cluster get the same id.
        let settings = ProducerConfig::default().idempotent(false);
        let producer = Producer::new(world.cluster().await, settings).unwrap();
        let record = ProducerRecord::new("t").partition(0).value(format!("{polls}"));
        let delivery = producer.send(record).await.unwrap();
        let _ = impatient(polls, producer.close()).await;
        delivery.await.unwrap();
    }
    assert_eq!(world.state().partitions[0].log.values.len(), 5);
}

#[tokio::test]
async fn questions_that_are_given_up_leave_the_connection_in_step() {
    let world = world(3, 50).await;
    let (cluster, dropped) = with_growing_patience(|| Cluster::connect(world.config())).await;
    assert!(dropped > 0);
    let cluster = cluster.unwrap();
    let admin = Admin::new(cluster.clone());
    for _ in 0..3 {
        let (topics, _) = with_growing_patience(|| admin.topics()).await;
        assert_eq!(topics.unwrap().len(), 1);
        let (topic, _) = with_growing_patience(|| admin.topic("t")).await;
        assert_eq!(topic.unwrap().partitions.len(), 3);
        let (known, _) = with_growing_patience(|| cluster.refresh_metadata()).await;
        assert!(known.unwrap().topic("t").is_some());
        let all = || (0..3).map(|partition| TopicPartition::new("t", partition));
        let isolation = Isolation::ReadUncommitted;
        let ask = || cluster.list_offsets(all(), OffsetSpec::End, isolation);
        let (ends, dropped) = with_growing_patience(ask).await;
        assert!(dropped > 0);
        let ends: BTreeSet<_> =
            ends.into_values().map(|end| end.unwrap().unwrap().offset).collect();
        assert_eq!(ends, BTreeSet::from([50]), "each answer belongs to its question");
    }
}
