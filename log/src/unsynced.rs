//! The batches at a log's end that no sync job has taken.

use crate::batch::Batch;
use crate::jobs::SmallAppend;

/// Batches that no sync job has taken; held as long as they are few.
#[derive(Debug)]
pub(crate) struct Unsynced {
    base: u64,
    size: usize,
    /// `None` if they are too many.
    batches: Option<Vec<Batch>>,
}

impl Unsynced {
    /// None yet, from this offset on.
    pub(crate) fn from(base: u64) -> Unsynced {
        Unsynced { base, size: 0, batches: Some(Vec::new()) }
    }

    /// Takes batches that were appended; holds them while all are at most `most` bytes.
    pub(crate) fn note(&mut self, batches: &[Batch], most: u32) {
        self.size += batches.iter().map(Batch::size).sum::<usize>();
        if self.size > most as usize {
            self.batches = None;
        }
        if let Some(held) = &mut self.batches {
            held.extend_from_slice(batches);
        }
    }

    /// What may be carried, if that is all that lies behind the durable end.
    pub(crate) fn into_small(self, durable_end: u64) -> Option<SmallAppend> {
        let Unsynced { base, size, batches } = self;
        let batches = batches.filter(|batches| base == durable_end && !batches.is_empty())?;
        Some(SmallAppend { base, batches, size, is_sole: false })
    }
}
