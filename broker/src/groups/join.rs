//! Joining, staying in and leaving a group.

use synod_wire::Str;

use super::config::{GROUPS, PENDING_MEMBERS, PROTOCOLS, PROTOCOLS_SIZE, ms, timeout_ms};
use super::coordinator::Coordinator;
use super::desk::{Desk, Purpose};
use super::error::GroupError;
use super::group::{Group, Phase};
use super::member::Member;
use super::rebalance::Cause;
use super::request::{Claim, Join, JoinAnswer, Joined, Leave, Reply};

impl Coordinator {
    pub(super) fn join(&mut self, mut join: Join, reply: Reply<JoinAnswer>) {
        if let Err(error) = self.check_join(&mut join) {
            let _ = reply.send(JoinAnswer::refused(error, join.member));
            return;
        }
        let id = join.group.clone();
        if self.known_group(&id).is_none() {
            if !join.member.is_empty() {
                let answer = JoinAnswer::refused(GroupError::UnknownMember, join.member);
                let _ = reply.send(answer);
                return;
            }
            self.groups.insert(id.clone(), Group::from_stored(id.clone(), None));
        }
        let Some(group) = self.groups.get_mut(&id) else { return };
        let desk = &mut self.desk;
        if !group.has_room_for(&join.member, desk.config.max_size) {
            desk.stop_session(&id, &join.member);
            group.remove(&join.member);
            group.complete_if_ready(desk);
            let _ = reply.send(JoinAnswer::refused(GroupError::GroupFull, Str::EMPTY));
        } else if join.member.is_empty() {
            group.join_new(&join, reply, desk);
        } else {
            group.join_known(&join, reply, desk);
        }
        self.put_to_rest(&id);
    }

    fn check_join(&self, join: &mut Join) -> Result<(), GroupError> {
        if join.group.is_empty() {
            return Err(GroupError::InvalidGroup);
        }
        let config = &self.desk.config;
        let session_ms = timeout_ms(join.session_timeout_ms);
        let allowed = ms(config.min_session_timeout)..=ms(config.max_session_timeout);
        if !allowed.contains(&session_ms) {
            return Err(GroupError::InvalidSessionTimeout);
        }
        let size = join.protocols.iter().map(|one| one.name.as_bytes().len() + one.metadata.len());
        if join.protocols.len() > PROTOCOLS || size.sum::<usize>() > PROTOCOLS_SIZE {
            return Err(GroupError::TooLarge);
        }
        if !self.groups.contains_key(&join.group) && self.groups.len() >= GROUPS {
            return Err(GroupError::Busy);
        }
        // Of a protocol that is named twice, the first counts.
        let mut seen = std::collections::BTreeSet::new();
        join.protocols.retain(|protocol| seen.insert(protocol.name.clone()));
        Ok(())
    }

    pub(super) fn heartbeat(&mut self, claim: &Claim) -> Result<(), GroupError> {
        if claim.group.is_empty() {
            return Err(GroupError::InvalidGroup);
        }
        let group = self.groups.get(&claim.group).ok_or(GroupError::UnknownMember)?;
        group.check_member(&claim.member, claim.instance.as_ref())?;
        if claim.generation != group.generation {
            return Err(GroupError::IllegalGeneration);
        }
        group.restart_session(&claim.member, &mut self.desk);
        match group.phase {
            Phase::Empty => Err(GroupError::UnknownMember),
            Phase::Preparing => Err(GroupError::RebalanceInProgress),
            Phase::Completing | Phase::Stable => Ok(()),
        }
    }

    pub(super) fn leave(
        &mut self,
        leave: &Leave,
        reply: Reply<Result<Vec<Result<(), GroupError>>, GroupError>>,
    ) {
        let Some(group) = self.groups.get_mut(&leave.group) else {
            let outcome = match leave.group.is_empty() {
                true => Err(GroupError::InvalidGroup),
                false => Ok(vec![Err(GroupError::UnknownMember); leave.members.len()]),
            };
            let _ = reply.send(outcome);
            return;
        };
        let desk = &mut self.desk;
        let mut gone = None;
        let outcomes: Vec<_> = leave
            .members
            .iter()
            .map(|(member, instance)| {
                let member = group.leaving(member, instance.as_ref())?;
                desk.stop_session(&group.id, &member);
                group.remove(&member);
                gone.get_or_insert(member);
                Ok(())
            })
            .collect();
        if let Some(member) = gone.filter(|_| group.phase != Phase::Empty) {
            group.rebalance(Cause::Left.by(&member), desk);
        }
        // That the last one left is written: the answer waits for it.
        desk.submit(reply, move |_| (Vec::new(), outcomes));
        self.put_to_rest(&leave.group);
    }
}

