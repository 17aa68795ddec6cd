//! A coordinator and its log without a broker: records are decided when the test says so, and after
//! each step the live state is compared with a replay.

mod joining;
mod moves;
mod offsets;
mod rewriting;
mod schedules;
mod statics;

use std::sync::Arc;

use bytes::Bytes;
use synod_wire::Str;
use tokio::sync::oneshot;

use super::request::{
    Claim, Commit, Fetch, Fetched, Join, JoinAnswer, Joined, Leave, Protocol, Sync, Synced,
};
use super::{
    CommittedOffset, Coordinator, GroupConfig, GroupError, GroupRequest, GroupsState, Now,
    TopicPartition,
};
use crate::state_log::{EncodedRecord, Proposal, StateMachine};

type Outcomes = Result<Vec<Result<(), GroupError>>, GroupError>;

/// An answer that may not be there yet.
struct Waiting<T>(oneshot::Receiver<T>);

impl<T> Waiting<T> {
    /// The answer, if it is there.
    fn poll(&mut self) -> Option<T> {
        self.0.try_recv().ok()
    }

    #[track_caller]
    fn now(mut self) -> T {
        self.poll().expect("an answer by now")
    }

    #[track_caller]
    fn is_waiting(&mut self) -> bool {
        self.poll().is_none()
    }
}

/// A log, the coordinator that leads it, and the time.
struct Lab {
    coordinator: Coordinator,
    log: Vec<EncodedRecord>,
    config: Arc<GroupConfig>,
    now: Now,
    ids: u32,
    /// Whether proposals are decided at once.
    deciding: bool,
    /// Whether a quorum answers that the coordinator still leads.
    confirming: bool,
    questions: u64,
    proposed: Option<Proposal>,
}

impl Lab {
    fn new() -> Lab {
        Lab::with(GroupConfig::default())
    }

    fn with(config: GroupConfig) -> Lab {
        let config = Arc::new(config);
        let now = Now { mono_ms: 1000, wall_ms: 1_700_000_000_000 };
        let coordinator =
            Coordinator::new(GroupsState::default(), 0, config.clone(), Arc::default());
        let mut lab = Lab {
            coordinator,
            log: Vec::new(),
            config,
            now,
            ids: 0,
            deciding: true,
            confirming: true,
            questions: 0,
            proposed: None,
        };
        lab.coordinator.begin(now);
        lab
    }

    /// A coordinator of groups that do not wait for more members to begin with.
    fn prompt() -> Lab {
        let initial_rebalance_delay = std::time::Duration::ZERO;
        Lab::with(GroupConfig { initial_rebalance_delay, ..GroupConfig::default() })
    }

    fn replay(&self) -> GroupsState {
        let mut state = GroupsState::default();
        for (offset, record) in (0..).zip(&self.log) {
            let record = GroupsState::decode(record).expect("a record");
            state.apply(offset, &record).expect("it applies");
        }
        state
    }

    /// Proposes and decides what there is, and checks all that must hold.
    fn step(&mut self) {
        if self.deciding {
            self.decide();
            while let Some(proposal) = self.coordinator.poll_proposal() {
                self.proposed = Some(proposal);
                self.decide();
            }
        } else if self.proposed.is_none() {
            self.proposed = self.coordinator.poll_proposal();
        }
        let reads = self.coordinator.reads_mut();
        if reads.needs_confirmation() {
            self.questions += 1;
            reads.handle_asked(self.questions);
        }
        if self.confirming {
            reads.handle_confirmed(self.questions);
        }
        assert!(*self.coordinator.state() == self.replay(), "live state and replay differ");
        assert_eq!(self.coordinator.end(), self.log.len() as u64);
        self.coordinator.check();
    }

    fn decide(&mut self) {
        let Some(proposal) = self.proposed.take() else { return };
        assert_eq!(proposal.base_offset, self.log.len() as u64);
        self.log.extend(proposal.records.clone());
        self.coordinator
            .handle_decided(proposal.base_offset, &proposal.records)
            .expect("what was proposed can be folded");
    }

    fn refuse(&mut self) {
        assert!(self.proposed.take().is_some(), "something was proposed");
        self.coordinator.handle_refused();
        self.step();
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        while self.now.mono_ms < end {
            let step = (end - self.now.mono_ms).min(100);
            self.now.mono_ms += step;
            self.now.wall_ms += i64::try_from(step).expect("small");
            self.coordinator.handle_tick(self.now);
            self.coordinator.handle_upkeep(self.now);
            self.step();
        }
    }

    /// Another broker takes over: what was proposed is decided or lost, all else is forgotten.
    fn take_over(&mut self) {
        let state = self.replay();
        let end = self.log.len() as u64;
        let next = Coordinator::new(state, end, self.config.clone(), Arc::default());
        let last = std::mem::replace(&mut self.coordinator, next);
        last.stop(GroupError::NotCoordinator);
        self.proposed = None;
        self.now.mono_ms += 5_000;
        self.now.wall_ms += 5_000;
        self.coordinator.begin(self.now);
        self.step();
    }

    fn ask<T>(&mut self, make: impl FnOnce(oneshot::Sender<T>) -> GroupRequest) -> Waiting<T> {
        let (reply, answer) = oneshot::channel();
        self.coordinator.handle(make(reply), self.now);
        self.step();
        Waiting(answer)
    }

