//! Creating, growing and deleting topics.

use super::*;
use crate::metadata::{
    AdminErrorKind as Kind,
    request::{CreatePartitions, MorePartitions, TopicRef},
};

#[test]
fn defaults_come_from_the_brokers_configuration() {
    let mut cluster = Cluster::of(3);
    (cluster.context.partition_count, cluster.context.replication_factor) = (4, 2);
    let topic = cluster.topic("t");
    let created = cluster.create(vec![topic]).remove(0).unwrap();
    assert_eq!(created.partitions.len(), 4);
    for partition in &created.partitions {
        assert_eq!(partition.replicas.len(), 2);
        assert_eq!((partition.leader, partition.round), (partition.replicas[0], FIRST_ROUND));
    }
    assert_eq!(cluster.image.topic("t").unwrap().as_ref(), &created);
    assert_eq!(cluster.image.partition_count(), 4);
}

#[test]
fn names_are_checked() {
    let mut cluster = Cluster::of(1).with_topic("a.b", 1);
    let long = "x".repeat(250);
    for (name, kind, message) in [
        ("", Kind::InvalidTopicName, "the empty string is not allowed"),
        (".", Kind::InvalidTopicName, "'.' is not allowed"),
        ("..", Kind::InvalidTopicName, "'..' is not allowed"),
        ("../x", Kind::InvalidTopicName, "'../x' contains one or more characters other than"),
        ("a b", Kind::InvalidTopicName, "contains one or more"),
        ("ü", Kind::InvalidTopicName, "contains one or more"),
        ("a\0b", Kind::InvalidTopicName, "contains one or more"),
        (&long, Kind::InvalidTopicName, "is longer than the max allowed length 249"),
        ("a_b", Kind::InvalidTopicName, "Topic 'a_b' collides with existing topic: a.b"),
        ("a.b", Kind::TopicExists, "Topic 'a.b' already exists."),
        ("__cluster_metadata", Kind::InvalidRequest, "is prohibited"),
    ] {
        let topic = cluster.topic(name);
        let error = cluster.create(vec![topic]).remove(0).unwrap_err();
        assert_eq!(error.kind, kind, "{name}");
        assert!(error.message.contains(message), "{name}: {error}");
    }
    let names = ["A-Z_0.9", &"x".repeat(249), "__consumer_offsets", "...", "a-b"];
    for name in names {
        let topic = cluster.topic(name);
        cluster.create(vec![topic]).remove(0).unwrap();
    }
}

#[test]
fn counts_are_checked() {
    let mut cluster = Cluster::of(2);
    for (partitions, replicas, kind) in [
        (Some(0), None, Kind::InvalidPartitionCount),
        (Some(-2), None, Kind::InvalidPartitionCount),
        (Some(10_001), None, Kind::LimitExceeded),
        (Some(i32::MAX), None, Kind::LimitExceeded),
        (None, Some(0), Kind::InvalidReplicationFactor),
        (None, Some(-2), Kind::InvalidReplicationFactor),
        (None, Some(3), Kind::InvalidReplicationFactor),
        (None, Some(i16::MAX), Kind::InvalidReplicationFactor),
    ] {
        let topic = NewTopic {
            partition_count: partitions,
            replication_factor: replicas,
            ..cluster.topic("t")
        };
        let outcomes = cluster.create(vec![topic]);
        assert_eq!(kinds(&outcomes), [Some(kind)], "{partitions:?} {replicas:?}");
    }
    assert_eq!(cluster.image.topic_count(), 0);
}

