//! The coordinator of the groups of one partition of the offsets topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use synod_wire::Str;

use super::config::{GroupConfig, STEP_MS};
use super::counters::GroupCounters;
use super::desk::{Desk, Done, Now, Purpose, Stored};
use super::error::GroupError;
use super::group::{Group, Phase};
use super::rebalance::Cause;
use super::request::GroupRequest;
use super::retention::Retention;
use super::rewrite::Rewrite;
use super::state::GroupsState;
use super::timers::{Timer, Timers};
use crate::state_log::{EncodedRecord, Proposal, Reads, StateError, StateLog};

/// Coordinates groups. It is made for one leadership of its log and given up with it.
///
/// The owner's loop:
///
/// ```text
/// fold the decided log into a state, then  Coordinator::new(state, end, …)
/// on each batch that is decided since:     handle_decided(base, &records)?
/// once it leads and all decided is folded: begin(now)
/// on a request:                            handle(request, now)
/// on a tick:                               handle_tick(now)
/// each second or so:                       handle_upkeep(now); keep_short(the log's size)
///                                          drop the log before useless_before()
/// whenever it may propose:                 while let Some(proposal) = poll_proposal() { … }
///                      a definite refusal: handle_refused()
/// then, each time:                         see to reads_mut(), as Reads tells
/// when it leads no more:                   stop(error)
/// ```
#[derive(Debug)]
pub struct Coordinator {
    /// Groups that somebody uses. Of the others the log's fold tells everything.
    pub(super) groups: BTreeMap<Str, Group>,
    pub(super) desk: Desk,
    pub(super) retention: Retention,
    pub(super) rewrite: Rewrite,
    /// The owner's time at the last step; the coordinator's own goes on in bounded steps.
    seen_mono_ms: u64,
}

impl Coordinator {
    /// A coordinator of a log whose records below `end` fold to `state`. It does not begin yet.
    #[must_use]
    pub fn new(
        state: GroupsState,
        end: u64,
        config: Arc<GroupConfig>,
        counters: Arc<GroupCounters>,
    ) -> Self {
        Self {
            groups: BTreeMap::new(),
            desk: Desk {
                log: StateLog::new(state, end),
                timers: Timers::default(),
                now: Now::default(),
                config,
                counters,
                done: Done::default(),
                unsaved: std::collections::BTreeSet::new(),
            },
            retention: Retention::default(),
            rewrite: Rewrite::default(),
            seen_mono_ms: 0,
        }
    }

    /// The fold of all that is decided.
    #[must_use]
    pub fn state(&self) -> &GroupsState {
        self.desk.log.state()
    }

