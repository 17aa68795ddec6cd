//! S15, for producers: what a replica remembers of them equals the fold of the partition's log.

use std::collections::{BTreeMap, VecDeque};

use synod_log::batch::BatchHeader;
use synod_log::key::PartitionKey;
use synod_log::producers::ProducerStates;

use super::s15_fold::NAME;
use crate::simulator::violation::{Checked, demand};

/// Batches that are remembered of each producer.
const REMEMBERED: usize = 5;

/// A batch: sequence number of its first record, and its base offset.
type Remembered = (i32, u64);

/// What the decided batches say of producers.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    states: BTreeMap<PartitionKey, BTreeMap<i64, (i16, VecDeque<Remembered>)>>,
}

impl Producers {
    /// A batch is decided, as the next one of its partition.
    pub(crate) fn decided(&mut self, key: PartitionKey, header: &BatchHeader) {
        let Some(producer) = header.producer_id() else { return };
        let epoch = header.producer_epoch();
        let states = self.states.entry(key).or_default();
        let state = states.entry(producer).or_insert_with(|| (epoch, VecDeque::new()));
        if state.0 != epoch {
            *state = (epoch, VecDeque::new());
        }
        state.1.push_back((header.base_sequence(), header.base_offset()));
        if state.1.len() > REMEMBERED {
            state.1.pop_front();
        }
    }

    /// At the end, on a replica that holds everything that was ever decided.
    pub(crate) fn check_end(
        &self,
        key: PartitionKey,
        who: impl std::fmt::Display,
        found: &ProducerStates,
    ) -> Checked {
        let found: BTreeMap<i64, (i16, VecDeque<Remembered>)> = found
            .iter()
            .map(|(producer, state)| {
                let batches = state.batches().map(|it| (it.first_sequence, it.base_offset));
                (producer, (state.producer_epoch, batches.collect()))
            })
            .collect();
        let expected = self.states.get(&key).cloned().unwrap_or_default();
        demand(NAME, found == expected, || {
            format!("{who} remembers of {key}'s producers {found:?}, its log says {expected:?}")
        })
    }
}
