//! Journal records that found the disk full.

use std::collections::BTreeSet;

use synod_log::journal::JournalRecord;
use synod_log::key::PartitionKey;

/// What has to be journaled again once there is space. Whoever waits for it goes on waiting.
///
/// While anything is in here, newer records queue up behind it: a vow or a mark that overtook an
/// older one would be undone when the older one is written at last. Of marks only the partition is
/// kept, since by then a later one holds.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    vows: Vec<JournalRecord>,
    marked: BTreeSet<PartitionKey>,
}

impl Unwritten {
    pub(crate) fn is_empty(&self) -> bool {
        self.vows.is_empty() && self.marked.is_empty()
    }

    pub(crate) fn add(&mut self, records: impl IntoIterator<Item = JournalRecord>) {
        for record in records {
            match record {
                JournalRecord::Mark { key, .. } => {
                    self.marked.insert(key);
                }
                vow => self.vows.push(vow),
            }
        }
    }

    /// The records to write now; `mark` tells the mark that a partition should have, unless it is
    /// gone.
    pub(crate) fn take(
        &mut self,
        mark: impl Fn(PartitionKey) -> Option<u64>,
    ) -> Vec<JournalRecord> {
        let mut records = std::mem::take(&mut self.vows);
        for key in std::mem::take(&mut self.marked) {
            if let Some(durable_end) = mark(key) {
                records.push(JournalRecord::Mark { key, durable_end });
            }
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use synod_log::journal::Vow;

    #[test]
    fn vows_keep_their_order_and_marks_tell_the_latest_end() {
        let key = |partition| PartitionKey { topic: *b"0123456789abcdef", partition };
        let vow = |partition| JournalRecord::Vow { key: key(partition), vow: Vow::default() };
        let mark =
            |partition, durable_end| JournalRecord::Mark { key: key(partition), durable_end };
        let mut unwritten = Unwritten::default();
        assert!(unwritten.is_empty());
        unwritten.add([mark(1, 5), vow(2), mark(3, 1)]);
        unwritten.add([vow(1), mark(1, 9)]);
        assert!(!unwritten.is_empty());
        let end = |key: PartitionKey| (key.partition != 3).then_some(12);
        assert_eq!(unwritten.take(end), [vow(2), vow(1), mark(1, 12)]);
        assert!(unwritten.is_empty());
    }
}
