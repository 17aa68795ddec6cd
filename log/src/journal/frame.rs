//! How groups of records lie in the journal's file.
//!
//! Two equal headers, each in a sector of its own, then frames, then zeros to the end of the file:
//!
//! ```text
//! header   0  8  "SYNODJNL"            frame   0  4  "SJF1"
//!          8  4  format, now 1                 4  4  CRC-32 of the rest, see below
//!         12  4  node id                       8  4  size of the payload
//!         16 16  cluster id                   12  4  CRC-32 of the frame before
//!         32  8  generation                   16  8  sequence number, from 1
//!         40  4  CRC-32 of the above          24     payload: records
//!         44     zeros to 512
//! ```
//!
//! All numbers are little-endian. A frame's checksum covers the generation, which a rewrite raises,
//! and the checksum of the frame before; so a frame fits one place in one file. Each frame is
//! written twice, back to back and byte for byte the same: one damaged copy costs nothing, and the
//! last frame of the file, which nothing behind it vouches for, is as safe as the others.

use super::record::{JournalRecord, take, take_u32, take_u64};
use crate::identity::{ClusterId, Identity};

/// The format that this build writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;

/// Size of one header copy: a sector, so that no write tears both.
pub(super) const HEADER_SIZE: usize = 512;

/// Where the first frame begins.
pub(super) const FRAMES_START: u64 = 2 * HEADER_SIZE as u64;

/// Bytes of a frame before its payload. At least as many zeros always follow the last frame.
pub(super) const FRAME_PREFIX_SIZE: usize = 24;

/// Largest payload of a frame in bytes.
pub(super) const MAX_PAYLOAD_SIZE: usize = 1 << 20;

const MAGIC: &[u8; 8] = b"SYNODJNL";
const MARKER: &[u8; 4] = b"SJF1";
const HEADER_CHECKED: usize = 40;

/// The beginning of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) identity: Identity,
    pub(super) generation: u64,
}

/// What the first sectors of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFound {
    Good { header: Header, damaged_copies: u32 },
    Newer(u32),
    Unreadable,
}

impl Header {
    /// Both copies.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(2 * HEADER_SIZE);
        copy.extend_from_slice(MAGIC);
        copy.extend_from_slice(&FORMAT.to_le_bytes());
        copy.extend_from_slice(&self.identity.node_id.to_le_bytes());
        copy.extend_from_slice(&self.identity.cluster_id.0);
        copy.extend_from_slice(&self.generation.to_le_bytes());
        copy.extend_from_slice(&crc32fast::hash(&copy).to_le_bytes());
        copy.resize(HEADER_SIZE, 0);
        copy.extend_from_within(..);
        copy
    }

    /// The checksum that the first frame continues.
    pub(super) fn chain(&self) -> u32 {
        crc32fast::hash(&self.encode()[..HEADER_CHECKED])
    }

    pub(super) fn find(file: &[u8]) -> HeaderFound {
        let copies = [0, HEADER_SIZE].map(|at| file.get(at..at + HEADER_SIZE));
        let formats = copies.map(|copy| copy.and_then(read_format));
        if let Some(newer) = formats.into_iter().flatten().find(|format| *format > FORMAT) {
            // A flipped bit can look like a newer format, but hardly in both copies.
            if formats[0] == formats[1] {
                return HeaderFound::Newer(newer);
            }
        }
        let headers = copies.map(|copy| copy.and_then(read_header));
        let Some(header) = headers.into_iter().flatten().next() else {
            return HeaderFound::Unreadable;
        };
        let whole = header.encode();
        let damaged = copies.iter().filter(|copy| **copy != Some(&whole[..HEADER_SIZE]));
        HeaderFound::Good { header, damaged_copies: damaged.count() as u32 }
    }
}

fn read_format(mut copy: &[u8]) -> Option<u32> {
    (take::<8>(&mut copy)? == *MAGIC).then(|| take_u32(&mut copy))?
}

