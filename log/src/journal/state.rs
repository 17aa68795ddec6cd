//! What a journal's records add up to.

use std::collections::BTreeMap;

use super::record::{Ballot, JournalRecord, Vow};
use crate::key::PartitionKey;

/// What the journal knows of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PartitionDurable {
    /// The last vow, if the replica ever vowed.
    pub vow: Option<Vow>,
    /// The last durability mark: first offset that is not known to be synced. 0 without a mark.
    pub mark: u64,
    /// Log start offset. 0 when the log was never trimmed.
    pub start: u64,
}

impl PartitionDurable {
    /// The fewest records that add up to this.
    fn records(&self, key: PartitionKey) -> impl Iterator<Item = JournalRecord> {
        let vow = self.vow.map(|vow| JournalRecord::Vow { key, vow });
        let start = (self.start > 0).then_some(JournalRecord::Start { key, offset: self.start });
        // Always a mark, so that a partition with nothing else stays known.
        let mark = JournalRecord::Mark { key, durable_end: self.mark };
        vow.into_iter().chain(start).chain([mark])
    }
}

/// A record says less than one before it: the caller is wrong, or the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Regression(pub(super) JournalRecord);

/// The sum of all records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) partitions: BTreeMap<PartitionKey, PartitionDurable>,
    pub(super) incarnation: u64,
    /// Whether the last record says that the journal was closed in order.
    pub(super) closed: bool,
}

impl State {
    /// Applies all records, or none when one of them goes back on a vow or an incarnation.
    pub(super) fn apply(&mut self, records: &[JournalRecord]) -> Result<(), Regression> {
        let mut undo = Vec::new();
        let (incarnation, closed) = (self.incarnation, self.closed);
        for record in records {
            if let Some(key) = record.key() {
                undo.push((key, self.partitions.get(&key).copied()));
            }
            if !self.apply_one(record) {
                for (key, before) in undo.into_iter().rev() {
                    match before {
                        Some(before) => self.partitions.insert(key, before),
                        None => self.partitions.remove(&key),
                    };
                }
                self.incarnation = incarnation;
                self.closed = closed;
                return Err(Regression(*record));
            }
        }
        Ok(())
    }

    fn apply_one(&mut self, record: &JournalRecord) -> bool {
        self.closed = false;
        match *record {
            JournalRecord::Vow { key, vow } => {
                let known = self.partitions.get(&key).and_then(|known| known.vow);
                let known = known.unwrap_or_default();
                let forward = vow.promised >= known.promised && vow.accepted >= known.accepted;
                if !forward || vow.accepted > vow.promised {
                    return false;
                }
                self.partitions.entry(key).or_default().vow = Some(vow);
            }
            JournalRecord::Mark { key, durable_end } => {
                self.partitions.entry(key).or_default().mark = durable_end;
            }
            JournalRecord::Start { key, offset } => {
                self.partitions.entry(key).or_default().start = offset;
            }
            JournalRecord::Forget { key } => {
                self.partitions.remove(&key);
            }
            JournalRecord::Incarnation(number) => {
                if number <= self.incarnation {
                    return false;
                }
                self.incarnation = number;
            }
            JournalRecord::Closed => self.closed = true,
        }
        true
    }

    /// Records that add up to this state, for a rewrite.
    pub(super) fn records(&self) -> impl Iterator<Item = JournalRecord> {
        let incarnation =
            (self.incarnation > 0).then_some(JournalRecord::Incarnation(self.incarnation));
        let partitions = self.partitions.iter().flat_map(|(key, durable)| durable.records(*key));
        incarnation.into_iter().chain(partitions)
    }

    /// Bytes that [`State::records`] take at most, for deciding about a rewrite.
    pub(super) fn live_size(&self) -> u64 {
        const PER_PARTITION: u64 = 37 + 29 + 29;
        9 + self.partitions.len() as u64 * PER_PARTITION
    }
}

/// The ballot that no replica ever led.
impl Ballot {
    /// Before the first ballot.
    pub const ZERO: Self = Self { round: 0, node: 0 };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(partition: u32) -> PartitionKey {
        PartitionKey { topic: [1; 16], partition }
    }

    fn vow(promised: u32, accepted: u32) -> JournalRecord {
        let ballot = |round| Ballot { round, node: 1 };
        let vow = Vow { promised: ballot(promised), accepted: ballot(accepted) };
        JournalRecord::Vow { key: key(0), vow }
    }

    #[test]
    fn a_vow_never_goes_back_and_a_refused_group_leaves_no_trace() {
        let mut state = State::default();
        state.apply(&[JournalRecord::Incarnation(1), vow(3, 2)]).expect("forward");
        let before = state.clone();
        let mark = JournalRecord::Mark { key: key(1), durable_end: 9 };
        let forget = JournalRecord::Forget { key: key(2) };
        for wrong in [vow(2, 2), vow(3, 1), vow(3, 4), JournalRecord::Incarnation(1)] {
            assert_eq!(state.apply(&[mark, vow(5, 5), forget, wrong]), Err(Regression(wrong)));
            assert_eq!(state, before);
        }
        state.apply(&[vow(3, 3), vow(4, 3)]).expect("forward");
        state.apply(&[JournalRecord::Forget { key: key(0) }, vow(1, 0)]).expect("a new life");
    }

    #[test]
    fn its_own_records_add_up_to_the_same_state() {
        let mut state = State::default();
        let records = [
            JournalRecord::Incarnation(7),
            vow(3, 2),
            JournalRecord::Mark { key: key(0), durable_end: 10 },
            JournalRecord::Start { key: key(0), offset: 4 },
            JournalRecord::Start { key: key(1), offset: 5 },
            JournalRecord::Mark { key: key(2), durable_end: 0 },
            JournalRecord::Forget { key: key(1) },
        ];
        state.apply(&records).expect("forward");
        let mut copy = State::default();
        let records: Vec<_> = state.records().collect();
        copy.apply(&records).expect("forward");
        assert_eq!(copy, state);
        let size: usize = records.iter().map(JournalRecord::encoded_size).sum();
        assert!(size as u64 <= state.live_size());
    }
}
