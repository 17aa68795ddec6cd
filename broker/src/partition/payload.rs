//! Batches beside messages: what came from a peer is checked, what goes to one is in hand or read.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use synod_log::batch::{Batch, BatchError, BatchHeader};
use synod_log::{LogError, LogView};
use synod_paxos as paxos;

/// Why the payload of a message is not what the message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PayloadError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("batch {0} of the message is another one, or missing")]
    Differs(usize),
    #[error("there is more than the message describes")]
    Surplus,
}

/// What the core knows of a batch; `None` for one that no leader of ours stamped.
pub(super) fn describe(header: &BatchHeader) -> Option<paxos::Batch> {
    Some(paxos::Batch {
        base: header.base_offset(),
        end: header.end_offset(),
        round: u32::try_from(header.leader_epoch()).ok()?,
        size: u32::try_from(header.size()).ok()?,
        checksum: header.crc(),
    })
}

/// What the core is to know of a batch that it gives a place; `None` if it has none for so many.
pub(super) fn proposal(batch: &Batch) -> Option<paxos::Proposal> {
    Some(paxos::Proposal {
        count: u32::try_from(batch.header().offset_count()).ok()?,
        size: u32::try_from(batch.size()).ok()?,
        checksum: batch.header().crc(),
    })
}

/// Bodies that are not larger than this are cheaper to copy together than to share.
const COPIED_SIZE: usize = 4 << 10;

/// Batches that the core is being told of: what it says of them at once need not be read back from
/// the log, nor checked again.
#[derive(Debug, Default)]
pub(super) struct InHand {
    batches: Vec<Batch>,
    /// The payload made last: most often all followers get the same.
    made: Option<(Range<usize>, Vec<Bytes>)>,
}

impl InHand {
    pub(super) fn take(&mut self, batches: Vec<Batch>) {
        *self = InHand { batches, made: None };
    }

    pub(super) fn clear(&mut self) {
        *self = InHand::default();
    }

    /// The payload of the described batches, if exactly those are in hand.
    pub(super) fn payload(&mut self, described: &[paxos::Batch]) -> Option<Vec<Bytes>> {
        let first = described.first()?;
        let from = self.batches.partition_point(|batch| batch.base_offset() < first.base);
        let range = from..from + described.len();
        let held = self.batches.get(range.clone())?;
        let same = held.iter().map(|batch| describe(batch.header()));
        if !same.eq(described.iter().map(|batch| Some(*batch))) {
            return None;
        }
        if self.made.as_ref().is_none_or(|(made, _)| *made != range) {
            self.made = Some((range, pieces(held)));
        }
        self.made.as_ref().map(|(_, pieces)| pieces.clone())
    }
}

/// Batches back to back. Large bodies are shared, the rest is copied together.
fn pieces(batches: &[Batch]) -> Vec<Bytes> {
    let copied = |batch: &Batch| match batch.body().len() {
        size if size <= COPIED_SIZE => batch.size(),
        size => batch.size() - size,
    };
    let mut small = BytesMut::with_capacity(batches.iter().map(copied).sum());
    let mut pieces = Vec::new();
    for batch in batches {
        let [header, body] = batch.parts();
        small.extend_from_slice(&header);
        if body.len() <= COPIED_SIZE {
            small.extend_from_slice(&body);
        } else {
            pieces.push(small.split().freeze());
            pieces.push(batch.body().clone());
        }
    }
    if !small.is_empty() {
        pieces.push(small.freeze());
    }
    pieces
}

/// The batches of a payload: exactly those described, each intact.
///
/// # Errors
/// See [`PayloadError`].
pub(super) fn parse(
    mut payload: Vec<Bytes>,
    described: &[paxos::Batch],
) -> Result<Vec<Batch>, PayloadError> {
    let mut batches = Vec::with_capacity(described.len());
    // What came over a connection is in one piece.
    let mut rest = match payload.len() {
        0 | 1 => payload.pop().unwrap_or_default(),
        _ => payload.concat().into(),
    };
    while !rest.is_empty() {
        let (batch, after) = Batch::parse(rest)?;
        rest = after;
        let place = batches.len();
        let Some(expected) = described.get(place) else { return Err(PayloadError::Surplus) };
        if describe(batch.header()) != Some(*expected) {
            return Err(PayloadError::Differs(place));
        }
        batch.verify_crc()?;
        batches.push(batch);
    }
    if batches.len() < described.len() {
        return Err(PayloadError::Differs(batches.len()));
    }
    Ok(batches)
}

/// Reads exactly the described batches from the log, without a copy; `None` if it holds others, or
/// none.
///
/// # Errors
/// They cannot be read.
pub(super) fn read(
    view: &LogView,
    described: &[paxos::Batch],
) -> Result<Option<Vec<Bytes>>, LogError> {
    let (Some(first), Some(last)) = (described.first(), described.last()) else {
        return Ok(Some(Vec::new()));
    };
    let size = described.iter().map(|batch| batch.size as usize).sum();
    // The log's start may lie inside the first batch.
    let from = first.base.max(view.start());
    if from >= first.end {
        return Ok(None);
    }
    let slice = match view.read(from, size, false, last.end) {
        Ok(slice) => slice,
        Err(LogError::OutOfRange { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let held = headers(&slice.batches).map(|header| describe(&header?));
    let same = held.eq(described.iter().map(|batch| Some(*batch)));
    Ok(same.then_some(slice.batches))
}

/// Descriptors of whole batches from the one that begins at `from` on: at least one, then as many
/// as fit `max_size` bytes and end at or before `end`.
///
/// # Errors
/// They cannot be read.
pub(super) fn describe_range(
    view: &LogView,
    from: u64,
    end: u64,
    max_size: u64,
) -> Result<Vec<paxos::Batch>, LogError> {
    let end = end.min(view.end());
    let max_size = usize::try_from(max_size).unwrap_or(usize::MAX);
    let slice = match view.read(from.max(view.start()), max_size, true, end) {
        Ok(slice) if slice.first_offset == from => slice,
        Ok(_) | Err(LogError::OutOfRange { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    Ok(headers(&slice.batches).map_while(|header| describe(&header?)).collect())
}

/// The headers of batches that lie back to back in each piece; `None` ends it where there is
/// something else.
fn headers(pieces: &[Bytes]) -> impl Iterator<Item = Option<BatchHeader>> + '_ {
    pieces.iter().flat_map(|piece| {
        let mut rest = &piece[..];
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let header = BatchHeader::parse(rest).ok().filter(|header| header.size() <= rest.len());
            rest = header.map_or(&[], |header| &rest[header.size()..]);
            Some(header)
        })
    })
}
