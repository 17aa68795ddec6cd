//! What the steps of a group work with besides the group itself: its coordinator's log, timers,
//! clock and settings.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use synod_wire::Str;

use super::config::{GroupConfig, RECORDS_SIZE};
use super::counters::GroupCounters;
use super::error::GroupError;
use super::member::Member;
use super::record::{GroupRecord, StoredGroup};
use super::request::Reply;
use super::state::GroupsState;
use super::timers::{Timer, Timers};
use crate::state_log::{NotDone, StateLog};

/// The time, handed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of monotonic time since any moment: for timers.
    pub mono_ms: u64,
    /// Milliseconds since 1970 by the wall clock: for records, never for timers.
    pub wall_ms: i64,
}

/// Everything of a coordinator but its groups.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) log: StateLog<GroupsState>,
    pub(super) timers: Timers,
    pub(super) now: Now,
    pub(super) config: Arc<GroupConfig>,
    pub(super) counters: Arc<GroupCounters>,
    pub(super) done: Done,
    /// Groups of which the log would not take that they are empty.
    pub(super) unsaved: BTreeSet<Str>,
}

/// What a record about a group was written for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// The leader brought the assignments.
    Assigned { generation: i32, assignments: BTreeMap<Str, Bytes> },
    /// Nobody is left.
    Emptied,
    /// A static member came back under a new id.
    Replaced { old: Box<Member>, new: Str, can_skip_assignment: bool, leader: Option<Str> },
}

/// A record about a group is decided, or is not.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) group: Str,
    pub(super) purpose: Purpose,
    pub(super) outcome: Result<(), GroupError>,
}

/// What the log has reported and nobody has looked at yet. The log answers while the coordinator is
/// borrowed, so its answers wait here for a moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Done(Arc<Mutex<VecDeque<Stored>>>);

impl Done {
    fn push(&self, stored: Stored) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(stored);
    }

    pub(super) fn pop(&self) -> Option<Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl Desk {
    pub(super) fn start_timer(&mut self, timer: Timer, after_ms: u64) {
        self.timers.start(timer, self.now.mono_ms.saturating_add(after_ms));
    }

    pub(super) fn start_session(&mut self, group: &Str, member: &Str, after_ms: u64) {
        let timer = Timer::Session { group: group.clone(), member: member.clone() };
        self.start_timer(timer, after_ms);
    }

    pub(super) fn stop_session(&mut self, group: &Str, member: &Str) {
        self.timers.stop(&Timer::Session { group: group.clone(), member: member.clone() });
    }

    /// Writes what is known of a group from now on; [`Done`] tells when it is decided.
    pub(super) fn store(&mut self, group: &Str, stored: StoredGroup, purpose: Purpose) {
        let (done, group) = (self.done.clone(), group.clone());
        if group_size(&group, &stored) > RECORDS_SIZE {
            return done.push(Stored { group, purpose, outcome: Err(GroupError::TooLarge) });
        }
        let record = GroupRecord::Group { group: group.clone(), stored: Arc::new(stored) };
        self.log.submit(
            move |_| (vec![record], ()),
            move |outcome| {
                let outcome = outcome.map_err(GroupError::from);
                done.push(Stored { group, purpose, outcome });
            },
        );
    }

    /// Answers from the decided state as it is now, once it is sure that this is not out of date.
    pub(super) fn answer<R: Send + 'static>(
        &mut self,
        reply: Reply<Result<R, GroupError>>,
        response: R,
    ) {
        self.log.read(move |outcome| {
            // Whoever is gone does not wait for the answer.
            let _ = reply.send(outcome.map(|()| response).map_err(GroupError::from));
        });
    }

    /// Writes what `handler` makes of the decided state and all that is on its way, and answers
    /// with what it returns once that is decided.
    pub(super) fn submit<R: Send + 'static>(
        &mut self,
        reply: Reply<Result<R, GroupError>>,
        handler: impl FnOnce(&GroupsState) -> (Vec<GroupRecord>, R) + Send + 'static,
    ) {
        self.log.submit(handler, move |outcome| {
            // Whoever is gone does not wait for the answer.
            let _ = reply.send(outcome.map_err(GroupError::from));
        });
    }
}

impl From<NotDone> for GroupError {
    fn from(reason: NotDone) -> GroupError {
        match reason {
            // An unknown outcome, too: whoever asks again asks the coordinator that knows.
            NotDone::NotLeading | NotDone::Unknown => GroupError::NotCoordinator,
            NotDone::Busy => GroupError::Busy,
            NotDone::Refused | NotDone::TooLarge => GroupError::NotAvailable,
        }
    }
}

/// Bytes that a group's record takes, more or less.
fn group_size(group: &Str, stored: &StoredGroup) -> usize {
    let text = |text: &Option<Str>| text.as_ref().map_or(0, |text| text.as_bytes().len());
    let members = stored.members.iter().map(|member| {
        let names = [&member.id, &member.client_id, &member.client_host];
        let names: usize = names.iter().map(|name| name.as_bytes().len()).sum();
        32 + names + text(&member.instance) + member.metadata.len() + member.assignment.len()
    });
    let own = text(&stored.protocol_type) + text(&stored.protocol) + text(&stored.leader);
    64 + group.as_bytes().len() + own + members.sum::<usize>()
}
