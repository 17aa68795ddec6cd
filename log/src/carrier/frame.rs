//! How carried batches lie in a carrier file.
//!
//! Two equal headers, each in a sector of its own, then frames:
//!
//! ```text
//! header   0  8  "SYNODCAR"            frame   0  4  "SCF1"
//!          8  4  format, now 1                 4  4  CRC-32 of the rest of the frame
//!         12  4  0                             8 28  summary: see below
//!         16  8  salt                         36     directory: one line per entry
//!         24  8  generation                          batches, entry by entry
//!         32  8  number of the first frame           directory, again
//!         40  4  CRC-32 of the frame before          "SCT1"
//!         44  4  CRC-32 of the above              28  summary, again
//!         48     zeros to 512
//!
//! summary  0  4  size of the batches   line    0 20  partition
//!          4  4  CRC-32 of the frame before   20  1  kind: 1 batches, 2 void
//!          8  8  number                       21  8  base offset
//!         16  4  copies, 1 or 2               29  8  end offset
//!         20  4  lines of the directory       37  4  size of the batches
//!         24  4  CRC-32 of the above and the directory
//! ```
//!
//! All numbers are little-endian. Every checksum also covers the salt, which is drawn anew with
//! each start, and the generation, which each use of a file raises: what an earlier use left behind
//! is never taken for a frame, nor is anything that a client has put into its records. The number
//! and the checksum of the frame before go on from one file to the other, so the header of a file
//! vouches for the last frame of the file before it.

use crate::journal::{take, take_key, take_u32, take_u64};
use crate::key::PartitionKey;

/// The format that this build writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;
/// What a device writes whole, or not at all.
pub(super) const SECTOR_SIZE: usize = 512;
/// Where the first frame begins.
pub(super) const FRAMES_START: u64 = 2 * SECTOR_SIZE as u64;
/// Most bytes of batches in one frame.
pub(super) const MAX_BATCHES_SIZE: usize = 1 << 20;
/// Most entries in one frame.
pub(super) const MAX_ENTRY_COUNT: usize = 8192;

const MAGIC: &[u8; 8] = b"SYNODCAR";
const MARKER: &[u8; 4] = b"SCF1";
const TAIL_MARKER: &[u8; 4] = b"SCT1";
const HEADER_CHECKED: usize = 44;
/// Bytes before the directory.
const PREFIX_SIZE: usize = 8 + SUMMARY_SIZE;
const SUMMARY_SIZE: usize = 28;
const SUMMARY_CHECKED: usize = 24;
const LINE_SIZE: usize = 41;

/// One use of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) seal: Seal,
    /// Number of the first frame.
    pub(super) sequence: u64,
    /// Checksum of the frame before that, which may lie in the other file.
    pub(super) previous: u32,
}

/// What every checksum of one use of a file covers besides the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) salt: u64,
    pub(super) generation: u64,
}

/// What the first sectors of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFound {
    Good(Header),
    /// Nothing was ever written.
    Unused,
    Newer(u32),
    Unreadable,
}

impl Header {
    /// Both copies.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(2 * SECTOR_SIZE);
        copy.extend_from_slice(MAGIC);
        copy.extend_from_slice(&FORMAT.to_le_bytes());
        copy.extend_from_slice(&[0; 4]);
        copy.extend_from_slice(&self.seal.salt.to_le_bytes());
        copy.extend_from_slice(&self.seal.generation.to_le_bytes());
        copy.extend_from_slice(&self.sequence.to_le_bytes());
        copy.extend_from_slice(&self.previous.to_le_bytes());
        copy.extend_from_slice(&crc32fast::hash(&copy).to_le_bytes());
        copy.resize(SECTOR_SIZE, 0);
        copy.extend_from_within(..);
        copy
    }

    /// Reads both copies. Where a crash left one of two uses of the file in each, the later counts.
    pub(super) fn find(file: &[u8]) -> HeaderFound {
        let copies = [0, SECTOR_SIZE].map(|at| file.get(at..at + SECTOR_SIZE).unwrap_or_default());
        let headers = copies.map(read_header);
        if let Some(header) = headers.into_iter().flatten().max_by_key(|h| h.seal.generation) {
            return HeaderFound::Good(header);
        }
        let formats = copies.map(read_format);
        match formats[0].filter(|format| *format > FORMAT && formats[0] == formats[1]) {
            Some(newer) => HeaderFound::Newer(newer),
            None if copies.concat().iter().all(|byte| *byte == 0) => HeaderFound::Unused,
            None => HeaderFound::Unreadable,
        }
    }
}

fn read_format(mut copy: &[u8]) -> Option<u32> {
    (take::<8>(&mut copy)? == *MAGIC).then(|| take_u32(&mut copy))?
}

