//! Producer states: what makes a repeated batch of an idempotent producer a duplicate.
//!
//! A pure fold over the batches of the log, so every replica that holds the same batches holds the
//! same states. A snapshot (see [`ProducerStates::encode`]) only shortens the fold after a restart.
//!
//! # Snapshot file `<offset>.snapshot`
//!
//! Little-endian. States of the prefix `[0, offset)` of the log.
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | `SYPS` |
//! | 4..8 | version, 1 |
//! | 8..16 | offset |
//! | 16..20 | leader epoch of the last batch before the offset, -1 if none |
//! | 20..24 | count of producers |
//! | … | per producer: id i64, epoch i16, batch count u8, reserved u8, last timestamp i64; per batch: first sequence i32, last sequence i32, base offset u64, last offset delta u32, timestamp i64 |
//! | last 4 | crc32 of everything before |

use std::collections::{HashMap, VecDeque};

use crate::batch::BatchHeader;

/// How many of a producer's last batches are remembered.
pub const REMEMBERED_BATCH_COUNT: usize = 5;

const MAGIC: &[u8; 4] = b"SYPS";
const VERSION: u32 = 1;
const NO_EPOCH: i32 = -1;
const HEAD_SIZE: usize = 24;
const PRODUCER_SIZE: usize = 20;
const BATCH_SIZE: usize = 28;

/// The producer fields of one batch, as the fold sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerBatch {
    /// The producer's id; negative means that the batch is not idempotent.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// Sequence number of the batch's first record.
    pub base_sequence: i32,
    /// The batch's last offset less its base offset.
    pub last_offset_delta: u32,
    /// Offset of the batch's first record, if it has been stamped.
    pub base_offset: u64,
    /// Greatest timestamp in the batch, milliseconds.
    pub max_timestamp: i64,
    /// A transaction marker: carries an epoch, but no sequence.
    pub is_control: bool,
}

impl From<&BatchHeader> for ProducerBatch {
    fn from(header: &BatchHeader) -> Self {
        Self {
            producer_id: header.producer_id().unwrap_or(-1),
            producer_epoch: header.producer_epoch(),
            base_sequence: header.base_sequence(),
            last_offset_delta: header.last_offset_delta().unsigned_abs(),
            base_offset: header.base_offset(),
            max_timestamp: header.max_timestamp(),
            is_control: header.is_control(),
        }
    }
}

impl ProducerBatch {
    fn last_sequence(&self) -> i32 {
        sequence_after(self.base_sequence, self.last_offset_delta)
    }
}

/// One remembered batch of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RememberedBatch {
    /// Sequence number of its first record.
    pub first_sequence: i32,
    /// Sequence number of its last record.
    pub last_sequence: i32,
    /// Offset of its first record.
    pub base_offset: u64,
    /// Its last offset less its base offset.
    pub last_offset_delta: u32,
    /// Its greatest timestamp, milliseconds; the log append time where the topic uses that.
    pub timestamp: i64,
}

/// What a log remembers of one producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerState {
    /// The newest epoch seen.
    pub producer_epoch: i16,
    /// Greatest timestamp of the newest batch, milliseconds. Expiry does not go by it.
    pub last_timestamp: i64,
    batches: VecDeque<RememberedBatch>,
    seen: Seen,
}

/// When this process took in a producer's newest batch, by its own clock, milliseconds. No part of
/// the state: two replicas that hold the same log hold the same states.
#[derive(Debug, Clone, Copy, Default)]
struct Seen(u64);

/// The process's time when it was told last. No part of the states either.
#[derive(Debug, Clone, Copy, Default)]
struct Clock(Option<u64>);

impl PartialEq for Seen {
    fn eq(&self, _: &Seen) -> bool {
        true
    }
}

impl Eq for Seen {}

impl PartialEq for Clock {
    fn eq(&self, _: &Clock) -> bool {
        true
    }
}

impl Eq for Clock {}

impl ProducerState {
    /// The remembered batches of the current epoch, oldest first; at most
    /// [`REMEMBERED_BATCH_COUNT`].
    pub fn batches(&self) -> impl ExactSizeIterator<Item = &RememberedBatch> + DoubleEndedIterator {
        self.batches.iter()
    }

    /// Sequence number of the newest record; `None` if the epoch has no batch yet.
    pub fn last_sequence(&self) -> Option<i32> {
        self.batches.back().map(|b| b.last_sequence)
    }
}

