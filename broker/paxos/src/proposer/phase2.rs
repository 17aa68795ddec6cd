//! Phase 2: lead. Bring every follower to the adopted log, pipeline proposals, learn what is
//! decided.

use std::collections::BTreeMap;
use std::ops::Range;

use super::phase1::prepare;
use super::progress::{FollowerStatus, Progress, Stage};
use super::tail::Tail;
use crate::core::{Core, Reader};
use crate::planted::PlantedBug;
use crate::{
    Accept, Accepted, Adopt, Ballot, Batch, Copied, Decide, InputError, Message, NodeId, Promise,
    Proposal, ProposeError, ReadId, ReplicaConfig, ReplicaSet,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Phase2 {
    ballot: Ballot,
    set: ReplicaSet,
    /// End of the log as adopted in phase 1; everything beyond is of this ballot's round.
    adopted_end: u64,
    /// A quorum has accepted the adopted log under this ballot.
    ready: bool,
    /// A quorum was heard from within the check-quorum time.
    quorum: bool,
    tail: Tail,
    followers: BTreeMap<NodeId, Progress>,
}

impl Phase2 {
    /// Begins to lead: the own log is the adopted log, its acceptance under way to the disk.
    pub(crate) fn start(
        core: &mut Core,
        set: ReplicaSet,
        promises: BTreeMap<NodeId, Promise>,
    ) -> Phase2 {
        let node = core.node();
        let others = set.members().filter(|member| *member != node);
        let followers = others.map(|member| (member, Progress::new(core.tick))).collect();
        let mut phase = Phase2 {
            ballot: core.promised,
            set,
            adopted_end: core.log.end(),
            ready: false,
            quorum: true,
            tail: Tail::new(core.log.end()),
            followers,
        };
        for (member, promise) in promises {
            phase.handle_promise(core, member, &promise);
        }
        phase
    }

    pub(crate) fn ballot(&self) -> Ballot {
        self.ballot
    }

    pub(crate) fn set(&self) -> &ReplicaSet {
        &self.set
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    pub(crate) fn has_quorum(&self) -> bool {
        self.quorum
    }

    pub(crate) fn statuses(&self, tick: u64) -> impl Iterator<Item = (NodeId, FollowerStatus)> {
        self.followers.iter().map(move |(node, progress)| (*node, progress.status(tick)))
    }

    // ---- proposals ---------------------------------------------------------------------------

    /// Whether that many more proposals would be taken.
    pub(crate) fn check_propose(&self, core: &Core, count: usize) -> Result<(), ProposeError> {
        if !self.ready {
            return Err(ProposeError::NotReady);
        }
        if !self.quorum {
            return Err(ProposeError::QuorumLost);
        }
        let count = self.tail.undecided_count() + count;
        if (self.tail.undecided_count() > 0 && count > core.config.undecided_batch_count as usize)
            || self.tail.undecided_size() >= core.config.undecided_size
        {
            return Err(ProposeError::WindowFull);
        }
        Ok(())
    }

    pub(crate) fn propose(
        &mut self,
        core: &mut Core,
        proposals: &[Proposal],
    ) -> Result<Range<u64>, ProposeError> {
        self.check_propose(core, proposals.len())?;
        let base = core.log.end();
        let mut end = base;
        let mut batches = Vec::with_capacity(proposals.len());
        for proposal in proposals {
            assert!(proposal.count > 0, "an empty batch was proposed");
            let batch = Batch {
                base: end,
                end: end + u64::from(proposal.count),
                round: self.ballot.round,
                size: proposal.size,
                checksum: proposal.checksum,
            };
            end = batch.end;
            self.tail.push(batch);
            batches.push(batch);
        }
        if !batches.is_empty() {
            core.append(batches);
            self.pump_all(core);
            self.advance_if_planted(core);
        }
        Ok(base..end)
    }

    // ---- answers -----------------------------------------------------------------------------

    /// A write completed: perhaps the own acceptance grew.
    pub(crate) fn handle_written(&mut self, core: &mut Core) {
        self.advance(core);
    }

    /// A promise that came after the quorum was complete, or from a follower that lost its way.
    pub(crate) fn handle_promise(&mut self, core: &mut Core, from: NodeId, promise: &Promise) {
        let Some(progress) = self.followers.get_mut(&from) else { return };
        progress.heard_tick = core.tick;
        let accepted = promise.accepted_ballot == self.ballot;
        match progress.match_end {
            // It was told once that it accepted: this is old news, or it lost unsynced writes.
            Some(_) if accepted => progress.rewind(promise.durable_end.min(progress.next)),
            Some(_) => return,
            None if accepted && promise.durable_end >= self.adopted_end => {
                progress.stage = Stage::Accepting;
                progress.rewind(promise.durable_end.min(core.log.end()));
                progress.accepted(progress.next);
                self.advance(core);
            }
            None => self.begin_adoption(core, from, promise),
        }
        self.pump(core, from);
    }

    pub(crate) fn handle_copied(&mut self, core: &mut Core, from: NodeId, message: &Copied) {
        let Some(progress) = self.followers.get_mut(&from) else { return };
        progress.heard_tick = core.tick;
        progress.active_tick = core.tick;
        progress.arrived(message.end);
        self.pump(core, from);
    }

    pub(crate) fn handle_accepted(
        &mut self,
        core: &mut Core,
        from: NodeId,
        message: &Accepted,
    ) -> Result<(), InputError> {
        let Some(progress) = self.followers.get_mut(&from) else { return Ok(()) };
        progress.heard_tick = core.tick;
        if message.durable_end > core.log.end() {
            return Err(InputError::ContradictsDecided);
        }
        if message.durable_end >= self.adopted_end {
            progress.stage = Stage::Accepting;
            if Some(message.durable_end) > progress.match_end {
                progress.active_tick = core.tick;
            }
            progress.accepted(message.durable_end);
        }
        if let Some(gap) = message.gap.filter(|gap| *gap < progress.next) {
            progress.rewind(gap);
        }
        self.advance(core);
        self.pump(core, from);
        Ok(())
    }

    /// The follower does not know the ballot (any more): prepare it first.
    pub(crate) fn handle_unpromised(&mut self, core: &mut Core, from: NodeId) {
        let Some(progress) = self.followers.get_mut(&from) else { return };
        progress.heard_tick = core.tick;
        progress.stage = Stage::Preparing;
        progress.match_end = None;
        progress.rewind(0);
        let prepare = prepare(core, self.ballot);
        core.send(from, Message::Prepare(prepare));
    }

    pub(crate) fn handle_contact(&mut self, tick: u64, from: NodeId) {
        if let Some(progress) = self.followers.get_mut(&from) {
            progress.heard_tick = tick;
        }
    }

    /// Descriptors read from the own log for a follower that lags.
    pub(crate) fn handle_read(
        &mut self,
        core: &mut Core,
        read: ReadId,
        node: NodeId,
        mut batches: Vec<Batch>,
    ) -> Result<(), InputError> {
        let adopted_end = self.adoption_end(core);
        let Some(progress) = self.followers.get_mut(&node) else { return Ok(()) };
        if progress.reading != Some(read) {
            return Ok(());
        }
        progress.reading = None;
        if progress.next < core.log.start() {
            // Trimmed in the meantime.
            self.pump(core, node);
            return Ok(());
        }
        if let Stage::Adopting { .. } = progress.stage {
            batches.retain(|batch| batch.end <= adopted_end);
        }
        if batches.is_empty() {
            // Unreadable, for now: the next tick tries again.
            return Ok(());
        }
        if !Batch::are_contiguous(&batches, progress.next, self.ballot.round) {
            return Err(InputError::MalformedBatches);
        }
        self.send_batches(core, node, batches);
        self.pump(core, node);
        Ok(())
    }

    // ---- sending -----------------------------------------------------------------------------

    /// Where an adoption ends now: the log may have been trimmed beyond the adopted end since.
    fn adoption_end(&self, core: &Core) -> u64 {
        self.adopted_end.max(core.log.start())
    }

    /// Plans how the promiser's log becomes a prefix of the own one.
    fn begin_adoption(&mut self, core: &mut Core, node: NodeId, promise: &Promise) {
        let adopted_end = self.adoption_end(core);
        let Some(progress) = self.followers.get_mut(&node) else { return };
        let log = &core.log;
        // The own log holds everything decided anywhere, so everything decided there.
        let common = log
            .history()
            .divergence(log.end(), &promise.rounds, promise.durable_end)
            .unwrap_or(0)
            .max(promise.decided_end)
            .min(adopted_end);
        let restart = common < log.start();
        progress.rewind(common.max(log.start()));
        progress.stage = Stage::Adopting { restart };
        progress.told_decided_end = 0;
        progress.active_tick = core.tick;
        if core.planted(PlantedBug::OldBallotCounted) {
            progress.match_end = Some(promise.durable_end.clamp(self.adopted_end, log.end()));
            self.advance(core);
        }
    }

    fn pump_all(&mut self, core: &mut Core) {
        if self.followers.is_empty() {
            return;
        }
        let nodes: Vec<NodeId> = self.followers.keys().copied().collect();
        for node in nodes {
            self.pump(core, node);
        }
    }

    /// Sends a follower what it lacks, as far as its window takes it.
    fn pump(&mut self, core: &mut Core, node: NodeId) {
        let adopted_end = self.adoption_end(core);
        while let Some(progress) = self.followers.get_mut(&node) {
            let room = progress.room(&core.config).min(core.config.message_size);
            if progress.reading.is_some() || room == 0 {
                return;
            }
            if progress.next < core.log.start() && progress.stage != Stage::Preparing {
                progress.rewind(core.log.start());
                progress.stage = Stage::Adopting { restart: true };
            }
            let next = progress.next;
            match progress.stage {
                Stage::Preparing => return,
                Stage::Adopting { .. } if next < adopted_end => {
                    let reader = Reader::Follower { node };
                    progress.reading = Some(core.read(reader, next, adopted_end, room));
                }
                Stage::Adopting { .. } => self.send_batches(core, node, Vec::new()),
                Stage::Accepting if next >= core.log.end() => break,
                Stage::Accepting if next < self.tail.base() => {
                    let reader = Reader::Follower { node };
                    progress.reading = Some(core.read(reader, next, self.tail.base(), room));
                }
                Stage::Accepting => {
                    let batches = self.next_remembered(&core.config, node, room);
                    self.send_batches(core, node, batches);
                }
            }
        }
        self.tell_decided(core, node);
    }

    /// The next remembered batches for a follower: as many as fit, and at least one.
    fn next_remembered(&self, config: &ReplicaConfig, node: NodeId, room: u64) -> Vec<Batch> {
        let progress = &self.followers[&node];
        let count = progress.window_count(config);
        let mut size = 0;
        let mut batches = Vec::new();
        for batch in self.tail.from(progress.next).take(count) {
            size += u64::from(batch.size);
            if size > room && !batches.is_empty() {
                break;
            }
            batches.push(*batch);
        }
        batches
    }

    /// Sends the batches at the follower's next offset, as its stage demands.
    fn send_batches(&mut self, core: &mut Core, node: NodeId, batches: Vec<Batch>) {
        let adopted_end = self.adoption_end(core);
        let Some(progress) = self.followers.get_mut(&node) else { return };
        let decided_end = core.log.decided_end();
        let from = progress.next;
        // Below the log start the round may be forgotten. A follower whose log ends in the round
        // that goes on at the start has that round's log up to there, just the same.
        let history = core.log.history();
        let prev_round = history.round_before(from).or_else(|| history.round_at(from));
        progress.sent(&batches);
        progress.active_tick = core.tick;
        let message = match progress.stage {
            Stage::Adopting { restart } => {
                let last = progress.next == adopted_end;
                progress.stage =
                    if last { Stage::Accepting } else { Stage::Adopting { restart: false } };
                Message::Adopt(Adopt {
                    ballot: self.ballot,
                    log_start: core.log.start(),
                    from,
                    prev_round,
                    restart,
                    batches,
                    adopted_end,
                    decided_end,
                })
            }
            Stage::Preparing | Stage::Accepting => {
                progress.told_decided_end = decided_end;
                Message::Accept(Accept { ballot: self.ballot, base: from, batches, decided_end })
            }
        };
        core.send(node, message);
    }

    /// Tells a follower what is decided if no Accept is about to.
    fn tell_decided(&mut self, core: &mut Core, node: NodeId) {
        let Some(progress) = self.followers.get_mut(&node) else { return };
        let news = progress.told_decided_end < core.log.decided_end();
        if news && progress.match_end.is_some() && progress.is_idle() {
            self.send_decide(core, node, false);
        }
    }

    fn send_decide(&mut self, core: &mut Core, node: NodeId, probe: bool) {
        let Some(progress) = self.followers.get_mut(&node) else { return };
        progress.told_decided_end = core.log.decided_end();
        progress.active_tick = core.tick;
        let decide = Decide {
            ballot: self.ballot,
            log_start: core.log.start(),
            sent_end: progress.next,
            decided_end: core.log.decided_end(),
            probe,
        };
        core.send(node, Message::Decide(decide));
    }

    // ---- learning ----------------------------------------------------------------------------

    /// Counts what is accepted under this ballot, and only that.
    fn advance(&mut self, core: &mut Core) {
        let node = core.node();
        let synced = core.writes.synced();
        let mut own = (synced.accepted_ballot == self.ballot).then_some(synced.log_end);
        if core.planted(PlantedBug::AckBeforeSync) {
            own = Some(core.log.end());
        }
        let end_of = |voter| {
            if voter == node { own } else { self.followers.get(&voter).and_then(|p| p.match_end) }
        };
        let mut quorum_end = self.set.quorum_end(end_of);
        if core.planted(PlantedBug::MajorityMinusOne) {
            let mut ends: Vec<_> = self.set.voters().iter().map(|voter| end_of(*voter)).collect();
            ends.sort_unstable();
            let at = (ends.len().div_ceil(2)).min(ends.len() - 1);
            quorum_end = ends[at];
        }
        let Some(end) = quorum_end else { return };
        self.ready = true;
        if end <= core.log.decided_end() {
            return;
        }
        core.decide(end);
        self.tail.decide(end);
        let lagging = self.followers.values().filter(|p| p.stage == Stage::Accepting);
        let needed = lagging.map(|progress| progress.next).min().unwrap_or(u64::MAX);
        self.tail.forget(needed, core.config.cached_batch_count as usize);
        self.tell_all_decided(core);
    }

    fn tell_all_decided(&mut self, core: &mut Core) {
        if self.followers.is_empty() {
            return;
        }
        let nodes: Vec<NodeId> = self.followers.keys().copied().collect();
        for node in nodes {
            self.tell_decided(core, node);
        }
    }

    fn advance_if_planted(&mut self, core: &mut Core) {
        if core.planted(PlantedBug::AckBeforeSync) {
            self.advance(core);
        }
    }

    // ---- time --------------------------------------------------------------------------------

    pub(crate) fn handle_tick(&mut self, core: &mut Core) {
        let node = core.node();
        let silence = u64::from(core.config.check_quorum_ticks);
        self.quorum = self.set.is_quorum(|voter| {
            let heard = self.followers.get(&voter).map(|progress| progress.heard_tick);
            voter == node || heard.is_some_and(|heard| core.tick - heard < silence)
        });
        let nodes: Vec<NodeId> = self.followers.keys().copied().collect();
        for node in nodes {
            self.tick_follower(core, node);
        }
    }

    /// Repeats what went unanswered, and probes.
    fn tick_follower(&mut self, core: &mut Core, node: NodeId) {
        let Some(progress) = self.followers.get_mut(&node) else { return };
        let idle_ticks = core.tick - progress.active_tick;
        let resend = idle_ticks >= u64::from(core.config.resend_ticks.max(1));
        let heartbeat = u64::from(core.config.heartbeat_ticks);
        let heartbeat = heartbeat > 0 && core.tick.is_multiple_of(heartbeat);
        if progress.match_end.is_none() {
            if resend {
                // Its promise will tell where it stands now.
                progress.active_tick = core.tick;
                let prepare = prepare(core, self.ballot);
                core.send(node, Message::Prepare(prepare));
            }
            return;
        }
        let behind = progress.match_end < Some(core.log.end())
            || progress.told_decided_end < core.log.decided_end();
        if (resend && behind) || heartbeat {
            progress.reading = None;
            self.send_decide(core, node, true);
            self.pump(core, node);
        }
    }

    pub(crate) fn check(&self, core: &Core) {
        assert_eq!(self.ballot, core.promised, "a superseded leader leads");
        assert_eq!(self.ballot, core.accepted_ballot, "a leader leads a log it did not adopt");
        assert!(self.adopted_end <= core.log.end());
        assert!(!self.ready || core.log.decided_end() >= self.adopted_end);
        self.tail.check(core.log.end(), core.log.decided_end());
        for progress in self.followers.values() {
            progress.check(self.adopted_end, core.log.end());
        }
    }
}
