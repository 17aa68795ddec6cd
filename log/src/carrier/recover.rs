//! Reads a pair of carrier files back: what was carried, what was never acknowledged, what is lost.
//!
//! Writing and syncing alternate, one frame at a time, so an intact frame proves that every frame
//! before it was synced, also those of the file before. From that follow the rules:
//!
//! * What follows the last intact frame is the torn rest of one write that nobody was told about,
//!   or what an earlier use of the file left. It does not count. Where the last frame matters most,
//!   it stands there twice: one damaged copy costs nothing.
//! * A damaged frame with an intact one behind it was acknowledged. A summary of it tells of which
//!   partitions it was, and their logs are asked then; without one the file is refused.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;

use super::error::CarrierError;
use super::frame::{FORMAT, FRAMES_START, Frame, Header, HeaderFound, Kind, Line, Seal, Summary};
use crate::key::PartitionKey;

/// Batches that were carried together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) base: u64,
    pub(super) end: u64,
    /// Back to back; `None` where the frame is damaged.
    pub(super) batches: Option<Bytes>,
}

/// What still counts of each partition, in the order in which it was carried. Between two pieces
/// lies what was synced in other ways.
pub(super) type Pieces = BTreeMap<PartitionKey, Vec<Piece>>;

/// A file as it was read.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) path: PathBuf,
    pub(super) bytes: Bytes,
}

/// Reads the files of one carrier, of which one or both may be missing. Also gives them in the
/// order in which they were used.
///
/// # Errors
/// `NewerFormat`, `Damaged`.
pub(super) fn recover(files: Vec<Content>) -> Result<(Pieces, Vec<Content>), CarrierError> {
    let mut used = Vec::new();
    let mut unused = Vec::new();
    for file in files {
        match Header::find(&file.bytes) {
            HeaderFound::Good(header) => used.push((header, file)),
            HeaderFound::Unused => unused.push(file),
            HeaderFound::Newer(found) => {
                let (path, supported) = (file.path, FORMAT);
                return Err(CarrierError::NewerFormat { path, found, supported });
            }
            HeaderFound::Unreadable => return Err(damaged(&file, 0, "its header cannot be read")),
        }
    }
    used.sort_by_key(|(header, _)| header.seal.generation);
    if let [(first, _), (second, file)] = &used[..]
        && (first.seal.salt != second.seal.salt
            || first.seal.generation + 1 != second.seal.generation)
    {
        return Err(damaged(file, 0, "it does not belong to the other file"));
    }
    if let ([(header, _)], [file]) = (&used[..], &unused[..])
        && header.seal.generation > 1
    {
        return Err(damaged(file, 0, "its header is gone"));
    }
    let mut pieces = Pieces::new();
    for (index, (header, file)) in used.iter().enumerate() {
        let next = used.get(index + 1).map(|(header, _)| *header);
        Scan { file, seal: header.seal, next, at: FRAMES_START as usize, pieces: &mut pieces }
            .run(header)?;
    }
    Ok((pieces, used.into_iter().map(|(_, file)| file).chain(unused).collect()))
}

struct Scan<'a> {
    file: &'a Content,
    seal: Seal,
    /// Header of the file that was used next.
    next: Option<Header>,
    at: usize,
    pieces: &'a mut Pieces,
}

impl Scan<'_> {
    fn run(mut self, header: &Header) -> Result<(), CarrierError> {
        let bytes = self.file.bytes.clone();
        let (mut sequence, mut previous) = (header.sequence, header.previous);
        loop {
            let here = Frame::parse(&bytes, self.at, self.seal).map(|frame| (self.at, frame));
            let found = here.or_else(|| Frame::search(&bytes, self.at, self.seal));
            let Some((position, frame)) = found else { break };
            let found = frame.summary.sequence;
            let end = position + frame.size();
            if found < sequence {
                // The other copy of one that was taken already.
                self.at = end;
                continue;
            }
            if found > sequence {
                self.lose(position, sequence..found)?;
            } else if frame.summary.previous != previous {
                return Err(self.damaged("a frame does not follow the one before"));
            }
            for (line, batches) in frame.entries() {
                self.note(line, Some(bytes.slice_ref(batches)));
            }
            // At its expected place it is the first copy, else perhaps the second.
            self.at = if position == self.at { frame.summary.end(position) } else { end };
            (sequence, previous) = (found + 1, frame.crc);
        }
        match self.next {
            Some(next) if next.sequence > sequence => {
                self.lose(bytes.len(), sequence..next.sequence)
            }
            Some(next) if (next.sequence, next.previous) != (sequence, previous) => {
                Err(self.damaged("the next file does not follow this one"))
            }
            Some(_) => Ok(()),
            None => self.refuse_if_cut(sequence),
        }
    }

    fn note(&mut self, line: Line, batches: Option<Bytes>) {
        match line.kind {
            Kind::Void => drop(self.pieces.remove(&line.key)),
            Kind::Batches { base, end, .. } => {
                self.pieces.entry(line.key).or_default().push(Piece { base, end, batches });
            }
        }
    }

    /// Finds out what the damaged frames of these numbers held, which lie before `upto`.
    fn lose(&mut self, upto: usize, sequences: Range<u64>) -> Result<(), CarrierError> {
        let range = self.at.min(upto)..upto;
        let found: BTreeMap<u64, Summary> = Summary::search(&self.file.bytes, range, self.seal)
            .map(|summary| (summary.sequence, summary))
            .collect();
        for sequence in sequences {
            let Some(summary) = found.get(&sequence) else {
                return Err(self.damaged("a frame before an intact one is gone"));
            };
            tracing::error!(
                path = %self.file.path.display(), sequence, entries = summary.lines.len(),
                "a frame of the carrier is damaged"
            );
            for line in &summary.lines {
                self.note(*line, None);
            }
        }
        Ok(())
    }

    /// A write that was torn lies inside the file all the same: the space was there before.
    fn refuse_if_cut(&self, sequence: u64) -> Result<(), CarrierError> {
        let torn = Summary::in_front(&self.file.bytes, self.at, self.seal);
        match torn.filter(|torn| torn.sequence == sequence) {
            Some(torn) if torn.end(self.at) > self.file.bytes.len() => {
                Err(self.damaged("the file was cut"))
            }
            _ => Ok(()),
        }
    }

    fn damaged(&self, reason: &'static str) -> CarrierError {
        damaged(self.file, self.at, reason)
    }
}

fn damaged(file: &Content, position: usize, reason: &'static str) -> CarrierError {
    CarrierError::Damaged { path: file.path.clone(), position: position as u64, reason }
}
