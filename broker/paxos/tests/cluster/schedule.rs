//! One seed, one schedule: random faults against safety, then heal and demand liveness.

use std::collections::{BTreeMap, BTreeSet};

use synod_paxos::{Ballot, Message, NodeId, Output, Proposal, ReplicaConfig, ReplicaSet, Role};

use super::invariants::Invariants;
use super::node::{Effects, Node};
use super::random::Random;

/// What a seed turns on.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) node_count: usize,
    pub(crate) step_count: usize,
    loss_percent: usize,
    replay_percent: usize,
    reorder: bool,
    crash_weight: usize,
    appoint_weight: usize,
    corrupt_percent: usize,
    trim_percent: usize,
    /// Appointments may repeat the last round for another node: never right, must be harmless.
    repeat_rounds: bool,
    reconfigure: bool,
    /// The same appointment arrives again, perhaps after a restart.
    reappoint_percent: usize,
    cut_weight: usize,
}

impl Options {
    pub(crate) fn from_seed(seed: u64) -> Options {
        let mut random = Random::new(seed ^ 0x0005_EED0);
        let reconfigure = random.chance(15);
        Options {
            node_count: if reconfigure { 5 } else { [3, 3, 3, 4, 5][random.below(5)] },
            step_count: 200 + random.below(1_200),
            loss_percent: [0, 0, 5, 20][random.below(4)],
            replay_percent: [0, 0, 10, 30][random.below(4)],
            reorder: random.chance(60),
            crash_weight: [0, 2, 6, 16][random.below(4)],
            appoint_weight: [2, 5, 12][random.below(3)],
            corrupt_percent: [0, 0, 0, 30][random.below(4)],
            trim_percent: [0, 0, 80][random.below(3)],
            repeat_rounds: random.chance(20),
            reconfigure,
            reappoint_percent: [0, 10, 50][random.below(3)],
            cut_weight: [0, 2, 6][random.below(3)],
        }
    }
}

#[derive(Clone, Debug)]
struct Packet {
    from: usize,
    to: usize,
    message: Message,
}

/// A change of replicas under way (rule 8).
#[derive(Clone, Debug)]
struct Membership {
    set: ReplicaSet,
    /// The joint ballots' target, once a change has begun.
    target: Option<Vec<NodeId>>,
}

pub(crate) struct Schedule {
    options: Options,
    random: Random,
    pub(crate) nodes: Vec<Node>,
    network: Vec<Packet>,
    /// Links that carry nothing, as (from, to).
    cuts: BTreeSet<(usize, usize)>,
    pub(crate) invariants: Invariants,
    membership: Membership,
    round: u32,
    appointed: Ballot,
    next_value: u32,
    /// A digest of every event: the same seed must give the same one.
    pub(crate) trace: u64,
    /// Prints every output, for the study of a failing seed.
    pub(crate) traced: bool,
    /// How often each situation came up.
    pub(crate) reached: BTreeMap<&'static str, u64>,
}

/// Names what an output shows to have come up.
fn situation(output: &Output) -> Option<&'static str> {
    Some(match output {
        Output::Append { .. } => "append",
        Output::Truncate { .. } => "truncation",
        Output::RestartLog { .. } => "log restarted",
        Output::RoleChanged { role: Role::Candidate, .. } => "candidate",
        Output::RoleChanged { role: Role::Leader { ready: false, .. }, .. } => "leader",
        Output::RoleChanged { role: Role::Leader { quorum: false, .. }, .. } => "quorum lost",
        Output::RoleChanged { role: Role::Leader { .. }, .. } => "leader ready",
        Output::Read { .. } => "read",
        Output::TrimHint { .. } => "trim hint",
        Output::Decided { .. } => "decided",
        Output::Send { message, .. } => match message {
            Message::Promise(m) if m.faulty_end.is_some() => "faulty promise",
            Message::Entries(_) => "entries",
            Message::Adopt(m) if m.restart => "adopt with restart",
            Message::Adopt(m) if m.batches.is_empty() => "adopt",
            Message::Adopt(_) => "adopt with batches",
            Message::Copied(_) => "copied",
            Message::Accepted(m) if m.gap.is_some() => "gap",
            Message::Nack(_) => "nack",
            Message::Confirmed(_) => "confirmed",
            _ => return None,
        },
        _ => return None,
    })
}

fn id(index: usize) -> NodeId {
    NodeId(index as u32 + 1)
}

/// Tiny limits, so that long adoptions, full windows and forgotten tails occur all the time.
pub(crate) fn tight_config(node: NodeId) -> ReplicaConfig {
    let mut config = ReplicaConfig::new(node);
    config.check_quorum_ticks = 6;
    config.resend_ticks = 1;
    config.heartbeat_ticks = 3;
    config.window_batch_count = 4;
    config.window_size = 350;
    config.message_size = 200;
    config.undecided_batch_count = 8;
    config.cached_batch_count = 2;
    config
}

