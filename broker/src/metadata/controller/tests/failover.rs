//! Failover as the controller plans it: dead brokers, partial partitions, resignations.

use std::collections::BTreeMap;

use super::*;
use crate::metadata::{
    connectivity::{Connectivity, Report, Sighting},
    controller::{APPOINTMENTS_PER_BATCH, Resignations, failover, should_yield},
    pacing::Pacing,
    request::{ResignReason, Resigned},
};

/// A cluster, the links between its brokers, and what its controller does about them.
pub(super) struct Net {
    pub(super) cluster: Cluster,
    pub(super) connectivity: Connectivity,
    pacing: Pacing,
    resignations: Resignations,
    controller: u32,
    size: u32,
    /// Directed: the second hears nothing of the first.
    cut: Vec<(u32, u32)>,
    down: Vec<u32>,
    /// How far brokers that are not linked to the controller have folded the metadata log.
    folded: BTreeMap<u32, u64>,
}

impl Net {
    /// Brokers 1, 2, … that all hear each other and have done so for a while; 1 is the controller.
    pub(super) fn of(size: u32) -> Self {
        Self::led_by(size, 1)
    }

    pub(super) fn led_by(size: u32, controller: u32) -> Self {
        let mut net = Self {
            cluster: Cluster::of(size),
            connectivity: Connectivity::new(BrokerId(controller), 10),
            pacing: Pacing::default(),
            resignations: Resignations::new(),
            controller,
            size,
            cut: Vec::new(),
            down: Vec::new(),
            folded: BTreeMap::new(),
        };
        net.pass(120);
        net
    }

    pub(super) fn with_topic(mut self, partitions: i32, replicas: i16) -> Self {
        let topic = NewTopic {
            partition_count: Some(partitions),
            replication_factor: Some(replicas),
            ..self.cluster.topic("t")
        };
        self.cluster.create(vec![topic]).remove(0).unwrap();
        self
    }

    /// With partition 0 of a topic "t" on `replicas`, led by the first of them.
    pub(super) fn with_partition(mut self, replicas: &[i32]) -> Self {
        let assignments = vec![(0, replicas.to_vec())];
        let topic = NewTopic { assignments, ..self.cluster.topic("t") };
        self.cluster.create(vec![topic]).remove(0).unwrap();
        self
    }

    /// Cuts both directions.
    pub(super) fn cut(&mut self, a: u32, b: u32) {
        self.cut.extend([(a, b), (b, a)]);
    }

    fn isolate(&mut self, broker: u32) {
        (1..=self.size).filter(|other| *other != broker).for_each(|other| self.cut(broker, other));
    }

    pub(super) fn kill(&mut self, broker: u32) {
        self.down.push(broker);
    }

    pub(super) fn heal(&mut self) {
        self.cut.clear();
        self.down.clear();
    }

    fn hears(&self, hearer: u32, sender: u32) -> bool {
        hearer != sender && !self.cut.contains(&(sender, hearer)) && !self.down.contains(&sender)
    }

    fn is_linked(&self, a: u32, b: u32) -> bool {
        self.hears(a, b) && self.hears(b, a)
    }

    /// Lets time pass, with a heartbeat of everybody every second tick, and decides what failover
    /// makes of it. Returns the appointments.
    pub(super) fn pass(&mut self, ticks: u64) -> Vec<MetadataRecord> {
        let mut appointed = Vec::new();
        for _ in 0..ticks {
            self.connectivity.handle_tick();
            self.pacing.handle_tick();
            if self.connectivity.tick().is_multiple_of(2) {
                self.beat();
            }
            let image = &self.cluster.image;
            let records = failover(image, &self.connectivity, &self.pacing, &self.resignations);
            for record in &records {
                match record {
                    MetadataRecord::Appointed { topic, partition, .. } => {
                        self.pacing.note_appointed((*topic, *partition));
                        appointed.push(record.clone());
                    }
                    MetadataRecord::BrokerLost { broker, .. } => self.pacing.note_lost(*broker),
                    _ => {}
                }
            }
            self.cluster.take(records);
        }
        appointed
    }

    fn beat(&mut self) {
        for sender in 1..=self.size {
            if !self.hears(self.controller, sender) {
                continue;
            }
            let report = self.report(sender);
            self.connectivity.handle_heartbeat(BrokerId(sender), report);
        }
    }

