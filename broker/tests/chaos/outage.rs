//! A majority lost, or everything: what still works, and how it comes back.

use std::time::Duration;

use synod_broker::demo::clients::Load;
use synod_broker::demo::links::Link;
use synod_client::cluster::{Topic, TopicPartition};
use synod_client::consumer::{Consumer, ConsumerConfig, Start};
use synod_client::history::Guarantee;
use synod_client::producer::{Producer, ProducerConfig, ProducerRecord};
use synod_client::{ClientConfig, Cluster, Error};
use synod_wire::ErrorCode;
use tokio::time::{Instant, sleep};

use crate::cluster::{PATIENCE, TestCluster};
use crate::figures::Figures;
use crate::support::batch::Batch;
use crate::support::wire::{Connection, produce_request};
use crate::{promised, variable};

/// How long a producer tries while there is no majority.
const TRY: Duration = Duration::from_secs(2);

/// Until a producer that tries is answered again, from when a majority is there.
const HEAL_LIMIT: Duration = Duration::from_secs(2);

/// Records that are decided before the majority is lost.
const RECORDS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_brokers_killed_at_once_come_back_by_themselves() {
    let mut cluster = TestCluster::start(3).await;
    let partitions = cluster.create(&[("probed", 6)], 3).await;
    let count = variable("SYNOD_CHAOS_PARTITIONS", 100) as i32;
    cluster.create(&[("many", count)], 3).await;
    let admin = cluster.admin().await;
    let mut workload = cluster.workload(&partitions);
    for target in 0..6 {
        let load = Load { targets: vec![target], value_size: 500, in_flight: 100, pace: None };
        let config = ProducerConfig::default().delivery_timeout(Duration::from_secs(120));
        workload.add_sender(Guarantee::Exact, config, load).await.expect("a sender");
    }
    workload.add_reader().await.expect("a reader");
    let mut back = Figures::default();
    let counters = workload.counters();
    for _ in 0..variable("SYNOD_CHAOS_OUTAGES", 2) {
        sleep(Duration::from_secs(2)).await;
        cluster.kill_all();
        let started = Instant::now();
        cluster.start_all(PATIENCE).unwrap_or_else(|error| panic!("{error}"));
        let ready = started.elapsed();
        for topic in ["probed", "many"] {
            cluster.wait_led(admin.cluster(), topic).await;
        }
        let led = started.elapsed();
        let written = counters.written();
        while counters.written() == written {
            assert!(started.elapsed() < PATIENCE, "nothing is acknowledged any more");
            sleep(Duration::from_millis(5)).await;
        }
        println!("ready {ready:?}, led {led:?}, acknowledged {:?}", started.elapsed());
        back.add(started.elapsed());
    }
    println!("FIGURE all brokers killed, {count} partitions: back after {back}");
    cluster.judge(workload).await;
}

/// How a majority gets lost, and comes back.
#[derive(Debug, Clone, Copy)]
enum Loss {
    Killed,
    Paused,
    /// Nothing passes between any two brokers, without a word.
    CutOff,
}

impl Loss {
    fn strike(self, cluster: &mut TestCluster, lost: &[u32]) {
        match self {
            Loss::Killed => cluster.kill_many(lost.iter().copied()),
            Loss::Paused => lost.iter().for_each(|node| cluster.pause(*node)),
            Loss::CutOff => {
                cluster.nodes().for_each(|it| cluster.links().set_around(it, Link::Silent));
            }
        }
    }