#[test]
fn a_request_and_a_cluster_take_only_so_many_partitions() {
    let mut cluster = Cluster::of(1);
    let sized = |cluster: &mut Cluster, name: &str, count| NewTopic {
        partition_count: Some(count),
        ..cluster.topic(name)
    };
    let topics = vec![
        sized(&mut cluster, "a", 6000),
        sized(&mut cluster, "b", 6000),
        sized(&mut cluster, "c", 4000),
    ];
    let outcomes = cluster.create(topics);
    assert_eq!(kinds(&outcomes), [None, Some(Kind::LimitExceeded), None]);
    cluster.context.partition_limit = 10_001;
    let topics = vec![sized(&mut cluster, "d", 1), sized(&mut cluster, "e", 1)];
    let outcomes = cluster.create(topics);
    assert_eq!(kinds(&outcomes), [None, Some(Kind::LimitExceeded)]);
    assert!(outcomes[1].as_ref().unwrap_err().message.contains("limits.partitions"));
}

#[test]
fn manual_assignments_are_checked() {
    let mut cluster = Cluster::of(3);
    type Case = (&'static [(i32, &'static [i32])], Option<(Kind, &'static str)>);
    let cases: [Case; 10] = [
        (&[(0, &[1, 2]), (1, &[3, 1])], None),
        (&[(1, &[3]), (0, &[1])], None),
        (&[(0, &[9])], Some((Kind::InvalidReplicaAssignment, "broker 9, but no such broker"))),
        (&[(0, &[-1])], Some((Kind::InvalidReplicaAssignment, "broker -1, but no such broker"))),
        (&[(0, &[])], Some((Kind::InvalidReplicaAssignment, "an empty replica list"))),
        (&[(0, &[1, 1])], Some((Kind::InvalidReplicaAssignment, "broker 1 more than once"))),
        (&[(0, &[1]), (2, &[1])], Some((Kind::InvalidReplicaAssignment, "consecutive 0-based"))),
        (&[(1, &[1])], Some((Kind::InvalidReplicaAssignment, "consecutive 0-based"))),
        (&[(0, &[1]), (0, &[2])], Some((Kind::InvalidReplicaAssignment, "Found multiple manual"))),
        (&[(0, &[1, 2]), (1, &[3])], Some((Kind::InvalidReplicaAssignment, "not consistent"))),
    ];
    for (index, (sets, expected)) in cases.into_iter().enumerate() {
        let assignments: Vec<_> = sets.iter().map(|(p, brokers)| (*p, brokers.to_vec())).collect();
        let topic = NewTopic { assignments, ..cluster.topic(&format!("t{index}")) };
        match (cluster.create(vec![topic]).remove(0), expected) {
            (Ok(created), None) => assert_eq!(created.partitions.len(), sets.len()),
            (Err(error), Some((kind, message))) => {
                assert_eq!(error.kind, kind, "{sets:?}");
                assert!(error.message.contains(message), "{sets:?}: {error}");
            }
            (outcome, expected) => panic!("{sets:?}: {outcome:?}, expected {expected:?}"),
        }
    }
    let sets = |topic: &str| cluster.image.topic(topic).unwrap().partitions.clone();
    assert_eq!(sets("t0")[1].replicas.as_ref(), [BrokerId(3), BrokerId(1)]);
    assert_eq!(sets("t1")[0].leader, BrokerId(1), "sets stand in the partitions' order");

    for (partitions, replicas, field) in [
        (Some(1), None, "numPartitions"),
        (None, Some(1), "replication factor"),
        (Some(1), Some(1), "replication factor"),
    ] {
        let topic = NewTopic {
            partition_count: partitions,
            replication_factor: replicas,
            assignments: vec![(0, vec![1])],
            ..cluster.topic("both")
        };
        let error = cluster.create(vec![topic]).remove(0).unwrap_err();
        assert_eq!(error.kind, Kind::InvalidRequest);
        assert!(error.message.contains(field), "{error}");
    }
}

