//! From one generation of a group to the next.
//!
//! ```text
//!            join            all joined, or time is up          assignments decided
//!   Empty ─────────► Preparing ─────────────────────► Completing ─────────────────► Stable
//!     ▲                │  ▲                                │                          │
//!     └────────────────┘  └────────────────────────────────┴──────────────────────────┘
//!       nobody is left              a member joins, leaves, changes or is silent
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use synod_wire::Str;

use super::config::{self, ms, timeout_ms};
use super::desk::{Desk, Purpose};
use super::error::GroupError;
use super::group::{Group, Phase};
use super::record::StoredGroup;
use super::request::JoinAnswer;
use super::timers::Timer;
use crate::logging::shown;

/// Why a group rebalances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// A member joined.
    Joined,
    /// A member left.
    Left,
    /// A member was silent for longer than its session time-out.
    SessionTimedOut,
    /// Members did not ask for their assignments in time.
    SyncTimedOut,
    /// A member, often the leader, joined again because its subscription or the topics changed.
    Changed,
    /// A static member came back with other protocols.
    Replaced,
    /// The assignments could not be written.
    NotStored,
    /// The group has more members than it may have by now.
    TooLarge,
}

impl Cause {
    /// All causes, in order.
    pub const ALL: [Cause; 8] = [
        Cause::Joined,
        Cause::Left,
        Cause::SessionTimedOut,
        Cause::SyncTimedOut,
        Cause::Changed,
        Cause::Replaced,
        Cause::NotStored,
        Cause::TooLarge,
    ];

    /// The cause as a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Cause::Joined => "joined",
            Cause::Left => "left",
            Cause::SessionTimedOut => "session_timed_out",
            Cause::SyncTimedOut => "sync_timed_out",
            Cause::Changed => "changed",
            Cause::Replaced => "replaced",
            Cause::NotStored => "not_stored",
            Cause::TooLarge => "too_large",
        }
    }
}

/// What made a group rebalance, and the member whose doing that was, if it was one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trigger {
    pub(super) cause: Cause,
    pub(super) member: Option<Str>,
}

impl Cause {
    pub(super) fn by(self, member: &Str) -> Trigger {
        Trigger { cause: self, member: Some(member.clone()) }
    }
}

impl From<Cause> for Trigger {
    fn from(cause: Cause) -> Trigger {
        Trigger { cause, member: None }
    }
}

/// A rebalance under way.
#[derive(Clone, Debug)]
pub(super) struct Rebalance {
    pub(super) trigger: Trigger,
    pub(super) started_ms: u64,
}

/// The wait for more members before a group's first generation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Initial {
    /// How long this round of waiting is.
    delay_ms: u64,
    /// How much longer the wait may become.
    remaining_ms: u64,
    /// Somebody joined during this round.
    pub(super) joined_meanwhile: bool,
}

impl Group {
    /// Begins a rebalance, or sees whether the one under way can go on.
    pub(super) fn rebalance(&mut self, trigger: Trigger, desk: &mut Desk) {
        match self.phase {
            Phase::Preparing => self.complete_if_ready(desk),
            Phase::Empty | Phase::Completing | Phase::Stable => self.prepare(trigger, desk),
        }
    }

    /// Begins a rebalance.
    pub(super) fn prepare(&mut self, trigger: impl Into<Trigger>, desk: &mut Desk) {
        if self.phase == Phase::Completing {
            self.fail_syncs(GroupError::RebalanceInProgress, desk);
        }
        self.unsynced.clear();
        desk.timers.stop(&Timer::Sync { group: self.id.clone() });
        let is_first = self.phase == Phase::Empty;
        self.enter(Phase::Preparing, desk);
        // One that begins anew before it ended is still the one that it was: members have waited
        // since then.
        if is_first || self.rebalance.is_none() {
            let trigger = trigger.into();
            self.rebalance = Some(Rebalance { trigger, started_ms: desk.now.mono_ms });
        }
        if is_first {
            let delay_ms = ms(desk.config.initial_rebalance_delay);
            let remaining_ms = self.rebalance_timeout_ms().saturating_sub(delay_ms);
            self.initial = Some(Initial { delay_ms, remaining_ms, joined_meanwhile: false });
            desk.start_timer(Timer::Join { group: self.id.clone() }, delay_ms);
        } else if self.all_joined() {
            self.complete(desk);
        } else {
            self.wait_for_joins(desk);
        }
    }

