//! One group in memory: who is in it, who waits for what, and which protocol they share.
//!
//! What of it outlives a move of the coordinator is in the log ([`StoredGroup`]); the rest begins
//! anew there. The steps from one generation to the next are in `rebalance`.

use std::collections::{BTreeMap, BTreeSet};

use synod_wire::Str;

use super::config::timeout_ms;
use super::consumer_protocol::{CONSUMER, subscribed_topics};
use super::error::GroupError;
use super::member::Member;
use super::rebalance::{Initial, Rebalance};
use super::record::StoredGroup;
use super::request::{Described, Join, JoinAnswer, Joined, JoinedMember, Protocol, Reply, Synced};

/// Where a group stands between two generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has no members.
    Empty,
    /// Members are joining the next generation.
    Preparing,
    /// The generation stands; its leader has yet to bring the assignments.
    Completing,
    /// All members can have their assignments.
    Stable,
}

impl Phase {
    /// Kafka's word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Phase::Empty => "Empty",
            Phase::Preparing => "PreparingRebalance",
            Phase::Completing => "CompletingRebalance",
            Phase::Stable => "Stable",
        }
    }
}

/// A group with everything that is known of it while it is in use.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: Str,
    pub(super) phase: Phase,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<Str>,
    pub(super) protocol: Option<Str>,
    pub(super) leader: Option<Str>,
    pub(super) members: BTreeMap<Str, Member>,
    /// Member ids by static id.
    pub(super) statics: BTreeMap<Str, Str>,
    /// Ids that were given out and have not joined yet.
    pub(super) pending: BTreeSet<Str>,
    /// Members that wait for the next generation.
    pub(super) joins: BTreeMap<Str, Reply<JoinAnswer>>,
    /// Members that wait for their assignments.
    pub(super) syncs: BTreeMap<Str, Reply<Result<Synced, GroupError>>>,
    /// Members of this generation that have not asked for their assignments yet.
    pub(super) unsynced: BTreeSet<Str>,
    /// How many members know each protocol.
    known: BTreeMap<Str, usize>,
    /// Topics that its consumers subscribe to; `None` when that cannot be told.
    pub(super) subscribed: Option<BTreeSet<Str>>,
    /// When it came into this phase, by the wall clock; for the log.
    pub(super) since_ms: Option<i64>,
    /// The wait for first members to gather, during a first rebalance.
    pub(super) initial: Option<Initial>,
    /// Why and since when it rebalances.
    pub(super) rebalance: Option<Rebalance>,
    /// Records about it that are on their way into the log.
    pub(super) in_flight: usize,
    /// The log would not take a record that says it is empty.
    pub(super) unsaved: bool,
}

impl Group {
    /// A group as the log has it; a new one if the log has none.
    pub(super) fn from_stored(id: Str, stored: Option<&StoredGroup>) -> Group {
        let mut group = Group {
            id,
            phase: Phase::Empty,
            generation: stored.map_or(0, |stored| stored.generation),
            protocol_type: stored.and_then(|stored| stored.protocol_type.clone()),
            protocol: stored.and_then(|stored| stored.protocol.clone()),
            leader: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            pending: BTreeSet::new(),
            joins: BTreeMap::new(),
            syncs: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            known: BTreeMap::new(),
            subscribed: None,
            since_ms: stored.and_then(|stored| stored.since_ms),
            initial: None,
            rebalance: None,
            in_flight: 0,
            unsaved: false,
        };
        for member in stored.iter().flat_map(|stored| &stored.members) {
            let protocol = group.protocol.clone();
            group.add(Member::from_stored(member, protocol.as_ref()));
        }
        if !group.members.is_empty() {
            group.phase = Phase::Stable;
            let leader = stored.and_then(|stored| stored.leader.clone());
            group.leader =
                leader.filter(|leader| group.members.contains_key(leader)).or(group.leader);
        }
        group.subscribed = group.subscriptions();
        group
    }

    /// Whether the log, and nothing here, knows all there is to know.
    pub(super) fn is_at_rest(&self) -> bool {
        let busy = self.in_flight > 0 || self.unsaved;
        self.phase == Phase::Empty && self.pending.is_empty() && !busy
    }

    pub(super) fn is_leader(&self, member: &Str) -> bool {
        self.leader.as_ref() == Some(member)
    }

