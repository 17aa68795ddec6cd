//! Planned moves of leadership.

use super::{failover::Net, *};
use crate::metadata::{
    AdminErrorKind as Kind,
    controller::{elect_leaders, return_leadership, shut_down},
    links::CALM_TICKS,
    request::{ElectLeaders, LedPartition, ReturnLeadership, ShutDown},
};

fn life() -> TopicId {
    TopicId::from_bytes([1; 16])
}

/// Brokers 1 to 3, partition 0 of "t" on 2, 3, 1 and led by 3, all healthy again.
fn moved() -> Net {
    let mut net = Net::of(3).with_partition(&[2, 3, 1]);
    appoint(&mut net, 3);
    net
}

fn appoint(net: &mut Net, leader: u32) {
    let topic = net.cluster.image.topic("t").unwrap();
    let replicas = topic.partitions[0].replicas.to_vec();
    let (topic, leader, round) = (topic.id, BrokerId(leader), net.round() + 1);
    net.cluster.take(vec![MetadataRecord::Appointed {
        topic,
        partition: 0,
        leader,
        round,
        replicas,
    }]);
}

fn nominate(net: &Net, broker: u32, round: u32) -> ReturnLeadership {
    let topic = net.cluster.image.topic("t").unwrap().id;
    let one = LedPartition { topic, partition: 0, round };
    // Named twice it moves once; one that does not exist does not matter.
    let absent = LedPartition { partition: 9, ..one };
    ReturnLeadership { broker: BrokerId(broker), partitions: vec![one, one, absent] }
}

#[test]
fn a_nominated_preferred_leader_gets_its_partition_back() {
    let mut net = moved();
    for (broker, round) in [(3, 1), (1, 2), (2, 2)] {
        let request = nominate(&net, broker, round);
        let (records, _) = return_leadership(&net.cluster.image, &request, &net.connectivity);
        assert!(records.is_empty(), "{broker} {round}: not the leader of now");
    }
    let request = nominate(&net, 3, 2);
    let (records, _) = return_leadership(&net.cluster.image, &request, &net.connectivity);
    assert_eq!(records.len(), 1);
    net.cluster.take(records);
    assert_eq!((net.leader(), net.round()), (2, 3));
}

#[test]
fn a_preferred_leader_that_came_lately_or_is_cut_off_waits() {
    let mut net = moved();
    net.cut(2, 1);
    net.cut(2, 3);
    net.pass(30);
    let request = nominate(&net, 3, 2);
    let (records, _) = return_leadership(&net.cluster.image, &request, &net.connectivity);
    assert!(records.is_empty(), "cut off");
    let mut net = moved();
    net.kill(2);
    net.pass(15);
    net.heal();
    net.pass(30);
    assert!(net.cluster.image.is_live(BrokerId(2)));
    assert!(net.connectivity.steady_ticks(BrokerId(2)) < CALM_TICKS);
    let request = nominate(&net, 3, 2);
    let (records, _) = return_leadership(&net.cluster.image, &request, &net.connectivity);
    assert!(records.is_empty(), "back since a moment ago");
}

#[test]
fn a_preferred_leader_whose_links_flap_waits_until_that_is_forgotten() {
    // To the controller, or between replicas, where the controller itself is none.
    for (links, replicas) in [([(2, 1), (2, 1)], [2, 3, 1]), ([(2, 3), (2, 4)], [2, 3, 4])] {
        let mut net = Net::of(4).with_partition(&replicas);
        appoint(&mut net, 3);
        for _ in 0..2 {
            links.iter().for_each(|(a, b)| net.cut(*a, *b));
            net.pass(15);
            net.heal();
            net.pass(150);
        }
        let (leader, round) = (net.leader(), net.round());
        assert_eq!(leader, 3);
        let returned = |net: &Net| {
            let request = nominate(net, leader, round);
            return_leadership(&net.cluster.image, &request, &net.connectivity).0.len()
        };
        assert_eq!(returned(&net), 0, "{links:?}: lost twice within a minute");
        net.pass(1_200);
        assert_eq!(returned(&net), 1, "{links:?}");
    }
}

