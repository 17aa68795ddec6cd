//! Phase 1: gather promises, choose the best log, make it one's own.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::Core;
use crate::planted::PlantedBug;
use crate::{
    Ballot, Batch, Entries, InputError, Message, NodeId, Prepare, Promise, Read, ReplicaSet,
    WriteId,
};

/// What became of a candidate's step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Something is still missing.
    Waiting,
    /// The best log is the own log now, and its acceptance is on its way to the disk.
    Adopted,
}

/// Where the missing suffix comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Source {
    node: NodeId,
    end: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Phase1 {
    ballot: Ballot,
    set: ReplicaSet,
    vow: WriteId,
    /// The latest promise of every member, observers' included; those do not count.
    promises: BTreeMap<NodeId, Promise>,
    /// Set once the best log is chosen; the choice stands for this ballot.
    source: Option<Source>,
    active_tick: u64,
}

impl Phase1 {
    /// Vows the ballot and asks everyone for a promise. The requests wait for the own vow: so a
    /// replica that lost it in a crash has told nobody of the ballot, and one that kept it never
    /// takes the ballot up again.
    pub(crate) fn start(core: &mut Core, ballot: Ballot, set: ReplicaSet) -> Phase1 {
        core.promised = ballot;
        core.complained = false;
        let vow = core.write_vow();
        let mut phase = Phase1 {
            ballot,
            set,
            vow,
            promises: BTreeMap::new(),
            source: None,
            active_tick: core.tick,
        };
        phase.prepare_silent(core, Some(vow));
        phase
    }

    pub(crate) fn ballot(&self) -> Ballot {
        self.ballot
    }

    pub(crate) fn set(&self) -> &ReplicaSet {
        &self.set
    }

    pub(crate) fn into_promises(self) -> (ReplicaSet, BTreeMap<NodeId, Promise>) {
        (self.set, self.promises)
    }

    pub(crate) fn promises(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.promises.keys().copied()
    }

    fn prepare_silent(&mut self, core: &mut Core, after: Option<WriteId>) {
        for node in self.set.members() {
            if node != core.node() && !self.promises.contains_key(&node) {
                let prepare = prepare(core, self.ballot);
                core.send_after(node, Message::Prepare(prepare), after);
            }
        }
    }

    /// A write completed: perhaps the own vow.
    pub(crate) fn handle_written(&mut self, core: &mut Core) -> Outcome {
        let node = core.node();
        if self.promises.contains_key(&node) || !core.writes.is_written(self.vow) {
            return Outcome::Waiting;
        }
        let own = core.promise(core.log.decided_end());
        self.promises.insert(node, own);
        self.choose(core)
    }

    pub(crate) fn handle_promise(
        &mut self,
        core: &mut Core,
        from: NodeId,
        promise: Promise,
    ) -> Outcome {
        if !self.set.members().any(|node| node == from) {
            return Outcome::Waiting;
        }
        self.promises.insert(from, promise);
        self.choose(core)
    }

    /// Once a quorum has promised: picks the best log and begins to make it the own one.
    fn choose(&mut self, core: &mut Core) -> Outcome {
        if self.source.is_some() || !self.promises.contains_key(&core.node()) {
            return Outcome::Waiting;
        }
        let Some(best) = self.best(core) else { return Outcome::Waiting };
        let promise = self.promises[&best].clone();
        self.source = Some(Source { node: best, end: promise.durable_end });
        self.active_tick = core.tick;
        if best != core.node() {
            match_source(core, &promise);
        }
        self.go_on(core)
    }

    /// The promiser whose log is to be adopted, or `None` while that cannot be known: of the latest
    /// accepted ballot whose logs surely hold everything chosen. While nothing is faulty that is
    /// the latest ballot of all.
    fn best(&self, core: &Core) -> Option<NodeId> {
        let mut quorum = self.set.is_quorum(|node| self.promises.contains_key(&node));
        if core.planted(PlantedBug::MajorityMinusOne) {
            quorum = self.votes().count() + 1 > self.set.voters().len() / 2;
        }
        if !quorum {
            return None;
        }
        let ballots: BTreeSet<Ballot> = self.votes().map(|(_, it)| it.accepted_ballot).collect();
        let mut latest_first = ballots.into_iter().rev();
        let (ballot, end) =
            latest_first.find_map(|ballot| Some((ballot, self.safe_end(core, ballot)?)))?;
        if end < core.log.decided_end() {
            // The best log holds everything decided anywhere. Somebody broke a promise, or lost a
            // disk and kept the name: this ballot must not lead.
            return None;
        }
        // The own log, if it is among the best, saves the copying.
        let own = core.node();
        let is_best = |it: &Promise| it.accepted_ballot == ballot && it.durable_end == end;
        let best = self.votes().filter(|(_, promise)| is_best(promise));
        best.map(|(node, _)| *node).min_by_key(|node| (*node != own, *node))
    }

