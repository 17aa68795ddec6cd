//! Changing settings.

use super::*;
use crate::metadata::{
    AdminErrorKind as Kind,
    record::ConfigScope,
    request::{AlterConfigs, ConfigChange, ConfigOperation, ConfigResource, ResourceChange},
};
use ConfigOperation::{Append, Delete, Set, Subtract};

fn change(name: &str, operation: ConfigOperation) -> ConfigChange {
    ConfigChange { name: name.into(), operation }
}

fn topic(name: &str) -> ConfigResource {
    ConfigResource::Topic(name.into())
}

fn on(resource: ConfigResource, changes: Vec<ConfigChange>) -> ResourceChange {
    ResourceChange { resource, replace: false, changes }
}

impl Cluster {
    fn alter(&mut self, resources: Vec<ResourceChange>) -> Outcomes<()> {
        let request = AlterConfigs { resources, validate_only: false };
        let (records, outcomes) = alter_configs(&self.image, &request, &self.context);
        self.take(records);
        outcomes
    }

    fn own(&self, name: &str) -> BTreeMap<String, String> {
        self.image.topic(name).unwrap().configs.clone()
    }
}

#[test]
fn refusals_name_what_is_wrong() {
    let mut cluster = Cluster::of(1).with_topic("t", 1);
    let set = |name: &str, value: &str| vec![change(name, Set(value.into()))];
    let broker = |id| ConfigResource::Broker(BrokerId(id));
    let cases = [
        (topic("t"), set("nope", "1"), Kind::InvalidConfig, "Unknown topic config name: nope"),
        (topic("t"), set("segment.byte", "1"), Kind::InvalidConfig, "did you mean segment.bytes?"),
        (topic("t"), set("retention.ms", "x"), Kind::InvalidConfig, "Not a number of type LONG"),
        (
            topic("t"),
            set("unclean.leader.election.enable", "true"),
            Kind::InvalidConfig,
            "Only false is supported",
        ),
        (
            topic("t"),
            vec![change("retention.ms", Append("1".into()))],
            Kind::InvalidConfig,
            "Can't APPEND to key retention.ms because its type is not LIST.",
        ),
        (
            topic("t"),
            vec![change("retention.ms", Subtract("1".into()))],
            Kind::InvalidConfig,
            "Can't SUBTRACT to key",
        ),
        (
            topic("t"),
            vec![change("cleanup.policy", Append("melt".into()))],
            Kind::InvalidConfig,
            "String must be one of",
        ),
        (
            topic("t"),
            vec![change("retention.ms", Delete), change("retention.ms", Delete)],
            Kind::InvalidRequest,
            "duplicate config keys",
        ),
        (topic("zzz"), set("retention.ms", "1"), Kind::UnknownTopic, "'zzz' does not exist"),
        (topic("../x"), vec![], Kind::InvalidTopicName, "Topic name is invalid"),
        (topic(""), vec![], Kind::InvalidRequest, "Default topic resources are not allowed."),
        (broker(9), set("log.retention.ms", "1"), Kind::InvalidRequest, "No broker 9"),
        (
            broker(1),
            set("log.dirs", "/x"),
            Kind::InvalidRequest,
            "Cannot update these configs dynamically: [log.dirs]",
        ),
        (
            broker(1),
            vec![change("log.retention.hours", Delete)],
            Kind::InvalidRequest,
            "Cannot update",
        ),
        (ConfigResource::AllBrokers, set("node.id", "2"), Kind::InvalidRequest, "Cannot update"),
        (
            broker(1),
            set("log.retention.mss", "1"),
            Kind::InvalidConfig,
            "did you mean log.retention.ms?",
        ),
        (
            broker(1),
            set("log.segment.bytes", "1"),
            Kind::InvalidConfig,
            "Invalid value 1 for configuration log.segment.bytes",
        ),
    ];
    for (resource, changes, kind, message) in cases {
        let shown = format!("{resource:?} {changes:?}");
        let error = cluster.alter(vec![on(resource, changes)]).remove(0).unwrap_err();
        assert_eq!(error.kind, kind, "{shown}");
        assert!(error.message.contains(message), "{shown}: {error}");
    }
    assert_eq!(cluster.own("t"), map(&[]));
}

#[test]
fn a_resource_changes_as_a_whole_or_not_at_all() {
    let mut cluster = Cluster::of(1).with_topic("t", 1).with_topic("u", 1);
    let changes = vec![change("retention.ms", Set("1".into())), change("nope", Set("1".into()))];
    let other = vec![change("retention.ms", Set("2".into()))];
    let outcomes = cluster.alter(vec![on(topic("t"), changes), on(topic("u"), other)]);
    assert_eq!(kinds(&outcomes), [Some(Kind::InvalidConfig), None]);
    assert_eq!(cluster.own("t"), map(&[]));
    assert_eq!(cluster.own("u"), map(&[("retention.ms", "2")]));
}