    fn send_join(&mut self, join: Join) -> Waiting<JoinAnswer> {
        self.ids += 1;
        let new_member = format!("m-{:04}", self.ids).into();
        self.ask(|reply| GroupRequest::Join(Box::new(Join { new_member, ..join }), reply))
    }

    fn send_sync(
        &mut self,
        claim: Claim,
        assignments: &[(&Str, &'static str)],
    ) -> Waiting<Result<Synced, GroupError>> {
        let assignments = assignments
            .iter()
            .map(|(id, bytes)| ((*id).clone(), Bytes::from_static(bytes.as_bytes())))
            .collect();
        let sync = Sync { claim, assignments, ..Sync::default() };
        self.ask(|reply| GroupRequest::Sync(Box::new(sync), reply))
    }

    fn heartbeat(&mut self, claim: &Claim) -> Result<(), GroupError> {
        let claim = claim.clone();
        self.ask(|reply| GroupRequest::Heartbeat(claim, reply)).now()
    }

    fn send_leave(&mut self, member: &Str) -> Waiting<Outcomes> {
        let leave = Leave { group: "g".into(), members: vec![(member.clone(), None)] };
        self.ask(|reply| GroupRequest::Leave(leave, reply))
    }

    fn send_commit(&mut self, claim: &Claim, offset: i64) -> Waiting<Outcomes> {
        let offset = CommittedOffset { offset, ..CommittedOffset::default() };
        let offsets = vec![(partition("t", 0), offset)];
        let commit = Commit { claim: claim.clone(), retention_ms: None, offsets };
        self.ask(|reply| GroupRequest::Commit(commit, reply))
    }

    fn fetch_all(&mut self, group: &str) -> Vec<Fetched> {
        let fetch = Fetch { group: group.into(), partitions: None };
        self.ask(|reply| GroupRequest::Fetch(fetch, reply)).now().expect("no error")
    }

    fn committed(&mut self, group: &str) -> Option<i64> {
        let fetch = Fetch { group: group.into(), partitions: Some(vec![partition("t", 0)]) };
        let fetched = self.ask(|reply| GroupRequest::Fetch(fetch, reply)).now().expect("no error");
        fetched[0].offset.as_ref().map(|offset| offset.offset)
    }

    fn delete(&mut self, groups: &[&str]) -> Vec<Result<(), GroupError>> {
        let groups = groups.iter().map(|group| Str::from(*group)).collect();
        self.ask(|reply| GroupRequest::Delete(groups, reply)).now().expect("no error")
    }

    /// The group's state as tools see it.
    fn phase(&mut self) -> &'static str {
        let described =
            self.ask(|reply| GroupRequest::Describe(vec!["g".into()], reply)).now().expect("ok");
        described[0].as_ref().map_or("Dead", |group| group.state)
    }

    /// Asks for an id and joins with it; the answer is for when the rebalance is through.
    fn send_join_anew(&mut self) -> (Str, Waiting<JoinAnswer>) {
        let answer = self.send_join(join("")).now();
        assert_eq!(answer.error, Some(GroupError::MemberIdRequired));
        let id = answer.member;
        let waiting = self.send_join(join(&id));
        (id, waiting)
    }

    /// A stable group of that many members, in the order of their ids; the first leads.
    fn stable(&mut self, count: usize) -> Vec<Claim> {
        let mut waiting: Vec<_> = (0..count).map(|_| self.send_join_anew()).collect();
        self.pass(10_000);
        let ids: Vec<Str> = waiting.iter().map(|(id, _)| id.clone()).collect();
        let mut claims = Vec::new();
        for (id, answer) in waiting.drain(..) {
            claims.push(claim(&id, joined(&answer.now()).generation));
        }
        let mut syncs = Vec::new();
        for (index, one) in claims.iter().enumerate().rev() {
            let all: Vec<_> = ids.iter().map(|id| (id, "a")).collect();
            syncs.push(self.send_sync(one.clone(), if index == 0 { &all } else { &[] }));
        }
        for sync in syncs {
            assert_eq!(sync.now().expect("synced").assignment, "a");
        }
        assert_eq!(self.phase(), "Stable");
        claims
    }
}

#[track_caller]
fn joined(answer: &JoinAnswer) -> &Joined {
    assert_eq!(answer.error, None);
    answer.joined.as_ref().expect("a generation")
}

fn partition(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}

fn claim(member: &Str, generation: i32) -> Claim {
    Claim { group: "g".into(), member: member.clone(), instance: None, generation }
}

/// A consumer's request to join group `g`.
fn join(member: &str) -> Join {
    Join {
        group: "g".into(),
        member: member.into(),
        can_come_back: true,
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 30_000,
        protocol_type: "consumer".into(),
        protocols: protocols(&["range", "roundrobin"]),
        ..Join::default()
    }
}

fn protocols(names: &[&'static str]) -> Vec<Protocol> {
    let protocol = |name: &&'static str| Protocol { name: (*name).into(), metadata: metadata() };
    names.iter().map(protocol).collect()
}

/// A subscription to topic `t`.
fn metadata() -> Bytes {
    Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff")
}

#[test]
fn groups_hash_as_in_java() {
    // Reckoned by Java's `Math.abs(id.hashCode()) % count`.
    for (group, count, expected) in [("", 50, 0), ("g", 50, 3), ("group", 50, 47)] {
        assert_eq!(super::partition_of(group, count), expected, "{group}");
    }
    assert_eq!(super::partition_of("polygenelubricants", 50), 0, "the smallest hash");
    assert_eq!(super::partition_of("anything", 0), 0);
}
