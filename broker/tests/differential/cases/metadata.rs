//! Metadata, with and without automatic creation.

use std::time::Instant;

use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::metadata_response::MetadataResponse;
use uuid::Uuid;

use crate::run::{Answer, Run, error, list};
use crate::support::wire::{READ_TIMEOUT, topic_name};

/// First version in which a request can ask that no topic be created.
const CHOICE_VERSION: i16 = 4;

pub(crate) fn run(run: &mut Run) {
    known(run);
    unknown(run);
    by_id(run);
    all_or_none(run);
    auto_create(run);
}

fn ask(run: &Run, version: i16, topics: Vec<MetadataRequestTopic>, create: bool) -> Answer<String> {
    let request = MetadataRequest::default()
        .with_topics(Some(topics))
        .with_allow_auto_topic_creation(create || version < CHOICE_VERSION);
    run.call(version, &request).map(|response| show(version, response))
}

fn named(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(Some(topic_name(name)))
}

fn identified(id: Uuid) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_topic_id(id).with_name(None)
}

fn show(version: i16, mut response: MetadataResponse) -> String {
    response.topics.sort_by(|a, b| a.name.cmp(&b.name));
    list(&response.topics, |topic| {
        let mut partitions = topic.partitions.clone();
        partitions.sort_by_key(|partition| partition.partition_index);
        let partitions = list(&partitions, |partition| {
            let leader = if partition.leader_id.0 == 1 { " led" } else { " not led" };
            let epoch = version < 7 || partition.leader_epoch >= 0;
            format!(
                "{} {}{leader}{} replicas {} in sync {}",
                partition.partition_index,
                error(partition.error_code),
                if epoch { "" } else { " without epoch" },
                partition.replica_nodes.len(),
                partition.isr_nodes.len()
            )
        });
        let id = if topic.topic_id.is_nil() { "" } else { " id" };
        let name = topic.name.as_ref().map(|name| name.as_str());
        let name = if name.is_some_and(|name| name.len() > 99) { Some("long") } else { name };
        let operations = topic.topic_authorized_operations;
        format!("{name:?} {}{id} {partitions} operations {operations}", error(topic.error_code))
    })
}

fn known(run: &mut Run) {
    let name = run.create("known", 2, &[]);
    for version in 0..=12 {
        let answer = ask(run, version, vec![named(&name)], false);
        run.note(&format!("metadata v{version}, one topic"), answer);
    }
    let answer = ask(run, 12, vec![named(&name), named(&name)], false);
    run.note("metadata, one topic twice", answer);
    let request = MetadataRequest::default()
        .with_topics(Some(vec![named(&name)]))
        .with_include_cluster_authorized_operations(true)
        .with_include_topic_authorized_operations(true);
    let answer = run.call(8, &request).map(|response| {
        let cluster = response.cluster_authorized_operations;
        format!("cluster {cluster} {}", show(8, response))
    });
    run.note("metadata v8, authorized operations", answer);
}

fn unknown(run: &mut Run) {
    let long = "n".repeat(250);
    for version in [4, 12] {
        for name in ["zzz", "../x", "", "a b", long.as_str()] {
            let answer = ask(run, version, vec![named(name)], false);
            let shown = if name.len() > 99 { "of 250 characters" } else { name };
            run.note(&format!("metadata v{version}, no such topic {shown:?}"), answer);
        }
    }
}

fn by_id(run: &mut Run) {
    let name = run.create("identified", 1, &[]);
    let request = MetadataRequest::default().with_topics(Some(vec![named(&name)]));
    let id = run.connect().call(12, &request).topics[0].topic_id;
    run.note("metadata v12, by id", ask(run, 12, vec![identified(id)], false));
    let unknown = Uuid::from_u128(7);
    run.note("metadata v12, by unknown id", ask(run, 12, vec![identified(unknown)], false));
    for version in [10, 11] {
        let topic = named(&name).with_topic_id(id);
        let answer = ask(run, version, vec![topic], false);
        run.note(&format!("metadata v{version}, by name and id"), answer);
        let answer = ask(run, version, vec![identified(id)], false);
        run.note(&format!("metadata v{version}, by id"), answer);
    }
}

fn all_or_none(run: &mut Run) {
    for (version, topics) in [(0, Some(Vec::new())), (1, Some(Vec::new())), (1, None), (12, None)] {
        let case = if topics.is_some() { "empty" } else { "null" };
        let request = MetadataRequest::default().with_topics(topics);
        let answer = run.call(version, &request).map(|response| {
            let head = format!(
                "brokers {} controller {} cluster named {}",
                response.brokers.len(),
                if version == 0 { 1 } else { response.controller_id.0 },
                version < 2 || response.cluster_id.is_some()
            );
            format!("{} topics, {head}", if response.topics.is_empty() { "no" } else { "all" })
        });
        run.note(&format!("metadata v{version}, {case} list"), answer);
    }
}

/// A first answer may or may not know the topic yet; clients ask again, and so does the case.
fn auto_create(run: &mut Run) {
    for version in [0, 3, 4, 12] {
        let name = run.topic(&format!("auto{version}"));
        let mut answer = ask(run, version, vec![named(&name)], true);
        let deadline = Instant::now() + READ_TIMEOUT;
        while matches!(&answer, Ok(text) if text.contains("[]")) && Instant::now() < deadline {
            answer = ask(run, version, vec![named(&name)], true);
        }
        run.note(&format!("metadata v{version}, creates the topic"), answer);
    }
    for name in ["../x", ""] {
        let answer = ask(run, 12, vec![named(name)], true);
        run.note(&format!("metadata v12, may create {name:?}"), answer);
    }
}