impl Group {
    /// Whether a member may join, or join again, in a group of bounded size.
    fn has_room_for(&self, member: &Str, max_size: usize) -> bool {
        match self.phase {
            Phase::Empty => true,
            // Who waits already counts; who is slow to join again may find its place taken.
            Phase::Preparing => self.joins.contains_key(member) || self.joins.len() < max_size,
            Phase::Completing | Phase::Stable => {
                self.members.contains_key(member) || self.members.len() < max_size
            }
        }
    }

    fn join_new(&mut self, join: &Join, reply: Reply<JoinAnswer>, desk: &mut Desk) {
        let refuse = |reply: Reply<JoinAnswer>, error| {
            let _ = reply.send(JoinAnswer::refused(error, Str::EMPTY));
        };
        if !self.supports(&join.protocol_type, &join.protocols) {
            return refuse(reply, GroupError::InconsistentProtocol);
        }
        let id = &join.new_member;
        if self.members.contains_key(id) || self.pending.contains(id) {
            // Two equal random ids: whoever joins again draws another.
            return refuse(reply, GroupError::Busy);
        }
        match &join.instance {
            Some(instance) => match self.statics.get(instance).cloned() {
                Some(old) => self.join_in_place_of(&old, join, reply, desk),
                None => self.join_as(id, join, reply, desk),
            },
            None if join.can_come_back => {
                if self.pending.len() >= PENDING_MEMBERS {
                    return refuse(reply, GroupError::Busy);
                }
                self.pending.insert(id.clone());
                desk.start_session(&self.id, id, timeout_ms(join.session_timeout_ms));
                let answer = JoinAnswer::refused(GroupError::MemberIdRequired, id.clone());
                let _ = reply.send(answer);
            }
            None => self.join_as(id, join, reply, desk),
        }
    }

    fn join_known(&mut self, join: &Join, reply: Reply<JoinAnswer>, desk: &mut Desk) {
        let id = &join.member;
        let refuse = |reply: Reply<JoinAnswer>, error| {
            let _ = reply.send(JoinAnswer::refused(error, id.clone()));
        };
        if !self.supports(&join.protocol_type, &join.protocols) {
            return refuse(reply, GroupError::InconsistentProtocol);
        }
        if self.pending.contains(id) {
            return match join.instance {
                // A static member never is told to come back.
                Some(_) => refuse(reply, GroupError::UnknownMember),
                None => self.join_as(id, join, reply, desk),
            };
        }
        if let Err(error) = self.check_member(id, join.instance.as_ref()) {
            return refuse(reply, error);
        }
        let same = self.members.get(id).is_some_and(|member| member.protocols == join.protocols);
        match self.phase {
            Phase::Completing if same => {
                let _ = reply.send(self.joined(id));
            }
            // The leader joins again when it wants a rebalance: topics may have changed.
            Phase::Stable if same && !self.is_leader(id) => {
                let answer = self.joined(id);
                let _ = reply.send(answer);
            }
            Phase::Preparing | Phase::Completing | Phase::Stable => {
                self.update(id, join);
                self.await_join(id, reply);
                self.rebalance(Cause::Changed.by(id), desk);
            }
            Phase::Empty => refuse(reply, GroupError::UnknownMember),
        }
    }