/// The verdict on a batch that a producer wants appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProducerCheck {
    /// It continues the producer's sequence, or has none: append it.
    Append,
    /// It was appended before, as this batch: answer with the original offset once that is decided.
    Duplicate(RememberedBatch),
    /// It was appended before, but too long ago for its offset to be remembered.
    OldDuplicate,
    /// It does not continue the producer's sequence.
    OutOfOrder {
        /// The sequence number that the next batch has to begin with.
        expected_sequence: i32,
    },
    /// A newer epoch of this producer is known.
    OldEpoch {
        /// The newest epoch seen.
        current_epoch: i16,
    },
}

/// The producer states of one log up to its end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProducerStates {
    states: HashMap<i64, ProducerState>,
    clock: Clock,
}

/// A decoded snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProducerSnapshot {
    pub(crate) offset: u64,
    /// Leader epoch of the last batch before `offset`.
    pub(crate) leader_epoch: Option<i32>,
    pub(crate) states: ProducerStates,
}

impl ProducerStates {
    /// No producers.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many producers are remembered.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether no producer is remembered.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// The state of one producer.
    pub fn state(&self, producer_id: i64) -> Option<&ProducerState> {
        self.states.get(&producer_id)
    }

    /// Every producer, by ascending id.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &ProducerState)> {
        let mut ids: Vec<i64> = self.states.keys().copied().collect();
        ids.sort_unstable();
        ids.into_iter().filter_map(|id| self.states.get(&id).map(|s| (id, s)))
    }

    /// Judges a batch that has not been appended yet. `base_offset` is not looked at.
    pub fn check(&self, batch: &ProducerBatch) -> ProducerCheck {
        if batch.producer_id < 0 {
            return ProducerCheck::Append;
        }
        let Some(state) = self.states.get(&batch.producer_id) else {
            return ProducerCheck::Append;
        };
        if batch.producer_epoch < state.producer_epoch {
            return ProducerCheck::OldEpoch { current_epoch: state.producer_epoch };
        }
        if batch.is_control {
            return ProducerCheck::Append;
        }
        let last = match state.last_sequence() {
            Some(last) if batch.producer_epoch == state.producer_epoch => last,
            _ if batch.base_sequence == 0 => return ProducerCheck::Append,
            // An epoch known only from a marker has no sequence yet, so any may begin it.
            None if batch.producer_epoch == state.producer_epoch => return ProducerCheck::Append,
            _ => return ProducerCheck::OutOfOrder { expected_sequence: 0 },
        };
        let first_sequence = batch.base_sequence;
        let last_sequence = batch.last_sequence();
        let same = |b: &&RememberedBatch| {
            b.first_sequence == first_sequence && b.last_sequence == last_sequence
        };
        if let Some(original) = state.batches.iter().find(same) {
            return ProducerCheck::Duplicate(*original);
        }
        let expected_sequence = sequence_after(last, 1);
        if first_sequence == expected_sequence {
            ProducerCheck::Append
        } else if first_sequence >= 0 && lies_behind(last_sequence, expected_sequence) {
            ProducerCheck::OldDuplicate
        } else {
            ProducerCheck::OutOfOrder { expected_sequence }
        }
    }

    /// Takes in a batch that is part of the log. Whatever it says is right: it was decided so.
    pub fn note(&mut self, batch: &ProducerBatch) {
        if batch.producer_id < 0 {
            return;
        }
        let seen = Seen(self.clock.0.unwrap_or(0));
        let state = self.states.entry(batch.producer_id).or_insert_with(|| ProducerState {
            producer_epoch: batch.producer_epoch,
            last_timestamp: batch.max_timestamp,
            batches: VecDeque::new(),
            seen,
        });
        state.seen = seen;
        if batch.producer_epoch != state.producer_epoch {
            state.producer_epoch = batch.producer_epoch;
            state.batches.clear();
        }
        state.last_timestamp = batch.max_timestamp;
        if batch.is_control {
            return;
        }
        if state.batches.len() == REMEMBERED_BATCH_COUNT {
            state.batches.pop_front();
        }
        state.batches.push_back(RememberedBatch {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset,
            last_offset_delta: batch.last_offset_delta,
            timestamp: batch.max_timestamp,
        });
    }

    /// Lets time pass, and forgets every producer whose newest batch was taken in `expiration_ms`
    /// or more ago. `now_ms` is this process's own time, which begins anywhere and never jumps: a
    /// wrong wall clock, or a strange timestamp, must not make anyone forget what was acknowledged.
    /// What was there before the first call counts as taken in then.
    pub fn expire(&mut self, now_ms: u64, expiration_ms: u64) {
        if self.clock.0.replace(now_ms).is_none() {
            self.states.values_mut().for_each(|state| state.seen = Seen(now_ms));
        }
        self.states.retain(|_, state| now_ms.saturating_sub(state.seen.0) < expiration_ms);
    }

    /// The snapshot file for these states at `offset`.
    pub(crate) fn encode(&self, offset: u64, leader_epoch: Option<i32>) -> Vec<u8> {
        let batch_count: usize = self.states.values().map(|s| s.batches.len()).sum();
        let size = HEAD_SIZE + self.states.len() * PRODUCER_SIZE + batch_count * BATCH_SIZE + 4;
        let mut out = Vec::with_capacity(size);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&leader_epoch.unwrap_or(NO_EPOCH).to_le_bytes());
        let count = u32::try_from(self.states.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        for (id, state) in self.iter() {
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&state.producer_epoch.to_le_bytes());
            out.push(state.batches.len() as u8);
            out.push(0);
            out.extend_from_slice(&state.last_timestamp.to_le_bytes());
            for batch in &state.batches {
                out.extend_from_slice(&batch.first_sequence.to_le_bytes());
                out.extend_from_slice(&batch.last_sequence.to_le_bytes());
                out.extend_from_slice(&batch.base_offset.to_le_bytes());
                out.extend_from_slice(&batch.last_offset_delta.to_le_bytes());
                out.extend_from_slice(&batch.timestamp.to_le_bytes());
            }
        }
        let checksum = crc32fast::hash(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads a snapshot file; `None` if it is damaged in any way.
    pub(crate) fn decode(bytes: &[u8]) -> Option<ProducerSnapshot> {
        let (body, checksum) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let mut r = Fields(body);
        if r.take::<4>()? != *MAGIC || u32::from_le_bytes(r.take()?) != VERSION {
            return None;
        }
        let offset = u64::from_le_bytes(r.take()?);
        let leader_epoch = Some(i32::from_le_bytes(r.take()?)).filter(|e| *e != NO_EPOCH);
        let count = u32::from_le_bytes(r.take()?);
        let mut states = HashMap::new();
        for _ in 0..count {
            let id = i64::from_le_bytes(r.take()?);
            let producer_epoch = i16::from_le_bytes(r.take()?);
            let [batch_count, _] = r.take()?;
            let last_timestamp = i64::from_le_bytes(r.take()?);
            if usize::from(batch_count) > REMEMBERED_BATCH_COUNT {
                return None;
            }
            let mut batches = VecDeque::with_capacity(usize::from(batch_count));
            for _ in 0..batch_count {
                batches.push_back(RememberedBatch {
                    first_sequence: i32::from_le_bytes(r.take()?),
                    last_sequence: i32::from_le_bytes(r.take()?),
                    base_offset: u64::from_le_bytes(r.take()?),
                    last_offset_delta: u32::from_le_bytes(r.take()?),
                    timestamp: i64::from_le_bytes(r.take()?),
                });
            }
            states.insert(
                id,
                ProducerState { producer_epoch, last_timestamp, batches, seen: Seen::default() },
            );
        }
        r.0.is_empty().then_some(ProducerSnapshot {
            offset,
            leader_epoch,
            states: Self { states, clock: Clock::default() },
        })
    }
}

/// The sequence number `delta` after `sequence`; 0 follows `i32::MAX`.
fn sequence_after(sequence: i32, delta: u32) -> i32 {
    const COUNT: i64 = 1 << 31;
    let sum = (i64::from(sequence) + i64::from(delta)).rem_euclid(COUNT);
    i32::try_from(sum).unwrap_or(i32::MAX)
}

/// Whether `sequence` lies in the half of the number circle that ends just before `next`.
fn lies_behind(sequence: i32, next: i32) -> bool {
    const COUNT: i64 = 1 << 31;
    let distance = (i64::from(next) - i64::from(sequence)).rem_euclid(COUNT);
    (1..=COUNT / 2).contains(&distance)
}

/// Reads fixed-size fields off the front of a slice.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }
}

#[cfg(test)]
#[path = "producers_tests.rs"]
mod tests;