#[test]
fn a_resource_named_twice_is_refused_each_time() {
    let mut cluster = Cluster::of(1).with_topic("t", 1);
    let set = || vec![change("retention.ms", Set("1".into()))];
    let outcomes = cluster.alter(vec![on(topic("t"), set()), on(topic("t"), set())]);
    assert_eq!(kinds(&outcomes), [Some(Kind::InvalidRequest); 2]);
    assert_eq!(cluster.own("t"), map(&[]));
}

#[test]
fn lists_grow_and_shrink_from_what_is_in_force() {
    let mut cluster = Cluster::of(1).with_topic("t", 1);
    let mut step = |operation: ConfigOperation| {
        let changes = vec![change("cleanup.policy", operation)];
        cluster.alter(vec![on(topic("t"), changes)]).remove(0).unwrap();
        cluster.own("t").remove("cleanup.policy").unwrap()
    };
    assert_eq!(step(Append("compact".into())), "delete,compact", "the default is delete");
    assert_eq!(step(Append("compact".into())), "delete,compact");
    assert_eq!(step(Subtract("delete".into())), "compact");
    assert_eq!(step(Subtract("delete,compact".into())), "");
    assert_eq!(step(Append("compact, delete".into())), "compact,delete");
}

#[test]
fn deleting_what_is_unknown_or_unset_is_no_mistake() {
    let mut cluster = Cluster::of(1).with_topic("t", 1);
    let changes = vec![change("nope", Delete), change("retention.ms", Delete)];
    assert_eq!(kinds(&cluster.alter(vec![on(topic("t"), changes)])), [None]);
    let end = cluster.image.end();
    let changes = vec![change("nope", Delete)];
    assert_eq!(kinds(&cluster.alter(vec![on(ConfigResource::AllBrokers, changes)])), [None]);
    assert_eq!(cluster.image.end(), end, "nothing changed, so nothing was decided");
}

#[test]
fn replacing_drops_what_is_not_named() {
    let mut cluster = Cluster::of(1).with_topic("t", 1);
    let set = |name: &str, value: &str| change(name, Set(value.into()));
    let changes = vec![set("retention.ms", "1"), set("flush.ms", "3")];
    cluster.alter(vec![on(topic("t"), changes)]);
    let changes = vec![set("segment.ms", "60000"), set("flush.ms", "3")];
    let replace = ResourceChange { replace: true, ..on(topic("t"), changes) };
    let before = cluster.image.end();
    assert_eq!(kinds(&cluster.alter(vec![replace])), [None]);
    assert_eq!(cluster.own("t"), map(&[("flush.ms", "3"), ("segment.ms", "60000")]));
    assert_eq!(cluster.image.end() - before, 2, "what stays as it is needs no record");
    let replace = ResourceChange { replace: true, ..on(topic("t"), vec![]) };
    cluster.alter(vec![replace]);
    assert_eq!(cluster.own("t"), map(&[]));
}

#[test]
fn validate_only_changes_nothing() {
    let cluster = Cluster::of(1).with_topic("t", 1);
    let changes = vec![change("retention.ms", Set("1".into()))];
    let request = AlterConfigs { resources: vec![on(topic("t"), changes)], validate_only: true };
    let (records, outcomes) = alter_configs(&cluster.image, &request, &cluster.context);
    assert_eq!((records, kinds(&outcomes)), (vec![], vec![None]));
}

#[test]
fn broker_settings_are_kept_per_scope_and_followed_by_topics() {
    let mut cluster = Cluster::of(1).with_topic("t", 1);
    let set = |value: &str| vec![change("log.retention.ms", Set(value.into()))];
    let broker = ConfigResource::Broker(BrokerId(1));
    cluster.alter(vec![on(broker.clone(), set("5")), on(ConfigResource::AllBrokers, set("6"))]);
    let retention = |cluster: &Cluster| {
        let topic = cluster.image.topic("t").unwrap();
        let view = cluster.context.configs(&cluster.image);
        crate::metadata::TopicConfig::new(topic, &view).retention.unwrap().as_millis()
    };
    assert_eq!(retention(&cluster), 5);
    cluster.alter(vec![on(broker, vec![change("log.retention.ms", Delete)])]);
    assert_eq!(cluster.image.configs(ConfigScope::Broker(BrokerId(1))), &map(&[]));
    assert_eq!(retention(&cluster), 6);
    cluster.alter(vec![on(topic("t"), vec![change("retention.ms", Set("7".into()))])]);
    assert_eq!(retention(&cluster), 7);
}
