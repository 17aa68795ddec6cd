//! Exhaustive check of the real core, within bounds: three replicas, competing leaders, two
//! batches, messages lost and reordered at will, crashes that lose any suffix of the unsynced
//! writes, corruption below the durability mark.
//!
//! What keeps the number of states down without leaving anything out:
//!
//! * A message under way may be delivered at any later time or never; so loss and reordering need
//!   no actions of their own. What could only be ignored is taken off the network.
//! * A crash restarts at once: a replica that is down is one that hears nothing.
//! * Everything a follower or candidate says waits for its writes. So when they are synced does not
//!   matter to anyone else, and losing all of them is the same as not having heard the message:
//!   they are synced at once, or a crash keeps some, but not all, of what one message led to. (That
//!   it does wait is checked, too.) A leader speaks before its own disk does; its writes wait until
//!   they are synced or lost.
//!
//! Time does not pass: repetition by ticks is the random schedules' matter.
//!
//! Part of the ordinary tests: under a minute on one core, since this package is always compiled
//! optimised. The larger bounds take from minutes to hours each, and gigabytes of memory:
//! `cargo test --release -p synod-paxos --test model -- --ignored --nocapture`.

#[path = "../cluster/mod.rs"]
mod cluster;
mod shared;

use std::collections::BTreeSet;

use cluster::ballot;
use cluster::invariants::Invariants;
use cluster::node::{Effects, Node};
use shared::Shared;
use stateright::{Checker, HasDiscoveries, Model, Property};
use synod_paxos::{
    Ballot, Batch, Message, NodeId, Output, PlantedBug, Proposal, ReplicaConfig, ReplicaSet, Role,
};

const COUNT: usize = 3;

/// The bounds of one check.
#[derive(Clone, Debug)]
struct Bounds {
    /// Ballots to be appointed, each at most once, in any order.
    appointments: Vec<Ballot>,
    /// Whether ballot 1 of node 1 is established on all replicas to begin with.
    established: bool,
    proposal_count: u8,
    crash_count: u8,
    /// How many of the crashes may come with corruption.
    corruption_count: u8,
    /// Whether `Decide` messages are delivered, too.
    decides: bool,
    /// Names of the situations that have to come up.
    must_reach: &'static [&'static str],
    bug: Option<PlantedBug>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Packet {
    from: usize,
    to: usize,
    message: Message,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    nodes: Vec<Shared<Node>>,
    network: BTreeSet<Shared<Packet>>,
    /// Every batch ever decided anywhere, in order.
    decided: Vec<Batch>,
    appointed: u8,
    proposals: u8,
    crashes: u8,
    corruptions: u8,
    /// Some replica has cut a diverging tail.
    tail_cut: bool,
    /// Some replica has given up what it may have accepted and cannot read.
    faulty_given_up: bool,
    /// The first invariant that broke.
    broken: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Appoint(usize),
    Propose(usize),
    Deliver(Shared<Packet>),
    /// … and crash with only so many of the writes that it led to.
    DeliverAndCrash(Shared<Packet>, usize),
    Sync(usize),
    /// Node, writes that survive.
    Crash(usize, usize),
    /// Node, first batch that is unreadable.
    Corrupt(usize, usize),
}

fn id(at: usize) -> NodeId {
    NodeId(at as u32 + 1)
}

impl State {
    fn with(&mut self, bounds: &Bounds, at: usize, act: impl FnOnce(&mut Node) -> Effects) {
        let mut node = Node::clone(&self.nodes[at]);
        let mut effects = act(&mut node);
        let honest = Invariants::default();
        if effects.sent.iter().any(|(_, message)| honest.said(&node, message).is_err()) {
            self.broken = self.broken.or(Some("something was said that is not synced"));
        }
        for output in &effects.outputs {
            if let Output::Truncate { end, .. } = output {
                let cuts = *end < self.nodes[at].disk.visible.end();
                self.tail_cut |= cuts;
                self.faulty_given_up |= !cuts;
            }
        }
        if !leads(&node) || self.crashes == bounds.crash_count {
            while !node.disk.pending.is_empty() {
                effects.sent.extend(node.sync(usize::MAX).sent);
            }
        }
        self.nodes[at] = Shared::new(node);
        if effects.refused {
            self.broken = self.broken.or(Some("an honest input was refused"));
        }
        for (to, message) in effects.sent {
            if bounds.decides || !matches!(message, Message::Decide(_)) {
                let to = to.0 as usize - 1;
                self.network.insert(Shared::new(Packet { from: at, to, message }));
            }
        }
        self.learn(at);
        let nodes = &self.nodes;
        self.network.retain(|packet| matters(nodes, packet));
    }

