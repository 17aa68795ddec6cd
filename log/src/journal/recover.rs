//! Reads a journal's file back: what counts, what was never acknowledged, what is damaged.
//!
//! Writing and syncing alternate, one frame at a time, into zeros that were synced before. From that
//! follow the rules:
//!
//! * An intact frame proves that every frame before it was synced. If one of those is missing, the
//!   file is damaged and refused.
//! * What follows the last intact frame and is no intact frame either is the torn rest of one write
//!   that nobody was told about: it is wiped. The other reading would be two damaged copies of the
//!   very last frame; one damaged copy is mended from the other.
//! * Zeros always follow the last frame. A file that ends before them was cut.

use std::ops::Range;

use super::error::JournalOpenError;
use super::frame::{FORMAT, FRAME_PREFIX_SIZE, FRAMES_START, Frame, Header, HeaderFound};
use super::state::State;

/// What a file holds.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) header: Header,
    pub(super) state: State,
    /// Where the next frame goes.
    pub(super) position: u64,
    /// Checksum that the next frame continues.
    pub(super) previous: u32,
    /// Number of the next frame.
    pub(super) sequence: u64,
    /// Intact bytes to write over damaged copies.
    pub(super) mends: Vec<Mend>,
    /// The torn rest to wipe.
    pub(super) torn: Option<Range<u64>>,
}

/// A damaged copy and where its intact twin lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mend {
    pub(super) from: Range<usize>,
    pub(super) to: u64,
}

/// Reads a whole file.
///
/// # Errors
/// All that concern the content, except `Foreign`.
pub(super) fn recover(file: &[u8]) -> Result<Recovered, JournalOpenError> {
    let (header, damaged_headers) = match Header::find(file) {
        HeaderFound::Good { header, damaged_copies } => (header, damaged_copies),
        HeaderFound::Newer(found) => {
            return Err(JournalOpenError::NewerFormat { found, supported: FORMAT });
        }
        HeaderFound::Unreadable => return Err(JournalOpenError::BadHeader),
    };
    let mut scan = Scan {
        file,
        generation: header.generation,
        at: FRAMES_START as usize,
        previous: header.chain(),
        sequence: 1,
        state: State::default(),
        mends: Vec::new(),
    };
    while scan.step()? {}
    let torn = scan.torn()?;
    if file.len() < scan.at + FRAME_PREFIX_SIZE {
        return Err(damaged(scan.at, "the file was cut"));
    }
    if damaged_headers > 0 {
        tracing::warn!("a copy of the journal's header is damaged; mended");
    }
    Ok(Recovered {
        header,
        state: scan.state,
        position: scan.at as u64,
        previous: scan.previous,
        sequence: scan.sequence,
        mends: scan.mends,
        torn,
    })
}

struct Scan<'a> {
    file: &'a [u8],
    generation: u64,
    at: usize,
    previous: u32,
    sequence: u64,
    state: State,
    mends: Vec<Mend>,
}

impl<'a> Scan<'a> {
    /// Takes the next frame, from whichever copy is intact; `false` when there is none.
    fn step(&mut self) -> Result<bool, JournalOpenError> {
        let rest = self.file.get(self.at..).unwrap_or_default();
        let first = Frame::parse(rest, self.generation).filter(|frame| self.continues(frame));
        let frame = match first {
            Some(frame) => {
                let (copy, other) = (self.at..self.at + frame.size(), self.at + frame.size());
                if self.file.get(other..other + frame.size()) != Some(&self.file[copy.clone()]) {
                    self.mends.push(Mend { from: copy, to: other as u64 });
                }
                frame
            }
            None => match Frame::search(rest, self.generation) {
                None => return Ok(false),
                Some((distance, frame)) if self.continues(&frame) && distance == frame.size() => {
                    let start = self.at + distance;
                    self.mends.push(Mend { from: start..start + distance, to: self.at as u64 });
                    frame
                }
                Some(_) => return Err(damaged(self.at, "a frame before an intact one is gone")),
            },
        };
        if self.file.len() < self.at + 2 * frame.size() {
            return Err(damaged(self.at, "the file was cut"));
        }
        let records = frame.records();
        let records = records.ok_or_else(|| damaged(self.at, "a frame of unknown records"))?;
        self.state
            .apply(&records)
            .map_err(|_| damaged(self.at, "a record goes back on an earlier one"))?;
        self.at += 2 * frame.size();
        self.previous = frame.crc;
        self.sequence += 1;
        Ok(true)
    }

    fn continues(&self, frame: &Frame<'a>) -> bool {
        frame.sequence == self.sequence && frame.previous == self.previous
    }

    /// The bytes after the last frame that are not zero.
    fn torn(&self) -> Result<Option<Range<u64>>, JournalOpenError> {
        let rest = self.file.get(self.at..).unwrap_or_default();
        let Some(first) = rest.iter().position(|byte| *byte != 0) else {
            return Ok(None);
        };
        let last = rest.iter().rposition(|byte| *byte != 0).unwrap_or(first);
        let range = self.at + first..self.at + last + 1;
        if range.end == self.file.len() {
            return Err(damaged(self.at, "the file was cut within a frame"));
        }
        Ok(Some(range.start as u64..range.end as u64))
    }
}

fn damaged(position: usize, reason: &'static str) -> JournalOpenError {
    JournalOpenError::Damaged { position: position as u64, reason }
}
