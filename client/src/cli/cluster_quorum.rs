//! `synod cluster brokers` and `synod cluster paxos`

use std::collections::BTreeMap;

use serde::Serialize;

use super::cluster::{BrokersArgs, PaxosArgs};
use super::output::{Failure, complain, print_json, print_table, shown};
use crate::admin::{Admin, RegisteredBroker, ReplicaRole, ReplicaStanding};
use crate::cluster::TopicPartition;

/// The name under which the metadata group's own log is told.
const METADATA_TOPIC: &str = "__cluster_metadata";

type Standings = BTreeMap<TopicPartition, ReplicaStanding>;

/// A registered broker, and what it answers.
struct Asked {
    broker: RegisteredBroker,
    answer: Result<Standings, String>,
}

/// Asks every registered broker where its replicas stand. One that is down is part of the picture.
async fn ask(admin: &Admin) -> Result<Vec<Asked>, Failure> {
    let brokers = admin.registered_brokers().await?;
    let answers = brokers.iter().map(|broker| admin.replicas(broker.id));
    let answers = futures_util::future::join_all(answers).await;
    let asked = brokers.into_iter().zip(answers).map(|(broker, answer)| {
        let answer = answer.map(|replicas| replicas.into_iter().collect());
        let answer = answer.map_err(|error| match broker.lost {
            true => format!("the cluster does not hear from it: {error}"),
            false => error.to_string(),
        });
        Asked { broker, answer }
    });
    Ok(asked.collect())
}

/// Names those that did not answer, with their addresses, beside the tables.
fn name_silent(asked: &[Asked]) {
    for Asked { broker, answer } in asked {
        if let Err(error) = answer {
            complain(&format!("broker {} at {}: {error}", broker.id, broker.kafka));
        }
    }
}

#[derive(Serialize)]
struct BrokerLine<'a> {
    #[serde(flatten)]
    broker: &'a RegisteredBroker,
    controller: bool,
    /// Partitions that it holds and leads, the metadata group aside.
    replicas: usize,
    leads: usize,
    error: Option<&'a str>,
}

pub(super) async fn brokers(args: BrokersArgs) -> Result<(), Failure> {
    let admin = args.admin.admin().await?;
    let asked = ask(&admin).await?;
    let metadata = TopicPartition::new(METADATA_TOPIC, 0);
    let leads = |it: &&ReplicaStanding| it.role == ReplicaRole::Leader;
    let lines = asked.iter().map(|Asked { broker, answer }| {
        let data = || answer.iter().flatten().filter(|(at, _)| **at != metadata);
        let own = answer.as_ref().ok().and_then(|held| held.get(&metadata));
        BrokerLine {
            broker,
            controller: own.as_ref().is_some_and(leads),
            replicas: data().count(),
            leads: data().map(|(_, it)| it).filter(leads).count(),
            error: answer.as_ref().err().map(String::as_str),
        }
    });
    let lines: Vec<BrokerLine<'_>> = lines.collect();
    if args.admin.json {
        return print_json(&lines);
    }
    let rows = lines.iter().map(|line| {
        let state = match line.error {
            _ if line.broker.lost => "lost",
            Some(_) => "silent",
            None if line.controller => "up, controller",
            None => "up",
        };
        [
            line.broker.id.to_string(),
            line.broker.kafka.clone(),
            shown(line.broker.peer.as_ref()),
            shown(line.broker.http.as_ref()),
            shown(line.broker.rack.as_ref()),
            line.broker.start.to_string(),
            line.replicas.to_string(),
            line.leads.to_string(),
            state.to_owned(),
        ]
    });
    let heading =
        ["BROKER", "KAFKA", "PEER", "HTTP", "RACK", "START", "REPLICAS", "LEADS", "STATE"];
    print_table(heading, &rows.collect::<Vec<_>>())?;
    name_silent(&asked);
    Ok(())
}

#[derive(Serialize)]
struct PaxosLine<'a> {
    topic: &'a str,
    partition: i32,
    /// The replica set in order; the first is the preferred leader.
    replicas: &'a [i32],
    broker: i32,
    /// Offsets that it lacks of what some replica holds.
    lag: Option<u64>,
    #[serde(flatten)]
    standing: Option<&'a ReplicaStanding>,
    error: Option<&'a str>,
}

pub(super) async fn paxos(args: PaxosArgs) -> Result<(), Failure> {
    let admin = args.admin.admin().await?;
    let asked = ask(&admin).await?;
    let topics = admin.topics().await?;
    let mut sets: BTreeMap<TopicPartition, Vec<i32>> = BTreeMap::new();
    let everybody = asked.iter().map(|it| it.broker.id).collect();
    sets.insert(TopicPartition::new(METADATA_TOPIC, 0), everybody);
    for topic in &topics {
        for partition in &topic.partitions {
            let at = TopicPartition::new(&*topic.name, partition.index);
            sets.insert(at, partition.replicas.clone());
        }
    }
    if let Some(topic) = &args.topic {
        sets.retain(|at, _| &*at.topic == topic.as_str());
        if sets.is_empty() {
            return Err(Failure::failed(format!("there is no topic {topic}")));
        }
    }
    let lines: Vec<PaxosLine<'_>> =
        sets.iter().flat_map(|(at, set)| partition_lines(at, set, &asked)).collect();
    if args.admin.json {
        return print_json(&lines);
    }
    let heading = [
        "TOPIC",
        "PARTITION",
        "BROKER",
        "ROLE",
        "PROMISED",
        "ACCEPTED",
        "START",
        "DECIDED",
        "DURABLE",
        "END",
        "LAG",
    ];
    print_table(heading, &lines.iter().map(row).collect::<Vec<_>>())?;
    name_silent(&asked);
    Ok(())
}

/// A line for each member of a partition's replica set.
fn partition_lines<'a>(
    at: &'a TopicPartition,
    set: &'a [i32],
    asked: &'a [Asked],
) -> Vec<PaxosLine<'a>> {
    let of = |broker: i32| asked.iter().find(|it| it.broker.id == broker);
    let standing = |broker| of(broker)?.answer.as_ref().ok()?.get(at);
    let end = set.iter().filter_map(|broker| Some(standing(*broker)?.log_end)).max();
    let line = |broker: &i32| {
        let standing = standing(*broker);
        PaxosLine {
            topic: &at.topic,
            partition: at.partition,
            replicas: set,
            broker: *broker,
            lag: end.zip(standing).map(|(end, it)| end.saturating_sub(it.durable_end)),
            standing,
            error: of(*broker).and_then(|it| it.answer.as_ref().err()).map(String::as_str),
        }
    };
    set.iter().map(line).collect()
}

fn row(line: &PaxosLine<'_>) -> [String; 11] {
    let show =
        |of: fn(&ReplicaStanding) -> String| line.standing.map_or_else(|| "-".to_owned(), of);
    let role = match line.standing {
        Some(it) if it.faulty_end.is_some() => format!("{}, faulty", it.role),
        Some(it) => it.role.to_string(),
        None if line.error.is_some() => "silent".into(),
        None => "absent".into(),
    };
    [
        line.topic.to_owned(),
        line.partition.to_string(),
        line.broker.to_string(),
        role,
        show(|it| it.promised.to_string()),
        show(|it| it.accepted.to_string()),
        show(|it| it.log_start.to_string()),
        show(|it| it.decided_end.to_string()),
        show(|it| it.durable_end.to_string()),
        show(|it| it.log_end.to_string()),
        shown(line.lag),
    ]
}
