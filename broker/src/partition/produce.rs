//! Producers: appending their batches, and answering when those are durable enough.

use std::collections::VecDeque;

use synod_log::LogError;
use synod_log::batch::Batch;
use synod_log::producers::{ProducerBatch, ProducerCheck};
use synod_paxos::{Ballot, Proposal, ProposeError};

use super::{
    Acks, AppendError, AppendSlot, Appended, Effects, Partition, PartitionError, Produced, payload,
};
use crate::limits::REPLICA_MESSAGE_SIZE;

/// A producer's batch that is in the log but not durable enough to be answered.
#[derive(Debug)]
pub(super) struct Waiting {
    end: u64,
    slot: AppendSlot,
    appended: Appended,
}

impl Partition {
    /// Takes producers' batches, in order; each slot is filled when its batch is as durable as its
    /// `acks` asks. They are proposed together: one message to each follower tells of all.
    ///
    /// # Errors
    /// The log failed for good. Refusals go to the slots instead.
    pub(crate) fn append(
        &mut self,
        run: impl IntoIterator<Item = Produced>,
        now_ms: i64,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        let mut written = Vec::new();
        let mut size = 0;
        for produced in run {
            size += produced.item.batch.size();
            self.append_one(produced, now_ms, &mut written)?;
            if size >= REPLICA_MESSAGE_SIZE {
                size = 0;
                self.propose_written(std::mem::take(&mut written), effects)?;
            }
        }
        self.propose_written(written, effects)?;
        self.settle();
        Ok(())
    }

    /// Writes a batch to the log, to be proposed with all in `written`, unless it is refused or was
    /// appended before.
    fn append_one(
        &mut self,
        produced: Produced,
        now_ms: i64,
        written: &mut Vec<Batch>,
    ) -> Result<(), PartitionError> {
        let Produced { item, acks, slot } = produced;
        if let Err(refusal) = self.check_leads(acks) {
            slot.fill(Err(refusal));
            return Ok(());
        }
        let mut batch = item.batch;
        let log_start_offset = self.log.start();
        let appended = |base_offset, log_append_time| Appended {
            base_offset,
            log_append_time,
            log_start_offset,
        };
        match self.log.producers().check(&ProducerBatch::from(batch.header())) {
            ProducerCheck::Append => {}
            ProducerCheck::Duplicate(original) => {
                let end = original.base_offset + u64::from(original.last_offset_delta) + 1;
                // Kafka tells the batch's own time of a repeat, whatever the topic's setting.
                let appended = appended(original.base_offset, Some(original.timestamp));
                self.wait(Waiting { end, slot, appended }, acks);
                return Ok(());
            }
            // Kafka answers a repeat that is too old to be remembered as out of order, too.
            ProducerCheck::OldDuplicate | ProducerCheck::OutOfOrder { .. } => {
                slot.fill(Err(AppendError::OutOfOrderSequence));
                return Ok(());
            }
            ProducerCheck::OldEpoch { .. } => {
                slot.fill(Err(AppendError::InvalidProducerEpoch));
                return Ok(());
            }
        }
        if item.log_append_time {
            batch.set_log_append_time(now_ms);
        }
        match self.write_ahead(batch, written)? {
            Ok((base_offset, end)) => {
                let appended = appended(base_offset, item.log_append_time.then_some(now_ms));
                self.wait(Waiting { end, slot, appended }, acks);
            }
            Err(refusal) => slot.fill(Err(refusal)),
        }
        Ok(())
    }

    /// Refuses what needs a leader, and what needs more followers than keep up. A follower must not
    /// even look for duplicates: what it holds may be overruled yet.
    fn check_leads(&mut self, acks: Acks) -> Result<(), AppendError> {
        if !self.is_ready() {
            let refusal = self.replica.check_propose(1).err().map(|refusal| self.refusal(refusal));
            return Err(refusal.unwrap_or(AppendError::NotReady));
        }
        let needed = self.needed_replicas();
        if acks != Acks::All || needed <= 1 || self.in_sync_count() >= needed {
            return Ok(());
        }
        self.look_at_followers(0);
        if self.in_sync_count() >= needed { Ok(()) } else { Err(AppendError::NotEnoughReplicas) }
    }

    /// Appends one batch of the broker's own.
    ///
    /// # Errors
    /// The log failed for good. A refusal is the inner error.
    pub(crate) fn propose(
        &mut self,
        batch: Batch,
        effects: &mut Effects,
    ) -> Result<Result<(u64, u64), AppendError>, PartitionError> {
        let mut written = Vec::new();
        let outcome = self.write_ahead(batch, &mut written)?;
        self.propose_written(written, effects)?;
        Ok(outcome)
    }

    /// Stamps a batch and writes it to the log, behind those in `written`, which the core does not
    /// know yet. The log comes first: a full disk is then an ordinary refusal, of which the core
    /// never hears.
    fn write_ahead(
        &mut self,
        mut batch: Batch,
        written: &mut Vec<Batch>,
    ) -> Result<Result<(u64, u64), AppendError>, PartitionError> {
        let header = batch.header();
        if u32::try_from(header.offset_count()).is_err() || u32::try_from(batch.size()).is_err() {
            return Ok(Err(AppendError::Busy));
        }
        if !self.is_ready() {
            return Ok(Err(AppendError::NotReady));
        }
        let ballot = match self.replica.check_propose(written.len() + 1) {
            Ok(ballot) => ballot,
            Err(refusal) => return Ok(Err(self.refusal(refusal))),
        };
        let base_offset = self.log.end();
        batch.stamp(base_offset, leader_epoch(ballot));
        match self.log.append(std::slice::from_ref(&batch)) {
            Ok(()) => self.note_disk(false),
            Err(LogError::DiskFull { .. }) => {
                self.note_disk(true);
                return Ok(Err(AppendError::DiskFull));
            }
            Err(LogError::Faulty(_)) => return Ok(Err(AppendError::Faulty)),
            Err(error) => return Err(error.into()),
        }
        written.push(batch);
        Ok(Ok((base_offset, self.log.end())))
    }

