//! One replica: the entry points, and who does what with a message.

use std::ops::Range;

use crate::core::{Core, Reader};
use crate::planted::PlantedBug;
use crate::proposer::{FollowerStatus, Outcome, Phase1, Phase2, Proposer};
use crate::{
    AppointError, Ballot, Batch, Durable, InputError, Message, NodeId, Output, Proposal,
    ProposeError, ReadId, ReplicaConfig, ReplicaSet, Role, WriteId,
};

/// Proposer, acceptor and learner of one partition on one node.
///
/// A pure, synchronous state machine: `handle_*` takes what happened, [`poll_output`] yields what
/// to do. The crate's front page has the contract with the caller and the main loop.
///
/// [`poll_output`]: Replica::poll_output
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    core: Core,
    proposer: Proposer,
    /// The role last told to the runtime.
    told: (Role, Ballot),
}

impl Replica {
    /// Begins an incarnation from what recovery found. It follows; nothing is sent before the
    /// first input.
    pub fn new(config: ReplicaConfig, durable: Durable) -> Replica {
        let core = Core::new(config, &durable);
        let told = (Role::Follower, core.promised);
        let replica = Replica { core, proposer: Proposer::Idle, told };
        replica.check();
        replica
    }

    // ---- inputs ------------------------------------------------------------------------------

    /// Takes a message of a peer. Old, repeated and reordered messages are harmless.
    ///
    /// # Errors
    /// [`InputError`] if the message is malformed or contradicts what is decided here; the replica
    /// did not act on it.
    pub fn handle_message(&mut self, from: NodeId, message: Message) -> Result<(), InputError> {
        if from == self.core.node() {
            return Err(InputError::WrongSender);
        }
        let result = match message {
            Message::Promise(_)
            | Message::Entries(_)
            | Message::Copied(_)
            | Message::Accepted(_)
            | Message::Confirmed(_)
            | Message::Nack(_) => self.handle_answer(from, message),
            Message::Prepare(_)
            | Message::Read(_)
            | Message::Adopt(_)
            | Message::Accept(_)
            | Message::Confirm(_)
            | Message::Decide(_) => self.handle_demand(from, message),
        };
        self.finish();
        result
    }

    /// Takes an appointment: run phase 1 of `ballot` with `set`. Repeating the appointment of the
    /// ballot at work changes nothing.
    ///
    /// # Errors
    /// [`AppointError`] if the ballot is not this node's, or not above what it has promised.
    pub fn handle_appointed(
        &mut self,
        ballot: Ballot,
        set: ReplicaSet,
    ) -> Result<(), AppointError> {
        if ballot.node != self.core.node() || !set.is_voter(ballot.node) {
            return Err(AppointError::NotMine);
        }
        if self.proposer.ballot() == Some(ballot) {
            return Ok(());
        }
        let resumes = self.core.planted(PlantedBug::ResumeBallot) && ballot == self.core.promised;
        if ballot.round <= self.core.promised.round && !resumes {
            return Err(AppointError::Stale { promised: self.core.promised });
        }
        self.step_down();
        self.proposer = Proposer::Phase1(Phase1::start(&mut self.core, ballot, set));
        self.finish();
        Ok(())
    }

    /// Whether [`handle_propose`](Replica::handle_propose) would take `count` batches now, and in
    /// which ballot: for a caller that has to make room for their payload first.
    ///
    /// # Errors
    /// The refusal that it would return.
    pub fn check_propose(&self, count: usize) -> Result<Ballot, ProposeError> {
        let Proposer::Phase2(phase) = &self.proposer else {
            return Err(ProposeError::NotLeader { hint: self.leader_hint() });
        };
        phase.check_propose(&self.core, count)?;
        Ok(self.ballot())
    }

