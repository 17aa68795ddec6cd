//! DeleteTopics and CreatePartitions.

use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
};
use kafka_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::{BrokerId, TopicName};
use uuid::Uuid;

use crate::run::{Answer, Run, error, list};
use crate::support::wire::topic_name;

pub(crate) fn run(run: &mut Run) {
    delete(run);
    add_partitions(run);
}

fn delete(run: &mut Run) {
    for version in [1, 4, 5, 6] {
        let answer = delete_named(run, version, &["nope"]);
        run.note(&format!("delete topic v{version}, unknown"), answer);
    }
    for name in ["", "../x"] {
        run.note(&format!("delete topic, name {name:?}"), delete_named(run, 6, &[name]));
    }
    let unknown = Uuid::from_u128(7);
    let answer = delete_states(run, vec![state(None, unknown)]);
    run.note("delete topic, unknown id", answer);
    let answer = delete_states(run, vec![state(None, Uuid::nil())]);
    run.note("delete topic, neither name nor id", answer);
    let name = run.create("both", 1, &[]);
    let answer = delete_states(run, vec![state(Some(&name), unknown)]);
    run.note("delete topic, name and id", answer);
    let name = run.create("twice", 1, &[]);
    run.note("delete topic, twice in one request", delete_named(run, 6, &[&name, &name]));
    run.note("delete topic, twice in one request v5", delete_named(run, 5, &[&name, &name]));
    run.note("delete topic, a good and an unknown one", delete_named(run, 6, &[&name, "zzz"]));
    run.note("delete topic, deleted before", delete_named(run, 6, &[&name]));
    run.note("delete topics, none", delete_named(run, 6, &[]));
    let name = run.create("by-id", 1, &[]);
    let id = topic_id(run, &name);
    run.note("delete topic, by id", delete_states(run, vec![state(None, id)]));
    run.note("delete topic, by id again", delete_states(run, vec![state(None, id)]));
}

fn state(name: Option<&str>, id: Uuid) -> DeleteTopicState {
    DeleteTopicState::default().with_name(name.map(topic_name)).with_topic_id(id)
}

fn delete_named(run: &Run, version: i16, names: &[&str]) -> Answer<String> {
    let request = DeleteTopicsRequest::default().with_timeout_ms(10_000);
    let request = if version >= 6 {
        request.with_topics(names.iter().map(|name| state(Some(name), Uuid::nil())).collect())
    } else {
        request.with_topic_names(names.iter().map(|name| topic_name(name)).collect())
    };
    send_delete(run, version, &request)
}

fn delete_states(run: &Run, topics: Vec<DeleteTopicState>) -> Answer<String> {
    send_delete(run, 6, &DeleteTopicsRequest::default().with_timeout_ms(10_000).with_topics(topics))
}

fn send_delete(run: &Run, version: i16, request: &DeleteTopicsRequest) -> Answer<String> {
    let mut response = run.call(version, request)?;
    response.responses.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(list(&response.responses, |topic| {
        let name = topic.name.as_ref().map(|name| name.to_string());
        format!("{name:?} {}", error(topic.error_code))
    }))
}

/// The id of an existing topic.
fn topic_id(run: &Run, name: &str) -> Uuid {
    let topic = MetadataRequestTopic::default().with_name(Some(TopicName(name.to_owned().into())));
    let request = MetadataRequest::default().with_topics(Some(vec![topic]));
    run.connect().call(12, &request).topics[0].topic_id
}

fn add_partitions(run: &mut Run) {
    let name = run.create("grows", 2, &[]);
    for count in [2, 1, 0, -1, i32::MAX] {
        let answer = grow(run, 3, &[(&name, count)], None, true);
        run.note(&format!("create partitions, 2 to {count}"), answer);
    }
    for unknown in ["nope", "../x", ""] {
        let answer = grow(run, 3, &[(unknown, 3)], None, false);
        run.note(&format!("create partitions, topic {unknown:?}"), answer);
    }
    let answer = grow(run, 3, &[(&name, 3), (&name, 4)], None, false);
    run.note("create partitions, one topic twice", answer);
    let cases: [(&str, i32, &[&[i32]]); 7] = [
        ("of too few", 4, &[&[1]]),
        ("of too many", 3, &[&[1], &[1]]),
        ("to an unknown broker", 3, &[&[7]]),
        ("to two brokers", 3, &[&[1, 2]]),
        ("to nobody", 3, &[&[]]),
        ("to one broker", 3, &[&[1]]),
        ("that is empty", 3, &[]),
    ];
    for (case, count, assignments) in cases {
        let answer = grow(run, 3, &[(&name, count)], Some(assignments), true);
        run.note(&format!("create partitions, assignment {case}"), answer);
    }
    run.note("create partitions, only validate", grow(run, 3, &[(&name, 3)], None, true));
    run.note("create partitions, 2 to 3", grow(run, 3, &[(&name, 3)], None, false));
    run.note("create partitions v0, 3 to 4", grow(run, 0, &[(&name, 4)], None, false));
    run.note("create partitions, 4 to 4", grow(run, 3, &[(&name, 4)], None, false));
}

fn grow(
    run: &Run,
    version: i16,
    topics: &[(&str, i32)],
    assignments: Option<&[&[i32]]>,
    validate_only: bool,
) -> Answer<String> {
    let assignments = assignments.map(|assignments| {
        let brokers = |ids: &&[i32]| ids.iter().map(|id| BrokerId(*id)).collect();
        let assign = |ids| CreatePartitionsAssignment::default().with_broker_ids(brokers(ids));
        assignments.iter().map(assign).collect::<Vec<_>>()
    });
    let topics = topics.iter().map(|(name, count)| {
        CreatePartitionsTopic::default()
            .with_name(topic_name(name))
            .with_count(*count)
            .with_assignments(assignments.clone())
    });
    let request = CreatePartitionsRequest::default()
        .with_topics(topics.collect())
        .with_timeout_ms(10_000)
        .with_validate_only(validate_only);
    let response = run.call(version, &request)?;
    Ok(list(&response.results, |topic| error(topic.error_code)))
}
