//! Feeding followers: the adopted log first, proposals after, as far as their windows take them.

use super::phase2::Phase2;
use super::progress::Stage;
use crate::core::{Core, Reader};
use crate::planted::PlantedBug;
use crate::{
    Accept, Adopt, Batch, Decide, InputError, Message, NodeId, Promise, ReadId, ReplicaConfig,
};

impl Phase2 {
    /// Where an adoption ends now: the log may have been trimmed beyond the adopted end since.
    pub(super) fn adoption_end(&self, core: &Core) -> u64 {
        self.adopted_end.max(core.log.start())
    }

    /// Plans how the promiser's log becomes a prefix of the own one.
    pub(super) fn begin_adoption(&mut self, core: &mut Core, node: NodeId, promise: &Promise) {
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

    pub(super) fn pump_all(&mut self, core: &mut Core) {
        for at in 0..self.nodes.len() {
            self.pump(core, self.nodes[at]);
        }
    }

    /// Sends a follower what it lacks, as far as its window takes it.
    pub(super) fn pump(&mut self, core: &mut Core, node: NodeId) {
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
    pub(super) fn tell_decided(&mut self, core: &mut Core, node: NodeId) {
        let Some(progress) = self.followers.get_mut(&node) else { return };
        let news = progress.told_decided_end < core.log.decided_end();
        if news && progress.match_end.is_some() && progress.is_idle() {
            self.send_decide(core, node, false);
        }
    }

    pub(super) fn send_decide(&mut self, core: &mut Core, node: NodeId, probe: bool) {
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
}