impl Schedule {
    pub(crate) fn new(seed: u64, configure: impl Fn(NodeId) -> ReplicaConfig) -> Schedule {
        let options = Options::from_seed(seed);
        let nodes: Vec<Node> =
            (0..options.node_count).map(|i| Node::new(configure(id(i)))).collect();
        let voters: Vec<NodeId> = if options.reconfigure {
            (0..3).map(id).collect()
        } else {
            nodes.iter().map(Node::id).collect()
        };
        Schedule {
            options,
            random: Random::new(seed),
            nodes,
            network: Vec::new(),
            cuts: BTreeSet::new(),
            invariants: Invariants::default(),
            membership: Membership { set: ReplicaSet::new(&voters), target: None },
            round: 0,
            appointed: Ballot::ZERO,
            next_value: 1,
            trace: 0,
            traced: false,
            reached: BTreeMap::new(),
        }
    }

    /// Runs the whole schedule. `Err` says which invariant broke at which step.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        for step in 0..self.options.step_count {
            self.step().map_err(|error| format!("step {step}: {error}"))?;
            if step.is_multiple_of(32) {
                self.check_disks().map_err(|error| format!("step {step}: {error}"))?;
            }
        }
        self.check_disks()?;
        self.heal()
    }

    fn step(&mut self) -> Result<(), String> {
        let busy = if self.network.is_empty() { 0 } else { 220 };
        let (crash, appoint) = (self.options.crash_weight, self.options.appoint_weight);
        let cut = self.options.cut_weight;
        match self.random.weighted(&[busy, 100, 20, crash, 40, appoint, 50, 6, cut, 20]) {
            0 => self.deliver(),
            1 => self.sync(),
            2 => self.tick(),
            3 => {
                self.crash();
                Ok(())
            }
            4 => {
                self.restart();
                Ok(())
            }
            5 => self.appoint(),
            6 => self.propose(),
            7 => self.trim(),
            8 => {
                self.cut();
                Ok(())
            }
            _ => self.confirm(),
        }
    }

    fn check_disks(&self) -> Result<(), String> {
        // With replicas changing, a majority of all nodes is not what was promised.
        if self.options.reconfigure { Ok(()) } else { self.invariants.nothing_is_lost(&self.nodes) }
    }

    // ---- events ------------------------------------------------------------------------------

    fn took(&mut self, at: usize, effects: Effects) -> Result<(), String> {
        self.note(&(at as u64));
        if self.traced && !effects.outputs.is_empty() {
            println!("n{} {:?}", at + 1, effects.outputs);
        }
        for output in &effects.outputs {
            if let Output::Decided { end } = output {
                self.note(end);
            }
            if let Some(what) = situation(output) {
                *self.reached.entry(what).or_insert(0) += 1;
            }
        }
        for (to, message) in effects.sent {
            self.invariants.said(&self.nodes[at], &message)?;
            let to = to.0 as usize - 1;
            if to < self.nodes.len() {
                self.network.push(Packet { from: at, to, message });
            }
        }
        self.invariants.after_step(&self.nodes, at, &effects.outputs)
    }

    fn note(&mut self, value: &u64) {
        self.trace = (self.trace ^ value).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(5);
    }

    fn deliver(&mut self) -> Result<(), String> {
        let reorder = self.options.reorder;
        let at = if reorder { self.random.below(self.network.len()) } else { 0 };
        let packet = if self.random.chance(self.options.replay_percent) {
            self.network[at].clone()
        } else {
            self.network.remove(at)
        };
        let cut = self.cuts.contains(&(packet.from, packet.to));
        if cut || self.random.chance(self.options.loss_percent) {
            return Ok(());
        }
        self.hand_over(packet)
    }

    fn hand_over(&mut self, packet: Packet) -> Result<(), String> {
        let effects = self.nodes[packet.to].deliver(id(packet.from), packet.message.clone());
        if effects.refused {
            return Err(format!("an honest message was refused: {packet:?}"));
        }
        self.took(packet.to, effects)
    }

    /// Cuts links: one node off, a split, one way only, a single link; or mends them all.
    fn cut(&mut self) {
        self.cuts.clear();
        let count = self.nodes.len();
        let node = self.random.below(count);
        let side = self.random.below(count - 1) + 1;
        let kind = self.random.below(6);
        for from in 0..count {
            for to in 0..count {
                let cut = match kind {
                    0 => (from == node) != (to == node),
                    1 => (from < side) != (to < side),
                    2 => from == node && to != node,
                    3 => from != node && to == node,
                    4 => from.abs_diff(to) > 1,
                    _ => false,
                };
                if cut {
                    self.cuts.insert((from, to));
                }
            }
        }
    }

    fn sync(&mut self) -> Result<(), String> {
        let at = self.random.below(self.nodes.len());
        let count = self.random.below(3) + 1;
        let effects = self.nodes[at].sync(count);
        self.took(at, effects)
    }

    fn tick(&mut self) -> Result<(), String> {
        let at = self.random.below(self.nodes.len());
        let effects = self.nodes[at].tick();
        self.took(at, effects)
    }

    fn crash(&mut self) {
        let at = self.random.below(self.nodes.len());
        if self.nodes[at].is_up() {
            let pending = self.nodes[at].disk.pending.len();
            let kept = self.random.below(pending + 1);
            self.nodes[at].crash(kept);
            if self.traced {
                println!("n{} crashes, keeps {kept} of {pending} writes", at + 1);
            }
        }
    }

    fn restart(&mut self) {
        let at = self.random.below(self.nodes.len());
        if !self.nodes[at].is_up() {
            if self.random.chance(self.options.corrupt_percent) {
                let count = self.nodes[at].disk.log.batches.len();
                if count > 0 {
                    let index = count - 1 - self.random.below(count.min(4));
                    self.nodes[at].disk.corrupt(index);
                    if self.traced {
                        println!("n{} corrupt from batch {index}", at + 1);
                    }
                }
            }
            self.nodes[at].restart();
            self.invariants.restarted(id(at));
            if self.traced {
                println!("n{} restarts with {:?}", at + 1, self.nodes[at].disk.recover());
            }
        }
    }

    fn appoint(&mut self) -> Result<(), String> {
        self.change_members();
        let voters: Vec<NodeId> = self.membership.set.voters().to_vec();
        let node = voters[self.random.below(voters.len())];
        let repeat = self.options.repeat_rounds && self.random.chance(30);
        if !repeat || self.round == 0 {
            self.round += 1;
        }
        let mut ballot = Ballot::new(self.round, node);
        if self.random.chance(self.options.reappoint_percent) {
            // The same appointment once more, perhaps after a restart.
            ballot = self.appointed;
        }
        self.appointed = ballot;
        let node = ballot.node;
        if node == NodeId(0) {
            return Ok(());
        }
        let at = node.0 as usize - 1;
        let mut set = self.membership.set.clone();
        if self.options.reconfigure && self.random.chance(50) {
            let all: Vec<NodeId> = self.nodes.iter().map(Node::id).collect();
            set = set.with_observers(&all);
        }
        let effects = self.nodes[at].appoint(ballot, set);
        self.took(at, effects)
    }

    /// Moves a change of replicas one stage on, as the metadata group would: joint first, and the
    /// new set alone only after the joint ballot's log is decided under it.
    fn change_members(&mut self) {
        if !self.options.reconfigure {
            return;
        }
        let current = self.membership.set.clone();
        if let Some(target) = self.membership.target.clone() {
            let decided_jointly = self.nodes.iter().any(|node| {
                let set = node.replica.as_ref().and_then(|r| r.replica_set());
                let same = |set: &ReplicaSet| {
                    (set.voters(), set.old_voters()) == (current.voters(), current.old_voters())
                };
                node.is_ready_leader() && set.is_some_and(same)
            });
            if decided_jointly {
                self.membership = Membership { set: ReplicaSet::new(&target), target: None };
            }
        } else if self.random.chance(50) {
            let all: Vec<NodeId> = self.nodes.iter().map(Node::id).collect();
            let first = self.random.below(all.len());
            let size = [1, 2, 3, 3, 5][self.random.below(5)];
            let target: Vec<NodeId> = (0..size).map(|i| all[(first + i) % all.len()]).collect();
            let set = ReplicaSet::joint(&target, current.voters());
            self.membership = Membership { set, target: Some(target) };
        }
    }

    fn propose(&mut self) -> Result<(), String> {
        let leaders: Vec<usize> =
            (0..self.nodes.len()).filter(|i| self.nodes[*i].is_ready_leader()).collect();
        if leaders.is_empty() {
            return Ok(());
        }
        let at = leaders[self.random.below(leaders.len())];
        let count = self.random.below(3) + 1;
        let proposals: Vec<Proposal> = (0..count).map(|_| self.next_proposal()).collect();
        let (effects, _) = self.nodes[at].propose(&proposals);
        self.took(at, effects)
    }

    /// Has a leader, perhaps one that was superseded, ask whether it still leads.
    fn confirm(&mut self) -> Result<(), String> {
        let at = self.random.below(self.nodes.len());
        let (effects, asked) = self.nodes[at].confirm();
        if let Some((ballot, number)) = asked {
            self.invariants.asked(&self.nodes[at], ballot, number);
        }
        self.took(at, effects)
    }

    fn next_proposal(&mut self) -> Proposal {
        let checksum = self.next_value;
        self.next_value += 1;
        let count = self.random.below(4) as u32 + 1;
        Proposal { count, size: [50, 100, 500][self.random.below(3)], checksum }
    }

    fn trim(&mut self) -> Result<(), String> {
        if !self.random.chance(self.options.trim_percent) {
            return Ok(());
        }
        let at = self.random.below(self.nodes.len());
        let Some(replica) = &self.nodes[at].replica else { return Ok(()) };
        if !self.nodes[at].disk.pending.is_empty() {
            return Ok(());
        }
        let log = &self.nodes[at].disk.log;
        let end = replica.decided_end().min(log.end());
        let bases = log.batches.iter().map(|b| b.base);
        let candidates: Vec<u64> = bases.filter(|base| *base <= end).collect();
        if candidates.is_empty() {
            return Ok(());
        }
        let start = candidates[self.random.below(candidates.len())];
        let effects = self.nodes[at].trim(start);
        self.took(at, effects)
    }

    // ---- liveness ----------------------------------------------------------------------------

    /// No more faults: within a few ticks a newly appointed leader must decide a probe everywhere.
    fn heal(&mut self) -> Result<(), String> {
        for at in 0..self.nodes.len() {
            if !self.nodes[at].is_up() {
                self.nodes[at].restart();
                self.invariants.restarted(id(at));
            }
        }
        self.cuts.clear();
        self.options.reorder = false;
        self.options.loss_percent = 0;
        self.options.replay_percent = 0;
        self.round += 1;
        let voters = self.membership.set.voters().to_vec();
        let at = voters[self.random.below(voters.len())].0 as usize - 1;
        let all: Vec<NodeId> = self.nodes.iter().map(Node::id).collect();
        let set = self.membership.set.clone().with_observers(&all);
        let whole = |node: &&Node| node.disk.recover().faulty_end.is_none();
        let whole: Vec<NodeId> = self.nodes.iter().filter(whole).map(Node::id).collect();
        let effects = self.nodes[at].appoint(Ballot::new(self.round, id(at)), set.clone());
        self.took(at, effects)?;
        let mut probe = None;
        for _ in 0..60 {
            self.settle()?;
            if self.nodes[at].is_ready_leader() && probe.is_none() {
                let proposal = self.next_proposal();
                let (effects, error) = self.nodes[at].propose(&[proposal]);
                probe = error.is_none().then(|| self.nodes[at].disk.visible.end());
                self.took(at, effects)?;
                self.settle()?;
            }
            if probe.is_some_and(|end| self.all_decided(&set, end)) {
                return self.check_disks();
            }
            for node in 0..self.nodes.len() {
                let effects = self.nodes[node].tick();
                self.took(node, effects)?;
            }
        }
        // What is corrupt on too many disks at once stays unavailable, and must.
        if set.is_quorum(|node| whole.contains(&node)) {
            Err(format!("no progress after heal: probe {probe:?}\n{}", self.describe()))
        } else {
            Ok(())
        }
    }

    /// One line per node, for the report of a failed seed.
    pub(crate) fn describe(&self) -> String {
        let line = |node: &Node| match &node.replica {
            None => format!("{} down", node.id()),
            Some(r) => format!(
                "{} {:?} {} promised {} accepted {} log {}..{} decided {} faulty {:?} {:?}",
                node.id(),
                r.role(),
                r.ballot(),
                r.promised(),
                r.accepted_ballot(),
                r.log_start(),
                r.log_end(),
                r.decided_end(),
                r.faulty_end(),
                r.followers(),
            ),
        };
        self.nodes.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn all_decided(&self, set: &ReplicaSet, end: u64) -> bool {
        let decided = |id: NodeId| {
            let replica = self.nodes[id.0 as usize - 1].replica.as_ref();
            replica.is_some_and(|replica| replica.decided_end() >= end)
        };
        set.members().all(decided)
    }

    /// Delivers and syncs until nothing is left to do.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..20_000 {
            let mut quiet = true;
            for at in 0..self.nodes.len() {
                if !self.nodes[at].disk.pending.is_empty() {
                    quiet = false;
                    let effects = self.nodes[at].sync(64);
                    self.took(at, effects)?;
                }
            }
            if !self.network.is_empty() {
                quiet = false;
                let packet = self.network.remove(0);
                self.hand_over(packet)?;
            }
            if quiet {
                return Ok(());
            }
        }
        Err("the cluster does not come to rest".into())
    }
}
