//! What the fold refuses, and that a refusal changes nothing.

use super::*;

const T: TopicId = TopicId::from_bytes([1; 16]);
const ABSENT: TopicId = TopicId::from_bytes([2; 16]);
const ONE: BrokerId = BrokerId(1);

fn partition(topic: TopicId, partition: u32, leader: u32, round: u32) -> MetadataRecord {
    let replicas = vec![ONE];
    MetadataRecord::PartitionCreated { topic, partition, replicas, leader: BrokerId(leader), round }
}

fn appointed(partition: u32, round: u32, replicas: &[u32]) -> MetadataRecord {
    let replicas = replicas.iter().map(|id| BrokerId(*id)).collect();
    MetadataRecord::Appointed { topic: T, partition, leader: ONE, round, replicas }
}

fn formed() -> MetadataRecord {
    MetadataRecord::ClusterFormed { cluster_id: "c".into() }
}

fn created(topic: TopicId, name: &str) -> MetadataRecord {
    MetadataRecord::TopicCreated { topic, name: name.into() }
}

/// Topic "t" with one partition that broker 1 leads in round 1.
fn image() -> MetadataImage {
    let mut image = MetadataImage::default();
    let records = [
        formed(),
        MetadataRecord::ControllerElected { broker: ONE, round: 5 },
        created(T, "t"),
        partition(T, 0, 1, 1),
    ];
    for record in records {
        image.apply(image.end(), &record).unwrap();
    }
    image
}

#[test]
fn records_that_contradict_the_image_are_refused() {
    let config = |resource| MetadataRecord::ConfigSet {
        resource,
        name: "retention.ms".into(),
        value: "1".into(),
    };
    let refused = [
        formed(),
        MetadataRecord::ControllerElected { broker: ONE, round: 5 },
        created(T, "other"),
        created(ABSENT, "t"),
        partition(ABSENT, 0, 1, 1),
        partition(T, 0, 1, 1),
        partition(T, 2, 1, 1),
        partition(T, 1, 2, 1),
        partition(T, 1, 1, MAX_ROUND + 1),
        appointed(1, 2, &[1]),
        appointed(0, 1, &[1]),
        appointed(0, MAX_ROUND + 1, &[1]),
        appointed(0, 2, &[2]),
        appointed(0, 2, &[]),
        MetadataRecord::BrokerLost { broker: ONE, incarnation: T },
        MetadataRecord::BrokerReturned { broker: ONE, incarnation: T },
        MetadataRecord::TopicDeleted { topic: ABSENT },
        config(ConfigScope::Topic(ABSENT)),
        MetadataRecord::ProducerIdsAllocated { broker: ONE, end: 7, count: 6 },
    ];
    for record in refused {
        let mut changed = image();
        let error = changed.apply(changed.end(), &record).unwrap_err();
        assert_eq!(error.offset, 4, "{record:?}");
        assert_eq!(changed, image(), "{record:?}");
    }
}

#[test]
fn offsets_have_no_gaps_and_the_cluster_is_formed_first() {
    let mut image = MetadataImage::default();
    assert!(image.apply(1, &formed()).is_err());
    assert!(image.apply(0, &created(T, "t")).is_err());
    image.apply(0, &formed()).unwrap();
    assert!(image.apply(0, &created(T, "t")).is_err());
    assert_eq!(image.end(), 1);
}

#[test]
fn a_broker_is_lost_and_returns_in_one_life_and_a_new_life_is_not_lost() {
    let mut image = image();
    let registered = |incarnation| MetadataRecord::BrokerRegistered {
        broker: ONE,
        incarnation,
        endpoints: Vec::new(),
        rack: None,
        start: 1,
    };
    let lost = |incarnation| MetadataRecord::BrokerLost { broker: ONE, incarnation };
    let returned = |incarnation| MetadataRecord::BrokerReturned { broker: ONE, incarnation };
    let steps = [
        (registered(T), Ok(true)),
        (returned(T), Err("the broker is lost, or is not, already")),
        (lost(ABSENT), Err("another life of the broker is registered")),
        (lost(T), Ok(false)),
        (lost(T), Err("the broker is lost, or is not, already")),
        (returned(T), Ok(true)),
        (lost(T), Ok(false)),
        (registered(ABSENT), Ok(true)),
        (lost(T), Err("another life of the broker is registered")),
    ];
    for (record, expected) in steps {
        let outcome = image.apply(image.end(), &record).map_err(|error| error.reason);
        assert_eq!(outcome.map(|()| image.is_live(ONE)), expected, "{record:?}");
    }
}

#[test]
fn rounds_may_be_skipped_and_never_go_back() {
    let mut image = image();
    image.apply(4, &appointed(0, 7, &[1])).unwrap();
    for stale in [7, 6, 2] {
        assert!(image.apply(5, &appointed(0, stale, &[1])).is_err());
    }
    image.apply(5, &appointed(0, MAX_ROUND, &[1])).unwrap();
    assert_eq!(image.partition(T, 0).unwrap().round, MAX_ROUND);
}

#[test]
fn a_clone_keeps_what_it_saw() {
    let before = image();
    let mut after = before.clone();
    after.apply(4, &appointed(0, 2, &[3, 1])).unwrap();
    after.apply(5, &created(ABSENT, "u")).unwrap();
    after.apply(6, &MetadataRecord::TopicDeleted { topic: T }).unwrap();
    assert_eq!(before, image());
    assert_eq!(before.partition(T, 0).unwrap().round, 1);
    assert_eq!(after.topics().map(|topic| &*topic.name).collect::<Vec<_>>(), ["u"]);
}

#[test]
fn rounds_that_are_used_up_stop_the_renewal_of_all() {
    let mut image = MetadataImage::default();
    for record in [formed(), created(T, "t"), partition(T, 0, 1, 1), partition(T, 1, 1, MAX_ROUND)]
    {
        image.apply(image.end(), &record).unwrap();
    }
    let before = image.clone();
    assert!(image.apply(4, &MetadataRecord::LeadershipRenewed { broker: ONE }).is_err());
    assert_eq!(image, before);
    image.apply(4, &MetadataRecord::LeadershipRenewed { broker: BrokerId(2) }).unwrap();
    assert_eq!(image.partition(T, 0).unwrap().round, 1, "another broker's renewal");
}

#[test]
fn removing_the_last_setting_leaves_no_trace() {
    let mut image = image();
    let resource = ConfigScope::Broker(ONE);
    let before = image.broker_configs(ONE).cloned();
    let (name, value) = ("log.retention.ms".to_owned(), "1".to_owned());
    image.apply(4, &MetadataRecord::ConfigSet { resource, name: name.clone(), value }).unwrap();
    assert_eq!(image.configs(resource).len(), 1);
    image.apply(5, &MetadataRecord::ConfigRemoved { resource, name }).unwrap();
    assert_eq!(image.broker_configs(ONE).cloned(), before);
}
