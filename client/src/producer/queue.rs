//! The batches of one partition: filling, waiting, under way, coming back.
//!
//! Order is kept by three rules. After a batch failed, nothing of the partition is sent until all
//! of it that is under way has come back; then sending begins again with the oldest. A batch that
//! was sent before goes alone: brokers remember only the last five batches of a producer, so a
//! batch whose first attempt was written unseen must never get five others behind it. And the first
//! batch under a new id or epoch goes alone too: Apache Kafka takes whatever sequence comes first
//! from a producer that it does not know, so a second batch could be written where the first was
//! refused because the leader was not ready.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use synod_wire::batch::{BatchError, NewRecord, ProducerStamp};
use tokio::time::Instant;

use super::batch::{OpenBatch, SealedBatch, sequence_after};
use super::completion::{Completion, Delivery};
use crate::Error;
use crate::backoff::Backoff;

/// The producer id under which a partition is written, and where its sequence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    producer_id: i64,
    epoch: i16,
    next_sequence: i32,
    /// A batch was written under it.
    is_established: bool,
}

/// What a partition would like to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Send now.
    Now,
    /// Nothing before this time.
    At(Instant),
    /// Nothing until something happens.
    No,
}

/// What to make of a batch that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// It may have been written: send the very same again.
    Unknown,
    /// It was not written: send it again.
    NotWritten,
    /// It was not written, and the broker no longer accepts this producer's sequence: send it again
    /// under a new epoch.
    SequenceLost,
}

#[derive(Debug)]
pub(super) struct PartitionQueue {
    open: Option<OpenBatch>,
    /// Sealed and not under way, oldest first.
    waiting: VecDeque<SealedBatch>,
    /// Positions of what is under way; a handful.
    in_flight: Vec<(u64, u32)>,
    /// What is under way is a repetition, and alone.
    is_repeating: bool,
    next_order: u64,
    identity: Option<Identity>,
    /// Something failed: wait until everything under way is back.
    recovering: bool,
    /// Once everything is back, go on under a new epoch with sequence 0.
    wants_new_epoch: bool,
    retry_at: Option<Instant>,
    /// The leader that failed last, and its round.
    failed_leader: Option<(i32, i32)>,
    backoff: Backoff,
}

