//! The metadata group's election over real replicas and every kind of partial partition: a
//! quorum-connected member leads soon, after few rounds, and stays.

mod cluster;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cluster::node::{Effects, Node};
use cluster::random::Random;
use synod_paxos::{
    Ballot, Election, ElectionConfig, ElectionOutput, Heartbeat, Message, NodeId, Output, Proposal,
    ReplicaConfig, ReplicaSet, Role,
};

/// A new leader has to be there after this many ticks: time-out, jitter, phase 1 and some slack.
const MOVE_TICKS: u32 = 50;
const MOST_ROUNDS: u32 = 3;

#[derive(Clone, Debug)]
enum Packet {
    Beat(Heartbeat),
    Paxos(Message),
}

struct Group {
    set: ReplicaSet,
    nodes: BTreeMap<NodeId, Node>,
    elections: BTreeMap<NodeId, Election>,
    /// Packets due at a tick, in order of sending.
    network: BTreeMap<u64, VecDeque<(NodeId, NodeId, Packet)>>,
    cuts: BTreeSet<(NodeId, NodeId)>,
    tick: u64,
    /// Ballots run so far.
    campaigns: u32,
    random: Random,
}

impl Group {
    fn new(count: u32, seed: u64) -> Group {
        let ids: Vec<NodeId> = (1..=count).map(NodeId).collect();
        let set = ReplicaSet::new(&ids);
        let node = |id: &NodeId| {
            let mut config = ReplicaConfig::new(*id);
            config.check_quorum_ticks = 10;
            (*id, Node::new(config))
        };
        let election = |id: &NodeId| {
            let config = ElectionConfig::new(*id, set.clone(), seed);
            (*id, Election::new(config, Ballot::ZERO))
        };
        Group {
            nodes: ids.iter().map(node).collect(),
            elections: ids.iter().map(election).collect(),
            set,
            network: BTreeMap::new(),
            cuts: BTreeSet::new(),
            tick: 0,
            campaigns: 0,
            random: Random::new(seed),
        }
    }

    fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    fn send(&mut self, from: NodeId, to: NodeId, packet: Packet) {
        if !self.cuts.contains(&(from, to)) {
            let due = self.tick + self.random.below(2) as u64;
            self.network.entry(due).or_default().push_back((from, to, packet));
        }
    }

    fn took(&mut self, id: NodeId, effects: Effects) {
        for output in &effects.outputs {
            if let (Output::RoleChanged { role, ballot }, Some(election)) =
                (output, self.elections.get_mut(&id))
            {
                election.handle_role(*role, *ballot);
            }
        }
        for (to, message) in effects.sent {
            self.send(id, to, Packet::Paxos(message));
        }
    }

    fn with(&mut self, id: NodeId, step: impl FnOnce(&mut Node) -> Effects) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let effects = step(node);
        self.took(id, effects);
        // Disks are prompt here.
        while let Some(node) = self.nodes.get_mut(&id).filter(|n| !n.disk.pending.is_empty()) {
            let effects = node.sync(64);
            self.took(id, effects);
        }
    }

    fn step(&mut self) {
        self.tick += 1;
        for id in self.ids() {
            self.with(id, Node::tick);
            if let Some(election) = self.elections.get_mut(&id) {
                election.handle_tick();
            }
            self.drain_election(id);
        }
        while let Some(mut due) =
            self.network.first_entry().filter(|entry| *entry.key() <= self.tick)
        {
            let Some((from, to, packet)) = due.get_mut().pop_front() else {
                due.remove();
                continue;
            };
            match packet {
                Packet::Beat(beat) => {
                    if let Some(election) = self.elections.get_mut(&to) {
                        election.handle_heartbeat(from, beat);
                    }
                }
                Packet::Paxos(message) => self.with(to, |node| node.deliver(from, message)),
            }
        }
    }

    fn drain_election(&mut self, id: NodeId) {
        while let Some(output) = self.elections.get_mut(&id).and_then(Election::poll_output) {
            match output {
                ElectionOutput::Heartbeat { to, heartbeat } => {
                    self.send(id, to, Packet::Beat(heartbeat));
                }
                ElectionOutput::Campaign { ballot } => {
                    self.campaigns += 1;
                    let set = self.set.clone();
                    self.with(id, |node| node.appoint(ballot, set));
                }
            }
        }
    }

    fn run(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.step();
        }
    }

    /// The member that leads, is ready and has a quorum; of several the one of the highest ballot.
    fn leader(&self) -> Option<NodeId> {
        let leading = self.nodes.values().filter_map(|node| {
            let replica = node.replica.as_ref()?;
            let works = matches!(replica.role(), Role::Leader { ready: true, quorum: true });
            works.then(|| replica.ballot())
        });
        leading.max().map(|ballot| ballot.node)
    }

    fn describe(&self) -> String {
        let line = |node: &Node| match &node.replica {
            None => format!("{} down\n", node.id()),
            Some(r) => format!(
                "{} {:?} {} promisers {:?} {:?} log {} decided {}\n{:?}\n",
                r.node(),
                r.role(),
                r.ballot(),
                r.promisers(),
                r.followers(),
                r.log_end(),
                r.decided_end(),
                self.elections.get(&r.node()),
            ),
        };
        self.nodes.values().map(line).collect()
    }

    fn cut_both(&mut self, a: NodeId, b: NodeId) {
        self.cuts.extend([(a, b), (b, a)]);
    }

    fn crash(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.crash(0);
        }
        self.elections.remove(&id);
        self.network.values_mut().for_each(|due| due.retain(|(_, to, _)| *to != id));
    }

    /// After a fault: somebody leads soon, within few rounds, and then nothing moves any more.
    fn settles(&mut self, what: &str) -> NodeId {
        let before = self.campaigns;
        self.run(MOVE_TICKS);
        let Some(leader) = self.leader() else {
            panic!("{what}: nobody leads\n{}", self.describe())
        };
        let rounds = self.campaigns - before;
        assert!(rounds <= MOST_ROUNDS, "{what}: {rounds} rounds");
        let campaigns = self.campaigns;
        self.run(150);
        assert_eq!(self.campaigns, campaigns, "{what}: rounds are wasted");
        assert_eq!(self.leader(), Some(leader), "{what}: leadership moves without reason");
        self.decides(leader, what);
        leader
    }

    fn decides(&mut self, leader: NodeId, what: &str) {
        let proposal = Proposal { count: 1, size: 10, checksum: 7 };
        let before = self.nodes[&leader].disk.visible.end();
        self.with(leader, |node| node.propose(&[proposal]).0);
        self.run(10);
        let decided = self.nodes[&leader].replica.as_ref().map(|r| r.decided_end());
        assert_eq!(decided, Some(before + 1), "{what}: the leader decides nothing");
    }
}

