//! This broker's own requests to the controller, wherever that is.
//!
//! A request waits until a controller is known, goes to the own log or to the broker that leads,
//! and is answered when this broker's image shows what the answer tells of. It is sent again while
//! no answer comes: the receiver knows a repeated one within its round. An outcome is told as
//! unknown whenever the request may have been carried out; only then.

use std::collections::BTreeMap;

use bytes::Bytes;
use synod_paxos::{Ballot, NodeId};

use super::form::{AnswerForm, RequestForm, decode, encode};
use crate::limits::CONTROL_BODY_SIZE;
use crate::metadata::ask::Reply;
use crate::metadata::{Answer, Ask, ControllerRequest};
use crate::peers::ControlMessage;
use crate::state_log::NotDone;

/// Requests that wait for their answers; further ones are refused as busy.
pub(super) const PENDING_REQUESTS: usize = 1024;

/// How long a request waits for a controller that takes it.
const PATIENCE_TICKS: u64 = 100;

/// How long a request waits for its outcome once a controller may have taken it.
const OUTCOME_TICKS: u64 = 400;

/// How long the former controller has to answer once there is another.
const GRACE_TICKS: u64 = 20;

/// Time between two sendings of one request.
const RESEND_TICKS: u64 = 10;

/// What goes from here to other brokers.
pub(super) type Out = Vec<(NodeId, ControlMessage)>;

/// Who can be asked at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Controller {
    /// Nobody, as far as is known.
    Unknown,
    /// This broker.
    Here,
    /// The leader of this ballot.
    There(Ballot),
}

#[derive(Debug)]
enum State {
    /// With nobody; to be tried from that tick on.
    Waiting { from_tick: u64 },
    /// In the own log.
    Submitted,
    /// With the leader of that ballot.
    Sent { to: Ballot, body: Bytes, count: u32, resend_tick: u64 },
    /// Answered; the own image is behind.
    Answered { end: u64, answer: Answer },
}

struct Pending {
    ask: Ask,
    reply: Reply,
    deadline_tick: u64,
    /// It was sent to another broker, who may carry a late copy out.
    sent: bool,
    state: State,
}

/// The table of them.
pub(super) struct Requests {
    tick: u64,
    next_id: u64,
    pending: BTreeMap<u64, Pending>,
}

