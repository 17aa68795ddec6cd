//! S8: no duplicate (producer, epoch, sequence).

use synod_log::batch::BatchHeader;
use synod_log::key::PartitionKey;

use crate::simulator::history::BatchHistory;
use crate::simulator::violation::{Checked, demand};

pub(crate) const NAME: &str = "S8 no duplicate";

/// The next batch is decided, where the producer's next sequence number is `expected`.
pub(crate) fn check(key: PartitionKey, header: &BatchHeader, expected: i32) -> Checked {
    demand(NAME, header.base_sequence() >= expected, || {
        format!("{header:?} in {key} was there before sequence number {expected}")
    })
}

/// A batch that may be there once is decided at `offset`.
pub(crate) fn check_once(batch: &BatchHistory, offset: u64) -> Checked {
    let before = batch.decided_at.filter(|_| batch.at_most_once);
    demand(NAME, before.is_none_or(|before| before == offset), || {
        format!("a batch of {} is at {before:?} and at {offset}", batch.key)
    })
}