fn read_header(copy: &[u8]) -> Option<Header> {
    if read_format(copy)? != FORMAT {
        return None;
    }
    let mut fields = copy.get(16..)?;
    let seal = Seal { salt: take_u64(&mut fields)?, generation: take_u64(&mut fields)? };
    let (sequence, previous) = (take_u64(&mut fields)?, take_u32(&mut fields)?);
    let crc = take_u32(&mut fields)?;
    (crc == crc32fast::hash(&copy[..HEADER_CHECKED])).then_some(Header { seal, sequence, previous })
}

impl Seal {
    fn checksum(&self, parts: &[&[u8]]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.salt.to_le_bytes());
        hasher.update(&self.generation.to_le_bytes());
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize()
    }
}

/// A line of a frame's directory: what the frame holds of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) key: PartitionKey,
    pub(super) kind: Kind,
}

/// What a frame says of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Batches, back to back, in so many bytes.
    Batches { base: u64, end: u64, size: u32 },
    /// Nothing that was carried before counts any more.
    Void,
}

impl Line {
    fn size(&self) -> usize {
        match self.kind {
            Kind::Batches { size, .. } => size as usize,
            Kind::Void => 0,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let (kind, base, end, size) = match self.kind {
            Kind::Batches { base, end, size } => (1, base, end, size),
            Kind::Void => (2, 0, 0, 0),
        };
        out.extend_from_slice(&self.key.topic);
        out.extend_from_slice(&self.key.partition.to_le_bytes());
        out.push(kind);
        out.extend_from_slice(&base.to_le_bytes());
        out.extend_from_slice(&end.to_le_bytes());
        out.extend_from_slice(&size.to_le_bytes());
    }

    fn decode(bytes: &mut &[u8]) -> Option<Line> {
        let key = take_key(bytes)?;
        let kind = take::<1>(bytes)?[0];
        let (base, end, size) = (take_u64(bytes)?, take_u64(bytes)?, take_u32(bytes)?);
        let kind = match kind {
            1 if base < end => Kind::Batches { base, end, size },
            2 => Kind::Void,
            _ => return None,
        };
        Some(Line { key, kind })
    }
}

/// The short form of a frame, which stands at both of its ends under a checksum of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// Bytes of batches.
    size: usize,
    pub(super) previous: u32,
    pub(super) sequence: u64,
    copies: usize,
    pub(super) lines: Vec<Line>,
}

impl Summary {
    /// Bytes that one copy of the frame takes.
    fn frame_size(&self) -> usize {
        frame_size(self.lines.len(), self.size)
    }

    /// Where the next frame begins, if this one begins at `at`.
    pub(super) fn end(&self, at: usize) -> usize {
        let end = at + self.frame_size();
        if self.copies == 2 { second_copy(end) + self.frame_size() } else { end }
    }

    fn decode(
        seal: Seal,
        summary: &[u8],
        directory: impl Fn(usize) -> Option<Vec<u8>>,
    ) -> Option<Summary> {
        let mut fields = summary;
        let size = take_u32(&mut fields)? as usize;
        let (previous, sequence) = (take_u32(&mut fields)?, take_u64(&mut fields)?);
        let copies = take_u32(&mut fields)? as usize;
        let count = take_u32(&mut fields)? as usize;
        let crc = take_u32(&mut fields)?;
        if size > MAX_BATCHES_SIZE || count > MAX_ENTRY_COUNT || !(1..=2).contains(&copies) {
            return None;
        }
        let directory = directory(count * LINE_SIZE)?;
        if crc != seal.checksum(&[&summary[..SUMMARY_CHECKED], &directory]) {
            return None;
        }
        let mut rest = &directory[..];
        let lines: Option<Vec<Line>> = (0..count).map(|_| Line::decode(&mut rest)).collect();
        let lines = lines.filter(|it| it.iter().map(Line::size).sum::<usize>() == size)?;
        Some(Summary { size, previous, sequence, copies, lines })
    }

    /// The one in front of a frame that begins at `at`.
    pub(super) fn in_front(file: &[u8], at: usize, seal: Seal) -> Option<Summary> {
        let bytes = file.get(at..).filter(|bytes| bytes.starts_with(MARKER))?;
        let summary = bytes.get(8..PREFIX_SIZE)?;
        let directory = |size| bytes.get(PREFIX_SIZE..PREFIX_SIZE + size).map(<[u8]>::to_vec);
        Summary::decode(seal, summary, directory)
    }

    /// The one at the end of a frame, whose tail begins at `at`.
    pub(super) fn behind(file: &[u8], at: usize, seal: Seal) -> Option<Summary> {
        let bytes = file.get(at..).filter(|bytes| bytes.starts_with(TAIL_MARKER))?;
        let summary = bytes.get(4..4 + SUMMARY_SIZE)?;
        let directory = |size| file.get(at.checked_sub(size)?..at).map(<[u8]>::to_vec);
        Summary::decode(seal, summary, directory)
    }

    /// All that are intact anywhere in a range.
    pub(super) fn search(
        file: &[u8],
        range: std::ops::Range<usize>,
        seal: Seal,
    ) -> impl Iterator<Item = Summary> {
        positions(file, range).filter_map(move |at| {
            Summary::in_front(file, at, seal).or_else(|| Summary::behind(file, at, seal))
        })
    }
}