    pub(super) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Whether the group may be consuming from a topic.
    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        let known = self.subscribed.as_ref().map(|topics| topics.contains(topic));
        known.unwrap_or_else(|| self.uses_consumer_protocol())
    }

    /// Whether everybody who may be part of the next generation has joined it.
    pub(super) fn all_joined(&self) -> bool {
        self.joins.len() == self.members.len() && self.pending.is_empty()
    }

    /// How long the slowest member may take to join again.
    pub(super) fn rebalance_timeout_ms(&self) -> u64 {
        let timeouts = self.members.values().map(|member| timeout_ms(member.rebalance_timeout_ms));
        timeouts.max().unwrap_or_default()
    }

    pub(super) fn add(&mut self, member: Member) {
        if let Some(instance) = &member.instance {
            let before = self.statics.insert(instance.clone(), member.id.clone());
            assert!(before.is_none(), "two members with one static id");
        }
        self.count_protocols(&member, true);
        self.pending.remove(&member.id);
        self.leader.get_or_insert_with(|| member.id.clone());
        let before = self.members.insert(member.id.clone(), member);
        assert!(before.is_none(), "two members with one id");
    }

    /// Takes a member out, or an id that was given out. Whoever waits in its name is told so.
    pub(super) fn remove(&mut self, id: &Str) {
        self.pending.remove(id);
        self.unsynced.remove(id);
        let Some(member) = self.members.remove(id) else { return };
        self.answer_join(id, JoinAnswer::refused(GroupError::UnknownMember, Str::EMPTY));
        self.answer_sync(id, Err(GroupError::UnknownMember));
        self.count_protocols(&member, false);
        if let Some(instance) = &member.instance {
            self.statics.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Takes over what a member says of itself when it joins again.
    pub(super) fn update(&mut self, id: &Str, join: &Join) {
        self.change(id, |member| member.update(join));
    }

    /// Changes a member, protocols included.
    pub(super) fn change(&mut self, id: &Str, change: impl FnOnce(&mut Member)) {
        let Some(mut member) = self.members.remove(id) else { return };
        self.count_protocols(&member, false);
        change(&mut member);
        self.count_protocols(&member, true);
        self.members.insert(id.clone(), member);
    }

    /// Gives a static member's place to a new id. Whoever waits under the old one is fenced.
    pub(super) fn replace(&mut self, old: &Str, new: Str) {
        let Some(member) = self.members.remove(old) else { return };
        let fenced = GroupError::FencedInstance;
        self.answer_join(old, JoinAnswer::refused(fenced, old.clone()));
        self.answer_sync(old, Err(fenced));
        if self.unsynced.remove(old) {
            self.unsynced.insert(new.clone());
        }
        if self.is_leader(old) {
            self.leader = Some(new.clone());
        }
        if let Some(instance) = &member.instance {
            self.statics.insert(instance.clone(), new.clone());
        }
        self.members.insert(new.clone(), Member { id: new, is_new: false, ..member });
    }

    /// Checks that a member is who it says it is.
    pub(super) fn check_member(
        &self,
        member: &Str,
        instance: Option<&Str>,
    ) -> Result<(), GroupError> {
        if let Some(instance) = instance {
            match self.statics.get(instance) {
                None => return Err(GroupError::UnknownMember),
                Some(owner) if owner != member => return Err(GroupError::FencedInstance),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member) { Ok(()) } else { Err(GroupError::UnknownMember) }
    }

    /// Whether a member with these protocols could be part of the group.
    pub(super) fn supports(&self, protocol_type: &Str, protocols: &[Protocol]) -> bool {
        if self.phase == Phase::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let known = |protocol: &Protocol| self.known.get(&protocol.name).copied().unwrap_or(0);
        self.protocol_type.as_ref() == Some(protocol_type)
            && protocols.iter().any(|protocol| known(protocol) == self.members.len())
    }

    /// The protocol that most members like best of those that all of them know.
    pub(super) fn select_protocol(&self) -> Option<Str> {
        let mut votes = BTreeMap::<&Str, usize>::new();
        for member in self.members.values() {
            let all = self.members.len();
            let liked = member.protocols.iter().find(|one| self.known.get(&one.name) == Some(&all));
            *votes.entry(&liked?.name).or_default() += 1;
        }
        // Of equals the first by name, so that the choice does not depend on who asks.
        votes.into_iter().rev().max_by_key(|(_, votes)| *votes).map(|(name, _)| name.clone())
    }

    /// The topics that all members together subscribe to, if they are consumers and say so.
    pub(super) fn subscriptions(&self) -> Option<BTreeSet<Str>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            let protocol = self.protocol.as_ref()?;
            topics.append(&mut subscribed_topics(&member.metadata(Some(protocol))).ok()?);
        }
        Some(topics)
    }

    /// The generation as told to one member.
    pub(super) fn joined(&self, member: &Str) -> JoinAnswer {
        let members = if self.is_leader(member) { self.joined_members() } else { Vec::new() };
        let joined = Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            members,
        };
        JoinAnswer { error: None, member: member.clone(), joined: Some(joined) }
    }

    pub(super) fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_ref();
        self.members.values().map(|member| member.to_joined(protocol)).collect()
    }

    /// A member's assignment as told to it.
    pub(super) fn synced(&self, member: &Str) -> Synced {
        let assignment = self.members.get(member).map(|member| member.assignment.clone());
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: assignment.unwrap_or_default(),
        }
    }

    pub(super) fn describe(&self) -> Described {
        let stable = self.phase == Phase::Stable;
        let protocol = self.protocol.as_ref().filter(|_| stable);
        Described {
            state: self.phase.name(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: protocol.cloned().unwrap_or_default(),
            members: self.members.values().map(|member| member.describe(protocol)).collect(),
        }
    }

    /// Lets a member wait for the next generation; it waits once.
    pub(super) fn await_join(&mut self, id: &Str, reply: Reply<JoinAnswer>) {
        assert!(self.members.contains_key(id), "only members wait for a generation");
        if let Some(earlier) = self.joins.insert(id.clone(), reply) {
            let answer = JoinAnswer::refused(GroupError::RebalanceInProgress, id.clone());
            let _ = earlier.send(answer);
        }
    }

    /// Lets a member wait for its assignment; it waits once.
    pub(super) fn await_sync(&mut self, id: &Str, reply: Reply<Result<Synced, GroupError>>) {
        assert!(self.members.contains_key(id), "only members wait for assignments");
        if let Some(earlier) = self.syncs.insert(id.clone(), reply) {
            let _ = earlier.send(Err(GroupError::RebalanceInProgress));
        }
    }

    /// Answers a member that waits for a generation; false if it does not.
    pub(super) fn answer_join(&mut self, id: &Str, answer: JoinAnswer) -> bool {
        let Some(reply) = self.joins.remove(id) else { return false };
        // Whoever is gone does not wait for the answer.
        let _ = reply.send(answer);
        true
    }

    /// Answers a member that waits for its assignment; false if it does not.
    pub(super) fn answer_sync(&mut self, id: &Str, answer: Result<Synced, GroupError>) -> bool {
        let Some(reply) = self.syncs.remove(id) else { return false };
        let _ = reply.send(answer);
        true
    }

    fn count_protocols(&mut self, member: &Member, more: bool) {
        for protocol in &member.protocols {
            let count = self.known.entry(protocol.name.clone()).or_default();
            *count = if more { *count + 1 } else { *count - 1 };
            if *count == 0 {
                self.known.remove(&protocol.name);
            }
        }
    }

    /// Asserts what holds between any two steps.
    pub(super) fn check(&self) {
        let is_member = |id: &Str| self.members.contains_key(id);
        match self.phase {
            Phase::Empty => assert!(self.members.is_empty(), "an empty group has no members"),
            Phase::Preparing => {}
            Phase::Completing | Phase::Stable => {
                assert!(!self.members.is_empty(), "a generation has members");
            }
        }
        assert_eq!(self.leader.is_some(), !self.members.is_empty(), "members have a leader");
        assert!(self.leader.as_ref().is_none_or(is_member), "the leader is a member");
        assert!(self.joins.keys().all(is_member), "who waits for a generation is a member");
        assert!(self.syncs.keys().all(is_member), "who waits for assignments is a member");
        assert!(self.unsynced.iter().all(is_member), "who is to sync is a member");
        assert!(!self.pending.iter().any(is_member), "pending ids are no members yet");
        let waits = self.syncs.is_empty() || self.phase == Phase::Completing;
        assert!(waits, "assignments are waited for only until they are there");
        for (instance, id) in &self.statics {
            let owner = self.members.get(id).and_then(|member| member.instance.as_ref());
            assert_eq!(owner, Some(instance), "static ids name their members");
        }
    }
}