    /// Ends the joining if nobody is missing and it is not a group's first gathering.
    pub(super) fn complete_if_ready(&mut self, desk: &mut Desk) {
        if self.phase == Phase::Preparing && self.initial.is_none() && self.all_joined() {
            self.complete(desk);
        }
    }

    /// The time for joining is up.
    pub(super) fn handle_join_timeout(&mut self, desk: &mut Desk) {
        if self.phase != Phase::Preparing {
            return;
        }
        if let Some(initial) = &mut self.initial
            && initial.joined_meanwhile
            && initial.remaining_ms > 0
        {
            let delay_ms = ms(desk.config.initial_rebalance_delay).min(initial.remaining_ms);
            let remaining_ms = initial.remaining_ms.saturating_sub(initial.delay_ms);
            *initial = Initial { delay_ms, remaining_ms, joined_meanwhile: false };
            desk.start_timer(Timer::Join { group: self.id.clone() }, delay_ms);
        } else {
            self.complete(desk);
        }
    }

    /// Ends the joining: who has not joined is out, unless it is static, and a generation begins.
    pub(super) fn complete(&mut self, desk: &mut Desk) {
        assert_eq!(self.phase, Phase::Preparing, "only what was begun is completed");
        desk.timers.stop(&Timer::Join { group: self.id.clone() });
        self.initial = None;
        let missing = self.members.values().filter(|member| !self.joins.contains_key(&member.id));
        let late: Vec<Str> =
            missing.filter(|member| member.instance.is_none()).map(|m| m.id.clone()).collect();
        for member in late {
            self.remove(&member);
            desk.stop_session(&self.id, &member);
        }
        if !self.elect() && !self.members.is_empty() {
            // Only static members are left and none of them came.
            return self.wait_for_joins(desk);
        }
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.unsynced.clear();
        if self.members.is_empty() {
            self.protocol = None;
            self.subscribed = self.subscriptions();
            self.enter(Phase::Empty, desk);
            self.note_stable(desk);
            self.store_empty(desk);
        } else {
            self.protocol = self.select_protocol();
            self.subscribed = self.subscriptions();
            self.enter(Phase::Completing, desk);
            self.announce(desk);
        }
    }

    /// Tells all members of the new generation, whose leader now owes the assignments.
    fn announce(&mut self, desk: &mut Desk) {
        let ids: Vec<Str> = self.members.keys().cloned().collect();
        for id in ids {
            let answer = self.joined(&id);
            self.answer_join(&id, answer);
            if let Some(member) = self.members.get_mut(&id) {
                member.is_new = false;
                let timeout_ms = timeout_ms(member.session_timeout_ms);
                desk.start_session(&self.id, &id, timeout_ms);
            }
            self.unsynced.insert(id);
        }
        let timeout_ms = self.rebalance_timeout_ms();
        desk.start_timer(Timer::Sync { group: self.id.clone() }, timeout_ms);
    }

    /// The time for fetching assignments is up: who has not asked is out.
    pub(super) fn handle_sync_timeout(&mut self, desk: &mut Desk) {
        if !matches!(self.phase, Phase::Completing | Phase::Stable) || self.unsynced.is_empty() {
            return;
        }
        let late = std::mem::take(&mut self.unsynced);
        for member in &late {
            self.remove(member);
            desk.stop_session(&self.id, member);
        }
        self.prepare(Trigger { cause: Cause::SyncTimedOut, member: late.first().cloned() }, desk);
    }

    /// Takes the leader's assignments on their way into the log.
    pub(super) fn assign(&mut self, mut given: BTreeMap<Str, Bytes>, desk: &mut Desk) {
        let all = self.members.keys();
        let assignments: BTreeMap<Str, Bytes> =
            all.map(|id| (id.clone(), given.remove(id).unwrap_or_default())).collect();
        let stored = self.to_stored(&assignments, desk);
        let generation = self.generation;
        self.store(stored, Purpose::Assigned { generation, assignments }, desk);
    }

