//! What became of the records of a run, and whether what was read back agrees.
//!
//! Nearly all records are acknowledged, so only the others are remembered: memory grows with
//! failures, not with records.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::payload::Place;

/// A run in which more records than this fail is no measurement.
pub(crate) const MAX_FAILED: usize = 1_000_000;

/// The fates of all records of a run, by lane.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    lanes: Vec<Lane>,
}

/// The fates of the records of one lane.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lane {
    acked: u64,
    /// Sequences of records that failed, or of which nobody knows.
    failed: BTreeSet<u64>,
}

impl Lane {
    /// Records handed over, all of them settled; their sequences are below.
    fn sent(&self) -> u64 {
        self.acked + self.failed.len() as u64
    }

    pub(crate) fn handle_acked(&mut self) {
        self.acked += 1;
    }

    /// The record may be there or not.
    pub(crate) fn handle_failed(&mut self, sequence: u64) {
        self.failed.insert(sequence);
    }
}

impl Tally {
    /// The lanes by their numbers. Every record's fate must be known.
    pub(crate) fn new(lanes: Vec<Lane>) -> Self {
        Self { lanes }
    }

    pub(crate) fn acked(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.acked).sum()
    }

    pub(crate) fn failed(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.failed.len() as u64).sum()
    }
}

/// Compares records read back with a tally, one after the other in the order of their offsets.
#[derive(Debug)]
pub(crate) struct Comparison<'a> {
    tally: &'a Tally,
    lanes: Vec<Seen>,
    found: Findings,
}

/// What was read of one lane.
#[derive(Debug, Default)]
struct Seen {
    /// The sequence after the greatest one read.
    end: u64,
    /// Acknowledged sequences below `end` that were passed over.
    missing: BTreeSet<u64>,
}

/// What reading back showed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Findings {
    /// Records that were acknowledged.
    pub(crate) acked: u64,
    /// Records that failed or whose fate is unknown; they may be there or not.
    pub(crate) unacked: u64,
    /// Records of this run that were read.
    pub(crate) read: u64,
    /// Acknowledged and not there.
    pub(crate) lost: u64,
    /// There more than once.
    pub(crate) repeated: u64,
    /// Behind a later one of their lane.
    pub(crate) reordered: u64,
    /// With other bytes than were written, or never written.
    pub(crate) damaged: u64,
    /// Not written by this run.
    pub(crate) foreign: u64,
}

impl Findings {
    /// Whether what was acknowledged is there, once and in order. A producer that is not idempotent
    /// may repeat and reorder.
    pub(crate) fn is_sound(&self, idempotent: bool) -> bool {
        let strict = self.repeated == 0 && self.reordered == 0;
        self.lost == 0 && self.damaged == 0 && (strict || !idempotent)
    }
}

impl<'a> Comparison<'a> {
    pub(crate) fn new(tally: &'a Tally) -> Self {
        let lanes = tally.lanes.iter().map(|_| Seen::default()).collect();
        Self { tally, lanes, found: Findings::default() }
    }

    pub(crate) fn handle_foreign(&mut self) {
        self.found.foreign += 1;
    }

    pub(crate) fn handle_damaged(&mut self) {
        self.found.damaged += 1;
    }

    /// A record was read whose content is what was written there.
    pub(crate) fn handle_record(&mut self, place: Place) {
        let index = place.lane as usize;
        let (Some(lane), Some(seen)) = (self.tally.lanes.get(index), self.lanes.get_mut(index))
        else {
            self.found.damaged += 1;
            return;
        };
        if place.sequence >= lane.sent() {
            self.found.damaged += 1;
            return;
        }
        self.found.read += 1;
        if place.sequence >= seen.end {
            // A lane of which millions are missing would not fit; their number tells enough.
            for sequence in seen.end..place.sequence {
                if lane.failed.contains(&sequence) {
                    continue;
                }
                match seen.missing.len() < MAX_FAILED {
                    true => drop(seen.missing.insert(sequence)),
                    false => self.found.lost += 1,
                }
            }
            seen.end = place.sequence + 1;
        } else if seen.missing.remove(&place.sequence) || lane.failed.contains(&place.sequence) {
            self.found.reordered += 1;
        } else {
            self.found.repeated += 1;
        }
    }

    /// The findings, once everything was read.
    pub(crate) fn finish(mut self) -> Findings {
        self.found.acked = self.tally.acked();
        self.found.unacked = self.tally.failed();
        for (lane, seen) in self.tally.lanes.iter().zip(&self.lanes) {
            let failed_behind = lane.failed.range(seen.end..).count() as u64;
            let acked_behind = lane.sent() - seen.end - failed_behind;
            self.found.lost += seen.missing.len() as u64 + acked_behind;
        }
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lane of `sent` records of which these failed.
    fn lane(sent: u64, failed: &[u64]) -> Lane {
        let mut lane = Lane::default();
        for sequence in 0..sent {
            match failed.contains(&sequence) {
                true => lane.handle_failed(sequence),
                false => lane.handle_acked(),
            }
        }
        lane
    }

    fn compare(tally: &Tally, read: &[(u32, u64)]) -> Findings {
        let mut comparison = Comparison::new(tally);
        for &(lane, sequence) in read {
            comparison.handle_record(Place { lane, sequence });
        }
        comparison.finish()
    }

    #[test]
    fn all_there_in_order_is_sound() {
        let tally = Tally::new(vec![lane(3, &[]), lane(2, &[])]);
        let found = compare(&tally, &[(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]);
        assert_eq!(found, Findings { acked: 5, read: 5, ..Findings::default() });
        assert!(found.is_sound(true));
    }

    #[test]
    fn a_lost_record_is_found_wherever_it_was() {
        let tally = Tally::new(vec![lane(3, &[])]);
        for lost in 0..3 {
            let read: Vec<_> = (0..3).filter(|&n| n != lost).map(|n| (0, n)).collect();
            let found = compare(&tally, &read);
            assert_eq!((found.lost, found.read), (1, 2), "without {lost}");
            assert!(!found.is_sound(false));
        }
        assert_eq!(compare(&tally, &[]).lost, 3);
    }

    #[test]
    fn records_that_failed_may_be_there_or_not() {
        let tally = Tally::new(vec![lane(4, &[1, 3])]);
        assert!(compare(&tally, &[(0, 0), (0, 2)]).is_sound(true));
        assert!(compare(&tally, &[(0, 0), (0, 1), (0, 2), (0, 3)]).is_sound(true));
        assert_eq!(compare(&tally, &[(0, 0), (0, 1)]).lost, 1);
    }

    #[test]
    fn repetition_and_disorder_are_told_apart() {
        let tally = Tally::new(vec![lane(3, &[])]);
        let repeated = compare(&tally, &[(0, 0), (0, 1), (0, 1), (0, 2)]);
        assert_eq!((repeated.repeated, repeated.reordered), (1, 0));
        assert!(!repeated.is_sound(true) && repeated.is_sound(false));
        let reordered = compare(&tally, &[(0, 1), (0, 0), (0, 2)]);
        assert_eq!((reordered.repeated, reordered.reordered, reordered.lost), (0, 1, 0));
        assert!(!reordered.is_sound(true));
    }

    #[test]
    fn records_nobody_wrote_are_damage() {
        let tally = Tally::new(vec![lane(1, &[])]);
        assert_eq!(compare(&tally, &[(0, 0), (0, 1)]).damaged, 1);
        assert_eq!(compare(&tally, &[(0, 0), (9, 0)]).damaged, 1);
    }
}
