//! The client's consumer groups against a live broker: one that the test starts, or the one that
//! `SYNOD_INTEROP_BROKERS` names (for example a real Apache Kafka, see `tests/oracle`).

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use support::broker::Broker;
use synod_client::admin::{Admin, NewTopic};
use synod_client::cluster::TopicPartition;
use synod_client::consumer::{
    Assignor, CommittedOffset, Consumer, ConsumerConfig, ConsumerEvent, GroupConfig,
};
use synod_client::producer::{Producer, ProducerConfig, ProducerRecord};
use synod_client::{ClientConfig, Cluster};

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// A name that no other test uses, also not in an earlier run against the same broker.
fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock").as_micros();
    format!("{name}-{now}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A broker whose groups do not wait long for their first members.
fn broker() -> Broker {
    Broker::external_or_start_with(&["--set", "groups.initial_rebalance_delay=100ms"])
}

async fn cluster(broker: &Broker) -> Cluster {
    Cluster::connect(ClientConfig::new([broker.kafka()])).await.expect("the broker answers")
}

/// A topic with these many partitions, and records that are numbers from 0.
async fn filled(broker: &Broker, partitions: i32, count: usize) -> String {
    let topic = unique("groups");
    let cluster = cluster(broker).await;
    let new = NewTopic::new(&topic).partitions(partitions);
    Admin::new(cluster.clone()).create_topic(new).await.expect("a topic");
    let producer = Producer::new(cluster, ProducerConfig::default()).expect("a producer");
    let mut deliveries = Vec::new();
    for number in 0..count {
        let record = ProducerRecord::new(topic.as_str())
            .partition(number as i32 % partitions)
            .value(number.to_string());
        deliveries.push(producer.send(record).await.expect("taken"));
    }
    for delivery in deliveries {
        delivery.await.expect("written");
    }
    topic
}

fn group(name: &str) -> GroupConfig {
    GroupConfig::new(name)
        .heartbeat_interval(Duration::from_millis(200))
        .session_timeout(Duration::from_secs(10))
        .max_poll_interval(Duration::from_secs(20))
}

async fn member(broker: &Broker, group: GroupConfig, topic: &str) -> Consumer {
    let config = ConsumerConfig::default().group(group).max_fetch_wait(Duration::from_millis(50));
    let mut consumer = Consumer::new(cluster(broker).await, config).expect("a consumer");
    consumer.subscribe([topic]).expect("subscribed");
    consumer
}

fn number(value: Option<bytes::Bytes>) -> usize {
    std::str::from_utf8(&value.expect("a value")).expect("text").parse().expect("a number")
}

/// Polls all members until they share the partitions as given; returns what was read meanwhile.
async fn until_shares(members: &mut [&mut Consumer], expected: &[usize]) -> Vec<usize> {
    let mut read = Vec::new();
    let all = async {
        loop {
            let mut shares = Vec::new();
            for member in members.iter_mut() {
                let records = member.poll(Duration::from_millis(50)).await.expect("polled");
                read.extend(records.into_iter().map(|record| number(record.value)));
                shares.push(member.assignment().count());
            }
            if shares == expected {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("the group settles");
    read
}

#[tokio::test]
async fn members_share_take_over_and_go_on_where_the_group_left_off() {
    let broker = broker();
    for assignor in
        [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky]
    {
        let topic = filled(&broker, 4, 400).await;
        let name = unique("share");
        let settings = group(&name).assignors([assignor]);
        let mut first = member(&broker, settings.clone(), &topic).await;
        let mut read = until_shares(&mut [&mut first], &[4]).await;
        let mut second = member(&broker, settings.clone(), &topic).await;
        read.extend(until_shares(&mut [&mut first, &mut second], &[2, 2]).await);
        let apart: BTreeSet<_> = first.assignment().chain(second.assignment()).cloned().collect();
        assert_eq!(apart.len(), 4, "{assignor:?}: no partition has two owners");
        first.close().await;
        read.extend(until_shares(&mut [&mut second], &[4]).await);
        let rest = async {
            while BTreeSet::from_iter(&read).len() < 400 {
                let records = second.poll(Duration::from_millis(50)).await.expect("polled");
                read.extend(records.into_iter().map(|record| number(record.value)));
            }
        };
        tokio::time::timeout(PATIENCE, rest).await.expect("every record is read");
        assert_eq!(read.len(), 400, "{assignor:?}: in good order, nothing is read twice");
        second.close().await;

        // All is committed: a later member has nothing to read.
        let mut later = member(&broker, settings, &topic).await;
        assert_eq!(until_shares(&mut [&mut later], &[4]).await, [0usize; 0], "{assignor:?}");
        let all: Vec<_> = (0..4).map(|index| TopicPartition::new(topic.as_str(), index)).collect();
        let committed = later.committed(&all).await.expect("answered");
        assert!(committed.values().all(|committed| committed.offset == 100), "{committed:?}");
        later.close().await;
    }
}

#[tokio::test]
async fn a_member_commits_by_hand_while_it_is_told_to_let_go() {
    let broker = broker();
    let topic = filled(&broker, 2, 20).await;
    let name = unique("manual");
    let settings = group(&name).auto_commit(None);
    let mut first = member(&broker, settings.clone(), &topic).await;
    let mut seen = 0;
    while seen < 20 {
        let event = tokio::time::timeout(PATIENCE, first.next_event()).await.expect("in time");
        match event.expect("an event") {
            ConsumerEvent::Assigned(partitions) => assert_eq!(partitions.len(), 2),
            ConsumerEvent::Records(records) => seen += records.len(),
            other => panic!("{other:?}"),
        }
    }
    let all: Vec<_> = (0..2).map(|index| TopicPartition::new(topic.as_str(), index)).collect();
    assert!(first.committed(&all).await.expect("answered").is_empty());
    let second = member(&broker, settings, &topic).await;
    let other = tokio::spawn(async move {
        let mut second = second;
        until_shares(&mut [&mut second], &[1]).await
    });
    let revoked = loop {
        let event = tokio::time::timeout(PATIENCE, first.next_event()).await.expect("in time");
        if let ConsumerEvent::Revoking(partitions) = event.expect("an event") {
            break partitions;
        }
    };
    assert_eq!(revoked, all, "eager members let go all");
    let mut offset = CommittedOffset::new(7);
    offset.metadata = "by hand".into();
    let half = [(all[0].clone(), offset.clone())].into();
    first.commit_offsets(half).await.expect("still a member");
    first.commit().await.expect("still a member");
    until_shares(&mut [&mut first], &[1]).await;
    assert_eq!(other.await.expect("no panic"), [0usize; 0], "the other goes on behind it");
    let committed = first.committed(&all).await.expect("answered");
    assert_eq!(committed[&all[1]].offset, 10);
    first.close().await;
}

#[tokio::test]
async fn a_static_member_that_comes_back_disturbs_nobody() {
    let broker = broker();
    let topic = filled(&broker, 4, 40).await;
    let name = unique("static");
    let settings = group(&name).assignors([Assignor::Range]);
    let mut stays = member(&broker, settings.clone().instance_id("a"), &topic).await;
    let mut goes = member(&broker, settings.clone().instance_id("b"), &topic).await;
    until_shares(&mut [&mut stays, &mut goes], &[2, 2]).await;
    let before: Vec<_> = goes.assignment().cloned().collect();
    goes.close().await;
    let mut back = member(&broker, settings.instance_id("b"), &topic).await;
    until_shares(&mut [&mut stays, &mut back], &[2, 2]).await;
    assert_eq!(back.assignment().cloned().collect::<Vec<_>>(), before);
    back.close().await;
    stays.close().await;
}

/// Exit code, standard output and standard error of a command.
fn run(broker: &Broker, args: &[&str]) -> (i32, String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_synod"));
    let output = command.env("SYNOD_BROKERS", broker.kafka()).args(args).output();
    let output = output.expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("it exits"), text(output.stdout), text(output.stderr))
}

/// What a command prints as JSON; it must succeed.
fn json(broker: &Broker, args: &[&str]) -> serde_json::Value {
    let (code, printed, error) = run(broker, args);
    assert_eq!((code, error.as_str()), (0, ""), "{args:?}");
    serde_json::from_str(&printed).expect("JSON")
}

#[tokio::test]
async fn groups_are_shown_moved_and_deleted_by_command() {
    let broker = broker();
    let topic = filled(&broker, 2, 20).await;
    let name = unique("command");
    let (code, printed, error) = run(&broker, &["consume", "-g", &name, &topic, "-e"]);
    assert_eq!((code, printed.lines().count(), error.as_str()), (0, 20, ""));

    let listed = json(&broker, &["group", "list", "-J"]);
    let listed = listed.as_array().expect("a list").iter().find(|group| group["group"] == *name);
    assert_eq!(listed.expect("it is listed")["state"], "Empty");
    let described = json(&broker, &["group", "describe", &name, "-J"]);
    let places = described[0]["partitions"].as_array().expect("a list");
    assert_eq!(places.len(), 2);
    assert!(places.iter().all(|place| place["lag"] == 0 && place["lag_seconds"] == 0.0));

    let reset = ["group", "reset", &name, "--shift", "-3", "-J"];
    let planned = json(&broker, &[&reset[..], &["--dry-run"]].concat());
    assert_eq!((&planned[0]["before"], &planned[0]["after"]), (&10.into(), &7.into()));
    let described = json(&broker, &["group", "describe", &name, "-J"]);
    assert_eq!(described[0]["partitions"][0]["lag"], 0, "a dry run changes nothing");
    json(&broker, &reset);
    let described = json(&broker, &["group", "describe", &name, "-J"]);
    assert_eq!(described[0]["partitions"][0]["lag"], 3);
    assert!(described[0]["partitions"][0]["lag_seconds"].as_f64().expect("a number") > 0.0);

    let (code, _, error) = run(&broker, &["group", "reset", &name, "--to-datetime", "soon"]);
    assert_eq!(code, 2, "{error}");
    let first = format!("{topic}:0");
    let (code, _, error) = run(&broker, &["group", "offset-delete", &name, "-t", &first]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(run(&broker, &["group", "delete", &name]).0, 0);
    let (code, _, error) = run(&broker, &["group", "describe", &name]);
    assert!(code == 1 && error.contains(&name), "{error}");
    assert_eq!(run(&broker, &["cluster", "health"]).0, 0);
}

#[tokio::test]
async fn a_pattern_takes_in_topics_that_come_and_lets_go_of_those_that_go() {
    let broker = Broker::external_or_start();
    let prefix = unique("pattern");
    let config = ClientConfig::new([broker.kafka()]).metadata_max_age(Duration::from_millis(100));
    let cluster = Cluster::connect(config).await.expect("the broker answers");
    let admin = Admin::new(cluster.clone());
    for name in ["a", "b", "ab"] {
        let new = NewTopic::new(format!("{prefix}-{name}")).partitions(1);
        admin.create_topic(new).await.expect("a topic");
    }
    let settings = ConsumerConfig::default().group(group(&prefix));
    let mut consumer = Consumer::new(cluster, settings).expect("a consumer");
    let wrong = consumer.subscribe_pattern("(").await.expect_err("not an expression");
    assert!(wrong.to_string().contains("'('"), "{wrong}");
    consumer.subscribe_pattern(&format!("{prefix}-[a-z]")).await.expect("subscribed");
    let names = |names: &[&str]| -> BTreeSet<String> {
        names.iter().map(|name| format!("{prefix}-{name}")).collect()
    };
    let expect = async |consumer: &mut Consumer, expected: BTreeSet<String>| {
        let settled = async {
            loop {
                consumer.poll(Duration::from_millis(50)).await.expect("polled");
                let read: BTreeSet<String> =
                    consumer.assignment().map(|partition| partition.topic.to_string()).collect();
                if read == expected {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, settled).await.expect("the topics that match are read");
    };
    expect(&mut consumer, names(&["a", "b"])).await;
    let new = NewTopic::new(format!("{prefix}-c")).partitions(1);
    admin.create_topic(new).await.expect("a topic");
    expect(&mut consumer, names(&["a", "b", "c"])).await;
    admin.delete_topic(&format!("{prefix}-a")).await.expect("deleted");
    expect(&mut consumer, names(&["b", "c"])).await;
    consumer.close().await;
}

#[tokio::test]
async fn what_is_committed_names_the_round_of_what_was_read() {
    let broker = Broker::external_or_start();
    let topic = filled(&broker, 1, 10).await;
    let name = unique("round");
    let mut consumer = member(&broker, group(&name).auto_commit(None), &topic).await;
    let first = consumer.next().await.expect("a record");
    assert!(first.leader_epoch >= 0);
    let rest = consumer.poll(Duration::from_secs(20)).await.expect("the rest");
    assert_eq!(rest.len(), 9);
    consumer.commit().await.expect("committed");
    let partition = TopicPartition::new(topic.as_str(), 0);
    let committed = consumer.committed(std::slice::from_ref(&partition)).await.expect("known");
    let expected =
        CommittedOffset { leader_epoch: Some(first.leader_epoch), ..CommittedOffset::new(10) };
    assert_eq!(committed[&partition], expected);
    consumer.close().await;
    let mut later = member(&broker, group(&name), &topic).await;
    until_shares(&mut [&mut later], &[1]).await;
    assert_eq!(later.poll(Duration::from_millis(200)).await.expect("polled"), []);
    later.close().await;
}