    /// The assignments are decided, or could not be written.
    pub(super) fn handle_assigned(
        &mut self,
        assignments: &BTreeMap<Str, Bytes>,
        outcome: Result<(), GroupError>,
        desk: &mut Desk,
    ) {
        if let Err(error) = outcome {
            self.fail_syncs(error, desk);
            return self.prepare(Cause::NotStored, desk);
        }
        for (id, member) in &mut self.members {
            member.assignment = assignments.get(id).cloned().unwrap_or_default();
        }
        self.enter(Phase::Stable, desk);
        self.note_stable(desk);
        let waiting: Vec<Str> = self.syncs.keys().cloned().collect();
        for id in waiting {
            let synced = self.synced(&id);
            self.answer_sync(&id, Ok(synced));
            self.restart_session(&id, desk);
        }
    }

    /// Writes that the group has no members, so that its generation is not used again.
    pub(super) fn store_empty(&mut self, desk: &mut Desk) {
        let stored = self.to_stored(&BTreeMap::new(), desk);
        self.store(stored, Purpose::Emptied, desk);
    }

    pub(super) fn store(&mut self, stored: StoredGroup, purpose: Purpose, desk: &mut Desk) {
        self.in_flight += 1;
        desk.store(&self.id, stored, purpose);
    }

    /// The group as the log keeps it, with these assignments.
    pub(super) fn to_stored(&self, assignments: &BTreeMap<Str, Bytes>, desk: &Desk) -> StoredGroup {
        let protocol = self.protocol.as_ref();
        let members = self.members.iter().map(|(id, member)| {
            member.to_stored(protocol, assignments.get(id).cloned().unwrap_or_default())
        });
        StoredGroup {
            protocol_type: self.protocol_type.clone(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            since_ms: Some(desk.now.wall_ms),
            members: members.collect(),
        }
    }

    /// Counts a member's silence from now on, by its own time-out.
    pub(super) fn restart_session(&self, id: &Str, desk: &mut Desk) {
        if let Some(member) = self.members.get(id) {
            desk.start_session(&self.id, id, timeout_ms(member.session_timeout_ms));
        }
    }

    /// Counts a new member's silence from now on: it may wait long for its first generation.
    pub(super) fn start_new_session(&self, id: &Str, desk: &mut Desk) {
        desk.start_session(&self.id, id, config::NEW_MEMBER_JOIN_TIMEOUT_MS);
    }

    fn wait_for_joins(&mut self, desk: &mut Desk) {
        let timeout_ms = self.rebalance_timeout_ms();
        desk.start_timer(Timer::Join { group: self.id.clone() }, timeout_ms);
    }

    /// Makes sure that the leader is one who joined; false if nobody did.
    fn elect(&mut self) -> bool {
        if self.leader.as_ref().is_some_and(|leader| self.joins.contains_key(leader)) {
            return true;
        }
        match self.joins.keys().next() {
            Some(joined) => self.leader = Some(joined.clone()),
            None => return false,
        }
        true
    }

    fn fail_syncs(&mut self, error: GroupError, desk: &mut Desk) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
        }
        let waiting: Vec<Str> = self.syncs.keys().cloned().collect();
        for id in waiting {
            self.answer_sync(&id, Err(error));
            self.restart_session(&id, desk);
        }
    }

    fn enter(&mut self, phase: Phase, desk: &Desk) {
        self.phase = phase;
        self.since_ms = Some(desk.now.wall_ms);
    }

    fn note_stable(&mut self, desk: &Desk) {
        if let Some(Rebalance { trigger, started_ms }) = self.rebalance.take() {
            let Trigger { cause, member } = trigger;
            let paused_ms = desk.now.mono_ms.saturating_sub(started_ms);
            desk.counters.rebalanced(cause, paused_ms);
            tracing::info!(
                group = %shown(&self.id),
                generation = self.generation,
                members = self.members.len(),
                cause = cause.name(),
                member = %shown(member.as_deref().unwrap_or("-")),
                paused_ms,
                "rebalanced"
            );
        }
    }

    /// Ends the group's life on this coordinator: whoever waits has to ask again elsewhere.
    pub(super) fn abandon(&mut self, error: GroupError) {
        for (member, reply) in std::mem::take(&mut self.joins) {
            let _ = reply.send(JoinAnswer::refused(error, member));
        }
        for reply in std::mem::take(&mut self.syncs).into_values() {
            let _ = reply.send(Err(error));
        }
    }
}