    /// Proposes batches that were just written to the log. They stay in hand for the messages that
    /// tell of them.
    fn propose_written(
        &mut self,
        written: Vec<Batch>,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        let Some(first) = written.first() else { return Ok(()) };
        let (base, end) = (first.base_offset(), self.log.end());
        let proposals: Vec<Proposal> = written.iter().filter_map(payload::proposal).collect();
        self.in_hand.take(written);
        self.written_ahead = Some(end);
        let range = self
            .replica
            .handle_propose(&proposals)
            .unwrap_or_else(|refusal| unreachable!("checked before: {refusal}"));
        assert_eq!(range, base..end, "core and log agree on offsets");
        let done = self.step(effects);
        self.in_hand.clear();
        done?;
        assert!(self.written_ahead.is_none(), "the core appends what it took");
        Ok(())
    }

    /// Tells the operator when a full disk begins and ends to refuse this partition's producers.
    /// Whether the last batch found no space.
    pub(crate) fn is_disk_full(&self) -> bool {
        self.disk_full
    }

    fn note_disk(&mut self, full: bool) {
        if full && !self.disk_full {
            tracing::warn!(partition = %self.key, "the disk is full: producers are refused");
        } else if !full && self.disk_full {
            tracing::info!(partition = %self.key, "there is space again: producers are served");
        }
        self.disk_full = full;
    }

    fn refusal(&self, refusal: ProposeError) -> AppendError {
        match refusal {
            ProposeError::NotLeader { .. } if self.log.faulty().is_some() => AppendError::Faulty,
            ProposeError::NotLeader { .. } => AppendError::NotLeader,
            ProposeError::NotReady => AppendError::NotReady,
            ProposeError::QuorumLost => AppendError::NotEnoughReplicas,
            ProposeError::WindowFull => AppendError::Busy,
        }
    }

    fn wait(&mut self, waiting: Waiting, acks: Acks) {
        match acks {
            Acks::All => self.undecided.push_back(waiting),
            Acks::Leader => self.unsynced.push_back(waiting),
            Acks::None => waiting.slot.fill(Ok(waiting.appended)),
        }
    }

    /// Answers the producers whose batches are durable enough now.
    pub(super) fn settle(&mut self) {
        if !self.undecided.is_empty() {
            let acked_end = self.acked_end();
            while self.undecided.front().is_some_and(|waiting| waiting.end <= acked_end) {
                answer_front(&mut self.undecided);
            }
        }
        let synced_end = self.replica.durable_end();
        while self.unsynced.front().is_some_and(|waiting| waiting.end <= synced_end) {
            answer_front(&mut self.unsynced);
        }
    }

    /// What is decided and held by as many replicas as the topic demands.
    fn acked_end(&self) -> u64 {
        let decided_end = self.replica.decided_end();
        let Some(set) = self.replica.replica_set() else { return decided_end };
        let needed = self.needed_replicas();
        if needed <= set.voters().len() / 2 + 1 {
            return decided_end;
        }
        let followers = self.replica.followers();
        let followers = followers.iter().filter(|(node, _)| set.is_voter(*node));
        let mut ends: Vec<u64> = followers.filter_map(|(_, status)| status.match_end).collect();
        ends.push(self.replica.durable_end());
        ends.sort_unstable_by(|a, b| b.cmp(a));
        ends.get(needed - 1).map_or(0, |end| decided_end.min(*end))
    }

    /// How many replicas must hold a batch before its producer hears of it.
    fn needed_replicas(&self) -> usize {
        let set = self.replica.replica_set();
        self.in_sync.needed(set.map_or(1, |set| set.voters().len()))
    }

    /// Tells those whose batches are decided, but will not be on enough replicas any time soon.
    pub(super) fn refuse_missing_replicas(&mut self) {
        if self.undecided.is_empty() || self.in_sync_count() >= self.needed_replicas() {
            return;
        }
        let decided_end = self.replica.decided_end();
        while self.undecided.front().is_some_and(|waiting| waiting.end <= decided_end)
            && let Some(waiting) = self.undecided.pop_front()
        {
            waiting.slot.fill(Err(AppendError::NotEnoughReplicasAfterAppend));
        }
    }

    /// This replica does not lead any more: what it appended may be decided under a later ballot or
    /// overruled, and nobody can know that yet.
    pub(super) fn give_up_waiting(&mut self) {
        self.settle();
        let decided_end = self.replica.decided_end();
        for waiting in self.undecided.drain(..) {
            let is_decided = waiting.end <= decided_end;
            waiting.slot.fill(Err(if is_decided {
                AppendError::NotEnoughReplicasAfterAppend
            } else {
                AppendError::Unknown
            }));
        }
        for waiting in self.unsynced.drain(..) {
            waiting.slot.fill(Err(AppendError::Unknown));
        }
    }
}

fn answer_front(queue: &mut VecDeque<Waiting>) {
    if let Some(Waiting { slot, appended, .. }) = queue.pop_front() {
        slot.fill(Ok(appended));
    }
}

/// The round as the batch header carries it.
fn leader_epoch(ballot: Ballot) -> i32 {
    i32::try_from(ballot.round)
        .unwrap_or_else(|_| unreachable!("rounds are bounded at appointment"))
}
