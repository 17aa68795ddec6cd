//! Consumer groups of every client: two members, one of them killed, a third that goes on later.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestGroup};
use kafka_protocol::messages::{DescribeGroupsRequest, FindCoordinatorRequest, GroupId};
use serde_json::json;

use crate::client::Client;
use crate::fresh;
use crate::support::batch::Batch;
use crate::support::broker::Broker;
use crate::support::wire::{self, Connection, text};

const PARTITIONS: i32 = 4;

/// Records in each partition to begin with.
const RECORDS: i64 = 25;

/// Records that the first member commits before it only goes on to read.
const COMMITTED: i64 = 10;

/// Bound on every wait. It catches what never happens, nothing else.
const WAIT: Duration = Duration::from_secs(120);

/// The group as the broker knows it.
struct Watch {
    connection: Connection,
    group: String,
}

impl Watch {
    fn new(bootstrap: &str, group: &str) -> Watch {
        Watch { connection: Connection::open(bootstrap), group: group.to_owned() }
    }

    /// Its state and how many members it has.
    fn state(&mut self) -> (String, usize) {
        let group = GroupId(text(&self.group));
        let request = DescribeGroupsRequest::default().with_groups(vec![group]);
        let answer = self.connection.call(5, &request);
        (answer.groups[0].group_state.to_string(), answer.groups[0].members.len())
    }

    /// Its committed offsets by partition.
    fn committed(&mut self) -> BTreeMap<i32, i64> {
        let group = OffsetFetchRequestGroup::default().with_group_id(GroupId(text(&self.group)));
        let request = OffsetFetchRequest::default().with_groups(vec![group.with_topics(None)]);
        let answer = self.connection.call(8, &request);
        let all = answer.groups[0].topics.iter().flat_map(|topic| &topic.partitions);
        all.map(|one| (one.partition_index, one.committed_offset)).collect()
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {WAIT:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn write(bootstrap: &str, topic: &str, count: i64) {
    let values: Vec<String> = (0..count).map(|value| value.to_string()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let connection = &mut Connection::open(bootstrap);
    for partition in 0..PARTITIONS {
        let records = Batch::of(&values).encode();
        let answer = connection.call(9, &wire::produce_request(topic, partition, -1, records));
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
}

/// Runs a member until it has read that many records; it commits them and leaves.
fn read(client: Client, bootstrap: &str, topic: &str, group: &str, want: i64) -> Vec<(i32, i64)> {
    let job = json!({ "do": "group", "topic": topic, "group": group, "want": want });
    let results = client.run(bootstrap, &[job]);
    let mut places: Vec<(i32, i64)> =
        serde_json::from_value(results[0].clone()).expect("places from a driver");
    places.sort_unstable();
    places
}

fn survives(client: Client) {
    let broker = Broker::start_with(&["--set", "groups.initial_rebalance_delay=500ms"]);
    let bootstrap = broker.kafka().to_owned();
    let (topic, group) = (fresh("group"), fresh(client.name()));
    wire::create_topic(&mut Connection::open(&bootstrap), &topic, PARTITIONS, &[]);
    write(&bootstrap, &topic, RECORDS);
    let find = FindCoordinatorRequest::default().with_key(text(&group));
    Connection::open(&bootstrap).call(2, &find);
    let mut watch = Watch::new(&bootstrap, &group);

    let job = json!({ "do": "group", "topic": topic, "group": group, "commit": COMMITTED });
    let mut victim = client.start(&bootstrap, &[job]);
    until("the first member commits", || {
        assert!(victim.try_wait().expect("a child").is_none(), "{}: it ended", client.name());
        watch.committed().values().sum::<i64>() == COMMITTED
    });
    let committed = watch.committed();
    let survivor = {
        let (bootstrap, topic, group) = (bootstrap.clone(), topic.clone(), group.clone());
        let want = RECORDS * i64::from(PARTITIONS) - COMMITTED;
        thread::spawn(move || read(client, &bootstrap, &topic, &group, want))
    };
    until("both are members", || watch.state() == ("Stable".to_owned(), 2));
    victim.kill().expect("the first member can be killed");
    victim.wait().expect("the first member can be waited for");
    let places = survivor.join().expect("the second member");
    let from = |partition: i32| committed.get(&partition).copied().unwrap_or_default();
    let expected: Vec<(i32, i64)> = (0..PARTITIONS)
        .flat_map(|partition| (from(partition)..RECORDS).map(move |offset| (partition, offset)))
        .collect();
    assert_eq!(places, expected, "{}: everything that was not committed", client.name());
    until("the group is empty", || watch.state() == ("Empty".to_owned(), 0));
    let all: BTreeMap<i32, i64> = (0..PARTITIONS).map(|partition| (partition, RECORDS)).collect();
    assert_eq!(watch.committed(), all, "{}", client.name());

    write(&bootstrap, &topic, 1);
    let later = read(client, &bootstrap, &topic, &group, PARTITIONS.into());
    let expected: Vec<(i32, i64)> = (0..PARTITIONS).map(|partition| (partition, RECORDS)).collect();
    assert_eq!(later, expected, "{}: it goes on where the group stopped", client.name());
}

#[test]
fn group_of_confluent_kafka() {
    survives(Client::Confluent);
}

#[test]
fn group_of_kafka_python_3() {
    survives(Client::KafkaPython3);
}

#[test]
fn group_of_kafka_python_2() {
    survives(Client::KafkaPython2);
}

#[test]
fn group_of_aiokafka() {
    survives(Client::Aiokafka);
}

#[test]
fn group_of_kafkajs() {
    survives(Client::Kafkajs);
}

#[test]
fn group_of_java() {
    survives(Client::Java);
}

#[test]
fn group_of_franz_go() {
    survives(Client::FranzGo);
}