/// Runs a scenario over many seeds and both sizes.
fn scenario(what: &str, fault: impl Fn(&mut Group, NodeId) -> Vec<NodeId>) {
    for count in [3, 5] {
        for seed in 0..15 {
            let mut group = Group::new(count, seed);
            let what = format!("{what}, {count} members, seed {seed}");
            let leader = group.settles(&what);
            let able = fault(&mut group, leader);
            let next = group.settles(&what);
            assert!(able.is_empty() || able.contains(&next), "{what}: {next} leads, not {able:?}");
            group.cuts.clear();
            group.settles(&format!("{what}, healed"));
        }
    }
}

#[test]
fn a_group_of_one_leads_at_once() {
    let mut group = Group::new(1, 1);
    group.run(1);
    assert_eq!(group.leader(), Some(NodeId(1)));
    assert_eq!(group.settles("alone"), NodeId(1));
}

#[test]
fn a_dead_leader_is_replaced() {
    scenario("dead leader", |group, leader| {
        group.crash(leader);
        group.ids().into_iter().filter(|id| *id != leader).collect()
    });
}

#[test]
fn an_isolated_leader_is_replaced() {
    scenario("isolated leader", |group, leader| {
        for id in group.ids() {
            if id != leader {
                group.cut_both(leader, id);
            }
        }
        group.ids().into_iter().filter(|id| *id != leader).collect()
    });
}

#[test]
fn an_isolated_follower_disturbs_nobody_even_when_it_returns() {
    scenario("isolated follower", |group, leader| {
        let follower = group.ids().into_iter().find(|id| *id != leader);
        let follower = follower.expect("there is a follower");
        for id in group.ids() {
            if id != follower {
                group.cut_both(follower, id);
            }
        }
        vec![leader]
    });
}

#[test]
fn in_a_star_only_the_hub_can_lead() {
    scenario("star", |group, leader| {
        let hub = group.ids().into_iter().find(|id| *id != leader).expect("there is a follower");
        for a in group.ids() {
            for b in group.ids() {
                if a != b && a != hub && b != hub {
                    group.cut_both(a, b);
                }
            }
        }
        // With three members every spoke hears a majority, too: itself and the hub.
        if group.ids().len() == 3 { vec![leader] } else { vec![hub] }
    });
}

#[test]
fn a_leader_that_is_heard_but_hears_nobody_is_replaced() {
    scenario("deaf leader", |group, leader| {
        for id in group.ids() {
            group.cuts.insert((id, leader));
        }
        group.ids().into_iter().filter(|id| *id != leader).collect()
    });
}

#[test]
fn a_leader_that_hears_but_is_not_heard_is_replaced() {
    scenario("mute leader", |group, leader| {
        for id in group.ids() {
            group.cuts.insert((leader, id));
        }
        group.ids().into_iter().filter(|id| *id != leader).collect()
    });
}

#[test]
fn a_flapping_link_moves_nothing_for_long() {
    for seed in 0..15 {
        let mut group = Group::new(3, seed);
        let leader = group.settles("before");
        let other = group.ids().into_iter().find(|id| *id != leader).expect("a follower");
        let before = group.campaigns;
        for _ in 0..30 {
            group.cut_both(leader, other);
            group.run(10);
            group.cuts.clear();
            group.run(10);
        }
        assert_eq!(group.campaigns, before, "seed {seed}: the third member connects both");
        assert_eq!(group.settles("after"), leader);
    }
}

#[test]
fn without_a_majority_nobody_campaigns() {
    for seed in 0..20 {
        let mut group = Group::new(3, seed);
        group.settles("before");
        for a in group.ids() {
            for b in group.ids() {
                group.cut_both(a, b);
            }
        }
        let campaigns = group.campaigns;
        group.run(150);
        assert_eq!(group.leader(), None);
        assert_eq!(group.campaigns, campaigns);
        group.cuts.clear();
        group.settles("after");
    }
}

#[test]
fn heartbeats_of_strangers_do_not_count() {
    let set = ReplicaSet::new(&[NodeId(1), NodeId(2), NodeId(3)]);
    let mut election = Election::new(ElectionConfig::new(NodeId(1), set, 1), Ballot::ZERO);
    let beat = Heartbeat { round: 9, quorum: true, leads: None, follows: None };
    election.handle_heartbeat(NodeId(7), beat);
    election.handle_heartbeat(NodeId(1), beat);
    assert!(!election.hears_majority());
    election.handle_heartbeat(NodeId(2), beat);
    assert!(election.hears_majority());
}