    /// Brings back as many as make a majority.
    fn heal(self, cluster: &mut TestCluster, lost: u32) {
        match self {
            Loss::Killed => cluster.restart(lost),
            Loss::Paused => cluster.resume(lost),
            Loss::CutOff => cluster.links().heal(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_decided_records_are_read_and_produce_is_refused_for_now() {
    let mut cluster = TestCluster::start(3).await;
    let admin = cluster.admin().await;
    for loss in [Loss::Killed, Loss::Paused, Loss::CutOff] {
        let controller = cluster.wait_all_there(admin.cluster()).await;
        let others: Vec<u32> = cluster.nodes().filter(|node| *node != controller).collect();
        let (survivor, lost) = (others[0], [controller, others[1]]);
        let topic = format!("{loss:?}").to_lowercase();
        cluster.create_on(&topic, &[survivor, lost[0], lost[1]]).await;
        for number in 0..RECORDS {
            produce(admin.cluster(), &topic, number, PATIENCE).await.expect("a majority");
        }
        loss.strike(&mut cluster, &lost);
        let config = ClientConfig::new([cluster.kafka(survivor).to_string()])
            .request_timeout(Duration::from_secs(2));
        let client = Cluster::connect(config).await.expect("the survivor answers");
        let refused = produce(&client, &topic, RECORDS, TRY).await;
        let refused = refused.expect_err("there is no majority");
        println!("{loss:?}: produce without a majority: {refused}");
        let Error::Expired { last: Some(last), .. } = &refused else { panic!("{refused}") };
        assert!(last.is_retriable(), "{refused}");
        assert_eq!(read(&client, &topic).await, (0..RECORDS).collect::<Vec<_>>());

        let returned = Instant::now();
        loss.heal(&mut cluster, lost[0]);
        let there = Instant::now();
        produce(&client, &topic, RECORDS + 1, PATIENCE).await.expect("a majority again");
        let healed = there.elapsed();
        let took = there - returned;
        println!(
            "FIGURE majority back ({loss:?}): there after {took:?}, produced {healed:?} later"
        );
        assert!(healed <= promised(HEAL_LIMIT), "{loss:?}: {healed:?}");
        loss.heal(&mut cluster, lost[1]);
        assert_eq!(read(&client, &topic).await, (0..RECORDS).collect::<Vec<_>>(), "they stay");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_replicas_in_sync_are_refused_before_the_append_and_told_after_it() {
    let mut cluster = TestCluster::start(3).await;
    let admin = cluster.admin().await;
    cluster.create_with(&[("strict", 1)], 3, &[("min.insync.replicas", "3")]).await;
    cluster.wait_whole(admin.cluster(), "strict").await;
    produce(admin.cluster(), "strict", 0, PATIENCE).await.expect("all are there");
    let topic = admin.cluster().refresh_topic("strict").await.expect("the topic");
    let partition = &topic.partitions[0];
    let leader = partition.leader.expect("a leader");
    let lost = *partition.replicas.iter().find(|it| **it != leader).expect("a follower") as u32;
    cluster.kill(lost);
    // It counts as in sync at first: the record is there, and not on as many as was asked for.
    let mut wire = Connection::open(&cluster.kafka(leader as u32).to_string());
    assert_eq!(produce_once(&mut wire, 1), ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND);
    let few = |topic: &Topic| topic.partitions[0].in_sync.len() == 2;
    cluster.wait_for(admin.cluster(), "strict", "two in sync", few).await;
    for number in 2..5 {
        assert_eq!(produce_once(&mut wire, number), ErrorCode::NOT_ENOUGH_REPLICAS);
    }
    cluster.restart(lost);
    cluster.wait_whole(admin.cluster(), "strict").await;
    produce(admin.cluster(), "strict", 9, PATIENCE).await.expect("all are there again");
    let numbers = read_some(admin.cluster(), "strict", 3).await;
    assert_eq!(numbers, [0, 1, 9], "what was refused before the append is not there");
}

/// What the leader says to one record for "strict" that all replicas shall have.
fn produce_once(leader: &mut Connection, number: usize) -> ErrorCode {
    let records = Batch::of(&[number.to_string()]).encode();
    let request = produce_request("strict", 0, -1, records);
    let response = leader.call(9, &request.with_timeout_ms(PATIENCE.as_millis() as i32));
    ErrorCode::from_code(response.responses[0].partition_responses[0].error_code)
}

/// Writes one record into a topic and tries for so long.
async fn produce(
    client: &Cluster,
    topic: &str,
    number: usize,
    within: Duration,
) -> Result<(), Error> {
    let config = ProducerConfig::default().delivery_timeout(within);
    let producer = Producer::new(client.clone(), config)?;
    let record = ProducerRecord::new(topic).partition(0).value(number.to_string());
    producer.send(record).await?.await.map(|_| ())
}

/// The numbers in the first [`RECORDS`] records of a topic.
async fn read(client: &Cluster, topic: &str) -> Vec<usize> {
    read_some(client, topic, RECORDS).await
}

async fn read_some(client: &Cluster, topic: &str, count: usize) -> Vec<usize> {
    let mut consumer = Consumer::new(client.clone(), ConsumerConfig::default()).expect("settings");
    let partition = TopicPartition::new(topic, 0);
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = consumer.assign([(partition.clone(), Start::Offset(0))]).await {
        assert!(error.is_retriable() && Instant::now() < deadline, "{error}");
    }
    let mut numbers = Vec::new();
    while numbers.len() < count {
        assert!(Instant::now() < deadline, "only {} records are readable", numbers.len());
        for record in consumer.poll(TRY).await.expect("records") {
            let text =
                String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
            numbers.push(text.parse().expect("a number"));
        }
    }
    numbers.truncate(count);
    numbers
}
