//! DescribeConfigs, DescribeLogDirs, DescribeCluster and ListPartitionReassignments.

use kafka_protocol::messages::DescribeClusterRequest;
use kafka_protocol::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::describe_log_dirs_request::{
    DescribableLogDirTopic, DescribeLogDirsRequest,
};
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequest;

use crate::run::{Answer, Run, error, list};
use crate::support::wire::{text, topic_name};

pub(crate) const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;

pub(crate) fn run(run: &mut Run) {
    topic_configs(run);
    resources(run);
    log_dirs(run);
    cluster(run);
}

/// Values and sources of some configs of a resource.
pub(crate) fn values(run: &Run, kind: i8, name: &str, keys: &[&str]) -> Answer<String> {
    describe(run, 4, kind, name, Some(keys), |config| {
        let value = config.value.as_ref().map(|value| value.to_string());
        format!("{}={value:?} source {}", config.name, config.config_source)
    })
}

fn describe(
    run: &Run,
    version: i16,
    kind: i8,
    name: &str,
    keys: Option<&[&str]>,
    show: impl Fn(&DescribeConfigsResourceResult) -> String,
) -> Answer<String> {
    let keys = keys.map(|keys| keys.iter().map(|key| text(key)).collect());
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(keys);
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true);
    let mut response = run.call(version, &request)?;
    let result = &mut response.results[0];
    result.configs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(format!("{} {}", error(result.error_code), list(&result.configs, show)))
}

/// Every topic config with all that is told about it, each as a case of its own.
fn topic_configs(run: &mut Run) {
    let name = run.create("described", 1, &[("retention.ms", "1000000"), ("segment.ms", "7")]);
    let names = describe(run, 4, TOPIC, &name, None, |config| config.name.to_string());
    run.note("describe topic configs, all names", names.clone());
    let names = names.unwrap_or_default();
    let names = names.trim_start_matches("ok [").trim_end_matches(']');
    for key in names.split(", ").filter(|key| !key.is_empty()) {
        let answer = describe(run, 4, TOPIC, &name, Some(&[key]), show_whole);
        run.note(&format!("describe topic config {key}"), answer);
    }
    for (case, keys) in [
        ("an unknown and a known name", Some(&["nope", "retention.ms"][..])),
        ("an unknown name", Some(&["nope"][..])),
    ] {
        let answer = describe(run, 4, TOPIC, &name, keys, |config| config.name.to_string());
        run.note(&format!("describe topic configs, {case}"), answer);
    }
    for version in [1, 2, 3] {
        let keys = Some(&["retention.ms"][..]);
        let answer = describe(run, version, TOPIC, &name, keys, show_whole);
        run.note(&format!("describe topic configs v{version}"), answer);
    }
}

fn show_whole(config: &DescribeConfigsResourceResult) -> String {
    let value = config.value.as_ref().map(|value| value.to_string());
    let synonyms = list(&config.synonyms, |synonym| {
        let value = synonym.value.as_ref().map(|value| value.to_string());
        format!("{}={value:?} source {}", synonym.name, synonym.source)
    });
    format!(
        "{value:?} type {} source {} read-only {} sensitive {} synonyms {synonyms}",
        config.config_type, config.config_source, config.read_only, config.is_sensitive
    )
}

fn resources(run: &mut Run) {
    for (case, kind, name) in [
        ("unknown topic", TOPIC, "zzz"),
        ("bad topic name", TOPIC, "../x"),
        ("empty topic name", TOPIC, ""),
        ("broker 1", BROKER, "1"),
        ("broker 9", BROKER, "9"),
        ("broker x", BROKER, "x"),
        ("kind 0", 0, "a"),
        ("kind 3", 3, "a"),
        ("kind 99", 99, "a"),
    ] {
        let answer =
            describe(run, 4, kind, name, Some(&["none"]), |config| config.name.to_string());
        run.note(&format!("describe configs, {case}"), answer);
    }
}

fn log_dirs(run: &mut Run) {
    let name = run.create("placed", 2, &[]);
    let topic = |name: &str, partitions: &[i32]| {
        DescribableLogDirTopic::default()
            .with_topic(topic_name(name))
            .with_partitions(partitions.to_vec())
    };
    for (case, topics) in [
        ("both partitions", vec![topic(&name, &[0, 1])]),
        ("an unknown partition", vec![topic(&name, &[9])]),
        ("an unknown topic", vec![topic("zzz", &[0])]),
        ("no topics", Vec::new()),
    ] {
        for version in [1, 4] {
            let request = DescribeLogDirsRequest::default().with_topics(Some(topics.clone()));
            let answer = run.call(version, &request).map(|response| {
                list(&response.results, |dir| {
                    let topics = list(&dir.topics, |topic| {
                        let mut partitions = topic.partitions.clone();
                        partitions.sort_by_key(|partition| partition.partition_index);
                        let partitions = list(&partitions, |partition| {
                            let lag = partition.offset_lag;
                            format!(
                                "{} size {} lag {lag}",
                                partition.partition_index, partition.partition_size
                            )
                        });
                        format!("{} {partitions}", topic.name.as_str())
                    });
                    let sized = dir.total_bytes > 0 && dir.usable_bytes > 0;
                    format!("{} {topics} sized {sized}", error(dir.error_code))
                })
            });
            run.note(&format!("describe log dirs v{version}, {case}"), answer);
        }
    }
}

fn cluster(run: &mut Run) {
    for (version, kind, operations) in [(0, 1, false), (1, 1, true), (1, 2, false), (1, 9, false)] {
        let request = DescribeClusterRequest::default()
            .with_endpoint_type(kind)
            .with_include_cluster_authorized_operations(operations);
        let answer = run.call(version, &request).map(|response| {
            let brokers = list(&response.brokers, |broker| broker.broker_id.0.to_string());
            let named = !response.cluster_id.is_empty();
            format!(
                "{} brokers {brokers} controller {} cluster named {named} operations {}",
                error(response.error_code),
                response.controller_id.0,
                response.cluster_authorized_operations
            )
        });
        run.note(&format!("describe cluster v{version}, endpoint type {kind}"), answer);
    }
    let request = ListPartitionReassignmentsRequest::default().with_timeout_ms(1000);
    let answer = run
        .call(0, &request.with_topics(None))
        .map(|response| format!("{} topics {}", error(response.error_code), response.topics.len()));
    run.note("list partition reassignments", answer);
}
