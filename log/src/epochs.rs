//! Leader-epoch history: which round began at which offset.
//!
//! The leader epoch in a batch header lies outside the batch checksum. The history says the same
//! thing a second time, in a file of its own, so that a flipped epoch is noticed.
//!
//! # File `leader-epochs`
//!
//! Entries back to back, little-endian, followed by zeros; a new entry is written behind the last.
//!
//! | bytes | field | meaning |
//! |---|---|---|
//! | 0..4 | leader epoch | greater than that of the entry before |
//! | 4..12 | start offset | base offset of the first batch of this leader epoch |
//! | 12..16 | checksum | crc32 of the previous entry's checksum (0 for the first) and bytes 0..12 |

use crate::batch::BatchHeader;
use crate::log_error::Damage;

/// Bytes of one encoded entry.
pub(crate) const ENTRY_SIZE: usize = 16;

/// One leader epoch and the offset of its first batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EpochStart {
    /// The round, as stamped in the batch headers.
    pub leader_epoch: i32,
    /// Base offset of the first batch with this leader epoch.
    pub start: u64,
}

/// The leader epochs of a log in order: both epochs and start offsets strictly increase.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EpochHistory {
    entries: Vec<EpochStart>,
}

/// What [`EpochHistory::decode`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DecodedEpochs {
    /// The entries up to the first damaged one.
    pub(crate) history: EpochHistory,
    /// False if something other than zeros follows the last sound entry.
    pub(crate) sound: bool,
}

impl EpochHistory {
    /// A history without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    /// The newest leader epoch, if any batch was ever appended.
    pub fn latest(&self) -> Option<i32> {
        self.entries.last().map(|e| e.leader_epoch)
    }

    /// The leader epoch that a batch at `offset` must carry; `None` before the first entry.
    pub fn epoch_at(&self, offset: u64) -> Option<i32> {
        let after = self.entries.partition_point(|e| e.start <= offset);
        after.checked_sub(1).map(|i| self.entries[i].leader_epoch)
    }

    /// Whether a batch carries the leader epoch that it must: its checksum does not cover that.
    pub(crate) fn check(&self, header: &BatchHeader) -> Result<(), Damage> {
        let (found, expected) = (header.leader_epoch(), self.epoch_at(header.base_offset()));
        if expected == Some(found) {
            return Ok(());
        }
        Err(Damage::LeaderEpoch { found, expected: expected.unwrap_or(-1) })
    }

    /// Notes a batch. Returns the new entry if the batch begins a leader epoch.
    ///
    /// The caller has checked that `leader_epoch` is not below [`latest`](Self::latest).
    pub(crate) fn note(&mut self, leader_epoch: i32, base_offset: u64) -> Option<EpochStart> {
        if let Some(last) = self.entries.last() {
            assert!(leader_epoch >= last.leader_epoch, "leader epochs never run backwards");
            if leader_epoch == last.leader_epoch {
                return None;
            }
            assert!(base_offset > last.start, "epoch starts increase");
        }
        let entry = EpochStart { leader_epoch, start: base_offset };
        self.entries.push(entry);
        Some(entry)
    }

    /// Forgets the epochs that begin at or beyond `end`. Returns whether there were any.
    pub(crate) fn truncate(&mut self, end: u64) -> bool {
        let keep = self.entries.partition_point(|e| e.start < end);
        let cut = keep < self.entries.len();
        self.entries.truncate(keep);
        cut
    }

    /// Forgets the epochs that ended at or before `start`. Returns whether there were any.
    pub(crate) fn trim(&mut self, start: u64) -> bool {
        let after = self.entries.partition_point(|e| e.start <= start);
        let ended = after.saturating_sub(1);
        self.entries.drain(..ended);
        ended > 0
    }

    /// Kafka's answer to OffsetForLeaderEpoch for a log that holds `[start, end)`: the greatest
    /// leader epoch not above `leader_epoch`, and the end of its batches, which for the newest
    /// epoch is `end`.
    ///
    /// `None` if the log has no batches or `leader_epoch` is newer than any. An epoch older than
    /// all that the log still holds ends where the log starts.
    pub fn end_of(&self, leader_epoch: i32, start: u64, end: u64) -> Option<(i32, u64)> {
        let oldest = self.entries.partition_point(|e| e.start <= start).saturating_sub(1);
        let held = &self.entries[oldest..];
        let first = held.first()?;
        let after = held.partition_point(|e| e.leader_epoch <= leader_epoch);
        let Some(found) = after.checked_sub(1) else {
            return Some((leader_epoch, first.start.clamp(start, end.max(start))));
        };
        match held.get(after) {
            Some(next) => Some((held[found].leader_epoch, next.start.min(end))),
            None if held[found].leader_epoch == leader_epoch => Some((leader_epoch, end)),
            None => None,
        }
    }

    /// The file image of the entries from index `from` on.
    pub(crate) fn encode_from(&self, from: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity((self.entries.len() - from) * ENTRY_SIZE);
        let mut chain = 0;
        for (i, entry) in self.entries.iter().enumerate() {
            let mut raw = [0; ENTRY_SIZE];
            raw[..4].copy_from_slice(&entry.leader_epoch.to_le_bytes());
            raw[4..12].copy_from_slice(&entry.start.to_le_bytes());
            chain = chained(chain, &raw[..12]);
            raw[12..].copy_from_slice(&chain.to_le_bytes());
            if i >= from {
                out.extend_from_slice(&raw);
            }
        }
        out
    }

