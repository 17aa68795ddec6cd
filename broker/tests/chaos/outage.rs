//! A majority lost, or everything: what still works, and how it comes back.

use std::time::Duration;

use synod_broker::demo::clients::Load;
use synod_client::cluster::TopicPartition;
use synod_client::consumer::{Consumer, ConsumerConfig, Start};
use synod_client::history::Guarantee;
use synod_client::producer::{Producer, ProducerConfig, ProducerRecord};
use synod_client::{ClientConfig, Cluster, Error};
use tokio::time::{Instant, sleep};

use crate::cluster::{PATIENCE, TestCluster};
use crate::figures::Figures;
use crate::probe::Probes;
use crate::variable;

/// How long a producer tries while there is no majority.
const TRY: Duration = Duration::from_secs(2);

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_decided_records_are_read_and_produce_is_refused_for_now() {
    let mut cluster = TestCluster::start(3).await;
    cluster.create(&[("alone", 1)], 3).await;
    let partitions = cluster.create(&[("probed", 3)], 3).await;
    let probes = Probes::start(&cluster, &partitions, 3).await;
    let admin = cluster.admin().await;
    for number in 0..RECORDS {
        produce(admin.cluster(), number, PATIENCE).await.expect("a majority");
    }
    let topic = admin.cluster().refresh_topic("alone").await.expect("the topic");
    let survivor = topic.partitions[0].leader.expect("a leader") as u32;
    let lost: Vec<u32> = cluster.nodes().filter(|node| *node != survivor).collect();
    cluster.kill_many(lost.clone());
    let config = ClientConfig::new([cluster.kafka(survivor).to_string()])
        .request_timeout(Duration::from_secs(2));
    let client = Cluster::connect(config).await.expect("the survivor answers");
    let refused = produce(&client, RECORDS, TRY).await.expect_err("there is no majority");
    println!("produce without a majority: {refused}");
    let Error::Expired { last: Some(last), .. } = &refused else { panic!("{refused}") };
    assert!(last.is_retriable(), "{refused}");
    assert_eq!(read(&client, RECORDS).await, (0..RECORDS).collect::<Vec<_>>());
    let returned = Instant::now();
    cluster.start(lost[0]).expect("a broker starts");
    cluster.wait_ready(lost[0], PATIENCE).unwrap_or_else(|error| panic!("{error}"));
    let ready = returned.elapsed();
    produce(&client, RECORDS + 1, PATIENCE).await.expect("a majority again");
    println!("FIGURE majority back: ready after {ready:?}, produced {:?}", returned.elapsed());
    cluster.restart(lost[1]);
    let first = read(&client, RECORDS).await;
    assert_eq!(first, (0..RECORDS).collect::<Vec<_>>(), "what was decided stays");
    probes.judge(&cluster).await;
}

/// Writes one record into the topic `alone` and tries for so long.
async fn produce(client: &Cluster, number: usize, within: Duration) -> Result<(), Error> {
    let config = ProducerConfig::default().delivery_timeout(within);
    let producer = Producer::new(client.clone(), config)?;
    let record = ProducerRecord::new("alone").partition(0).value(number.to_string());
    producer.send(record).await?.await.map(|_| ())
}

/// The numbers in the first `count` records of the topic `alone`.
async fn read(client: &Cluster, count: usize) -> Vec<usize> {
    let mut consumer = Consumer::new(client.clone(), ConsumerConfig::default()).expect("settings");
    let partition = TopicPartition::new("alone", 0);
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