    /// Compares what a node knows to be decided with what was ever decided.
    fn learn(&mut self, at: usize) {
        let node = &self.nodes[at];
        let Some(replica) = &node.replica else { return };
        let end = replica.decided_end();
        let known = node.disk.visible.batches.iter().take_while(|batch| batch.end <= end);
        for (index, batch) in known.enumerate() {
            match self.decided.get(index) {
                Some(first) if first == batch => {}
                Some(_) => self.broken = self.broken.or(Some("one offset, two values")),
                None => self.decided.push(*batch),
            }
        }
    }

    /// Every decided batch is sworn to by a majority of the disks.
    fn nothing_is_lost(&self) -> bool {
        self.decided.iter().all(|batch| {
            self.nodes.iter().filter(|node| node.disk.swears_to(batch)).count() * 2 > COUNT
        })
    }

    /// `(round, offset)` names one batch.
    fn names_are_unique(&self) -> bool {
        let batches = || self.nodes.iter().flat_map(|node| node.disk.visible.batches.iter());
        batches().all(|a| batches().all(|b| (a.round, a.base) != (b.round, b.base) || a == b))
    }

    fn one_leader_per_round(&self) -> bool {
        let mut rounds = BTreeSet::new();
        self.nodes.iter().filter(|node| leads(node)).all(|node| rounds.insert(promised(node).round))
    }

    /// Nobody says what is not durable; promises cover acceptances.
    fn disks_are_ordered(&self) -> bool {
        self.nodes.iter().all(|node| node.disk.accepted_ballot <= node.disk.promised)
    }
}

/// Whether delivering the packet could change anything. Not if it is an answer under a ballot that
/// its receiver pursues no longer (none is ever taken up again), nor if all it could lead to is
/// such an answer; nor if it tells a leader what it knows already.
fn matters(nodes: &[Shared<Node>], packet: &Packet) -> bool {
    let ballot = packet.message.ballot();
    let pursued = pursues(&nodes[ballot.node.0 as usize - 1], ballot);
    let receiver = promised(&nodes[packet.to]);
    if let Some(replica) = nodes[packet.to].replica.as_ref().filter(|_| leads(&nodes[packet.to])) {
        let follower = replica.followers().into_iter().find(|(node, _)| *node == id(packet.from));
        let known = follower.and_then(|(_, status)| status.match_end);
        let old_news = match &packet.message {
            Message::Accepted(m) => m.gap.is_none() && Some(m.durable_end) <= known,
            Message::Promise(m) => m.accepted_ballot != m.ballot && known.is_some(),
            _ => false,
        };
        if old_news {
            return false;
        }
    }
    pursued || (packet.to != ballot.node.0 as usize - 1 && receiver.round <= ballot.round)
}

fn pursues(node: &Node, ballot: Ballot) -> bool {
    let role = node.replica.as_ref().map_or(Role::Follower, |r| r.role());
    role != Role::Follower && promised(node) == ballot
}

fn leads(node: &Node) -> bool {
    node.replica.as_ref().is_some_and(|r| matches!(r.role(), Role::Leader { .. }))
}

fn promised(node: &Node) -> Ballot {
    node.replica.as_ref().map_or(Ballot::ZERO, |r| r.promised())
}

/// A leader of a later round holds a batch of an earlier one.
fn adopts_older_value(_: &Bounds, state: &State) -> bool {
    state.nodes.iter().filter(|node| leads(node)).any(|node| {
        node.disk.visible.batches.iter().any(|batch| batch.round < promised(node).round)
    })
}

/// … that it did not have itself.
fn copies_older_value(_: &Bounds, state: &State) -> bool {
    state.network.iter().any(|packet| matches!(packet.message, Message::Entries(_)))
}

/// A leader's proposal is refused for a higher ballot.
fn superseded_leader_refused(_: &Bounds, state: &State) -> bool {
    state.network.iter().any(|packet| {
        let node = &state.nodes[packet.to];
        matches!(&packet.message, Message::Nack(m) if m.promised > m.ballot)
            && leads(node)
            && node.disk.visible.batches.iter().any(|b| b.round == promised(node).round)
    })
}