    /// Reads a file image, up to the first damaged entry.
    pub(crate) fn decode(bytes: &[u8]) -> DecodedEpochs {
        let mut history = Self::new();
        let mut chain = 0;
        let mut rest = bytes;
        while let Some((raw, after)) = rest.split_at_checked(ENTRY_SIZE) {
            let leader_epoch = u32_at(raw, 0).cast_signed();
            let start = u64::from(u32_at(raw, 4)) | u64::from(u32_at(raw, 8)) << 32;
            let checksum = chained(chain, &raw[..12]);
            let in_order = history
                .entries
                .last()
                .is_none_or(|e| leader_epoch > e.leader_epoch && start > e.start);
            if checksum != u32_at(raw, 12) || !in_order {
                break;
            }
            history.entries.push(EpochStart { leader_epoch, start });
            chain = checksum;
            rest = after;
        }
        let sound = rest.iter().all(|b| *b == 0);
        DecodedEpochs { history, sound }
    }
}

fn chained(previous: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&previous.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut raw = [0; 4];
    raw.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(entries: &[(i32, u64)]) -> EpochHistory {
        let mut history = EpochHistory::new();
        for (epoch, start) in entries {
            assert!(history.note(*epoch, *start).is_some());
        }
        history
    }

    #[test]
    fn notes_only_new_epochs() {
        let mut h = history(&[(1, 0), (4, 10)]);
        assert_eq!(h.note(4, 20), None);
        assert_eq!(h.note(5, 20), Some(EpochStart { leader_epoch: 5, start: 20 }));
        assert_eq!(h.latest(), Some(5));
    }

    #[test]
    fn epoch_at_covers_every_offset() {
        let h = history(&[(1, 5), (4, 10)]);
        assert_eq!(h.epoch_at(4), None);
        assert_eq!(h.epoch_at(5), Some(1));
        assert_eq!(h.epoch_at(9), Some(1));
        assert_eq!(h.epoch_at(10), Some(4));
        assert_eq!(h.epoch_at(u64::MAX), Some(4));
    }

    #[test]
    fn end_of_answers_as_kafka() {
        let h = history(&[(2, 5), (4, 10)]);
        assert_eq!(h.end_of(1, 5, 30), Some((1, 5)), "older than all");
        assert_eq!(h.end_of(2, 5, 30), Some((2, 10)));
        assert_eq!(h.end_of(3, 5, 30), Some((2, 10)), "a gap answers with the epoch below");
        assert_eq!(h.end_of(4, 5, 30), Some((4, 30)));
        assert_eq!(h.end_of(5, 5, 30), None, "newer than all");
        assert_eq!(h.end_of(2, 5, 7), Some((2, 7)), "never beyond the caller's end");
        assert_eq!(h.end_of(2, 12, 30), Some((2, 12)), "trimmed away: ends where the log starts");
        assert_eq!(EpochHistory::new().end_of(0, 0, 0), None);
    }

    #[test]
    fn truncate_and_trim() {
        let mut h = history(&[(1, 0), (2, 10), (3, 20)]);
        assert!(h.truncate(20));
        assert!(!h.truncate(15));
        assert_eq!(h.latest(), Some(2));
        assert!(!h.trim(9));
        assert!(h.trim(12));
        assert_eq!(h.entries(), &[EpochStart { leader_epoch: 2, start: 10 }]);
        assert!(!h.trim(12));
        assert!(h.truncate(0));
        assert_eq!(h.latest(), None);
        assert!(!h.trim(3));
    }

    #[test]
    fn file_image_survives_appending() {
        let h = history(&[(1, 0), (2, 10), (9, 1 << 40)]);
        let mut image = h.encode_from(0);
        assert_eq!(image[ENTRY_SIZE..], h.encode_from(1));
        image.resize(4096, 0);
        assert_eq!(EpochHistory::decode(&image), DecodedEpochs { history: h, sound: true });
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let h = history(&[(1, 0), (2, 10), (3, 20)]);
        let mut image = h.encode_from(0);
        image.resize(64, 0);
        for at in 0..64 {
            image[at] ^= 0x10;
            let decoded = EpochHistory::decode(&image);
            assert!(!decoded.sound, "byte {at}");
            assert!(h.entries().starts_with(decoded.history.entries()), "byte {at}");
            image[at] ^= 0x10;
        }
    }

    #[test]
    fn a_stale_entry_behind_the_end_does_not_continue_the_chain() {
        let old = history(&[(1, 0), (2, 10), (3, 20)]).encode_from(0);
        let mut image = history(&[(1, 0), (2, 11)]).encode_from(0);
        image.extend_from_slice(&old[2 * ENTRY_SIZE..]);
        let decoded = EpochHistory::decode(&image);
        assert_eq!(decoded.history.entries().len(), 2);
        assert!(!decoded.sound);
    }
}
