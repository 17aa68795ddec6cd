//! Ballot leader election by quorum connectivity, for the metadata group.
//!
//! The metadata group appoints the leaders of all other partitions; it has to elect its own. Each
//! member tells all others in a heartbeat whether it hears a majority, whom it leads or follows,
//! and the highest round it has promised. A member campaigns only if it hears a majority itself
//! and knows of no leader that does: neither directly nor through a member that hears one. So a
//! member that is merely cut off from a working leader (a chain, a star) does not disturb it, and
//! a leader that lost its majority is replaced although some members still hear it.
//!
//! Nothing here is needed for safety: a campaign is an appointment like any other. Time is ticks,
//! chance is a seed.

use std::collections::{BTreeMap, VecDeque};

use crate::{Ballot, NodeId, ReplicaSet, Role};

/// Settings of a member. Times are in ticks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ElectionConfig {
    /// This member.
    pub node: NodeId,
    /// The group's voters.
    pub set: ReplicaSet,
    /// How often a heartbeat is sent; ≥ 1.
    pub heartbeat_ticks: u32,
    /// After this long without a heartbeat a member counts as gone; > `heartbeat_ticks`.
    pub timeout_ticks: u32,
    /// A campaign waits up to this long more, at random, so that members seldom collide; ≥ 1.
    pub jitter_ticks: u32,
    /// Source of the randomness.
    pub seed: u64,
}

impl ElectionConfig {
    /// Sensible settings: heartbeats every 2 ticks, gone after 10, jitter up to 12.
    pub fn new(node: NodeId, set: ReplicaSet, seed: u64) -> ElectionConfig {
        ElectionConfig { node, set, heartbeat_ticks: 2, timeout_ticks: 10, jitter_ticks: 12, seed }
    }
}

/// What a member tells all others from time to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Heartbeat {
    /// The highest round the sender knows of.
    pub round: u32,
    /// The sender hears a majority.
    pub quorum: bool,
    /// The ballot the sender leads, if it does.
    pub leads: Option<Ballot>,
    /// The leader that the sender hears itself and that hears a majority, if there is one.
    pub follows: Option<Ballot>,
}

/// What the election asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ElectionOutput {
    /// Send a heartbeat.
    Heartbeat {
        /// The receiver.
        to: NodeId,
        /// What to tell it.
        heartbeat: Heartbeat,
    },
    /// Stand for election: hand the ballot to [`Replica::handle_appointed`] with the group's set.
    ///
    /// [`Replica::handle_appointed`]: crate::Replica::handle_appointed
    Campaign {
        /// The ballot to run.
        ballot: Ballot,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Heard {
    tick: u64,
    heartbeat: Heartbeat,
}

/// One member's part in the election. Drive it with ticks, heartbeats and the replica's roles.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Election {
    config: ElectionConfig,
    tick: u64,
    heard: BTreeMap<NodeId, Heard>,
    role: Role,
    /// The ballot of the own role, or the one promised to another.
    ballot: Ballot,
    /// The highest round heard of.
    round: u32,
    /// Tick at which to campaign if nothing changes; `None` while there is no reason to.
    campaign_tick: Option<u64>,
    random: u64,
    outputs: VecDeque<ElectionOutput>,
}

impl Election {
    /// Begins with what the group's replica has promised. A group of one campaigns at once.
    pub fn new(config: ElectionConfig, promised: Ballot) -> Election {
        let random = config.seed ^ (u64::from(config.node.0) << 32);
        let mut election = Election {
            config,
            tick: 0,
            heard: BTreeMap::new(),
            role: Role::Follower,
            ballot: promised,
            round: promised.round,
            campaign_tick: None,
            random,
            outputs: VecDeque::new(),
        };
        if election.hears_majority() {
            election.campaign();
        }
        election
    }

    /// Takes a heartbeat. Only members' heartbeats count.
    pub fn handle_heartbeat(&mut self, from: NodeId, heartbeat: Heartbeat) {
        if from != self.config.node && self.config.set.is_voter(from) {
            self.round = self.round.max(heartbeat.round);
            self.heard.insert(from, Heard { tick: self.tick, heartbeat });
        }
    }