/// A crash between Adopt's two writes: the log has what the accepted ballot does not cover.
fn crashed_within_adopt(_: &Bounds, state: &State) -> bool {
    state.crashes > 0
        && state.nodes.iter().any(|node| {
            let disk = &node.disk;
            disk.pending.is_empty()
                && disk.log.batches.iter().any(|b| b.round > disk.accepted_ballot.round)
        })
}

/// A diverging tail is cut, and nothing else.
fn diverging_tail_cut(_: &Bounds, state: &State) -> bool {
    state.tail_cut
}

/// A leader has discarded what a replica lost, for the others surely never accepted it.
fn faulty_discarded(_: &Bounds, state: &State) -> bool {
    state.faulty_given_up && state.decided.is_empty()
}

/// A candidate has a quorum of promises and waits because of what is faulty.
fn faulty_waited_for(_: &Bounds, state: &State) -> bool {
    state.nodes.iter().any(|node| {
        node.replica.as_ref().is_some_and(|r| {
            r.role() == Role::Candidate && r.promisers().len() >= 2 && r.faulty_end().is_some()
        })
    })
}

fn two_decided(_: &Bounds, state: &State) -> bool {
    state.decided.len() >= 2
}

fn decided_under_a_later_ballot(_: &Bounds, state: &State) -> bool {
    state.decided.iter().any(|batch| {
        state.nodes.iter().any(|node| leads(node) && promised(node).round > batch.round)
    })
}

fn restart(node: &mut Node, kept: usize) -> Effects {
    node.crash(kept);
    node.restart();
    Effects::default()
}

impl Bounds {
    fn set() -> ReplicaSet {
        ReplicaSet::new(&[id(0), id(1), id(2)])
    }

    fn first_state(&self) -> State {
        let node = |at| {
            let mut config = ReplicaConfig::new(id(at));
            config.bug = self.bug;
            Shared::new(Node::new(config))
        };
        let nodes = (0..COUNT).map(node).collect();
        let mut state = State {
            nodes,
            network: BTreeSet::new(),
            decided: Vec::new(),
            appointed: 0,
            proposals: 0,
            crashes: 0,
            corruptions: 0,
            tail_cut: false,
            faulty_given_up: false,
            broken: None,
        };
        if self.established {
            state.with(self, 0, |node| node.appoint(ballot(1, 1), Bounds::set()));
            while let Some(action) = self.quiet_action(&state) {
                state = self.step(state, action);
            }
        }
        state
    }

    fn quiet_action(&self, state: &State) -> Option<Action> {
        let busy = (0..COUNT).find(|at| !state.nodes[*at].disk.pending.is_empty());
        let next = state.network.first().cloned();
        busy.map(Action::Sync).or(next.map(Action::Deliver))
    }

    fn step(&self, mut state: State, action: Action) -> State {
        match action {
            Action::Appoint(which) => {
                let ballot = self.appointments[which];
                state.appointed |= 1 << which;
                state.with(self, ballot.node.0 as usize - 1, |node| {
                    // A stale appointment is refused, and that is that.
                    let effects = node.appoint(ballot, Bounds::set());
                    Effects { refused: false, ..effects }
                });
            }
            Action::Propose(at) => {
                state.proposals += 1;
                // The value says who proposed it, and when.
                let checksum = u32::from(state.proposals) * 10 + at as u32;
                let proposal = Proposal { count: 1, size: 1, checksum };
                state.with(self, at, |node| node.propose(&[proposal]).0);
            }
            Action::Deliver(packet) => {
                state.network.remove(&packet);
                let (from, message) = (id(packet.from), packet.message.clone());
                state.with(self, packet.to, |node| node.deliver(from, message));
            }
            Action::DeliverAndCrash(packet, kept) => {
                state.crashes += 1;
                state.network.remove(&packet);
                let (from, message) = (id(packet.from), packet.message.clone());
                state.with(self, packet.to, |node| {
                    node.deliver(from, message);
                    restart(node, kept)
                });
            }
            Action::Sync(at) => state.with(self, at, |node| node.sync(usize::MAX)),
            Action::Crash(at, kept) => {
                state.crashes += 1;
                state.with(self, at, |node| restart(node, kept));
            }
            Action::Corrupt(at, index) => {
                state.crashes += 1;
                state.corruptions += 1;
                state.with(self, at, |node| {
                    node.crash(0);
                    node.disk.corrupt(index);
                    node.restart();
                    Effects::default()
                });
            }
        }
        state
    }
}