impl Requests {
    /// Ids go up from `first_id`, which no earlier life of this broker has used.
    pub(super) fn new(first_id: u64) -> Requests {
        Requests { tick: 0, next_id: first_id, pending: BTreeMap::new() }
    }

    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < PENDING_REQUESTS
    }

    pub(super) fn add(&mut self, request: ControllerRequest) {
        let ControllerRequest { ask, reply } = request;
        if !self.has_room() {
            return reply(Err(NotDone::Busy));
        }
        let deadline_tick = self.tick + PATIENCE_TICKS;
        let state = State::Waiting { from_tick: self.tick };
        self.pending
            .insert(self.next_id, Pending { ask, reply, deadline_tick, sent: false, state });
        self.next_id += 1;
    }

    /// A tick passed: gives up on some, sends others again.
    pub(super) fn handle_tick(&mut self, controller: Controller, out: &mut Out) {
        self.tick += 1;
        let tick = self.tick;
        for late in self.extract(|it| it.deadline_tick <= tick) {
            let definite = !late.sent && matches!(late.state, State::Waiting { .. });
            (late.reply)(Err(if definite { NotDone::NotLeading } else { NotDone::Unknown }));
        }
        for (id, pending) in &mut self.pending {
            let State::Sent { to, body, count, resend_tick } = &mut pending.state else { continue };
            let replaced = match controller {
                Controller::Unknown => false,
                Controller::Here => true,
                Controller::There(ballot) => ballot != *to,
            };
            if replaced && pending.ask.is_repeatable() {
                pending.state = State::Waiting { from_tick: tick };
            } else if replaced {
                pending.deadline_tick = pending.deadline_tick.min(tick + GRACE_TICKS);
            } else if *resend_tick <= tick {
                *count += 1;
                *resend_tick = tick + RESEND_TICKS;
                let body = body.clone();
                out.push((to.node, ControlMessage::Request { id: *id, body }));
            }
        }
    }

    /// Hands what waits to the controller: sends it, or returns it for the own log.
    pub(super) fn route(&mut self, controller: Controller, out: &mut Out) -> Vec<(u64, Ask)> {
        let mut own = Vec::new();
        let mut too_large = Vec::new();
        let tick = self.tick;
        for (id, pending) in &mut self.pending {
            let State::Waiting { from_tick } = pending.state else { continue };
            if from_tick > tick {
                continue;
            }
            match controller {
                Controller::Unknown => break,
                Controller::Here => {
                    pending.state = State::Submitted;
                    own.push((*id, pending.ask.clone()));
                }
                Controller::There(to) => {
                    let form = RequestForm { round: to.round, ask: pending.ask.clone() };
                    let body = encode(&form);
                    if body.len() > CONTROL_BODY_SIZE {
                        too_large.push(*id);
                        continue;
                    }
                    out.push((to.node, ControlMessage::Request { id: *id, body: body.clone() }));
                    let resend_tick = tick + RESEND_TICKS;
                    pending.sent = true;
                    pending.state = State::Sent { to, body, count: 1, resend_tick };
                }
            }
            pending.deadline_tick = tick + OUTCOME_TICKS;
        }
        for id in too_large {
            self.finish(id, Err(NotDone::TooLarge));
        }
        own
    }

    /// The own log has answered.
    pub(super) fn handle_released(&mut self, id: u64, outcome: Result<Answer, NotDone>) {
        match outcome {
            Err(NotDone::NotLeading) => self.wait_again(id),
            outcome => self.finish(id, outcome),
        }
    }

    /// Another broker has answered.
    pub(super) fn handle_answer(&mut self, from: NodeId, id: u64, body: &Bytes, applied_end: u64) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        let State::Sent { to, count, .. } = &pending.state else { return };
        if to.node != from {
            return;
        }
        let (first, repeatable) = (*count == 1, pending.ask.is_repeatable());
        match decode::<AnswerForm>(body) {
            Ok(AnswerForm { end, outcome: Ok(answer) }) if end > applied_end => {
                pending.state = State::Answered { end, answer };
            }
            Ok(AnswerForm { outcome: Ok(answer), .. }) => self.finish(id, Ok(answer)),
            // A request sent once that was not taken is with nobody.
            Ok(AnswerForm { outcome: Err(NotDone::NotLeading), .. }) if first || repeatable => {
                self.wait_again(id);
            }
            Ok(AnswerForm { outcome: Err(NotDone::Unknown), .. }) if repeatable => {
                self.wait_again(id);
            }
            Ok(AnswerForm { outcome: Err(NotDone::NotLeading), .. }) => {
                self.finish(id, Err(NotDone::Unknown));
            }
            Ok(AnswerForm { outcome: Err(reason), .. }) => self.finish(id, Err(reason)),
            Err(error) => {
                tracing::warn!(%from, %error, "the controller's answer is not understood");
                self.finish(id, Err(NotDone::Unknown));
            }
        }
    }

    /// The own image has come up to `end`.
    pub(super) fn handle_applied(&mut self, applied_end: u64) {
        let seen = |it: &Pending| match it.state {
            State::Answered { end, .. } => end <= applied_end,
            _ => false,
        };
        for pending in self.extract(seen) {
            if let State::Answered { answer, .. } = pending.state {
                (pending.reply)(Ok(answer));
            }
        }
    }

    /// Takes out all that `matches`, oldest first.
    fn extract(&mut self, matches: impl Fn(&Pending) -> bool) -> Vec<Pending> {
        let found = self.pending.iter().filter(|(_, it)| matches(it)).map(|(id, _)| *id);
        let ids: Vec<u64> = found.collect();
        ids.into_iter().filter_map(|id| self.pending.remove(&id)).collect()
    }

    /// Tries again with the next tick, within the request's first patience.
    fn wait_again(&mut self, id: u64) {
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.state = State::Waiting { from_tick: self.tick + 1 };
            pending.deadline_tick = pending.deadline_tick.min(self.tick + PATIENCE_TICKS);
        }
    }

    fn finish(&mut self, id: u64, outcome: Result<Answer, NotDone>) {
        if let Some(pending) = self.pending.remove(&id) {
            (pending.reply)(outcome);
        }
    }
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requests").field("pending", &self.pending.len()).finish_non_exhaustive()
    }
}