#[test]
fn a_broker_that_stops_hands_over_evenly_and_is_lost() {
    let mut net = Net::of(4).with_topic(40, 3);
    let request = ShutDown { broker: BrokerId(2), incarnation: life() };
    let (records, outcome) = shut_down(&net.cluster.image, &request, &net.connectivity);
    outcome.unwrap();
    net.cluster.take(records);
    let leads = net.leads();
    assert_eq!(leads[1], 0, "{leads:?}");
    let others = [leads[0], leads[2], leads[3]];
    assert!(others.iter().max().unwrap() - others.iter().min().unwrap() <= 2, "{leads:?}");
    assert!(!net.cluster.image.is_live(BrokerId(2)));
    // Said twice it changes nothing more; another life cannot say it.
    let (records, outcome) = shut_down(&net.cluster.image, &request, &net.connectivity);
    assert_eq!((records, outcome), (vec![], Ok(())));
    let request = ShutDown { incarnation: TopicId::from_bytes([9; 16]), ..request };
    let (records, outcome) = shut_down(&net.cluster.image, &request, &net.connectivity);
    assert_eq!((records, outcome.unwrap_err().kind), (vec![], Kind::StaleIncarnation));
}

#[test]
fn what_nobody_else_can_lead_stays() {
    let mut net = Net::of(3).with_partition(&[2]);
    let request = ShutDown { broker: BrokerId(2), incarnation: life() };
    let (records, _) = shut_down(&net.cluster.image, &request, &net.connectivity);
    net.cluster.take(records);
    assert_eq!((net.leader(), net.round()), (2, FIRST_ROUND));
}

fn elect(net: &mut Net, preferred: bool, names: Option<&[(&str, i32)]>) -> Vec<Option<Kind>> {
    let partitions =
        names.map(|names| names.iter().map(|(name, index)| ((*name).into(), *index)).collect());
    let request = ElectLeaders { preferred, partitions };
    let (records, outcomes) = elect_leaders(&net.cluster.image, &request, &net.connectivity);
    net.cluster.take(records);
    outcomes.into_iter().map(|it| it.outcome.err().map(|error| error.kind)).collect()
}

#[test]
fn an_operator_moves_leaders_to_the_preferred_replicas() {
    let mut net = moved();
    let names: &[_] = &[("t", 0), ("t", 0), ("t", 1), ("t", -1), ("u", 0)];
    let unknown = Some(Kind::UnknownTopic);
    let outcomes = elect(&mut net, true, Some(names));
    assert_eq!(outcomes, [None, unknown, unknown, unknown]);
    assert_eq!((net.leader(), net.round()), (2, 3));
    let outcomes = elect(&mut net, true, Some(&[("t", 0)]));
    assert_eq!(outcomes, [Some(Kind::ElectionNotNeeded)]);
    assert_eq!(elect(&mut net, true, None), [], "of all only what was moved");
    appoint(&mut net, 1);
    assert_eq!(elect(&mut net, true, None), [None]);
    assert_eq!(net.leader(), 2);
}

#[test]
fn a_preferred_replica_that_is_not_there_is_not_elected() {
    let mut net = moved();
    net.kill(2);
    net.pass(30);
    let outcomes = elect(&mut net, true, Some(&[("t", 0)]));
    assert_eq!(outcomes, [Some(Kind::PreferredLeaderNotAvailable)]);
    assert_eq!((net.leader(), net.round()), (3, 2));
}

#[test]
fn an_unclean_election_is_as_clean_as_any() {
    let mut net = moved();
    let outcomes = elect(&mut net, false, Some(&[("t", 0)]));
    assert_eq!(outcomes, [Some(Kind::ElectionNotNeeded)]);
    // No majority is left: there is nothing to gain.
    net.kill(2);
    net.kill(3);
    net.pass(30);
    let outcomes = elect(&mut net, false, Some(&[("t", 0)]));
    assert_eq!(outcomes, [Some(Kind::EligibleLeadersNotAvailable)]);
    assert_eq!((net.leader(), net.round()), (3, 2));
}