    /// First offset of the log that is not folded yet.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.desk.log.end()
    }

    /// Whether it serves requests.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        self.desk.log.is_leading()
    }

    /// Begins to serve. Every member's session begins anew.
    pub fn begin(&mut self, now: Now) {
        self.seen_mono_ms = now.mono_ms;
        self.desk.now = now;
        self.desk.log.handle_leading();
        self.retention.begin(now, self.state().newest_ms());
        let peopled = self.state().groups().filter_map(|(id, facts)| {
            let stored = facts.stored.as_ref().filter(|stored| !stored.members.is_empty())?;
            Some(Group::from_stored(id.clone(), Some(stored)))
        });
        let peopled: Vec<Group> = peopled.collect();
        for mut group in peopled {
            let ids: Vec<Str> = group.members.keys().cloned().collect();
            for id in &ids {
                group.restart_session(id, &mut self.desk);
            }
            if group.members.len() > self.desk.config.max_size {
                group.prepare(Cause::TooLarge, &mut self.desk);
            }
            self.groups.insert(group.id.clone(), group);
        }
        self.settle();
    }

    /// Takes a request; its answer goes to the request's reply, now or later.
    pub fn handle(&mut self, request: GroupRequest, now: Now) {
        self.advance(now);
        if !self.is_leading() {
            return request.refuse(GroupError::Loading);
        }
        match request {
            GroupRequest::Join(join, reply) => self.join(*join, reply),
            GroupRequest::Sync(sync, reply) => self.sync(*sync, reply),
            GroupRequest::Heartbeat(claim, reply) => {
                let _ = reply.send(self.heartbeat(&claim));
            }
            GroupRequest::Leave(leave, reply) => self.leave(&leave, reply),
            GroupRequest::Commit(commit, reply) => self.commit(commit, reply),
            GroupRequest::Fetch(fetch, reply) => {
                let fetched = self.fetch(fetch);
                self.desk.answer(reply, fetched);
            }
            GroupRequest::Describe(groups, reply) => {
                let _ = reply.send(Ok(self.describe(&groups)));
            }
            GroupRequest::List(reply) => {
                let _ = reply.send(Ok(self.list()));
            }
            GroupRequest::Delete(groups, reply) => self.delete(groups, reply),
            GroupRequest::Forget(forget, reply) => self.forget(forget, reply),
        }
        self.run_timers();
        self.settle();
    }

    /// Lets time pass: whoever was silent too long is out, whatever waited long enough goes on.
    pub fn handle_tick(&mut self, now: Now) {
        self.advance(now);
        if !self.is_leading() {
            return;
        }
        self.run_timers();
        self.settle();
    }

    /// Does, from time to time, what is in no hurry: writes again what the log would not take, and
    /// forgets offsets that are too old.
    pub fn handle_upkeep(&mut self, now: Now) {
        self.advance(now);
        if !self.is_leading() {
            return;
        }
        for id in std::mem::take(&mut self.desk.unsaved) {
            if let Some(group) = self.groups.get_mut(&id) {
                group.unsaved = false;
                if group.phase == Phase::Empty {
                    group.store_empty(&mut self.desk);
                }
            }
        }
        self.expire_offsets();
        self.settle();
    }

    fn run_timers(&mut self) {
        while let Some(timer) = self.desk.timers.poll_due(self.desk.now.mono_ms) {
            self.handle_timer(timer);
        }
    }

    fn handle_timer(&mut self, timer: Timer) {
        let (Timer::Session { group: id, .. }
        | Timer::Join { group: id }
        | Timer::Sync { group: id }) = &timer;
        let Some(group) = self.groups.get_mut(id) else { return };
        let desk = &mut self.desk;
        match &timer {
            Timer::Session { member, .. } => group.handle_silence(member, desk),
            Timer::Join { .. } => group.handle_join_timeout(desk),
            Timer::Sync { .. } => group.handle_sync_timeout(desk),
        }
        let id = id.clone();
        self.put_to_rest(&id);
    }

    /// The next batch to propose, as [`StateLog::poll_proposal`].
    pub fn poll_proposal(&mut self) -> Option<Proposal> {
        loop {
            let proposal = self.desk.log.poll_proposal();
            // Answers given meanwhile may have made groups go on and write again.
            if !self.settle() || proposal.is_some() {
                return proposal;
            }
        }
    }

    /// The proposal just polled was refused as a whole.
    pub fn handle_refused(&mut self) {
        self.desk.log.handle_refused();
        self.settle();
    }

    /// Answers that wait for a quorum, as [`StateLog::reads_mut`].
    pub fn reads_mut(&mut self) -> &mut Reads {
        self.desk.log.reads_mut()
    }

    /// Folds in a decided batch and answers who waited for it.
    ///
    /// # Errors
    /// As [`StateLog::handle_decided`]: the owner must give this coordinator up.
    pub fn handle_decided(
        &mut self,
        base_offset: u64,
        records: &[EncodedRecord],
    ) -> Result<(), StateError> {
        self.desk.log.handle_decided(base_offset, records)?.send();
        self.settle();
        Ok(())
    }

    /// Ends this coordinator: whoever waits is told to ask elsewhere.
    pub fn stop(mut self, error: GroupError) {
        for group in self.groups.values_mut() {
            group.abandon(error);
        }
        self.desk.log.handle_lost_leadership();
    }

    fn advance(&mut self, now: Now) {
        let step_ms = now.mono_ms.saturating_sub(self.seen_mono_ms).min(STEP_MS);
        self.seen_mono_ms = self.seen_mono_ms.max(now.mono_ms);
        self.desk.now.mono_ms += step_ms;
        self.desk.now.wall_ms = now.wall_ms;
    }

    /// Goes on with what the log reported; false if it reported nothing.
    fn settle(&mut self) -> bool {
        let mut any = false;
        while let Some(stored) = self.desk.done.pop() {
            any = true;
            self.handle_stored(stored);
        }
        any
    }

    fn handle_stored(&mut self, stored: Stored) {
        let Stored { group: id, purpose, outcome } = stored;
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.in_flight = group.in_flight.saturating_sub(1);
        let desk = &mut self.desk;
        match purpose {
            Purpose::Assigned { generation, assignments } => {
                // A rebalance may have begun meanwhile; then nobody wants these any more.
                if group.phase == Phase::Completing && group.generation == generation {
                    group.handle_assigned(&assignments, outcome, desk);
                }
            }
            Purpose::Emptied => {
                if outcome.is_err() && group.phase == Phase::Empty {
                    group.unsaved = true;
                    desk.unsaved.insert(id.clone());
                }
            }
            Purpose::Replaced { old, new, can_skip_assignment, leader } => match outcome {
                Ok(()) => group.handle_replaced(&new, can_skip_assignment, leader),
                Err(error) => group.undo_replaced(*old, &new, error, desk),
            },
        }
        self.put_to_rest(&id);
    }

    /// The group, if anything is known of it, ready for use.
    pub(super) fn known_group(&mut self, id: &Str) -> Option<&mut Group> {
        if !self.groups.contains_key(id) {
            let facts = self.state().group(id)?;
            let group = Group::from_stored(id.clone(), facts.stored.as_deref());
            self.groups.insert(id.clone(), group);
        }
        self.groups.get_mut(id)
    }

    /// Lets go of a group of which the log knows everything; checks it in debug builds.
    pub(super) fn put_to_rest(&mut self, id: &Str) {
        let Some(group) = self.groups.get(id) else { return };
        if cfg!(debug_assertions) {
            group.check();
        }
        if group.is_at_rest() {
            self.groups.remove(id);
        }
    }

    /// Asserts that groups whose records are all decided are what the log says.
    #[cfg(test)]
    pub(super) fn check(&self) {
        for (id, group) in &self.groups {
            group.check();
            if group.phase != Phase::Stable || group.in_flight > 0 {
                continue;
            }
            let stored = self.state().group(id).and_then(|facts| facts.stored.as_deref());
            let stored = stored.unwrap_or_else(|| panic!("{id} is stable and not in the log"));
            assert_eq!(stored.generation, group.generation, "{id}");
            assert_eq!(stored.protocol, group.protocol, "{id}");
            let logged: BTreeMap<_, _> =
                stored.members.iter().map(|m| (&m.id, &m.assignment)).collect();
            let live: BTreeMap<_, _> =
                group.members.values().map(|m| (&m.id, &m.assignment)).collect();
            assert_eq!(logged, live, "{id}");
        }
    }
}
