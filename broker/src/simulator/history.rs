//! What clients did and heard: every batch, every attempt, every answer.

use synod_log::key::PartitionKey;

use crate::partition::{Acks, AppendOutcome, Appended};

use super::request::is_definite;

/// One batch of a client, from its first attempt on.
#[derive(Clone, Debug)]
pub(crate) struct BatchHistory {
    pub(crate) key: PartitionKey,
    pub(crate) crc: u32,
    pub(crate) count: u64,
    /// Its producer deduplicates, or never tries again after an unknown outcome.
    pub(crate) at_most_once: bool,
    pub(crate) attempts: u32,
    /// Attempts with an error that promises that nothing was appended.
    pub(crate) denied: u32,
    /// Where it was acked with `acks=all`.
    pub(crate) acked_at: Option<u64>,
    /// Where it is in the decided log; the first place if there are several.
    pub(crate) decided_at: Option<u64>,
}

/// All batches, by number. A batch's number is its records' timestamp less [`FIRST_TIMESTAMP`].
#[derive(Debug, Default)]
pub(crate) struct History {
    batches: Vec<BatchHistory>,
}

/// Timestamp of batch 0: some time in 2023, in milliseconds.
pub(crate) const FIRST_TIMESTAMP: i64 = 1_700_000_000_000;

impl History {
    pub(crate) fn begin(&mut self, key: PartitionKey, count: u64, at_most_once: bool) -> u64 {
        self.batches.push(BatchHistory {
            key,
            crc: 0,
            count,
            at_most_once,
            attempts: 0,
            denied: 0,
            acked_at: None,
            decided_at: None,
        });
        self.batches.len() as u64 - 1
    }

    pub(crate) fn batch(&self, id: u64) -> Option<&BatchHistory> {
        self.batches.get(usize::try_from(id).ok()?)
    }

    pub(crate) fn batch_mut(&mut self, id: u64) -> Option<&mut BatchHistory> {
        self.batches.get_mut(usize::try_from(id).ok()?)
    }

    pub(crate) fn batches(&self) -> impl Iterator<Item = (u64, &BatchHistory)> {
        (0..).zip(&self.batches)
    }

    pub(crate) fn attempted(&mut self, id: u64) {
        if let Some(batch) = self.batch_mut(id) {
            batch.attempts += 1;
        }
    }

    /// Notes what a broker said, whether or not the client hears it.
    pub(crate) fn answered(&mut self, id: u64, acks: Acks, outcome: &Option<AppendOutcome>) {
        let Some(batch) = self.batch_mut(id) else { return };
        match outcome {
            Some(Ok(Appended { base_offset, .. })) if acks == Acks::All => {
                batch.acked_at = Some(*base_offset);
            }
            Some(Err(error)) if is_definite(*error) => batch.denied += 1,
            _ => {}
        }
    }

    pub(crate) fn acked_count(&self) -> usize {
        self.batches.iter().filter(|batch| batch.acked_at.is_some()).count()
    }
}
