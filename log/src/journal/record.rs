//! What a journal records about a partition, and how a record is written.
//!
//! ```text
//! kind 1  vow          key, promised (round, node), accepted (round, node)
//! kind 2  mark         key, durable end
//! kind 3  start        key, log start offset
//! kind 4  forget       key
//! kind 5  incarnation  number
//! kind 6  closed
//! ```
//!
//! A kind is one byte; a key is 16 bytes of topic id and a `u32`; rounds and nodes are `u32`, the
//! rest `u64`; all little-endian.

use crate::key::PartitionKey;

/// A ballot as this package sees it: two numbers, ordered by round, then node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// The ballot's number.
    pub round: u32,
    /// The node that leads it.
    pub node: u32,
}

/// A replica's durable promise and acceptance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vow {
    /// The highest ballot promised. Never goes back.
    pub promised: Ballot,
    /// The ballot under which the whole log was accepted; zero before the first. Never goes back,
    /// never above `promised`.
    pub accepted: Ballot,
}

/// One fact for the journal. Of several about one partition the last counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JournalRecord {
    /// The partition's replica vowed.
    Vow {
        /// The partition.
        key: PartitionKey,
        /// The vow.
        vow: Vow,
    },
    /// The partition's log was synced up to here. May go back: before a truncation cuts synced
    /// entries, a lower mark is made durable, or recovery would call the cut corruption.
    Mark {
        /// The partition.
        key: PartitionKey,
        /// First offset that is not known to be synced.
        durable_end: u64,
    },
    /// The partition's log start offset after a trim.
    Start {
        /// The partition.
        key: PartitionKey,
        /// First offset that may still be read.
        offset: u64,
    },
    /// The partition is gone from this node; nothing recorded before counts.
    Forget {
        /// The partition.
        key: PartitionKey,
    },
    /// The journal was opened; each opening has a higher number.
    Incarnation(u64),
    /// The journal was closed in order, with every mark in it.
    Closed,
}

impl JournalRecord {
    /// The partition that the record speaks of, if it speaks of one.
    #[must_use]
    pub fn key(&self) -> Option<PartitionKey> {
        match self {
            Self::Vow { key, .. }
            | Self::Mark { key, .. }
            | Self::Start { key, .. }
            | Self::Forget { key } => Some(*key),
            Self::Incarnation(_) | Self::Closed => None,
        }
    }

    /// Bytes that [`JournalRecord::encode`] appends.
    pub(super) fn encoded_size(&self) -> usize {
        match self {
            Self::Vow { .. } => 1 + 20 + 16,
            Self::Mark { .. } | Self::Start { .. } => 1 + 20 + 8,
            Self::Forget { .. } => 1 + 20,
            Self::Incarnation(_) => 1 + 8,
            Self::Closed => 1,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let kind = match self {
            Self::Vow { .. } => 1,
            Self::Mark { .. } => 2,
            Self::Start { .. } => 3,
            Self::Forget { .. } => 4,
            Self::Incarnation(_) => 5,
            Self::Closed => 6,
        };
        out.push(kind);
        if let Some(key) = self.key() {
            out.extend_from_slice(&key.topic);
            out.extend_from_slice(&key.partition.to_le_bytes());
        }
        match self {
            Self::Vow { vow: Vow { promised, accepted }, .. } => {
                for number in [promised.round, promised.node, accepted.round, accepted.node] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
            }
            Self::Mark { durable_end: number, .. }
            | Self::Start { offset: number, .. }
            | Self::Incarnation(number) => out.extend_from_slice(&number.to_le_bytes()),
            Self::Forget { .. } | Self::Closed => {}
        }
    }

    /// Takes one record off the front of `bytes`; `None` when there is none.
    pub(super) fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let kind = take::<1>(bytes)?[0];
        Some(match kind {
            1 => Self::Vow {
                key: take_key(bytes)?,
                vow: Vow { promised: take_ballot(bytes)?, accepted: take_ballot(bytes)? },
            },
            2 => Self::Mark { key: take_key(bytes)?, durable_end: take_u64(bytes)? },
            3 => Self::Start { key: take_key(bytes)?, offset: take_u64(bytes)? },
            4 => Self::Forget { key: take_key(bytes)? },
            5 => Self::Incarnation(take_u64(bytes)?),
            6 => Self::Closed,
            _ => return None,
        })
    }
}

pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

pub(crate) fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes).map(u32::from_le_bytes)
}

pub(crate) fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_le_bytes)
}

pub(crate) fn take_key(bytes: &mut &[u8]) -> Option<PartitionKey> {
    Some(PartitionKey { topic: take(bytes)?, partition: take_u32(bytes)? })
}

fn take_ballot(bytes: &mut &[u8]) -> Option<Ballot> {
    Some(Ballot { round: take_u32(bytes)?, node: take_u32(bytes)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_and_every_cut_is_noticed() {
        let key = PartitionKey { topic: *b"0123456789abcdef", partition: 7 };
        let vow = Vow {
            promised: Ballot { round: 5, node: 2 },
            accepted: Ballot { round: 4, node: u32::MAX },
        };
        for record in [
            JournalRecord::Vow { key, vow },
            JournalRecord::Mark { key, durable_end: u64::MAX },
            JournalRecord::Start { key, offset: 1 << 40 },
            JournalRecord::Forget { key },
            JournalRecord::Incarnation(3),
            JournalRecord::Closed,
        ] {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            assert_eq!(bytes.len(), record.encoded_size());
            let mut rest = &bytes[..];
            assert_eq!(JournalRecord::decode(&mut rest), Some(record));
            assert!(rest.is_empty());
            for cut in 0..bytes.len() {
                assert_eq!(JournalRecord::decode(&mut &bytes[..cut]), None);
            }
        }
        assert_eq!(JournalRecord::decode(&mut &[0u8; 64][..]), None);
        assert_eq!(JournalRecord::decode(&mut &[7u8; 64][..]), None);
    }
}
