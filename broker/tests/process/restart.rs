//! What a broker knows, it knows after a restart.

use kafka_protocol::messages::delete_topics_request::DeleteTopicsRequest;
use kafka_protocol::messages::metadata_request::MetadataRequest;
use kafka_protocol::messages::metadata_response::MetadataResponse;

use crate::load::Load;
use crate::support::broker::Broker;
use crate::support::random::Random;
use crate::support::wire::{Connection, create_topic, text, topic_name};

fn metadata(broker: &Broker) -> MetadataResponse {
    let mut connection = Connection::open(broker.kafka());
    let mut response = connection.call(12, &MetadataRequest::default().with_topics(None));
    response.topics.sort_by(|a, b| a.name.cmp(&b.name));
    response
}

#[test]
fn topics_ids_and_configs_stay() {
    let mut broker = Broker::start();
    let connection = &mut Connection::open(broker.kafka());
    create_topic(connection, "a", 3, &[("retention.ms", "123456"), ("cleanup.policy", "compact")]);
    create_topic(connection, "b", 1, &[]);
    create_topic(connection, "gone", 2, &[]);
    let request = DeleteTopicsRequest::default()
        .with_topic_names(vec![topic_name("gone")])
        .with_timeout_ms(10_000);
    assert_eq!(connection.call(5, &request).responses[0].error_code, 0);
    let before = metadata(&broker);
    let names: Vec<_> = before.topics.iter().filter_map(|topic| topic.name.clone()).collect();
    assert_eq!(names, [topic_name("a"), topic_name("b")]);
    let configs = describe(&broker, "a");
    for graceful in [true, false] {
        if graceful {
            broker.terminate();
        } else {
            broker.kill();
        }
        broker.restart();
        let after = metadata(&broker);
        assert_eq!(after.cluster_id, before.cluster_id);
        assert_eq!(after.topics.len(), before.topics.len());
        for (after, before) in after.topics.iter().zip(&before.topics) {
            assert_eq!((&after.name, after.topic_id), (&before.name, before.topic_id));
            assert_eq!(after.partitions.len(), before.partitions.len());
            assert!(after.partitions.iter().all(|partition| partition.error_code == 0));
        }
        assert_eq!(describe(&broker, "a"), configs);
    }
}

/// Nothing that clients do in good order is worth a warning.
#[test]
fn an_ordinary_day_leaves_no_warning_in_the_log() {
    let mut random = Random::from_environment();
    let mut broker = Broker::start();
    let connection = &mut Connection::open(broker.kafka());
    for round in 0..5 {
        let name = format!("day-{round}");
        create_topic(connection, &name, 4, &[("retention.ms", "123456")]);
        let mut load = Load::idempotent(&name, connection);
        load.run(connection, 5, &mut random);
        load.finish(connection);
        load.check(connection);
        let request = DeleteTopicsRequest::default()
            .with_topic_names(vec![topic_name(&name)])
            .with_timeout_ms(10_000);
        assert_eq!(connection.call(5, &request).responses[0].error_code, 0);
    }
    let (status, _, stderr) = broker.terminate();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(!stderr.contains(" WARN ") && !stderr.contains(" ERROR "), "{stderr}");
}

/// Every config of a topic: name, value, source.
fn describe(broker: &Broker, topic: &str) -> Vec<(String, Option<String>, i8)> {
    use kafka_protocol::messages::describe_configs_request::{
        DescribeConfigsRequest, DescribeConfigsResource,
    };
    const TOPIC: i8 = 2;
    let resource = DescribeConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(topic))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let response = Connection::open(broker.kafka()).call(4, &request);
    let configs = response.results[0].configs.iter().map(|config| {
        let value = config.value.as_ref().map(|value| value.to_string());
        (config.name.to_string(), value, config.config_source)
    });
    let mut configs: Vec<_> = configs.collect();
    configs.sort();
    assert!(configs.contains(&("retention.ms".to_owned(), Some("123456".to_owned()), 1)));
    configs
}

/// The leader epoch, which is the round, never goes back; producer ids are never handed out twice.
#[test]
fn epochs_grow_and_producer_ids_are_new() {
    let mut broker = Broker::start();
    create_topic(&mut Connection::open(broker.kafka()), "t", 1, &[]);
    let mut random = Random::from_environment();
    let mut last_epoch = -1;
    let mut producers = Vec::new();
    for _ in 0..4 {
        let connection = &mut Connection::open(broker.kafka());
        let epoch = metadata(&broker).topics[0].partitions[0].leader_epoch;
        assert!(epoch > last_epoch, "leader epoch {epoch} after {last_epoch}");
        last_epoch = epoch;
        let mut load = Load::idempotent("t", connection);
        let id = load.producer_id().expect("an idempotent producer");
        assert!(!producers.contains(&id), "producer id {id} handed out twice");
        producers.push(id);
        load.run(connection, 3, &mut random);
        load.finish(connection);
        broker.kill();
        broker.restart();
    }
}