impl Model for Bounds {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.first_state()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for which in 0..self.appointments.len() {
            if state.appointed & (1 << which) == 0 {
                actions.push(Action::Appoint(which));
            }
        }
        for packet in &state.network {
            actions.push(Action::Deliver(packet.clone()));
            if state.crashes < self.crash_count {
                let mut node = Node::clone(&state.nodes[packet.to]);
                let pending = node.disk.pending.len();
                node.deliver(id(packet.from), packet.message.clone());
                let crashes = pending + 1..node.disk.pending.len();
                actions.extend(crashes.map(|k| Action::DeliverAndCrash(packet.clone(), k)));
            }
        }
        for (at, node) in state.nodes.iter().enumerate() {
            if state.proposals < self.proposal_count && node.is_ready_leader() {
                actions.push(Action::Propose(at));
            }
            let pending = node.disk.pending.len();
            if pending > 0 {
                actions.push(Action::Sync(at));
            }
            if state.crashes < self.crash_count {
                // Losing nothing is a crash, too; it matters to a leader or candidate.
                actions.extend((0..=pending).map(|kept| Action::Crash(at, kept)));
                if state.corruptions < self.corruption_count && pending == 0 {
                    let count = node.disk.log.batches.len();
                    actions.extend((0..count).map(|index| Action::Corrupt(at, index)));
                }
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        Some(self.step(state.clone(), action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let situations: [Situation; 9] = [
            (ADOPTED, adopts_older_value),
            (COPIED, copies_older_value),
            (DECIDED_LATER, decided_under_a_later_ballot),
            (REFUSED, superseded_leader_refused),
            (CRASHED, crashed_within_adopt),
            (TWO_DECIDED, two_decided),
            (CUT, diverging_tail_cut),
            (DISCARDED, faulty_discarded),
            (WAITED, faulty_waited_for),
        ];
        let wanted = situations.iter().filter(|(name, _)| self.must_reach.contains(name));
        let mut properties: Vec<_> =
            wanted.map(|(name, holds)| Property::sometimes(name, *holds)).collect();
        properties.extend([
            Property::always("nothing breaks", |_, state: &State| state.broken.is_none()),
            Property::always("nothing decided is lost", |_, s: &State| s.nothing_is_lost()),
            Property::always("one batch per name", |_, s: &State| s.names_are_unique()),
            Property::always("one leader per round", |_, s: &State| s.one_leader_per_round()),
            Property::always("accepted ≤ promised", |_, s: &State| s.disks_are_ordered()),
        ]);
        properties
    }
}

/// What to call a situation, and how to tell it.
type Situation = (&'static str, fn(&Bounds, &State) -> bool);

/// The situations that a check has to come upon. Surviving them proves little if it never does.
const ADOPTED: &str = "an older value is adopted";
const COPIED: &str = "an older value is copied";
const DECIDED_LATER: &str = "a batch is decided under a later ballot";
const REFUSED: &str = "superseded leader refused";
const CRASHED: &str = "crash within Adopt";
const TWO_DECIDED: &str = "two batches decided";
const CUT: &str = "diverging tail cut";
const DISCARDED: &str = "faulty: discarded";
const WAITED: &str = "faulty: waited for";

fn bounds(established: bool, appointments: &[Ballot]) -> Bounds {
    Bounds {
        appointments: appointments.to_vec(),
        established,
        proposal_count: 1,
        crash_count: 1,
        corruption_count: 0,
        decides: false,
        must_reach: &[ADOPTED, COPIED, DECIDED_LATER, REFUSED],
        bug: None,
    }
}

fn check(bounds: Bounds) {
    let checker = bounds.checker().threads(1).spawn_dfs().join();
    println!(
        "{} ballots, {} batches, {} crashes, {} corruptions: {} states, depth {}",
        checker.model().appointments.len() + usize::from(checker.model().established),
        checker.model().proposal_count,
        checker.model().crash_count,
        checker.model().corruption_count,
        checker.unique_state_count(),
        checker.max_depth(),
    );
    checker.assert_properties();
}

#[test]
fn a_leader_and_a_competitor_with_two_batches_and_a_crash() {
    check(Bounds {
        proposal_count: 2,
        must_reach: &[ADOPTED, COPIED, DECIDED_LATER, REFUSED, TWO_DECIDED, CUT],
        ..bounds(true, &[ballot(2, 2)])
    });
}

#[test]
fn two_competitors_from_nothing_with_two_batches() {
    check(Bounds {
        proposal_count: 2,
        crash_count: 0,
        must_reach: &[ADOPTED, COPIED, DECIDED_LATER, REFUSED, TWO_DECIDED, CUT],
        ..bounds(false, &[ballot(1, 1), ballot(2, 2)])
    });
}

#[test]
fn two_competitors_from_nothing_with_a_crash() {
    check(Bounds {
        must_reach: &[ADOPTED, COPIED, DECIDED_LATER, REFUSED, CRASHED],
        ..bounds(false, &[ballot(1, 1), ballot(2, 2)])
    });
}

#[test]
fn three_ballots_and_a_crash() {
    check(Bounds {
        must_reach: &[ADOPTED, COPIED, DECIDED_LATER, REFUSED, CRASHED],
        ..bounds(true, &[ballot(2, 2), ballot(3, 3)])
    });
}

#[test]
fn corruption_below_the_mark() {
    for appointments in [vec![ballot(2, 1)], vec![ballot(2, 1), ballot(3, 2)]] {
        check(Bounds {
            corruption_count: 1,
            must_reach: &[ADOPTED, COPIED, DECIDED_LATER, DISCARDED, WAITED],
            ..bounds(true, &appointments)
        });
    }
}

/// The model can fail: bugs planted in the core break it.
#[test]
fn planted_bugs_are_found() {
    let competing = [ballot(1, 1), ballot(2, 2)];
    let same_round = [ballot(1, 1), ballot(1, 2)];
    let cases = [
        (PlantedBug::AckBeforeSync, bounds(true, &[ballot(2, 2)])),
        (PlantedBug::VowNotSynced, bounds(false, &competing)),
        (PlantedBug::OldBallotCounted, bounds(true, &[ballot(2, 2)])),
        (PlantedBug::AdoptNotesFirst, bounds(false, &[ballot(1, 1), ballot(2, 2), ballot(3, 3)])),
        (PlantedBug::MajorityMinusOne, bounds(false, &competing)),
        (PlantedBug::RoundPromisedTwice, bounds(false, &same_round)),
        (PlantedBug::FaultyDenied, Bounds { corruption_count: 1, ..bounds(true, &[ballot(2, 1)]) }),
    ];
    for (bug, bounds) in cases {
        let bounds = Bounds { bug: Some(bug), must_reach: &[], ..bounds };
        // One that is found ends the search at once; the bound is for one that is not. A bug may as
        // well trip an assertion in the disk or the core: that counts, too.
        let search = || {
            let finish = HasDiscoveries::AnyFailures;
            let checker = bounds.checker().threads(1).finish_when(finish);
            let checker = checker.target_state_count(20_000_000).spawn_bfs().join();
            let found: Vec<_> = checker.discoveries().into_keys().collect();
            (found, checker.unique_state_count())
        };
        let (found, count) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(search))
            .unwrap_or((vec!["an assertion failed"], 0));
        println!("{bug:?}: {found:?} after {count} states");
        assert!(!found.is_empty(), "{bug:?} is not found");
    }
}

/// The larger bounds.
#[test]
#[ignore = "large: see the head of this file"]
fn large() {
    let competing = [ballot(1, 1), ballot(2, 2)];
    let two = Bounds { proposal_count: 2, ..bounds(false, &competing) };
    check(two);
    check(Bounds { crash_count: 2, proposal_count: 2, ..bounds(true, &[ballot(2, 2)]) });
    check(Bounds { decides: true, proposal_count: 2, ..bounds(true, &[ballot(2, 2)]) });
    let three = [ballot(2, 2), ballot(3, 3)];
    check(Bounds { proposal_count: 2, ..bounds(true, &three) });
    check(Bounds { crash_count: 2, corruption_count: 2, must_reach: &[], ..bounds(true, &three) });
}
