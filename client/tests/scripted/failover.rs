//! The client in a cluster whose leaders move and whose brokers stop, die and come back.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use synod_client::admin::{Admin, NewTopic};
use synod_client::cluster::{Isolation, OffsetSpec, TopicPartition};
use synod_client::consumer::{Consumer, ConsumerConfig, OffsetReset, Start};
use synod_client::producer::{Delivery, Producer, ProducerConfig, ProducerRecord};
use synod_client::wire::ApiKey;
use synod_client::{Cluster, Compression, Error};

use crate::consumer::batch;
use crate::world::World;

/// Longer than anything here takes, far shorter than the time-outs of [`World::config`]: what
/// waits for one of those fails.
const PATIENCE: Duration = Duration::from_secs(30);

fn value(number: usize) -> Bytes {
    Bytes::from(format!("value {number:06}"))
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("no time-out of the client is needed")
}

async fn produce(producer: &Producer, numbers: std::ops::Range<usize>) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for number in numbers {
        let partition = (number % 3) as i32;
        let record = ProducerRecord::new("t").partition(partition).value(value(number));
        deliveries.push(producer.send(record).await.unwrap());
    }
    deliveries
}

/// Every number below `count` is in its partition, once and in order.
fn check(world: &World, count: usize, seed: u64) {
    for (index, led) in world.state().partitions.iter().enumerate() {
        let expected: Vec<_> = (index..count).step_by(3).map(value).collect();
        assert_eq!(led.log.values, expected, "seed {seed}, partition {index}");
    }
}

/// Something happens to the cluster between two bursts of records: a leader moves, or a broker
/// stops, is noticed to be gone, and goes on later with all it was sent in the meantime.
struct Trouble {
    stopped: Option<i32>,
}