/// Positions where a frame or its tail may begin.
fn positions(file: &[u8], range: std::ops::Range<usize>) -> impl Iterator<Item = usize> {
    let bytes = file.get(range.clone()).unwrap_or_default();
    let begins = move |at: &usize| bytes[*at..].starts_with(&MARKER[..2]);
    (0..bytes.len()).filter(begins).map(move |at| range.start + at)
}

fn frame_size(line_count: usize, batches_size: usize) -> usize {
    PREFIX_SIZE + 2 * line_count * LINE_SIZE + batches_size + 4 + SUMMARY_SIZE
}

/// Where the second copy begins if the first one ends at `end`: no sector holds parts of both.
fn second_copy(end: usize) -> usize {
    end.next_multiple_of(SECTOR_SIZE)
}

/// A frame that was found intact.
#[derive(Clone, Debug)]
pub(super) struct Frame<'a> {
    pub(super) summary: Summary,
    pub(super) crc: u32,
    batches: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The intact frame that begins at `at`, if there is one.
    pub(super) fn parse(file: &'a [u8], at: usize, seal: Seal) -> Option<Self> {
        let summary = Summary::in_front(file, at, seal)?;
        let bytes = file.get(at..at.checked_add(summary.frame_size())?)?;
        let mut fields = &bytes[4..];
        let crc = take_u32(&mut fields)?;
        if crc != seal.checksum(&[&bytes[8..]]) {
            return None;
        }
        let from = PREFIX_SIZE + summary.lines.len() * LINE_SIZE;
        Some(Self { batches: &bytes[from..from + summary.size], summary, crc })
    }

    /// The first intact frame at or behind `from`, with its position.
    pub(super) fn search(file: &'a [u8], from: usize, seal: Seal) -> Option<(usize, Self)> {
        positions(file, from..file.len()).find_map(|at| Some((at, Self::parse(file, at, seal)?)))
    }

    /// Bytes of this copy.
    pub(super) fn size(&self) -> usize {
        self.summary.frame_size()
    }

    /// The lines with the batches that belong to them.
    pub(super) fn entries(&self) -> impl Iterator<Item = (Line, &'a [u8])> {
        let mut rest = self.batches;
        self.summary.lines.clone().into_iter().map(move |line| {
            let (batches, behind) = rest.split_at(line.size());
            rest = behind;
            (line, batches)
        })
    }
}

/// Bytes that a frame takes at most, however its copies lie.
pub(super) fn most_size(line_count: usize, batches_size: usize, copies: usize) -> u64 {
    (copies * frame_size(line_count, batches_size) + SECTOR_SIZE) as u64
}

/// Appends all copies of a frame to `out`, which ends at position `at` of the file, and gives the
/// frame's checksum. `batches` puts them in the order of the lines.
pub(super) fn encode_frame(
    out: &mut Vec<u8>,
    at: u64,
    seal: Seal,
    link: Link,
    lines: &[Line],
    batches: impl FnOnce(&mut Vec<u8>),
) -> u32 {
    let from = out.len();
    let size: usize = lines.iter().map(Line::size).sum();
    assert!(size <= MAX_BATCHES_SIZE && lines.len() <= MAX_ENTRY_COUNT, "a frame has a limit");
    let mut directory = Vec::with_capacity(lines.len() * LINE_SIZE);
    lines.iter().for_each(|line| line.encode(&mut directory));
    let mut summary = Vec::with_capacity(SUMMARY_SIZE);
    summary.extend_from_slice(&(size as u32).to_le_bytes());
    summary.extend_from_slice(&link.previous.to_le_bytes());
    summary.extend_from_slice(&link.sequence.to_le_bytes());
    summary.extend_from_slice(&(link.copies as u32).to_le_bytes());
    summary.extend_from_slice(&(lines.len() as u32).to_le_bytes());
    let crc = seal.checksum(&[&summary, &directory]);
    summary.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(MARKER);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&summary);
    out.extend_from_slice(&directory);
    batches(out);
    out.extend_from_slice(&directory);
    out.extend_from_slice(TAIL_MARKER);
    out.extend_from_slice(&summary);
    assert_eq!(out.len() - from, frame_size(lines.len(), size), "the directory is right");
    let crc = seal.checksum(&[&out[from + 8..]]);
    out[from + 4..from + 8].copy_from_slice(&crc.to_le_bytes());
    if link.copies == 2 {
        let end = out.len();
        let padding = second_copy(at as usize + end - from) - (at as usize + end - from);
        out.resize(end + padding, 0);
        out.extend_from_within(from..end);
    }
    crc
}

/// Where a frame stands among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Checksum of the frame before.
    pub(super) previous: u32,
    pub(super) sequence: u64,
    /// How often it is written: twice where one rotten sector must not look like a torn write.
    pub(super) copies: usize,
}