#[test]
fn items_fail_by_themselves_and_see_the_items_before_them() {
    let mut cluster = Cluster::of(1);
    let topics =
        ["ok", "bad/", "ok", "x.y", "x_y"].map(|name| cluster.topic(name)).into_iter().collect();
    let outcomes = cluster.create(topics);
    assert_eq!(
        kinds(&outcomes),
        [
            None,
            Some(Kind::InvalidTopicName),
            Some(Kind::TopicExists),
            None,
            Some(Kind::InvalidTopicName)
        ]
    );
    // The same id twice cannot happen by chance; it fails without harm to the others.
    let (a, b) = (cluster.topic("p"), cluster.topic("q"));
    let topics = vec![a.clone(), NewTopic { name: "r".into(), ..a }, b];
    let outcomes = cluster.create(topics);
    assert_eq!(kinds(&outcomes), [None, Some(Kind::InvalidRequest), None]);
    let names: Vec<_> = cluster.image.topics().map(|topic| topic.name.to_string()).collect();
    assert_eq!(names, ["ok", "p", "q", "x.y"]);
}

#[test]
fn validate_only_checks_all_and_changes_nothing() {
    let mut cluster = Cluster::of(1).with_topic("old", 1);
    let topics = vec![cluster.topic("new"), cluster.topic("old")];
    let request = CreateTopics { topics, validate_only: true };
    let (records, outcomes) = create_topics(&cluster.image, &request, &cluster.context);
    assert_eq!(records, []);
    assert_eq!(outcomes[0].as_ref().unwrap().partitions.len(), 1);
    assert_eq!(kinds(&outcomes), [None, Some(Kind::TopicExists)]);

    let topics = vec![MorePartitions { name: "old".into(), count: 5, assignments: None }];
    let request = CreatePartitions { topics, validate_only: true };
    let (records, outcomes) = create_partitions(&cluster.image, &request, &cluster.context);
    assert_eq!((records, kinds(&outcomes)), (vec![], vec![None]));
}

#[test]
fn settings_given_at_creation_are_checked_and_kept() {
    let mut cluster = Cluster::of(1);
    let with = |cluster: &mut Cluster, configs: &[(&str, Option<&str>)]| NewTopic {
        configs: configs.iter().map(|(n, v)| ((*n).into(), v.map(Into::into))).collect(),
        ..cluster.topic("t")
    };
    for (name, value, message) in [
        ("nope", Some("1"), "Unknown topic config name: nope"),
        ("retention_ms", Some("1"), "did you mean retention.ms?"),
        ("retention.ms", None, "Null value not supported for topic configs: retention.ms"),
        (
            "retention.ms",
            Some("abc"),
            "Invalid value abc for configuration retention.ms: Not a number of type LONG",
        ),
        ("cleanup.policy", Some("foo"), "String must be one of: compact, delete"),
    ] {
        let topic = with(&mut cluster, &[(name, value)]);
        let error = cluster.create(vec![topic]).remove(0).unwrap_err();
        assert_eq!(error.kind, Kind::InvalidConfig, "{name}");
        assert!(error.message.contains(message), "{name}: {error}");
    }
    let configs =
        [("retention.ms", Some("5")), ("preallocate", Some("TRUE")), ("retention.ms", Some(" 7 "))];
    let topic = with(&mut cluster, &configs);
    let created = cluster.create(vec![topic]).remove(0).unwrap();
    assert_eq!(created.configs, map(&[("preallocate", "true"), ("retention.ms", "7")]));
}

#[test]
fn topics_are_deleted_by_name_or_id() {
    let mut cluster = Cluster::of(1).with_topic("a", 2).with_topic("b", 3);
    let id = cluster.image.topic_id("b").unwrap();
    let absent = TopicId::from_bytes([99; 16]);
    let refs = [
        TopicRef::Name("a".into()),
        TopicRef::Name("nope".into()),
        TopicRef::Name("../x".into()),
        TopicRef::Id(id),
        TopicRef::Id(absent),
        TopicRef::Name("b".into()),
    ];
    let (records, outcomes) = delete_topics(&cluster.image, &refs);
    assert_eq!(records.len(), 2);
    let unknown = Some(Kind::UnknownTopic);
    assert_eq!(kinds(&outcomes), [None, unknown, unknown, None, Some(Kind::UnknownTopicId), None]);
    assert_eq!(outcomes[3].as_ref().unwrap().name, "b");
    cluster.take(records);
    assert_eq!((cluster.image.topic_count(), cluster.image.partition_count()), (0, 0));

    // The name is free again, for a topic with another id.
    let cluster = cluster.with_topic("b", 1);
    assert_ne!(cluster.image.topic_id("b"), Some(id));
    assert!(cluster.image.topic_by_id(id).is_none());
}

