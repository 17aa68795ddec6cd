//! Phase 2: lead. Bring every follower to the adopted log, pipeline proposals, learn what is
//! decided.

use std::collections::BTreeMap;
use std::ops::Range;

use super::phase1::prepare;
use super::progress::{FollowerStatus, Progress, Stage};
use super::tail::Tail;
use crate::core::Core;
use crate::planted::PlantedBug;
use crate::{
    Accepted, Ballot, Batch, Copied, InputError, Message, NodeId, Promise, Proposal, ProposeError,
    ReplicaSet,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Phase2 {
    pub(super) ballot: Ballot,
    set: ReplicaSet,
    /// End of the log as adopted in phase 1; everything beyond is of this ballot's round.
    pub(super) adopted_end: u64,
    /// A quorum has accepted the adopted log under this ballot.
    ready: bool,
    /// A quorum was heard from within the check-quorum time.
    quorum: bool,
    /// How often the voters were asked whether this ballot still leads.
    pub(super) asked: u64,
    pub(super) tail: Tail,
    pub(super) followers: BTreeMap<NodeId, Progress>,
    /// The followers' nodes, in order.
    pub(super) nodes: Vec<NodeId>,
}

impl Phase2 {
    /// Begins to lead: the own log is the adopted log, its acceptance under way to the disk.
    pub(crate) fn start(
        core: &mut Core,
        set: ReplicaSet,
        promises: BTreeMap<NodeId, Promise>,
    ) -> Phase2 {
        let node = core.node();
        let nodes: Vec<NodeId> = set.members().filter(|member| *member != node).collect();
        let followers = nodes.iter().map(|member| (*member, Progress::new(core.tick))).collect();
        let mut phase = Phase2 {
            ballot: core.promised,
            set,
            adopted_end: core.log.end(),
            ready: false,
            quorum: true,
            asked: 0,
            tail: Tail::new(core.log.end()),
            followers,
            nodes,
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
        } else {
            // It lost a part of what it adopted to corruption, and gets it again.
            progress.arrived(message.durable_end);
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

    // ---- learning ----------------------------------------------------------------------------

    /// Counts what is accepted under this ballot, and only that.
    pub(super) fn advance(&mut self, core: &mut Core) {
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
        for at in 0..self.nodes.len() {
            self.tell_decided(core, self.nodes[at]);
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
        for at in 0..self.nodes.len() {
            self.tick_follower(core, self.nodes[at]);
        }
        self.ask_unconfirmed(core);
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