fn read_header(copy: &[u8]) -> Option<Header> {
    if read_format(copy)? != FORMAT {
        return None;
    }
    let mut fields = copy.get(12..)?;
    let node_id = take_u32(&mut fields)?;
    let cluster_id = ClusterId(take(&mut fields)?);
    let generation = take_u64(&mut fields)?;
    let crc = take_u32(&mut fields)?;
    (crc == crc32fast::hash(&copy[..HEADER_CHECKED]))
        .then_some(Header { identity: Identity { cluster_id, node_id }, generation })
}

/// Where a frame stands in its file: what makes its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) generation: u64,
    /// Checksum of the frame before, or of the header.
    pub(super) previous: u32,
    pub(super) sequence: u64,
}

/// A frame that was found intact.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) crc: u32,
    pub(super) previous: u32,
    pub(super) sequence: u64,
    pub(super) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Bytes that one copy takes.
    pub(super) fn size(&self) -> usize {
        FRAME_PREFIX_SIZE + self.payload.len()
    }

    /// Bytes that one copy of the frame at the beginning of `bytes` would take, intact or not.
    pub(super) fn claimed_size(mut bytes: &[u8]) -> Option<usize> {
        if take::<4>(&mut bytes)? != *MARKER {
            return None;
        }
        take_u32(&mut bytes)?;
        Some(FRAME_PREFIX_SIZE + take_u32(&mut bytes)? as usize)
    }

    /// The intact frame of this generation at the beginning of `bytes`, if there is one.
    pub(super) fn parse(bytes: &'a [u8], generation: u64) -> Option<Self> {
        let mut fields = bytes;
        if take::<4>(&mut fields)? != *MARKER {
            return None;
        }
        let crc = take_u32(&mut fields)?;
        let size = take_u32(&mut fields)? as usize;
        let previous = take_u32(&mut fields)?;
        let sequence = take_u64(&mut fields)?;
        if size > MAX_PAYLOAD_SIZE {
            return None;
        }
        let payload = fields.get(..size)?;
        let checked = &bytes[8..FRAME_PREFIX_SIZE + size];
        (crc == checksum(generation, checked)).then_some(Self { crc, previous, sequence, payload })
    }

    /// The first intact frame in `bytes`, with its position.
    pub(super) fn search(bytes: &'a [u8], generation: u64) -> Option<(usize, Self)> {
        let mut from = 0;
        loop {
            from += bytes[from..].iter().position(|byte| *byte == MARKER[0])?;
            if let Some(frame) = Self::parse(&bytes[from..], generation) {
                return Some((from, frame));
            }
            from += 1;
        }
    }

    /// The records of the payload; `None` when it is not made of records.
    pub(super) fn records(&self) -> Option<Vec<JournalRecord>> {
        let mut rest = self.payload;
        let mut records = Vec::new();
        while !rest.is_empty() {
            records.push(JournalRecord::decode(&mut rest)?);
        }
        Some(records)
    }
}

/// One copy of a frame, with its checksum. The payload is at most [`MAX_PAYLOAD_SIZE`] bytes.
pub(super) fn encode_frame(link: Link, records: &[JournalRecord]) -> (Vec<u8>, u32) {
    let mut frame = vec![0; FRAME_PREFIX_SIZE];
    for record in records {
        record.encode(&mut frame);
    }
    let crc = seal_frame(link, &mut frame);
    (frame, crc)
}

/// Fills in what stands before the payload and gives the checksum.
pub(super) fn seal_frame(link: Link, frame: &mut [u8]) -> u32 {
    let size = frame.len() - FRAME_PREFIX_SIZE;
    assert!(size <= MAX_PAYLOAD_SIZE, "a frame's payload of {size} bytes");
    frame[..4].copy_from_slice(MARKER);
    frame[8..12].copy_from_slice(&(size as u32).to_le_bytes());
    frame[12..16].copy_from_slice(&link.previous.to_le_bytes());
    frame[16..24].copy_from_slice(&link.sequence.to_le_bytes());
    let crc = checksum(link.generation, &frame[8..]);
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
    crc
}

fn checksum(generation: u64, checked: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&generation.to_le_bytes());
    hasher.update(checked);
    hasher.finalize()
}