    /// Adds a member.
    fn join_as(&mut self, id: &Str, join: &Join, reply: Reply<JoinAnswer>, desk: &mut Desk) {
        if let Some(initial) = &mut self.initial {
            initial.joined_meanwhile = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        self.add(Member::new(id.clone(), join));
        self.await_join(id, reply);
        self.start_new_session(id, desk);
        self.rebalance(Cause::Joined.by(id), desk);
    }

    /// A static member is back without its id: it gets a new one, and the old one is fenced. While
    /// the group is stable and nothing changes for the others, it keeps its assignment.
    fn join_in_place_of(
        &mut self,
        old: &Str,
        join: &Join,
        reply: Reply<JoinAnswer>,
        desk: &mut Desk,
    ) {
        let new = join.new_member.clone();
        let leader = self.leader.clone();
        let Some(before) = self.members.get(old).cloned() else { return };
        self.replace(old, new.clone());
        desk.stop_session(&self.id, old);
        self.update(&new, join);
        self.await_join(&new, reply);
        self.restart_session(&new, desk);
        match self.phase {
            Phase::Stable if self.protocol == self.select_protocol() => {
                let assignments = self.members.iter();
                let assignments =
                    assignments.map(|(id, m)| (id.clone(), m.assignment.clone())).collect();
                let stored = self.to_stored(&assignments, desk);
                let can_skip_assignment = join.can_skip_assignment;
                let old = Box::new(before);
                let purpose = Purpose::Replaced { old, new, can_skip_assignment, leader };
                self.store(stored, purpose, desk);
            }
            Phase::Stable | Phase::Completing => self.prepare(Cause::Replaced.by(&new), desk),
            Phase::Preparing => self.complete_if_ready(desk),
            Phase::Empty => unreachable!("an empty group has no static member to replace"),
        }
    }

    /// A static member's new id is decided.
    pub(super) fn handle_replaced(&mut self, new: &Str, can_skip: bool, leader: Option<Str>) {
        // A rebalance that began meanwhile answers it.
        if self.phase != Phase::Stable || !self.joins.contains_key(new) {
            return;
        }
        let mut answer = self.joined(new);
        if let Some(joined) = &mut answer.joined {
            if can_skip {
                joined.skip_assignment = self.is_leader(new);
            } else {
                // A client that cannot skip the assignment must not take itself for the leader.
                joined.leader = leader.unwrap_or_default();
                joined.members = Vec::new();
            }
        }
        self.answer_join(new, answer);
    }

    /// A static member's new id could not be written: its old one holds again.
    pub(super) fn undo_replaced(
        &mut self,
        old: Member,
        new: &Str,
        error: GroupError,
        desk: &mut Desk,
    ) {
        if self.phase != Phase::Stable || !self.members.contains_key(new) {
            return;
        }
        let joined = Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            ..Joined::default()
        };
        let answer = JoinAnswer { error: Some(error), member: Str::EMPTY, joined: Some(joined) };
        self.answer_join(new, answer);
        let id = old.id.clone();
        desk.stop_session(&self.id, new);
        self.replace(new, id.clone());
        self.change(&id, |member| *member = old);
        self.restart_session(&id, desk);
    }

    /// Who leaves, if it may.
    fn leaving(&self, member: &Str, instance: Option<&Str>) -> Result<Str, GroupError> {
        if member.is_empty() {
            let owner = instance.and_then(|instance| self.statics.get(instance));
            return owner.cloned().ok_or(GroupError::UnknownMember);
        }
        if !self.pending.contains(member) {
            self.check_member(member, instance)?;
        }
        Ok(member.clone())
    }

    /// A member, or one that only asked for its id, was silent too long.
    pub(super) fn handle_silence(&mut self, id: &Str, desk: &mut Desk) {
        if self.pending.contains(id) {
            self.remove(id);
            return self.complete_if_all_joined(desk);
        }
        let Some(member) = self.members.get(id) else { return };
        // Who waits for us cannot be blamed for silence, unless it never was part of a generation.
        if !member.is_new && (self.joins.contains_key(id) || self.syncs.contains_key(id)) {
            return;
        }
        tracing::debug!(group = %self.id, member = %id, "silent for longer than its session");
        self.remove(id);
        match self.phase {
            Phase::Completing | Phase::Stable => self.prepare(Cause::SessionTimedOut.by(id), desk),
            Phase::Preparing => self.complete_if_all_joined(desk),
            Phase::Empty => {}
        }
    }

    fn complete_if_all_joined(&mut self, desk: &mut Desk) {
        if self.phase == Phase::Preparing && self.all_joined() {
            self.complete(desk);
        }
    }
}
