//! Beginnings: the cluster, controllers, brokers, producer ids.

use super::*;
use crate::metadata::{
    AdminErrorKind as Kind,
    request::{BeginControl, ProducerIdBlock},
};

fn begin(round: u32) -> BeginControl {
    BeginControl { broker: BrokerId(1), round, new_cluster_id: "fresh".into() }
}

#[test]
fn the_first_controller_forms_the_cluster_and_later_ones_keep_it() {
    let mut image = MetadataImage::default();
    for (round, record_count) in [(1, 2), (2, 1), (7, 1)] {
        let (records, outcome) = begin_control(&image, &begin(round));
        outcome.unwrap();
        assert_eq!(records.len(), record_count);
        for record in records {
            image.apply(image.end(), &record).unwrap();
        }
        assert_eq!(image.cluster_id().unwrap().as_ref(), "fresh");
        assert_eq!(
            (image.controller_id(), image.controller_round()),
            (Some(BrokerId(1)), Some(round))
        );
    }
    for stale in [7, 6] {
        let (records, outcome) = begin_control(&image, &begin(stale));
        assert_eq!((records, outcome.unwrap_err().kind), (vec![], Kind::NotController));
    }
}

#[test]
fn nobody_registers_before_the_cluster_is_formed() {
    let (records, outcome) = register_broker(&MetadataImage::default(), &registration(1, 1));
    assert_eq!((records, outcome.unwrap_err().kind), (vec![], Kind::InvalidRequest));
}

#[test]
fn a_new_incarnation_leads_in_new_rounds() {
    let mut cluster = Cluster::of(2).with_topic("t", 6);
    let rounds = |cluster: &Cluster, broker: u32| -> Vec<u32> {
        let partitions = cluster.image.topic("t").unwrap().partitions.iter();
        partitions.filter(|p| p.leader == BrokerId(broker)).map(|p| p.round).collect()
    };
    assert!(!rounds(&cluster, 1).is_empty() && !rounds(&cluster, 2).is_empty());
    // The same life again: only its addresses may have changed.
    let (records, outcome) = register_broker(&cluster.image, &registration(1, 1));
    outcome.unwrap();
    assert_eq!(records.len(), 1);
    cluster.take(records);
    assert!(rounds(&cluster, 1).iter().all(|round| *round == FIRST_ROUND));

    let (records, outcome) = register_broker(&cluster.image, &registration(1, 2));
    outcome.unwrap();
    assert_eq!(records.len(), 2);
    cluster.take(records);
    assert!(rounds(&cluster, 1).iter().all(|round| *round == FIRST_ROUND + 1));
    assert!(rounds(&cluster, 2).iter().all(|round| *round == FIRST_ROUND));
    assert_eq!(cluster.image.broker(BrokerId(1)).unwrap().incarnation.bytes(), [2; 16]);
}

#[test]
fn an_earlier_start_and_a_copy_are_refused() {
    let mut cluster = Cluster::of(1);
    let start = |incarnation, start| RegisterBroker { start, ..registration(1, incarnation) };
    // (incarnation, start, whether it is taken); the cluster's brokers told no start.
    let steps = [
        (1, 0, true),
        (2, 0, true),
        (3, 5, true),
        (3, 5, true),
        (4, 5, false),
        (2, 4, false),
        (2, 0, false),
        (5, 6, true),
    ];
    for (incarnation, number, taken) in steps {
        let (records, outcome) = register_broker(&cluster.image, &start(incarnation, number));
        match outcome {
            Ok(()) => assert!(taken, "{incarnation} {number}"),
            Err(error) => {
                assert!(!taken, "{incarnation} {number}");
                assert_eq!((records.len(), error.kind), (0, Kind::StaleIncarnation));
            }
        }
        cluster.take(records);
    }
}

#[test]
fn only_what_a_restarted_broker_still_leads_is_renewed() {
    let mut cluster = Cluster::of(2).with_topic("t", 1);
    let topic = cluster.image.topic("t").unwrap().id;
    let leader = cluster.image.partition(topic, 0).unwrap().leader;
    let other = BrokerId(3 - leader.0);
    let replicas = vec![leader, other];
    let moved =
        MetadataRecord::Appointed { topic, partition: 0, leader: other, round: 4, replicas };
    cluster.take(vec![moved]);
    let (records, _) = register_broker(&cluster.image, &registration(leader.0, 9));
    assert_eq!(records.len(), 1, "{records:?}");
    let (records, _) = register_broker(&cluster.image, &registration(other.0, 9));
    assert!(matches!(records[1], MetadataRecord::LeadershipRenewed { broker } if broker == other));
}

#[test]
fn producer_ids_are_never_handed_out_twice() {
    let mut cluster = Cluster::of(1);
    for (count, start) in [(1000, 0), (1, 1000), (5, 1001)] {
        let (records, block) = allocate_producer_ids(&cluster.image, BrokerId(1), count);
        assert_eq!(block.unwrap(), ProducerIdBlock { start, count });
        cluster.take(records);
    }
    assert_eq!(cluster.image.producer_id_end(), 1006);
    let (records, outcome) = allocate_producer_ids(&cluster.image, BrokerId(1), 0);
    assert_eq!((records, outcome.unwrap_err().kind), (vec![], Kind::LimitExceeded));
}