    /// What a broker says in its heartbeat. Who is linked to the controller knows all.
    fn report(&mut self, sender: u32) -> Report {
        let incarnation = TopicId::from_bytes([1; 16]);
        let end = self.cluster.image.end();
        for broker in 1..=self.size {
            if self.is_linked(self.controller, broker) {
                self.folded.insert(broker, end);
            }
        }
        let linked = (1..=self.size).filter(|it| self.is_linked(sender, *it));
        let sighting = |broker| {
            let metadata_end = self.folded.get(&broker).copied().unwrap_or(end);
            (BrokerId(broker), Sighting { incarnation, metadata_end })
        };
        Report {
            start: 0,
            incarnation,
            metadata_end: end,
            hears: (1..=self.size).filter(|it| self.hears(sender, *it)).map(BrokerId).collect(),
            linked: linked.map(sighting).collect(),
        }
    }

    pub(super) fn leader(&self) -> u32 {
        self.cluster.image.topic("t").unwrap().partitions[0].leader.0
    }

    pub(super) fn round(&self) -> u32 {
        self.cluster.image.topic("t").unwrap().partitions[0].round
    }

    pub(super) fn leads(&self) -> Vec<usize> {
        let partitions = &self.cluster.image.topic("t").unwrap().partitions;
        let count = |id| partitions.iter().filter(|it| it.leader == BrokerId(id)).count();
        (1..=self.size).map(count).collect()
    }

    fn resign(&mut self, reason: ResignReason) {
        let topic = self.cluster.image.topic("t").unwrap();
        let partition = &topic.partitions[0];
        let (broker, round) = (partition.leader, partition.round);
        let resigned = Resigned { broker, round, reason, until_tick: u64::MAX };
        self.resignations.insert((topic.id, 0), resigned);
    }
}

#[test]
fn nothing_is_done_while_all_is_well() {
    let mut net = Net::of(5).with_topic(20, 3);
    let end = net.cluster.image.end();
    net.pass(1000);
    assert_eq!(net.cluster.image.end(), end);
}

#[test]
fn a_dead_brokers_leaderships_are_spread_and_it_returns_without_them() {
    let mut net = Net::of(4).with_topic(40, 3);
    let before = net.leads();
    net.kill(2);
    let appointed = net.pass(12);
    assert_eq!(appointed.len(), before[1]);
    assert!(!net.cluster.image.is_live(BrokerId(2)));
    let after = net.leads();
    assert_eq!(after[1], 0);
    let others = [after[0], after[2], after[3]];
    assert!(others.iter().max().unwrap() - others.iter().min().unwrap() <= 2, "{after:?}");
    assert!(net.pass(500).is_empty());
    net.heal();
    assert!(net.pass(40).is_empty());
    assert!(net.cluster.image.is_live(BrokerId(2)));
    assert_eq!(net.leads(), after, "coming back alone moves nothing");
}

#[test]
fn without_a_majority_nobody_is_appointed_until_it_returns() {
    let mut net = Net::of(3).with_partition(&[2, 3, 1]);
    net.kill(2);
    net.kill(3);
    assert!(net.pass(100).is_empty());
    assert_eq!(net.leader(), 2);
    assert!(net.cluster.image.is_live(BrokerId(2)), "whoever is alone does not judge the others");
    net.down = vec![2];
    let appointed = net.pass(40);
    assert_eq!(appointed.len(), 1);
    assert_ne!(net.leader(), 2);
}

#[test]
fn one_replica_alone_waits_for_its_broker() {
    let mut net = Net::of(3).with_partition(&[2]);
    net.kill(2);
    assert!(net.pass(100).is_empty());
    net.heal();
    assert!(net.pass(100).is_empty());
    assert_eq!((net.leader(), net.round()), (2, FIRST_ROUND));
    assert!(net.cluster.image.is_live(BrokerId(2)));
}

#[test]
fn a_leader_cut_off_from_its_replicas_is_replaced() {
    // The leader reaches the controller, but none of the other replicas.
    let mut net = Net::of(5).with_partition(&[2, 3, 4]);
    net.cut(2, 3);
    assert!(net.pass(100).is_empty(), "it still has a majority");
    net.cut(2, 4);
    assert_eq!(net.pass(30).len(), 1);
    assert!(net.leader() == 3 || net.leader() == 4);
    assert!(net.pass(1000).is_empty());
    assert!(net.cluster.image.is_live(BrokerId(2)), "the controller hears it");
}

#[test]
fn a_leader_cut_off_from_the_controller_alone_leads_on() {
    for replicas in [[2, 3, 4], [2, 3, 1]] {
        let mut net = Net::of(4).with_partition(&replicas);
        net.pass(10);
        net.cut(2, 1);
        assert!(net.pass(1000).is_empty(), "{replicas:?}");
        assert!(net.cluster.image.is_live(BrokerId(2)), "others tell of it");
        net.cut(2, 3);
        let moves = usize::from(replicas[2] == 1);
        assert_eq!(net.pass(30).len(), moves, "{replicas:?}: is a majority left?");
        net.heal();
        net.kill(2);
        assert_eq!(net.pass(30).len(), 1 - moves, "{replicas:?}: it really dies");
    }
}