    /// Where the longest log accepted under `ballot` ends, if it surely holds everything chosen, or
    /// still to be chosen, under any ballot before the own one.
    ///
    /// What rests on promises: whoever promised accepts nothing under those ballots any more. A
    /// promiser's log (with what it cannot read of it, up to its claimed end) holds all that was
    /// chosen under ballots before its accepted one, and what it accepted under that one itself: it
    /// cut only what a later leader's log, which holds the same, proved wrong. So,
    ///
    /// * *later ballots*: nothing is chosen under them if those that never accepted under one leave
    ///   no quorum;
    /// * *this ballot*: nothing beyond the end is chosen under it if those that claim nothing there
    ///   or never accepted under it leave no quorum;
    /// * *earlier ballots*: all that was chosen under them stands in each whole log of this ballot.
    ///   Where every log of it lost a part, those that claim nothing beyond the end have to leave
    ///   no quorum: what they accepted under any ballot ends before.
    fn safe_end(&self, core: &Core, ballot: Ballot) -> Option<u64> {
        let logs = || self.votes().map(|(_, it)| it).filter(|it| it.accepted_ballot == ballot);
        let end = logs().map(|promise| promise.durable_end).max()?;
        let is_whole = logs().any(|promise| promise.faulty_end.is_none());
        // Silence denies nothing.
        let silent = core.planted(PlantedBug::MajorityMinusOne);
        let blocks = |never: &dyn Fn(&Promise) -> bool| {
            self.set.is_blocking(|node| self.promises.get(&node).map_or(silent, never))
        };
        let no_later = blocks(&|it| it.accepted_ballot <= ballot);
        let none_beyond =
            blocks(&|it| claimed_end(it) <= end || is_whole && it.accepted_ballot < ballot);
        (no_later && none_beyond).then_some(end)
    }

    fn votes(&self) -> impl Iterator<Item = (&NodeId, &Promise)> {
        self.promises.iter().filter(|(node, _)| self.set.is_voter(**node))
    }

    /// A part of the missing suffix. Parts that do not fit are repetitions and ignored.
    pub(crate) fn handle_entries(
        &mut self,
        core: &mut Core,
        from: NodeId,
        message: Entries,
    ) -> Result<Outcome, InputError> {
        let Some(source) = &self.source else { return Ok(Outcome::Waiting) };
        let end = message.batches.last().map_or(message.from, |batch| batch.end);
        if from != source.node || message.from != core.log.end() || end <= message.from {
            return Ok(Outcome::Waiting);
        }
        if end > source.end
            || !Batch::are_contiguous(&message.batches, message.from, self.ballot.round - 1)
        {
            return Err(InputError::MalformedBatches);
        }
        core.overlay(message.batches)?;
        self.active_tick = core.tick;
        Ok(self.go_on(core))
    }

    /// Finishes if the own log reaches as far as the source's, else asks for more.
    fn go_on(&mut self, core: &mut Core) -> Outcome {
        let Some(source) = &self.source else { return Outcome::Waiting };
        if core.log.end() < source.end {
            let read = Read { ballot: self.ballot, from: core.log.end(), end: source.end };
            core.send(source.node, Message::Read(read));
            return Outcome::Waiting;
        }
        assert_eq!(core.log.end(), source.end, "adopted more than the source had");
        core.note_accepted();
        let decided_end = self.promises.values().map(|promise| promise.decided_end).max();
        core.decide(decided_end.unwrap_or(0));
        Outcome::Adopted
    }

    /// Repeats what went unanswered. False once the source of the missing suffix has been silent
    /// for the check-quorum time: the candidate gives up then, and another round may do better.
    pub(crate) fn handle_tick(&mut self, core: &mut Core) -> bool {
        let idle_ticks = core.tick - self.active_tick;
        if !core.tick.is_multiple_of(u64::from(core.config.resend_ticks.max(1))) {
            return true;
        }
        if core.writes.is_written(self.vow) {
            self.prepare_silent(core, None);
        }
        if self.source.is_some() {
            if idle_ticks >= u64::from(core.config.check_quorum_ticks) {
                return false;
            }
            self.go_on(core);
        }
        true
    }
}

pub(crate) fn prepare(core: &Core, ballot: Ballot) -> Prepare {
    Prepare {
        ballot,
        accepted_ballot: core.accepted_ballot,
        accepted_end: core.log.end(),
        decided_end: core.log.decided_end(),
    }
}

/// The end of everything the promiser may ever have accepted.
fn claimed_end(promise: &Promise) -> u64 {
    promise.durable_end.max(promise.faulty_end.unwrap_or(0))
}

/// Cuts the own log to what it has in common with the log of the best promiser.
fn match_source(core: &mut Core, source: &Promise) {
    let log = &core.log;
    // The best log holds everything decided anywhere, so everything decided here.
    let common = log
        .history()
        .divergence(log.end(), &source.rounds, source.durable_end)
        .unwrap_or(0)
        .max(log.decided_end());
    if common < source.log_start {
        core.restart_log(source.log_start);
    } else if common < log.end() {
        core.truncate(common);
    }
}
