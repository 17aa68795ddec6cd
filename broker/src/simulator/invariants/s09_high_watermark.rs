//! S9: the high watermark never goes back for a consumer that follows leader epochs.

use std::collections::BTreeMap;

use synod_log::key::PartitionKey;

use crate::simulator::violation::{Checked, demand};

pub(crate) const NAME: &str = "S9 high watermark";

/// The greatest high watermark that each consumer saw.
#[derive(Debug, Default)]
pub(crate) struct HighWatermark {
    seen: BTreeMap<(usize, PartitionKey), u64>,
}

impl HighWatermark {
    pub(crate) fn observe(&mut self, consumer: usize, key: PartitionKey, shown: u64) -> Checked {
        let seen = self.seen.entry((consumer, key)).or_default();
        demand(NAME, shown >= *seen, || {
            format!("consumer {consumer} of {key} saw {seen} and is shown {shown} now")
        })?;
        *seen = shown;
        Ok(())
    }
}