#[test]
fn a_controller_that_does_not_reach_the_replicas_lets_others_stand() {
    let mut net = Net::of(5).with_partition(&[1, 2, 3]);
    net.pass(10);
    let should_yield = |net: &Net| should_yield(&net.cluster.image, &net.connectivity);
    net.cut(1, 2);
    assert!(net.pass(100).is_empty() && !should_yield(&net), "a majority is left");
    net.cut(1, 3);
    assert!(net.pass(100).is_empty() && should_yield(&net), "4 and 5 could appoint 2 or 3");
    net.heal();
    net.pass(100);
    for replica in [2, 3] {
        [1, 4, 5].iter().for_each(|other| net.cut(replica, *other));
    }
    net.pass(100);
    assert!(!should_yield(&net), "2 and 3 reach no majority of brokers: nobody hears of them");
}

#[test]
fn a_leader_that_cannot_have_heard_of_its_appointment_is_replaced() {
    let mut net = Net::of(3).with_topic(1, 1);
    net.cut(2, 1);
    net.pass(30);
    let assignments = vec![(0, vec![2, 3, 1])];
    let topic = NewTopic { assignments, ..net.cluster.topic("late") };
    net.cluster.create(vec![topic]).remove(0).unwrap();
    assert_eq!(net.pass(1).len(), 1);
    let leader = net.cluster.image.topic("late").unwrap().partitions[0].leader;
    assert!(leader == BrokerId(1) || leader == BrokerId(3));
    assert!(net.pass(1000).is_empty());
}

#[test]
fn one_way_cuts_count_as_cuts() {
    for outgoing in [true, false] {
        let mut net = Net::of(4).with_partition(&[2, 3, 4]);
        for other in [3, 4] {
            net.cut.push(if outgoing { (2, other) } else { (other, 2) });
        }
        assert_eq!(net.pass(30).len(), 1, "{outgoing}");
        assert_ne!(net.leader(), 2);
        assert!(net.pass(1000).is_empty());
    }
}

#[test]
fn chain_star_and_bridge_settle_after_one_round_each() {
    // (broken links of five brokers, replicas, whether the leader has to go)
    let chain = vec![(1, 3), (1, 4), (1, 5), (2, 4), (2, 5), (3, 5)];
    let star = vec![(1, 2), (1, 4), (1, 5), (2, 4), (2, 5), (4, 5)];
    let bridge = vec![(1, 4), (1, 5), (2, 4), (2, 5)];
    let cases: [(_, &[i32], _); 6] = [
        (&chain, &[2, 1, 3], false),
        (&chain, &[1, 2, 3], false),
        (&star, &[1, 3, 4], false),
        (&star, &[3, 1, 2, 4, 5], false),
        (&star, &[1, 2, 3, 4, 5], true),
        (&bridge, &[3, 1, 2, 4, 5], false),
    ];
    for (links, replicas, moves) in cases {
        // In a star only its middle hears everybody, so it leads the metadata group.
        let mut net = Net::led_by(5, 3).with_partition(replicas);
        net.pass(10);
        for (a, b) in links {
            net.cut(*a, *b);
        }
        let appointed = net.pass(1000);
        assert_eq!(appointed.len(), usize::from(moves), "{links:?} {replicas:?} {appointed:?}");
        let members: Vec<_> = replicas.iter().map(|id| BrokerId(*id as u32)).collect();
        let leader = BrokerId(net.leader());
        assert!(net.connectivity.reaches_majority(leader, &members), "{links:?} {replicas:?}");
    }
}

#[test]
fn a_broker_that_flaps_makes_few_rounds() {
    let mut net = Net::of(3).with_topic(3, 3);
    let mut rounds = 0;
    for _ in 0..120 {
        net.isolate(2);
        rounds += net.pass(11).len();
        net.heal();
        rounds += net.pass(9).len();
    }
    assert!(rounds <= 3, "{rounds} rounds in two minutes");
    assert_eq!(net.leads()[1], 0, "it leads nothing meanwhile");
    net.pass(2000);
    assert!(net.cluster.image.is_live(BrokerId(2)));
}

/// Lets links be cut for 550 ms and be there for 450 ms, several times; returns how many
/// appointments that makes.
fn flap(net: &mut Net, links: &[(u32, u32)], times: u32) -> usize {
    let mut rounds = 0;
    for _ in 0..times {
        links.iter().for_each(|(a, b)| net.cut(*a, *b));
        rounds += net.pass(11).len();
        net.heal();
        rounds += net.pass(9).len();
    }
    rounds
}

