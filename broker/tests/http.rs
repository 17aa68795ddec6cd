//! The HTTP port of a live broker: readiness, and metrics that follow what clients do.

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use support::batch::Batch;
use support::broker::Broker;
use support::cluster::start_three;
use support::wire::{Connection, READ_TIMEOUT, create_topic, produce_request, read_partition};
use synod_broker::demo::brokers::Brokers;
use synod_client::admin::{Admin, NewTopic};
use synod_client::cluster::TopicPartition;
use synod_client::consumer::CommittedOffset;
use synod_client::producer::{Producer, ProducerConfig, ProducerRecord};
use synod_client::{ClientConfig, Cluster};

/// Status and body of a GET.
fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("the HTTP port takes connections");
    stream.set_read_timeout(Some(READ_TIMEOUT)).expect("a time-out");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("an answer");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_owned())
}

/// Series and values of a scrape.
fn scrape(address: &str) -> BTreeMap<String, f64> {
    let (status, body) = get(address, "/metrics");
    assert_eq!(status, 200);
    let samples = body.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            (series.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

#[test]
fn a_ready_broker_says_so() {
    let broker = Broker::start();
    assert_eq!(get(broker.http(), "/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(get(broker.http(), "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(get(broker.http(), "/").0, 200);
    assert_eq!(get(broker.http(), "/nothing").0, 404);
}

#[test]
fn metrics_follow_what_clients_do() {
    let broker = Broker::start();
    let mut connection = Connection::open(broker.kafka());
    create_topic(&mut connection, "orders", 2, &[]);
    let batch = Batch::of(&["a", "b", "c"]).encode();
    let size = batch.len() as f64;
    let response = connection.call(7, &produce_request("orders", 1, -1, batch));
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    let wrong = connection.call(7, &produce_request("orders", 7, -1, Batch::of(&["x"]).encode()));
    assert_eq!(wrong.responses[0].partition_responses[0].error_code, 3);
    assert_eq!(read_partition(&mut connection, "orders", 1, 0).len(), 3);

    let series = scrape(broker.http());
    let value = |name: &str| *series.get(name).unwrap_or_else(|| panic!("no series {name}"));
    assert_eq!(value("synod_topic_received_records_total{topic=\"orders\"}"), 3.0);
    assert_eq!(value("synod_topic_received_bytes_total{topic=\"orders\"}"), size);
    assert_eq!(value("synod_topic_sent_records_total{topic=\"orders\"}"), 3.0);
    assert_eq!(value("synod_topic_sent_bytes_total{topic=\"orders\"}"), size);
    assert_eq!(value("synod_request_duration_seconds_count{api=\"Produce\"}"), 2.0);
    assert!(value("synod_request_duration_seconds_count{api=\"Fetch\"}") >= 1.0);
    let refused = "{api=\"Produce\",error=\"UNKNOWN_TOPIC_OR_PARTITION\"}";
    assert_eq!(value(&format!("synod_request_errors_total{refused}")), 1.0);
    assert!(value("synod_sync_duration_seconds_count") >= 1.0);
    assert_eq!(value("synod_connections"), 1.0);
    assert!(value("synod_received_bytes_total") > size);
    assert!(value("synod_sent_bytes_total") > size);
    assert_eq!(value("synod_connections_accepted_total"), 1.0);
    assert!(value("synod_request_memory_limit_bytes") > 0.0);
    let partition = "{topic=\"orders\",partition=\"1\"}";
    for (name, expected) in [
        ("synod_partition_log_start_offset", 0.0),
        ("synod_partition_log_end_offset", 3.0),
        ("synod_partition_high_watermark", 3.0),
        ("synod_partition_size_bytes", size),
        ("kafka_topic_partition_current_offset", 3.0),
        ("kafka_topic_partition_oldest_offset", 0.0),
        ("kafka_topic_partition_leader", 1.0),
        ("kafka_topic_partition_replicas", 1.0),
        ("kafka_topic_partition_in_sync_replica", 1.0),
        ("kafka_topic_partition_under_replicated_partition", 0.0),
    ] {
        assert_eq!(value(&format!("{name}{partition}")), expected, "{name}");
    }
    assert_eq!(value("kafka_topic_partitions{topic=\"orders\"}"), 2.0);
    assert_eq!(value("kafka_brokers"), 1.0);
}

#[test]
fn bytes_that_are_no_request_are_counted() {
    let broker = Broker::start();
    let mut connection = Connection::open(broker.kafka());
    connection.send_bytes(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    assert!(connection.is_closed_silently());
    // The client may see the end before it is counted.
    let deadline = Instant::now() + READ_TIMEOUT;
    while scrape(broker.http())["synod_connections_closed_total{reason=\"invalid\"}"] != 1.0 {
        assert!(Instant::now() < deadline, "never counted");
    }
}

/// How long a cluster may take to become what a test waits for.
const PATIENCE: Duration = Duration::from_secs(90);

/// Partitions of the topic that is spread over the cluster, one replica each.
const SPREAD: i32 = 6;

/// Three brokers, and a group that stands somewhere in a topic that is spread over them.
struct Spread {
    brokers: Brokers,
    runtime: tokio::runtime::Runtime,
    admin: Admin,
    producer: Producer,
    _directory: tempfile::TempDir,
}

impl Spread {
    fn start() -> Spread {
        let (brokers, directory) = start_three(&[], PATIENCE);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let config = ClientConfig::new(brokers.bootstrap());
        let cluster = runtime.block_on(Cluster::connect(config)).expect("a broker answers");
        let admin = Admin::new(cluster.clone());
        let topic = NewTopic::new("spread").partitions(SPREAD).replicas(1);
        runtime.block_on(admin.create_topic(topic)).expect("a topic");
        let producer =
            runtime.block_on(async { Producer::new(cluster, ProducerConfig::default()) });
        let producer = producer.expect("a producer");
        Spread { brokers, runtime, admin, producer, _directory: directory }
    }

    /// Writes so many records to each partition.
    fn write(&self, count: usize) {
        self.runtime.block_on(async {
            for partition in (0..SPREAD).cycle().take(count * SPREAD as usize) {
                let record = ProducerRecord::new("spread").partition(partition).value("x");
                drop(self.producer.send(record).await.expect("taken"));
            }
            self.producer.flush().await;
        });
    }

    fn commit(&self, offset: i64) {
        let place = |at| (TopicPartition::new("spread", at), CommittedOffset::new(offset));
        let places = (0..SPREAD).map(place).collect();
        let done = self.admin.alter_group_offsets("reader", &places);
        let done = self.runtime.block_on(done).expect("a coordinator answers");
        assert!(done.values().all(Result::is_ok), "{done:?}");
    }

    /// All that the brokers tell of the group in one family, as sorted values.
    fn told(&self, family: &str) -> Vec<f64> {
        let mut values = Vec::new();
        for node in self.brokers.nodes() {
            let told = scrape(self.brokers.http(node).expect("it is ready")).into_iter();
            let own = told.filter(|(series, _)| {
                let labels = series.strip_prefix(family).unwrap_or_default();
                labels.starts_with('{') && labels.contains("consumergroup=\"reader\"")
            });
            values.extend(own.map(|(_, value)| value));
        }
        values.sort_by(f64::total_cmp);
        values
    }

    /// Waits until the lag in each partition is told, once, and this.
    fn until_lag_is(&self, lag: f64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = self.told("kafka_consumergroup_lag");
            if told == [lag; SPREAD as usize] {
                return;
            }
            assert!(Instant::now() < deadline, "{told:?} and not {lag} each");
        }
    }
}

#[test]
fn lag_is_told_of_partitions_wherever_they_are() {
    let spread = Spread::start();
    spread.write(10);
    spread.commit(7);
    let group = spread.runtime.block_on(spread.admin.group("reader")).expect("a group");
    let topic = spread.runtime.block_on(spread.admin.topic("spread")).expect("a topic");
    let elsewhere =
        topic.partitions.iter().filter(|it| !it.replicas.contains(&group.coordinator)).count();
    assert!(elsewhere > 0, "all partitions are beside the coordinator: {topic:?}");
    spread.until_lag_is(3.0);
    let seconds = spread.told("synod_group_lag_seconds");
    assert_eq!(seconds.len(), SPREAD as usize);
    assert!(seconds.iter().all(|seconds| (0.001..600.0).contains(seconds)), "{seconds:?}");
    spread.write(5);
    spread.until_lag_is(8.0);
    spread.commit(15);
    spread.until_lag_is(0.0);
    assert_eq!(spread.told("synod_group_lag_seconds"), [0.0; SPREAD as usize]);
}
