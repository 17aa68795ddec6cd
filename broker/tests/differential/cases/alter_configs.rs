//! IncrementalAlterConfigs and AlterConfigs.

use kafka_protocol::messages::alter_configs_request::{self, AlterConfigsRequest};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use super::describe::{BROKER, TOPIC, values};
use crate::run::{Answer, Run, error, list};
use crate::support::wire::text;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// A change of one config: name, operation, value.
type Change<'a> = (&'a str, i8, Option<&'a str>);

/// A replacement of all configs: its case, the resource, names and values.
type Replacement<'a> = (&'a str, i8, &'a str, &'a [(&'a str, Option<&'a str>)]);

pub(crate) fn run(run: &mut Run) {
    let name = run.create("altered", 1, &[]);
    incremental(run, &name);
    lists(run, &name);
    resources(run, &name);
    whole(run, &name);
}

fn incremental(run: &mut Run, name: &str) {
    let cases: [(&str, &[Change<'_>]); 13] = [
        ("set", &[("retention.ms", SET, Some("5000"))]),
        ("set an unknown name", &[("nope", SET, Some("1"))]),
        ("set a bad value", &[("retention.ms", SET, Some("abc"))]),
        ("set a value out of range", &[("segment.bytes", SET, Some("1"))]),
        ("set null", &[("retention.ms", SET, None)]),
        ("delete an unknown name", &[("nope", DELETE, None)]),
        ("delete what is not set", &[("segment.ms", DELETE, None)]),
        ("unknown operation", &[("retention.ms", 9, Some("1"))]),
        ("one name twice", &[("retention.ms", SET, Some("1")), ("retention.ms", SET, Some("2"))]),
        ("good and bad", &[("segment.ms", SET, Some("77")), ("nope", SET, Some("2"))]),
        ("append to a number", &[("retention.ms", APPEND, Some("1"))]),
        ("nothing", &[]),
        ("delete with a value", &[("retention.ms", DELETE, Some("7"))]),
    ];
    for (case, changes) in cases {
        let answer = alter(run, TOPIC, name, changes, false);
        run.note(&format!("alter config, {case}"), answer);
        let now = values(run, TOPIC, name, &["retention.ms", "segment.ms"]);
        run.note(&format!("alter config, {case}, then"), now);
    }
    let set = [("retention.ms", SET, Some("123456"))];
    run.note("alter config, only validate", alter(run, TOPIC, name, &set, true));
    let now = values(run, TOPIC, name, &["retention.ms"]);
    run.note("alter config, only validate, then", now);
}

fn lists(run: &mut Run, name: &str) {
    for (case, operation, value) in [
        ("append compact", APPEND, "compact"),
        ("append compact again", APPEND, "compact"),
        ("subtract delete", SUBTRACT, "delete"),
        ("subtract what is not there", SUBTRACT, "delete"),
        ("append a bad value", APPEND, "foo"),
        ("set both", SET, "compact,delete"),
        ("subtract both", SUBTRACT, "compact,delete"),
    ] {
        let changes = [("cleanup.policy", operation, Some(value))];
        run.note(
            &format!("alter cleanup.policy, {case}"),
            alter(run, TOPIC, name, &changes, false),
        );
        let now = values(run, TOPIC, name, &["cleanup.policy"]);
        run.note(&format!("alter cleanup.policy, {case}, then"), now);
    }
    let delete = [("cleanup.policy", DELETE, None)];
    run.note("alter cleanup.policy, delete", alter(run, TOPIC, name, &delete, false));
    let now = values(run, TOPIC, name, &["cleanup.policy"]);
    run.note("alter cleanup.policy, delete, then", now);
}

fn resources(run: &mut Run, topic: &str) {
    let set: [Change<'_>; 1] = [("retention.ms", SET, Some("1"))];
    for (case, kind, name) in [
        ("unknown topic", TOPIC, "zzz"),
        ("bad topic name", TOPIC, "../x"),
        ("empty topic name", TOPIC, ""),
        ("kind 0", 0, topic),
        ("kind 99", 99, topic),
        ("broker 9", BROKER, "9"),
        ("broker x", BROKER, "x"),
    ] {
        run.note(&format!("alter config, {case}"), alter(run, kind, name, &set, false));
    }
    let read_only = [("log.dirs", SET, Some("/x"))];
    run.note("alter broker config, read-only", alter(run, BROKER, "1", &read_only, true));
    let resource = || resource(TOPIC, topic, &set);
    let request =
        IncrementalAlterConfigsRequest::default().with_resources(vec![resource(), resource()]);
    let answer = run.call(1, &request);
    let answer = answer.map(|response| list(&response.responses, |item| error(item.error_code)));
    run.note("alter config, one topic twice", answer);
}

fn resource(kind: i8, name: &str, changes: &[Change<'_>]) -> AlterConfigsResource {
    let configs = changes.iter().map(|(name, operation, value)| {
        AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(*operation)
            .with_value(value.map(text))
    });
    AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(configs.collect())
}

fn alter(
    run: &Run,
    kind: i8,
    name: &str,
    changes: &[Change<'_>],
    validate_only: bool,
) -> Answer<String> {
    let request = IncrementalAlterConfigsRequest::default()
        .with_resources(vec![resource(kind, name, changes)])
        .with_validate_only(validate_only);
    let response = run.call(1, &request)?;
    Ok(list(&response.responses, |resource| error(resource.error_code)))
}

fn whole(run: &mut Run, name: &str) {
    let cases: [Replacement<'_>; 7] = [
        ("set", TOPIC, name, &[("segment.ms", Some("60000"))]),
        ("unknown name", TOPIC, name, &[("nope", Some("1"))]),
        ("null", TOPIC, name, &[("segment.ms", None)]),
        ("bad value", TOPIC, name, &[("segment.ms", Some("x"))]),
        ("one name twice", TOPIC, name, &[("segment.ms", Some("1")), ("segment.ms", Some("2"))]),
        ("unknown topic", TOPIC, "zzz", &[("segment.ms", Some("60000"))]),
        ("nothing", TOPIC, name, &[]),
    ];
    for (case, kind, name, configs) in cases {
        let configs = configs.iter().map(|(name, value)| {
            alter_configs_request::AlterableConfig::default()
                .with_name(text(name))
                .with_value(value.map(text))
        });
        let resource = alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configs(configs.collect());
        let request = AlterConfigsRequest::default().with_resources(vec![resource]);
        let answer = run.call(2, &request);
        let answer =
            answer.map(|response| list(&response.responses, |item| error(item.error_code)));
        run.note(&format!("replace configs, {case}"), answer);
        let now = values(run, TOPIC, name, &["retention.ms", "segment.ms"]);
        run.note(&format!("replace configs, {case}, then"), now);
    }
}