#[test]
fn partitions_are_added_and_never_taken_away() {
    let mut cluster = Cluster::of(3).with_topic("t", 2);
    let grow = |count, assignments: Option<&[&[i32]]>| MorePartitions {
        name: "t".into(),
        count,
        assignments: assignments.map(|sets| sets.iter().map(|set| set.to_vec()).collect()),
    };
    let cases: [(MorePartitions, Kind, &str); 9] = [
        (grow(2, None), Kind::InvalidPartitionCount, "Topic already has 2 partition(s)."),
        (grow(1, None), Kind::InvalidPartitionCount, "currently has 2 partition(s); 1 would not"),
        (grow(0, None), Kind::InvalidPartitionCount, "0 would not be an increase"),
        (grow(-1, None), Kind::InvalidPartitionCount, "-1 would not be an increase"),
        (grow(i32::MAX, None), Kind::LimitExceeded, "Excessively large number"),
        (grow(4, Some(&[&[1]])), Kind::InvalidReplicaAssignment, "to add 2 additional"),
        (grow(3, Some(&[])), Kind::InvalidReplicaAssignment, "only 0 assignment(s)"),
        (grow(3, Some(&[&[7]])), Kind::InvalidReplicaAssignment, "broker 7, but no such"),
        (grow(3, Some(&[&[1, 2]])), Kind::InvalidReplicaAssignment, "not consistent"),
    ];
    for (more, kind, message) in cases {
        let request = CreatePartitions { topics: vec![more.clone()], validate_only: false };
        let (records, outcomes) = create_partitions(&cluster.image, &request, &cluster.context);
        assert_eq!(records, [], "{more:?}");
        let error = outcomes[0].as_ref().unwrap_err();
        assert_eq!(error.kind, kind, "{more:?}");
        assert!(error.message.contains(message), "{more:?}: {error}");
    }
    let unknown = MorePartitions { name: "nope".into(), ..grow(3, None) };
    let topics = vec![unknown, grow(4, Some(&[&[2], &[3]])), grow(6, None)];
    let request = CreatePartitions { topics, validate_only: false };
    let (records, outcomes) = create_partitions(&cluster.image, &request, &cluster.context);
    assert_eq!(kinds(&outcomes), [Some(Kind::UnknownTopic), None, None]);
    cluster.take(records);
    let topic = cluster.image.topic("t").unwrap();
    assert_eq!(topic.partitions.len(), 6);
    assert_eq!(topic.partitions[3].leader, BrokerId(3));
    assert_eq!(topic.partitions[5].replicas.len(), 1);
}

#[test]
fn new_partitions_are_led_by_brokers_that_are_there() {
    let mut cluster = Cluster::of(3);
    let incarnation = TopicId::from_bytes([1; 16]);
    cluster.take(vec![MetadataRecord::BrokerLost { broker: BrokerId(2), incarnation }]);
    let topic = NewTopic { replication_factor: Some(3), ..cluster.topic("t") };
    let created = cluster.create(vec![topic]).remove(0).unwrap();
    assert_ne!(created.partitions[0].leader, BrokerId(2));
    assert_eq!(created.partitions[0].replicas.last(), Some(&BrokerId(2)));
    let assignments = vec![(0, vec![2, 3, 1]), (1, vec![2, 1, 3])];
    let topic = NewTopic { assignments, ..cluster.topic("u") };
    let created = cluster.create(vec![topic]).remove(0).unwrap();
    let leaders: Vec<_> = created.partitions.iter().map(|it| it.leader.0).collect();
    assert_eq!(leaders, [3, 1], "the first of those that are there");
}
