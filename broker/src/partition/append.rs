//! What a producer asks of a partition, and the answer it waits for.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use synod_log::batch::Batch;
use synod_log::key::PartitionKey;
use tokio::sync::oneshot;

use crate::budget::BudgetShare;

/// How durable a batch has to be before the producer hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acks {
    /// The producer hears nothing (`acks=0`).
    None,
    /// Synced on the leader (`acks=1`); a change of leader may drop it.
    Leader,
    /// Decided: synced on a majority of the replicas (`acks=all`).
    All,
}

/// Batches of one Produce request for partitions of one shard.
#[derive(Debug)]
pub(crate) struct AppendRequest {
    pub(crate) items: Vec<AppendItem>,
    pub(crate) acks: Acks,
    /// Gets one outcome for each item, in their order; none for [`Acks::None`].
    pub(crate) reply: Option<oneshot::Sender<Vec<AppendOutcome>>>,
    /// Held while the batches' bytes are needed.
    pub(crate) share: Arc<BudgetShare>,
}

/// One batch on its way into one partition: complete, its checksum verified.
#[derive(Debug)]
pub(crate) struct AppendItem {
    pub(crate) key: PartitionKey,
    pub(crate) batch: Batch,
    /// The topic wants the broker's time instead of the producer's.
    pub(crate) log_append_time: bool,
}

/// A producer's batch with the place for its outcome.
#[derive(Debug)]
pub(crate) struct Produced {
    pub(crate) item: AppendItem,
    pub(crate) acks: Acks,
    pub(crate) slot: AppendSlot,
}

pub(crate) type AppendOutcome = Result<Appended, AppendError>;

/// Where a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base_offset: u64,
    /// The time given to all its records, in milliseconds since the epoch, where the topic says so.
    pub(crate) log_append_time: Option<i64>,
    pub(crate) log_start_offset: u64,
}

/// Why a batch was not appended, or why that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppendError {
    #[error("the partition is not hosted here")]
    NotHosted,
    #[error("this broker does not lead the partition")]
    NotLeader,
    #[error("the partition's leader is not ready yet")]
    NotReady,
    #[error("fewer replicas are in sync than the topic demands")]
    NotEnoughReplicas,
    /// The batch is decided; only the topic's own demand is not met.
    #[error("fewer replicas hold the batch than the topic demands")]
    NotEnoughReplicasAfterAppend,
    #[error("too much is waiting to be decided")]
    Busy,
    #[error("a batch of this producer is missing before this one")]
    OutOfOrderSequence,
    #[error("the producer's epoch is older than the partition's")]
    InvalidProducerEpoch,
    #[error("the disk is full")]
    DiskFull,
    #[error("acknowledged records of the partition cannot be read")]
    Faulty,
    /// The batch may or may not be decided later.
    #[error("leadership was lost before the outcome was known")]
    Unknown,
}

/// Collects the outcomes of a request and answers when the last one is there.
#[derive(Debug)]
pub(crate) struct PendingAppend {
    outcomes: Vec<Option<AppendOutcome>>,
    missing: usize,
    reply: Option<oneshot::Sender<Vec<AppendOutcome>>>,
    _share: Arc<BudgetShare>,
}

/// One item's place in its [`PendingAppend`].
#[derive(Debug)]
pub(crate) struct AppendSlot {
    pending: Rc<RefCell<PendingAppend>>,
    index: usize,
}

impl PendingAppend {
    /// One slot for each of `count` items.
    pub(crate) fn slots(
        count: usize,
        reply: Option<oneshot::Sender<Vec<AppendOutcome>>>,
        share: Arc<BudgetShare>,
    ) -> impl Iterator<Item = AppendSlot> {
        let pending = PendingAppend {
            outcomes: vec![None; if reply.is_some() { count } else { 0 }],
            missing: count,
            reply,
            _share: share,
        };
        let pending = Rc::new(RefCell::new(pending));
        (0..count).map(move |index| AppendSlot { pending: pending.clone(), index })
    }
}

impl AppendSlot {
    /// Fills the slot; the last one sends the answer.
    pub(crate) fn fill(self, outcome: AppendOutcome) {
        let mut pending = self.pending.borrow_mut();
        if let Some(place) = pending.outcomes.get_mut(self.index) {
            *place = Some(outcome);
        }
        pending.missing -= 1;
        if pending.missing == 0
            && let Some(reply) = pending.reply.take()
        {
            let outcomes = std::mem::take(&mut pending.outcomes);
            // A client that is gone does not wait for its answer.
            let _ = reply.send(outcomes.into_iter().flatten().collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use futures_util::FutureExt;

    #[test]
    fn the_last_slot_sends_all_outcomes_in_order() {
        let budget = Budget::new(10);
        let share = Arc::new(budget.take(10).now_or_never().expect("free"));
        let (reply, mut answer) = oneshot::channel();
        let mut slots: Vec<_> = PendingAppend::slots(2, Some(reply), share).collect();
        let appended = Appended { base_offset: 5, log_append_time: None, log_start_offset: 0 };
        slots.pop().expect("second").fill(Ok(appended));
        assert!(answer.try_recv().is_err(), "one is missing");
        slots.pop().expect("first").fill(Err(AppendError::NotLeader));
        let outcomes = answer.try_recv().expect("complete");
        assert_eq!(outcomes, [Err(AppendError::NotLeader), Ok(appended)]);
        drop(slots);
        assert_eq!(budget.used(), 0);
    }
}