impl Trouble {
    fn happen(&mut self, world: &World) {
        let (what, broker) = {
            let random = &mut world.state().random;
            (random.below(4), random.below(3) as i32 + 1)
        };
        match (what, self.stopped) {
            (0, _) => {
                let mut state = world.state();
                let partition = state.random.below(3) as usize;
                state.move_leader(partition);
            }
            (1, None) => {
                world.stop(broker);
                world.state().lose(broker);
                self.stopped = Some(broker);
            }
            (2, Some(broker)) => {
                world.state().lost.clear();
                world.resume(broker);
                self.stopped = None;
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn records_are_written_once_and_in_order_whoever_leads() {
    const BURST: usize = 15;
    for seed in 0..8 {
        let world = World::start(3, 3, seed).await;
        let settings = ProducerConfig::default().batch_size(60);
        let producer = Producer::new(world.cluster().await, settings).unwrap();
        let mut trouble = Trouble { stopped: None };
        let mut deliveries = Vec::new();
        for burst in 0..40 {
            deliveries.extend(produce(&producer, burst * BURST..(burst + 1) * BURST).await);
            tokio::task::yield_now().await;
            trouble.happen(&world);
        }
        for (number, delivery) in deliveries.into_iter().enumerate() {
            let receipt = in_time(delivery).await.unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            assert_eq!(receipt.offset.unwrap_or((number / 3) as i64), (number / 3) as i64);
        }
        check(&world, 40 * BURST, seed);
    }
}

#[tokio::test]
async fn records_are_read_once_and_in_order_whoever_leads() {
    const COUNT: usize = 600;
    for seed in 0..8 {
        let world = World::start(3, 3, seed).await;
        let settings = ProducerConfig::default().batch_size(60);
        let producer = Producer::new(world.cluster().await, settings).unwrap();
        for delivery in produce(&producer, 0..COUNT).await {
            in_time(delivery).await.unwrap();
        }
        let settings =
            ConsumerConfig::default().max_poll_records(10).max_fetch_wait(Duration::ZERO);
        let mut consumer = Consumer::new(world.cluster().await, settings).unwrap();
        in_time(consumer.assign_topic("t", Start::Beginning)).await.unwrap();
        let mut trouble = Trouble { stopped: None };
        let mut read = BTreeMap::from([(0, 0), (1, 0), (2, 0)]);
        for turn in 0..COUNT {
            let record = in_time(consumer.next()).await.unwrap();
            let next = read.get_mut(&record.partition).unwrap();
            assert_eq!(record.offset, *next, "seed {seed}");
            let number = *next as usize * 3 + record.partition as usize;
            assert_eq!(record.value.unwrap(), value(number), "seed {seed}");
            *next += 1;
            if turn % 20 == 0 {
                trouble.happen(&world);
            }
        }
        assert_eq!(read.values().sum::<i64>(), COUNT as i64);
    }
}

#[tokio::test]
async fn what_a_stopped_leader_was_sent_goes_to_the_next_one_before_any_time_out() {
    let world = World::start(3, 3, 0).await;
    let producer = Producer::new(world.cluster().await, ProducerConfig::default()).unwrap();
    for delivery in produce(&producer, 0..3).await {
        in_time(delivery).await.unwrap();
    }
    world.stop(1);
    let deliveries = produce(&producer, 3..6).await;
    let mut waiting = deliveries.into_iter();
    let mut stuck = waiting.next().unwrap();
    for other in waiting {
        in_time(other).await.unwrap();
    }
    assert!(futures_util::poll!(&mut stuck).is_pending(), "its leader is the same for all we know");
    world.state().lose(1);
    in_time(stuck).await.unwrap();
    check(&world, 6, 0);
    world.resume(1);
    for delivery in produce(&producer, 6..9).await {
        in_time(delivery).await.unwrap();
    }
    check(&world, 9, 0);
}

#[tokio::test]
async fn a_killed_leader_costs_one_look_at_the_metadata() {
    let mut world = World::start(3, 3, 0).await;
    let producer = Producer::new(world.cluster().await, ProducerConfig::default()).unwrap();
    for delivery in produce(&producer, 0..3).await {
        in_time(delivery).await.unwrap();
    }
    world.kill(2);
    world.state().lose(2);
    for delivery in produce(&producer, 3..30).await {
        in_time(delivery).await.unwrap();
    }
    check(&world, 30, 0);
}

#[tokio::test]
async fn bootstrap_passes_over_brokers_that_are_stopped_or_gone() {
    let mut world = World::start(3, 3, 0).await;
    world.stop(1);
    world.kill(2);
    for _ in 0..6 {
        let cluster = in_time(world.cluster()).await;
        assert_eq!(cluster.metadata().brokers().len(), 3);
        let offsets = [TopicPartition::new("t", 2)];
        let found = cluster.list_offsets(offsets, OffsetSpec::End, Isolation::default());
        assert!(in_time(found).await.into_values().all(|found| found.is_ok()));
    }
    world.stop(3);
    let config = world.config().connect_timeout(Duration::from_millis(50));
    let error = in_time(Cluster::connect(config)).await.unwrap_err();
    assert!(matches!(error, Error::NoBroker { .. }) && error.is_retriable(), "{error}");
    for reason in ["connection refused", "no answer from"] {
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[tokio::test]
async fn offsets_are_asked_of_the_leader_of_the_right_epoch() {
    let world = World::start(3, 3, 0).await;
    let cluster = world.cluster().await;
    let all: Vec<_> = (0..3).map(|index| TopicPartition::new("t", index)).collect();
    let found = cluster.list_offsets(all.clone(), OffsetSpec::End, Isolation::default());
    assert!(in_time(found).await.into_values().all(|found| found.is_ok()));
    // The leader stays, its epoch does not: the client's knowledge is outdated all the same.
    world.state().partitions[0].epoch += 1;
    world.stop(2);
    world.state().lose(2);
    let found = cluster.list_offsets(all, OffsetSpec::End, Isolation::default());
    assert!(in_time(found).await.into_values().all(|found| found.is_ok()));
    assert_eq!(cluster.metadata().leader_epoch("t", 0), 4);
}

#[tokio::test]
async fn a_change_sent_to_a_controller_that_is_lost_ends_with_its_fate_unknown() {
    let world = World::start(3, 3, 0).await;
    let admin = Admin::new(world.cluster().await);
    in_time(admin.cluster().broker(1)).await.unwrap();
    world.stop(1);
    world.state().lose(1);
    let error = in_time(admin.create_topic(NewTopic::new("new"))).await.unwrap_err();
    assert!(matches!(error, Error::Disconnected { .. }), "{error}");
    assert!(error.to_string().contains("has left the cluster"), "{error}");
    let sent = world.state().calls.iter().filter(|call| call.1 == ApiKey::CREATE_TOPICS).count();
    assert_eq!(sent, 0, "not repeated elsewhere");
}

/// A reader that has read ten records when an unclean election leaves `kept` of them, and others
/// take the places of the rest.
async fn after_an_unclean_election(
    older: bool,
    kept: usize,
    reset: OffsetReset,
) -> (World, Consumer) {
    let world = World::start(2, 1, 0).await;
    world.state().older = older;
    let append = |first| {
        world.state().partitions[0].append(batch(first, Compression::None)).unwrap();
    };
    append(0);
    append(5);
    let settings =
        ConsumerConfig::default().offset_reset(reset).max_fetch_wait(Duration::from_millis(1));
    let mut consumer = Consumer::new(world.cluster().await, settings).unwrap();
    in_time(consumer.assign_topic("t", Start::Beginning)).await.unwrap();
    for expected in 0..10 {
        assert_eq!(in_time(consumer.next()).await.unwrap().offset, expected);
    }
    world.state().take_back(0, kept);
    [100, 200, 300].into_iter().for_each(append);
    (world, consumer)
}

fn questions(world: &World) -> usize {
    let state = world.state();
    state.calls.iter().filter(|(_, key)| *key == ApiKey::OFFSET_FOR_LEADER_EPOCH).count()
}

#[tokio::test]
async fn records_that_an_unclean_election_took_back_are_read_anew() {
    for older in [true, false] {
        // Of nothing at all the leader knows no epoch: reading begins where the settings say.
        for kept in [5, 0] {
            let (world, mut consumer) =
                after_an_unclean_election(older, kept, OffsetReset::Beginning).await;
            let end = world.state().partitions[0].log.values.len();
            for offset in kept..end {
                let record = in_time(consumer.next()).await.unwrap();
                assert_eq!(record.offset, offset as i64, "older: {older}, kept: {kept}");
                let expected = 100 * ((offset - kept) / 5 + 1) + (offset - kept) % 5;
                assert_eq!(record.value.unwrap(), expected.to_string());
            }
            // Newer leaders compare by themselves, the others are asked once.
            assert_eq!(questions(&world), usize::from(older), "older: {older}, kept: {kept}");
            world.state().move_leader(0);
            world.state().partitions[0].append(batch(400, Compression::None)).unwrap();
            assert_eq!(in_time(consumer.next()).await.unwrap().offset, end as i64);
            assert_eq!(questions(&world), 2 * usize::from(older), "older: {older}, kept: {kept}");
        }
    }
}

#[tokio::test]
async fn a_reader_that_must_not_be_moved_is_told_of_records_that_were_taken_back() {
    for older in [true, false] {
        let (_world, mut consumer) = after_an_unclean_election(older, 5, OffsetReset::Fail).await;
        for _ in 0..2 {
            let error = in_time(consumer.next()).await.unwrap_err();
            assert!(error.to_string().contains("from offset 5 on were taken back"), "{error}");
        }
        let partition = TopicPartition::new("t", 0);
        in_time(consumer.seek(&partition, Start::Offset(5))).await.unwrap();
        assert_eq!(in_time(consumer.next()).await.unwrap().value.unwrap(), "100");
    }
}