impl PartitionQueue {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self {
            open: None,
            waiting: VecDeque::new(),
            in_flight: Vec::new(),
            is_repeating: false,
            next_order: 0,
            identity: None,
            recovering: false,
            wants_new_epoch: false,
            retry_at: None,
            failed_leader: None,
            backoff,
        }
    }

    /// Whether there is neither a record nor a request.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_none() && self.waiting.is_empty() && self.in_flight.is_empty()
    }

    /// Adds a record; `make` gives the completion of a new batch. Returns true with the delivery
    /// when the sender has something new to look at.
    pub(super) fn append(
        &mut self,
        record: &NewRecord<'_>,
        held: usize,
        batch_size: usize,
        now: Instant,
        make: impl FnOnce() -> Arc<Completion>,
    ) -> Result<(Delivery, bool), BatchError> {
        let mut news = false;
        if let Some(open) = &self.open
            && open.size() + record.max_size() > batch_size
        {
            self.seal();
            news = true;
        }
        let open = self.open.get_or_insert_with(|| {
            news = true;
            OpenBatch::new(make(), now)
        });
        let delivery = open.append(record, held)?;
        Ok((delivery, news))
    }

    /// When the partition wants to send. `flush`: even a batch that could still wait for company.
    pub(super) fn due(&self, now: Instant, linger: Duration, flush: bool) -> Due {
        let is_first = self.identity.is_some_and(|identity| !identity.is_established);
        let waits_for_answers = self.recovering || self.is_repeating || is_first;
        if waits_for_answers && !self.in_flight.is_empty() {
            return Due::No;
        }
        if let Some(at) = self.retry_at.filter(|&at| at > now) {
            return Due::At(at);
        }
        match &self.open {
            _ if !self.waiting.is_empty() => Due::Now,
            None => Due::No,
            Some(open) if flush || open.created + linger <= now => Due::Now,
            Some(open) => Due::At(open.created + linger),
        }
    }

    /// Takes the next batch to send, its stamp assigned. `producer`: id and epoch for partitions
    /// that have none yet; `None` for a producer that is not idempotent. Batches larger than `room`
    /// stay.
    pub(super) fn take(
        &mut self,
        producer: Option<(i64, i16)>,
        room: usize,
    ) -> Option<SealedBatch> {
        if self.waiting.is_empty() {
            self.seal();
        }
        if self.waiting.front()?.size() > room {
            return None;
        }
        let mut batch = self.waiting.pop_front()?;
        if let Some((producer_id, epoch)) = producer {
            let identity = self.identity.get_or_insert(Identity {
                producer_id,
                epoch,
                next_sequence: 0,
                is_established: false,
            });
            if batch.stamp.is_none() {
                batch.stamp = Some(ProducerStamp {
                    producer_id: identity.producer_id,
                    producer_epoch: identity.epoch,
                    base_sequence: identity.next_sequence,
                });
                identity.next_sequence = sequence_after(identity.next_sequence, batch.count);
            }
        }
        self.is_repeating = batch.sent;
        batch.sent = true;
        self.in_flight.push(batch.position());
        Some(batch)
    }

    /// A batch under way came back written.
    pub(super) fn handle_written(&mut self, batch: &SealedBatch) {
        self.landed(batch.position());
        if let (Some(identity), Some(stamp)) = (&mut self.identity, batch.stamp) {
            let written = (stamp.producer_id, stamp.producer_epoch);
            identity.is_established |= written == (identity.producer_id, identity.epoch);
        }
        self.try_now();
    }

    /// The batch under way at `position` came back and shall be sent again, perhaps in parts.
    pub(super) fn handle_failed(
        &mut self,
        position: (u64, u32),
        batches: impl IntoIterator<Item = SealedBatch>,
        failure: Failure,
        now: Instant,
    ) {
        self.landed(position);
        if !self.recovering {
            self.recovering = true;
            self.retry_at = Some(now + self.backoff.next());
        }
        self.wants_new_epoch |= failure == Failure::SequenceLost;
        for mut batch in batches {
            batch.maybe_written = failure == Failure::Unknown;
            let at = self.waiting.partition_point(|other| other.position() < batch.position());
            self.waiting.insert(at, batch);
        }
    }

    /// What failed was with this leader, in this round.
    pub(super) fn handle_failed_leader(&mut self, leader: i32, round: i32) {
        self.failed_leader = Some((leader, round));
    }

    /// Looks who leads now: the pause after a failure spares the one that failed, nobody else. True
    /// while another leader is waited for.
    pub(super) fn handle_leader(&mut self, leader: Option<i32>, round: i32) -> bool {
        let Some((failed, failed_round)) = self.failed_leader else { return false };
        let is_other = leader.is_some_and(|it| it != failed || round > failed_round);
        if is_other {
            self.try_now();
        }
        !is_other
    }

    fn try_now(&mut self) {
        self.backoff.reset();
        self.retry_at = None;
        self.failed_leader = None;
    }

    /// A batch under way came back and is given up: it was not written, or nobody knows. What
    /// follows it under the same sequence cannot be accepted any more.
    pub(super) fn handle_given_up(&mut self, batch: &SealedBatch, idempotent: bool) {
        self.landed(batch.position());
        if idempotent {
            self.recovering = true;
            self.wants_new_epoch = true;
        }
    }

    /// Ends the recovery when everything is back. Returns batches that must be given up: a new
    /// epoch would write them twice if their earlier attempt succeeded after all.
    pub(super) fn recover(&mut self) -> Vec<SealedBatch> {
        if !self.recovering || !self.in_flight.is_empty() {
            return Vec::new();
        }
        self.recovering = false;
        if !std::mem::take(&mut self.wants_new_epoch) {
            return Vec::new();
        }
        let next_epoch = self.identity.and_then(|identity| {
            let epoch = identity.epoch.checked_add(1)?;
            Some(Identity { epoch, next_sequence: 0, is_established: false, ..identity })
        });
        // Without a next epoch the partition takes a new producer id when it next sends.
        self.identity = next_epoch;
        let (given_up, mut again): (VecDeque<_>, VecDeque<_>) =
            self.waiting.drain(..).partition(|batch| batch.maybe_written);
        for batch in &mut again {
            batch.stamp = None;
        }
        self.waiting = again;
        given_up.into()
    }

    /// Whether no earlier batch is under way or waits: then the broker's complaint about the order
    /// is not the echo of an earlier failure.
    pub(super) fn is_first(&self, batch: &SealedBatch) -> bool {
        let waiting = self.waiting.iter().map(SealedBatch::position);
        let mut others = waiting.chain(self.in_flight.iter().copied());
        !self.recovering && others.all(|other| other >= batch.position())
    }

    /// Takes out what is older than the delivery time-out and not under way.
    pub(super) fn expire(&mut self, now: Instant, timeout: Duration) -> Vec<SealedBatch> {
        let is_late = |created: Instant| created + timeout <= now;
        if self.open.as_ref().is_some_and(|open| is_late(open.created)) {
            self.seal();
        }
        let (expired, waiting): (VecDeque<_>, VecDeque<_>) =
            self.waiting.drain(..).partition(|batch| is_late(batch.created));
        self.waiting = waiting;
        if expired.iter().any(|batch| batch.stamp.is_some()) {
            // The sequence has a hole now.
            self.recovering = true;
            self.wants_new_epoch = true;
        }
        expired.into()
    }

    /// Takes out everything that is not under way.
    pub(super) fn abandon(&mut self) -> Vec<SealedBatch> {
        self.seal();
        self.waiting.drain(..).collect()
    }

    /// The time at which the oldest batch that is not under way expires.
    pub(super) fn expires_at(&self, timeout: Duration) -> Option<Instant> {
        let waiting = self.waiting.iter().map(|batch| batch.created);
        let created = waiting.chain(self.open.as_ref().map(|open| open.created)).min()?;
        Some(created + timeout)
    }

    /// Nothing is sent before `at`: there is no leader, or it cannot be reached.
    pub(super) fn pause_until(&mut self, at: Instant) {
        self.retry_at = Some(self.retry_at.map_or(at, |known| known.max(at)));
    }

    fn landed(&mut self, position: (u64, u32)) {
        self.in_flight.retain(|other| *other != position);
    }

    fn seal(&mut self) {
        if let Some(open) = self.open.take() {
            self.waiting.push_back(open.seal(self.next_order));
            self.next_order += 1;
        }
    }
}

/// The error for a batch that ran out of time.
pub(super) fn expired_error(
    batch: &SealedBatch,
    topic: &Arc<str>,
    partition: i32,
    after: Duration,
) -> Error {
    Error::Expired {
        topic: topic.clone(),
        partition,
        after,
        sent: batch.maybe_written,
        last: batch.last_error.clone(),
    }
}

#[cfg(test)]
mod tests;
