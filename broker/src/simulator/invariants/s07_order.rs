//! S7: per idempotent producer, the order of the log is the order of its sequence numbers, without
//! a gap; and acks come for what is there.

use std::collections::BTreeMap;

use synod_log::batch::BatchHeader;
use synod_log::key::PartitionKey;

use crate::simulator::violation::{Checked, demand};

pub(crate) const NAME: &str = "S7 order of a producer";

/// The next sequence number of each producer in each partition's decided log.
#[derive(Debug, Default)]
pub(crate) struct Order {
    next: BTreeMap<(PartitionKey, i64), i32>,
}

impl Order {
    /// The next batch is decided. Returns the sequence number that was expected.
    pub(crate) fn observe(&mut self, key: PartitionKey, header: &BatchHeader) -> Option<i32> {
        let producer = header.producer_id()?;
        let next = self.next.entry((key, producer)).or_insert(0);
        let expected = *next;
        *next = (*next).max(header.last_sequence() + 1);
        Some(expected)
    }

    pub(crate) fn check(key: PartitionKey, header: &BatchHeader, expected: i32) -> Checked {
        demand(NAME, header.base_sequence() <= expected, || {
            format!("{header:?} in {key} follows sequence number {expected}")
        })
    }
}