    /// Appends batches to the log, in order, all or none, and begins to have them chosen. The
    /// answer is the range of offsets they take; they are decided when
    /// [`decided_end`](Replica::decided_end) reaches its end *while this ballot still leads*.
    ///
    /// # Errors
    /// [`ProposeError`]: nothing was appended.
    ///
    /// # Panics
    /// If a proposal has no records.
    pub fn handle_propose(&mut self, proposals: &[Proposal]) -> Result<Range<u64>, ProposeError> {
        let Proposer::Phase2(phase) = &mut self.proposer else {
            return Err(ProposeError::NotLeader { hint: self.leader_hint() });
        };
        let range = phase.propose(&mut self.core, proposals)?;
        self.finish();
        Ok(range)
    }

    /// Asks the voters whether this ballot still leads. Once [`confirmed`](Replica::confirmed)
    /// reaches the answer, nobody else had decided anything at the moment of this call: what was
    /// decided anywhere by then is decided here.
    ///
    /// # Errors
    /// [`ProposeError`] from one that does not lead, or is not ready.
    pub fn handle_confirm(&mut self) -> Result<u64, ProposeError> {
        let Proposer::Phase2(phase) = &mut self.proposer else {
            return Err(ProposeError::NotLeader { hint: self.leader_hint() });
        };
        let number = phase.confirm(&mut self.core)?;
        self.finish();
        Ok(number)
    }

    /// Every write up to and including `write` is synced.
    ///
    /// # Panics
    /// If that write was never issued.
    pub fn handle_written(&mut self, write: WriteId) {
        let before = *self.core.writes.synced();
        self.core.writes.complete(write);
        match &mut self.proposer {
            Proposer::Idle => {}
            Proposer::Phase1(phase) => {
                let outcome = phase.handle_written(&mut self.core);
                self.conclude(outcome);
            }
            Proposer::Phase2(phase) => phase.handle_written(&mut self.core),
        }
        let synced = *self.core.writes.synced();
        let grew =
            synced.log_end > before.log_end || synced.accepted_ballot != before.accepted_ballot;
        let follows = synced.accepted_ballot == self.core.promised
            && synced.accepted_ballot.node != self.core.node();
        if grew && follows {
            self.core.send_accepted(None);
        }
        self.finish();
    }

    /// Answers an [`Output::Read`]: whole batches beginning with the one at the offset asked for.
    /// An empty answer means that it cannot be read now. Answers to forgotten reads are harmless.
    ///
    /// # Errors
    /// [`InputError::MalformedBatches`] if they do not begin there or are not contiguous.
    pub fn handle_read(&mut self, read: ReadId, batches: Vec<Batch>) -> Result<(), InputError> {
        let result = match self.core.take_reader(read) {
            Some(Reader::Candidate { node, ballot }) => {
                self.core.handle_read_for_candidate(node, ballot, batches);
                Ok(())
            }
            Some(Reader::Follower { node }) => match &mut self.proposer {
                Proposer::Phase2(phase) => phase.handle_read(&mut self.core, read, node, batches),
                Proposer::Idle | Proposer::Phase1(_) => Ok(()),
            },
            None => Ok(()),
        };
        self.finish();
        result
    }

    /// The runtime trimmed the log: it begins at `start` now, the base of a batch or the log's
    /// end.
    ///
    /// # Panics
    /// If that lies beyond what is decided.
    pub fn handle_trimmed(&mut self, start: u64) {
        self.core.log.trim(start);
        self.finish();
    }

    /// The runtime heard from `peer` by other means than this partition's messages, for example
    /// by heartbeats between brokers. Counts for check-quorum.
    pub fn handle_contact(&mut self, peer: NodeId) {
        if let Proposer::Phase2(phase) = &mut self.proposer {
            phase.handle_contact(self.core.tick, peer);
        }
    }

    /// A tick passed: repeats what went unanswered and measures the leader's quorum.
    pub fn handle_tick(&mut self) {
        self.core.tick += 1;
        self.core.complained = false;
        match &mut self.proposer {
            Proposer::Idle => {}
            Proposer::Phase1(phase) => {
                if !phase.handle_tick(&mut self.core) {
                    self.step_down();
                }
            }
            Proposer::Phase2(phase) => phase.handle_tick(&mut self.core),
        }
        self.finish();
    }

