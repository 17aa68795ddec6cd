//! S1: one value per (partition, offset), for ever. Also S10's and S6's measure: whatever any
//! replica ever reported as decided is kept here, and everything else is held against it.

use std::collections::BTreeMap;

use synod_log::batch::BatchHeader;
use synod_log::key::PartitionKey;

use crate::simulator::violation::{Checked, Violation, demand};

pub(crate) const NAME: &str = "S1 one value per offset";

/// The decided log of one partition, as the first replica to know told of it.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    /// Headers by base offset.
    batches: BTreeMap<u64, BatchHeader>,
    end: u64,
}

/// The decided logs of all partitions.
#[derive(Debug, Default)]
pub(crate) struct OneValue {
    partitions: BTreeMap<PartitionKey, Decided>,
}

impl Decided {
    /// The batch that begins at `base`.
    pub(crate) fn at(&self, base: u64) -> Option<&BatchHeader> {
        self.batches.get(&base)
    }
}

impl OneValue {
    pub(crate) fn partition(&self, key: PartitionKey) -> Option<&Decided> {
        self.partitions.get(&key)
    }

    pub(crate) fn end(&self, key: PartitionKey) -> u64 {
        self.partitions.get(&key).map_or(0, |decided| decided.end)
    }

    /// A replica reports `header` as decided; true if nobody did before.
    pub(crate) fn observe(
        &mut self,
        who: impl std::fmt::Display,
        key: PartitionKey,
        header: &BatchHeader,
    ) -> Result<bool, Violation> {
        let decided = self.partitions.entry(key).or_default();
        let (base, end) = (header.base_offset(), header.end_offset());
        if base >= decided.end {
            demand(NAME, base == decided.end, || {
                format!("{who} skips {key} from {} to {base}", decided.end)
            })?;
            decided.batches.insert(base, *header);
            decided.end = end;
            return Ok(true);
        }
        self.compare(who, key, header).map(|()| false)
    }

    /// Holds a batch that somebody takes for decided against what is.
    pub(crate) fn compare(
        &self,
        who: impl std::fmt::Display,
        key: PartitionKey,
        header: &BatchHeader,
    ) -> Checked {
        let known = self.partitions.get(&key).and_then(|decided| decided.at(header.base_offset()));
        demand(NAME, known.is_some_and(|known| known.as_bytes() == header.as_bytes()), || {
            format!("{who} has {header:?} in {key}, decided is {known:?}")
        })
    }
}