#[test]
fn a_leader_is_waited_for_where_nobodys_links_are_steadier() {
    let mut net = Net::of(5).with_partition(&[2, 3, 4]);
    net.pass(10);
    let rounds = flap(&mut net, &[(2, 3), (2, 4), (3, 4)], 120);
    assert!(rounds <= 1, "{rounds} rounds in two minutes");
    let leader = net.leader();
    let others: Vec<u32> = [2, 3, 4].into_iter().filter(|it| *it != leader).collect();
    others.iter().for_each(|other| net.cut(leader, *other));
    let appointed = net.pass(30);
    assert_eq!(appointed.len(), 1, "it does not come back");
    assert!(others.contains(&net.leader()));
}

#[test]
fn a_successor_with_steady_links_is_preferred() {
    for (flapping, steady) in [(3, 4), (4, 3)] {
        let mut net = Net::of(5).with_partition(&[2, 3, 4]);
        net.pass(10);
        assert_eq!(flap(&mut net, &[(1, flapping)], 3), 0);
        net.kill(2);
        assert_eq!(net.pass(12).len(), 1);
        assert_eq!(net.leader(), steady, "the link of {flapping} to the controller flaps");
    }
    // An unsteady one is better than none.
    let mut net = Net::of(5).with_partition(&[2, 3, 4]);
    flap(&mut net, &[(3, 4)], 3);
    net.kill(2);
    assert_eq!(net.pass(32).len(), 1);
    assert_ne!(net.leader(), 2);
}

#[test]
fn a_resignation_moves_leadership_according_to_its_reason() {
    use ResignReason::{Faulty, PromisesMissing, QuorumLost, Stale};
    for (reason, stays, round) in [
        (QuorumLost, false, 2),
        (PromisesMissing, false, 2),
        (Faulty, false, 2),
        (Stale { promised_round: 9 }, true, 10),
    ] {
        let mut net = Net::of(3).with_partition(&[2, 3, 1]);
        net.resign(reason);
        assert_eq!(net.pass(1).len(), 1, "{reason:?}");
        assert_eq!((net.leader() == 2, net.round()), (stays, round), "{reason:?}");
        assert!(net.pass(1000).is_empty(), "an old resignation has no effect");
    }
}

#[test]
fn who_resigns_alone_is_appointed_again_but_never_with_a_damaged_log() {
    for (reason, appointments) in [(ResignReason::QuorumLost, 1), (ResignReason::Faulty, 0)] {
        let mut net = Net::of(2).with_partition(&[2]);
        net.resign(reason);
        assert_eq!(net.pass(100).len(), appointments, "{reason:?}");
    }
}

#[test]
fn resignations_without_end_are_slowed_down() {
    let mut net = Net::of(3).with_partition(&[2, 3, 1]);
    let mut rounds = 0;
    for _ in 0..1200 {
        net.resign(ResignReason::PromisesMissing);
        rounds += net.pass(1).len();
    }
    assert!((3..=8).contains(&rounds), "{rounds} rounds in a minute");
}

#[test]
fn a_restarted_leader_gets_time_to_register_and_then_is_lost() {
    let mut net = Net::of(3).with_partition(&[2, 3, 1]);
    let life = TopicId::from_bytes([7; 16]);
    let mut appointed = 0;
    for tick in 0..30 {
        net.down = vec![2];
        let report = Report { start: 1, incarnation: life, ..net.report(3) };
        net.connectivity.handle_heartbeat(BrokerId(2), report);
        appointed += net.pass(1).len();
        assert_eq!(appointed > 0, tick >= 9, "{tick}");
    }
    assert_eq!(appointed, 1);
}

#[test]
fn a_large_failover_takes_several_batches() {
    let mut net = Net::of(2).with_partition(&[2, 1]);
    let ids: Vec<i32> = (0..5000).collect();
    let assignments = ids.iter().map(|index| (*index, vec![3, 1, 2])).collect();
    net.cluster = Cluster::of(3);
    net.size = 3;
    let topic = NewTopic { assignments, ..net.cluster.topic("t") };
    net.cluster.create(vec![topic]).remove(0).unwrap();
    net.kill(3);
    let mut sizes: Vec<usize> = (0..100).map(|_| net.pass(1).len()).collect();
    sizes.retain(|size| *size > 0);
    assert_eq!(sizes, [APPOINTMENTS_PER_BATCH, 5000 - APPOINTMENTS_PER_BATCH]);
    assert_eq!(net.leads(), [2500, 2500, 0]);
}