    /// The next thing to do, in order; `None` when there is nothing until the next input. Drain it
    /// after every input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.poll_output()
    }

    // ---- dispatch ----------------------------------------------------------------------------

    /// A candidate's or leader's message, for the acceptor.
    fn handle_demand(&mut self, from: NodeId, message: Message) -> Result<(), InputError> {
        let ballot = message.ballot();
        if ballot.node != from || ballot.round == 0 {
            return Err(InputError::WrongSender);
        }
        match message {
            Message::Prepare(message) => {
                if ballot != self.core.promised && self.core.may_promise(ballot) {
                    self.step_down();
                }
                self.core.handle_prepare(&message);
                Ok(())
            }
            Message::Read(message) => {
                self.core.handle_read_request(&message);
                Ok(())
            }
            Message::Adopt(message) => self.core.handle_adopt(message),
            Message::Accept(message) => self.core.handle_accept(message),
            Message::Decide(message) => {
                self.core.handle_decide(&message);
                Ok(())
            }
            Message::Confirm(message) => {
                self.core.handle_confirm(&message);
                Ok(())
            }
            _ => Err(InputError::Unexpected),
        }
    }

    /// A follower's message, for the proposer. Anything about another ballot is old news.
    fn handle_answer(&mut self, from: NodeId, message: Message) -> Result<(), InputError> {
        if self.proposer.ballot() != Some(message.ballot()) {
            return Ok(());
        }
        if let Message::Nack(nack) = &message
            && nack.promised.round >= nack.ballot.round
        {
            // Refused for another node's ballot of the same round, it is one vote less; refused
            // for a higher round, it is superseded.
            if nack.promised.round > nack.ballot.round {
                self.core.superseding = nack.promised;
                self.step_down();
            }
            return Ok(());
        }
        if matches!(&message, Message::Promise(promise) if !promise.is_sound()) {
            return Err(InputError::MalformedPromise);
        }
        let core = &mut self.core;
        match (&mut self.proposer, message) {
            (Proposer::Phase1(phase), Message::Promise(promise)) => {
                let outcome = phase.handle_promise(core, from, promise);
                self.conclude(outcome);
            }
            (Proposer::Phase1(phase), Message::Entries(entries)) => {
                let outcome = phase.handle_entries(core, from, entries)?;
                self.conclude(outcome);
            }
            (Proposer::Phase2(phase), Message::Promise(promise)) => {
                phase.handle_promise(core, from, &promise);
            }
            (Proposer::Phase2(phase), Message::Copied(copied)) => {
                phase.handle_copied(core, from, &copied);
            }
            (Proposer::Phase2(phase), Message::Accepted(accepted)) => {
                phase.handle_accepted(core, from, &accepted)?;
            }
            (Proposer::Phase2(phase), Message::Confirmed(confirmed)) => {
                phase.handle_confirmed(core, from, &confirmed);
            }
            (Proposer::Phase2(phase), Message::Nack(_)) => phase.handle_unpromised(core, from),
            _ => {}
        }
        Ok(())
    }

    /// From phase 1 to phase 2, when the best log is adopted.
    fn conclude(&mut self, outcome: Outcome) {
        if outcome != Outcome::Adopted {
            return;
        }
        if let Proposer::Phase1(phase) = std::mem::replace(&mut self.proposer, Proposer::Idle) {
            let (set, promises) = phase.into_promises();
            self.proposer = Proposer::Phase2(Phase2::start(&mut self.core, set, promises));
        }
    }

    fn step_down(&mut self) {
        self.proposer = Proposer::Idle;
        self.core.drop_follower_reads();
    }

    /// Ends every input: tells a changed role and asserts the invariants.
    fn finish(&mut self) {
        let now = (self.role(), self.ballot());
        if now != self.told {
            self.told = now;
            self.core.emit(Output::RoleChanged { role: now.0, ballot: now.1 });
        }
        self.check();
    }

    /// Asserts every relation between the pointers that must hold between inputs. Cheap enough to
    /// run after each of them, which it does by itself.
    ///
    /// # Panics
    /// If the replica's state is impossible: a bug in this crate or memory corruption.
    pub fn check(&self) {
        if cfg!(feature = "planted-bugs") && self.core.config.has_planted() {
            return;
        }
        self.core.check();
        match &self.proposer {
            Proposer::Idle => {}
            Proposer::Phase1(phase) => assert_eq!(phase.ballot(), self.core.promised),
            Proposer::Phase2(phase) => phase.check(&self.core),
        }
    }

    // ---- state -------------------------------------------------------------------------------

    /// This replica's node.
    pub fn node(&self) -> NodeId {
        self.core.node()
    }

    /// What it does as a proposer.
    pub fn role(&self) -> Role {
        self.proposer.role()
    }

    /// The ballot it leads or stands for, else the one it promised.
    pub fn ballot(&self) -> Ballot {
        self.proposer.ballot().unwrap_or(self.core.promised)
    }

    /// The highest ballot promised; perhaps its vow is not durable yet.
    pub fn promised(&self) -> Ballot {
        self.core.promised
    }

    /// The ballot under which the whole log is accepted; perhaps not durable yet.
    pub fn accepted_ballot(&self) -> Ballot {
        self.core.accepted_ballot
    }

    /// First offset of the log.
    pub fn log_start(&self) -> u64 {
        self.core.log.start()
    }

    /// First offset not in the log; it counts writes under way.
    pub fn log_end(&self) -> u64 {
        self.core.log.end()
    }

    /// First offset not known to be synced here.
    pub fn durable_end(&self) -> u64 {
        self.core.writes.synced().log_end.min(self.core.log.end())
    }

    /// First offset not known to be decided.
    pub fn decided_end(&self) -> u64 {
        self.core.log.decided_end()
    }

    /// The end of what was durable here once and cannot be read; `None` = nothing is lost.
    pub fn faulty_end(&self) -> Option<u64> {
        self.core.log.faulty_end()
    }

    /// Who most likely leads: the node of the highest ballot heard of, if that is not a ballot of
    /// its own that it no longer pursues.
    pub fn leader_hint(&self) -> Option<NodeId> {
        let highest = self.core.promised.max(self.core.superseding);
        let given_up = highest.node == self.node() && self.proposer.ballot().is_none();
        (highest != Ballot::ZERO && !given_up).then_some(highest.node)
    }

    /// The replica set of the ballot it leads or stands for.
    pub fn replica_set(&self) -> Option<&ReplicaSet> {
        match &self.proposer {
            Proposer::Idle => None,
            Proposer::Phase1(phase) => Some(phase.set()),
            Proposer::Phase2(phase) => Some(phase.set()),
        }
    }

    /// The latest number of [`handle_confirm`](Replica::handle_confirm) under this ballot that a
    /// quorum has confirmed; 0 for none, and for anyone but a leader.
    pub fn confirmed(&self) -> u64 {
        match &self.proposer {
            Proposer::Phase2(phase) => phase.confirmed(&self.core),
            Proposer::Idle | Proposer::Phase1(_) => 0,
        }
    }

    /// A leader's view of its followers; empty for anyone else.
    pub fn followers(&self) -> Vec<(NodeId, FollowerStatus)> {
        match &self.proposer {
            Proposer::Phase2(phase) => phase.statuses(self.core.tick).collect(),
            Proposer::Idle | Proposer::Phase1(_) => Vec::new(),
        }
    }

    /// Those whose promise a candidate holds; empty for anyone else.
    pub fn promisers(&self) -> Vec<NodeId> {
        match &self.proposer {
            Proposer::Phase1(phase) => phase.promises().collect(),
            Proposer::Idle | Proposer::Phase2(_) => Vec::new(),
        }
    }
}