    /// Takes the replica's [`Output::RoleChanged`](crate::Output::RoleChanged).
    pub fn handle_role(&mut self, role: Role, ballot: Ballot) {
        if ballot != self.ballot {
            // Somebody is standing right now: give it the time.
            self.campaign_tick = None;
        }
        self.role = role;
        self.ballot = ballot;
        self.round = self.round.max(ballot.round);
    }

    /// A tick passed: beat, and campaign if it is time.
    pub fn handle_tick(&mut self) {
        self.tick += 1;
        if self.tick.is_multiple_of(u64::from(self.config.heartbeat_ticks.max(1))) {
            self.beat();
        }
        if !self.hears_majority() || self.leader().is_some() {
            self.campaign_tick = None;
            return;
        }
        let due = match self.campaign_tick {
            Some(due) => due,
            None => {
                let due = self.tick + self.patience();
                self.campaign_tick = Some(due);
                due
            }
        };
        if self.tick >= due {
            self.campaign();
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<ElectionOutput> {
        self.outputs.pop_front()
    }

    /// Whether this member hears a majority of the group, itself included.
    pub fn hears_majority(&self) -> bool {
        self.config.set.is_quorum(|node| node == self.config.node || self.hears(node).is_some())
    }

    /// A leader that hears a majority, as far as this member knows, directly or at second hand.
    pub fn leader(&self) -> Option<Ballot> {
        let second_hand = self.heard.keys().filter_map(|node| self.hears(*node)?.follows);
        self.direct_leader().into_iter().chain(second_hand.filter(|b| self.is_current(*b))).max()
    }

    /// A leader that hears a majority and that this member hears itself, or is.
    fn direct_leader(&self) -> Option<Ballot> {
        if matches!(self.role, Role::Leader { .. }) && self.hears_majority() {
            return Some(self.ballot);
        }
        let beats = self.heard.keys().filter_map(|node| self.hears(*node));
        let led = beats.filter(|beat| beat.quorum).filter_map(|beat| beat.leads);
        led.filter(|ballot| self.is_current(*ballot)).max()
    }

    /// A leader of a lower ballot than the promised one gets nothing accepted here any more.
    fn is_current(&self, ballot: Ballot) -> bool {
        ballot >= self.ballot
    }

    fn hears(&self, node: NodeId) -> Option<Heartbeat> {
        let heard = self.heard.get(&node)?;
        let fresh = self.tick - heard.tick < u64::from(self.config.timeout_ticks);
        fresh.then_some(heard.heartbeat)
    }

    fn beat(&mut self) {
        let leads = matches!(self.role, Role::Leader { .. }).then_some(self.ballot);
        let heartbeat = Heartbeat {
            round: self.round,
            quorum: self.hears_majority(),
            leads,
            follows: self.direct_leader(),
        };
        for to in self.config.set.members().filter(|node| *node != self.config.node) {
            self.outputs.push_back(ElectionOutput::Heartbeat { to, heartbeat });
        }
    }

    /// Stands with the next round that is this member's to use. Members take turns in the rounds,
    /// so that of two who campaign at once the higher simply wins; were it the same round, each
    /// would refuse the other.
    fn campaign(&mut self) {
        let voters = self.config.set.voters();
        let count = voters.len() as u32;
        let Some(turn) = voters.iter().position(|voter| *voter == self.config.node) else { return };
        let next = self.round + 1;
        let round = next + (turn as u32 + count - next % count) % count;
        self.round = round;
        self.campaign_tick = None;
        let ballot = Ballot::new(round, self.config.node);
        self.outputs.push_back(ElectionOutput::Campaign { ballot });
    }

    /// How long to wait before a campaign: short if nobody stands, a whole time-out more if
    /// somebody has just begun to (perhaps this member itself).
    fn patience(&mut self) -> u64 {
        let jitter = 1 + self.next_random() % u64::from(self.config.jitter_ticks.max(1));
        let standing = self.role == Role::Candidate || self.round > 0 && self.nobody_led_yet();
        if standing { u64::from(self.config.timeout_ticks) + jitter } else { jitter }
    }

    /// The promised ballot's leader has not been heard from as a leader, but may be on its way.
    fn nobody_led_yet(&self) -> bool {
        let promised = self.ballot.node;
        promised != self.config.node
            && self.hears(promised).is_some_and(|beat| beat.leads != Some(self.ballot))
    }

    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
