//! What brokers say of the cluster: the same from each, and all of it by command.

use std::process::{Command, Output};

use bytes::Bytes;
use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::{ApiKey, DescribeClusterRequest};
use kafka_protocol::protocol::Request;
use serde_json::Value;

use crate::cluster::TestCluster;
use crate::scrape::until;
use crate::support::wire::{Connection, frame, text, topic_name};

/// The frames of all requests about the cluster, in all versions, with what they are.
fn questions() -> Vec<(String, Vec<u8>)> {
    fn add<R: Request>(
        questions: &mut Vec<(String, Vec<u8>)>,
        version: i16,
        what: &str,
        request: &R,
    ) {
        let name = ApiKey::try_from(R::KEY).expect("a known key");
        questions.push((format!("{name:?} v{version}, {what}"), frame(7, version, request)));
    }
    let mut all = Vec::new();
    for version in 0..=12 {
        let none = if version == 0 { Some(Vec::new()) } else { None };
        let request = MetadataRequest::default().with_allow_auto_topic_creation(version < 4);
        add(&mut all, version, "all topics", &request.clone().with_topics(none));
        let topic = MetadataRequestTopic::default().with_name(Some(topic_name("asked")));
        add(&mut all, version, "one topic", &request.with_topics(Some(vec![topic])));
    }
    for version in 0..=1 {
        add(&mut all, version, "brokers", &DescribeClusterRequest::default());
    }
    for version in 0..=4 {
        let groups = ["a", "group", "another"].map(text);
        let request = FindCoordinatorRequest::default();
        if version >= 4 {
            add(&mut all, version, "groups", &request.with_coordinator_keys(groups.into()));
        } else {
            for group in groups {
                add(&mut all, version, "a group", &request.clone().with_key(group));
            }
        }
    }
    all
}

/// Each broker's answer to each question.
fn answers(cluster: &TestCluster, nodes: &[u32]) -> Vec<(String, Vec<Bytes>)> {
    let mut connections: Vec<Connection> =
        nodes.iter().map(|node| Connection::open(&cluster.kafka(*node).to_string())).collect();
    let mut answered = Vec::new();
    for (what, frame) in questions() {
        let answers = connections.iter_mut().map(|connection| {
            connection.send_bytes(&frame).expect("sent");
            connection.receive_frame().expect("answered")
        });
        answered.push((what, answers.collect()));
    }
    answered
}

/// Waits until the brokers have heard of the same; fails with what they go on to say differently.
async fn agree(cluster: &TestCluster, nodes: &[u32]) {
    let mut different = Vec::new();
    until("all brokers answer alike", || {
        let answers = answers(cluster, nodes);
        different = answers
            .into_iter()
            .filter(|(_, answers)| answers.iter().any(|answer| *answer != answers[0]))
            .map(|(what, _)| what)
            .collect();
        if !different.is_empty() {
            println!("different: {different:?}");
        }
        different.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_broker_gives_the_same_answers_byte_for_byte() {
    let mut cluster = TestCluster::start(3).await;
    cluster.create(&[("asked", 5), ("other", 2)], 3).await;
    agree(&cluster, &[1, 2, 3]).await;
    // Also of brokers that are gone, and of leaders that have moved.
    cluster.kill(3);
    agree(&cluster, &[1, 2]).await;
}

fn synod(cluster: &TestCluster, node: u32, args: &[&str]) -> Output {
    let address = cluster.kafka(node).to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
    command.args(args).args(["-b", &address, "--timeout", "3"]).output().expect("it runs")
}

fn json(cluster: &TestCluster, node: u32, args: &[&str]) -> Vec<Value> {
    let output = synod(cluster, node, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    serde_json::from_slice(&output.stdout).expect("a list")
}

/// The lines of `cluster paxos` about one topic, once its leader shows and all who answer have
/// accepted its ballot and do not lag: a majority makes a leader, the others may hear of it later.
async fn settled(cluster: &TestCluster, node: u32, topic: &str) -> Vec<Value> {
    let mut lines = Vec::new();
    until("one leader that all follow, and no lag", || {
        lines = json(cluster, node, &["cluster", "paxos", topic, "--json"]);
        let mut leaders = lines.iter().filter(|line| line["role"] == "leader");
        let (Some(leader), None) = (leaders.next(), leaders.next()) else { return false };
        let mut answers = lines.iter().filter(|line| line["error"] == Value::Null);
        answers.all(|line| line["accepted"] == leader["promised"] && line["lag"] == 0)
    })
    .await;
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_show_brokers_and_replicas_dead_ones_included() {
    let mut cluster = TestCluster::start(3).await;
    cluster.create(&[("shown", 1)], 3).await;
    for node in 1..=3 {
        let brokers = json(&cluster, node, &["cluster", "brokers", "-J"]);
        assert_eq!(brokers.len(), 3);
        assert_eq!(brokers.iter().filter(|broker| broker["controller"] == true).count(), 1);
        for (broker, id) in brokers.iter().zip(1..) {
            assert_eq!(broker["id"], id);
            assert_eq!(broker["kafka"], cluster.kafka(id).to_string());
            assert_eq!(broker["http"], cluster.http(id).expect("ready"));
            assert_eq!((&broker["start"], &broker["replicas"]), (&1.into(), &1.into()));
            assert_eq!((&broker["lost"], &broker["error"]), (&false.into(), &Value::Null));
        }
        for topic in ["shown", "__cluster_metadata"] {
            let lines = settled(&cluster, node, topic).await;
            assert_eq!(lines.len(), 3, "{lines:?}");
            let leader = lines.iter().find(|line| line["role"] == "leader").expect("a leader");
            for line in &lines {
                assert_eq!(line["promised"], leader["promised"]);
                assert_eq!(line["accepted"], leader["accepted"]);
                assert_eq!(line["promised"]["node"], leader["broker"]);
                assert_eq!(line["replicas"].as_array().map(Vec::len), Some(3));
            }
        }
    }
    let dead = 3;
    cluster.kill(dead);
    let lost = |cluster: &TestCluster| {
        let brokers = json(cluster, 1, &["cluster", "brokers", "--json"]);
        brokers[dead as usize - 1]["lost"] == true
    };
    until("the cluster misses it", || lost(&cluster)).await;
    let lines = settled(&cluster, 2, "shown").await;
    let silent = lines.iter().find(|line| line["broker"] == dead).expect("its line");
    assert!(silent["error"].is_string() && silent["promised"] == Value::Null, "{silent}");
    for command in [&["cluster", "brokers"][..], &["cluster", "paxos"]] {
        let output = synod(&cluster, 2, command);
        let errors = String::from_utf8_lossy(&output.stderr);
        let named = format!("broker {dead} at {}", cluster.kafka(dead));
        assert!(output.status.success() && errors.contains(&named), "{errors}");
        println!("{}", String::from_utf8_lossy(&output.stdout));
    }
    let output = synod(&cluster, 1, &["cluster", "paxos", "no-such-topic"]);
    assert_eq!(output.status.code(), Some(1));
}
