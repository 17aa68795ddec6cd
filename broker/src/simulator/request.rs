//! What clients ask of brokers, and what they hear.

use std::sync::Arc;

use synod_log::batch::Batch;
use synod_log::key::PartitionKey;

use crate::budget::BudgetShare;
use crate::partition::{Acks, AppendError, AppendOutcome};

/// One attempt to have a batch appended.
#[derive(Clone, Debug)]
pub(crate) struct Produce {
    pub(crate) producer: usize,
    /// The batch's number in the run's history.
    pub(crate) id: u64,
    pub(crate) attempt: u32,
    pub(crate) key: PartitionKey,
    pub(crate) batch: Batch,
    pub(crate) acks: Acks,
    pub(crate) share: Arc<BudgetShare>,
}

/// An attempt and what became of it; `None`: the connection broke.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) produce: Produce,
    pub(crate) outcome: Option<AppendOutcome>,
}

/// Whether an error promises that the batch was not and will never be appended by this attempt.
pub(crate) fn is_definite(error: AppendError) -> bool {
    match error {
        AppendError::Unknown | AppendError::NotEnoughReplicasAfterAppend => false,
        AppendError::NotHosted
        | AppendError::NotLeader
        | AppendError::NotReady
        | AppendError::NotEnoughReplicas
        | AppendError::Busy
        | AppendError::OutOfOrderSequence
        | AppendError::InvalidProducerEpoch
        | AppendError::DiskFull
        | AppendError::Faulty => true,
    }
}
