//! What the core knows of a batch: its place and its identity, never its payload.

/// A batch in the log, as the core sees it: the value Paxos agrees on.
///
/// `(round, base)` names one batch for ever; `size` and `checksum` travel along for flow control
/// and for cross-checking the payload, which moves beside the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Batch {
    /// Offset of the first record.
    pub base: u64,
    /// Offset after the last record; greater than `base`.
    pub end: u64,
    /// Round in which the batch was first proposed. Part of the value, never rewritten.
    pub round: u32,
    /// Encoded size in bytes.
    pub size: u32,
    /// Checksum of the payload, opaque to the core.
    pub checksum: u32,
}

/// No offset reaches beyond this: on the wire they are signed.
pub(crate) const MAX_OFFSET: u64 = i64::MAX as u64;

impl Batch {
    /// Whether the batches follow one another without gap or overlap from `base` on, each
    /// nonempty, with rounds that never fall and never exceed `max_round`.
    pub(crate) fn are_contiguous(batches: &[Batch], base: u64, max_round: u32) -> bool {
        let mut next = base;
        let mut round = 0;
        batches.iter().all(|batch| {
            let fits = batch.base == next
                && batch.end > batch.base
                && batch.end <= MAX_OFFSET
                && batch.round >= round
                && batch.round <= max_round
                && batch.round > 0;
            next = batch.end;
            round = batch.round;
            fits
        })
    }
}

/// A batch that has no place in the log yet: what [`Replica::handle_propose`] takes.
///
/// [`Replica::handle_propose`]: crate::Replica::handle_propose
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Proposal {
    /// Number of offsets the batch takes (last offset delta + 1); at least 1.
    pub count: u32,
    /// Encoded size in bytes.
    pub size: u32,
    /// Checksum of the payload, opaque to the core.
    pub checksum: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(base: u64, end: u64, round: u32) -> Batch {
        Batch { base, end, round, size: 1, checksum: 0 }
    }

    #[test]
    fn contiguity() {
        let good = [batch(5, 7, 1), batch(7, 8, 1), batch(8, 9, 3)];
        assert!(Batch::are_contiguous(&good, 5, 3));
        assert!(Batch::are_contiguous(&[], 5, 3));
        assert!(!Batch::are_contiguous(&good, 4, 3), "wrong base");
        assert!(!Batch::are_contiguous(&good, 5, 2), "round above the ballot");
        assert!(!Batch::are_contiguous(&[batch(5, 5, 1)], 5, 1), "empty");
        assert!(!Batch::are_contiguous(&[batch(5, 6, 0)], 5, 1), "round zero");
        assert!(!Batch::are_contiguous(&[batch(5, 6, 1), batch(7, 8, 1)], 5, 1), "gap");
        assert!(!Batch::are_contiguous(&[batch(5, 6, 2), batch(6, 7, 1)], 5, 2), "round falls");
    }
}
