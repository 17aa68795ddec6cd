//! Reads a journal's file back: what counts, what was never acknowledged, what is damaged.
//!
//! Writing and syncing alternate, one frame at a time, into zeros that were synced before. From
//! that follow the rules:
//!
//! * An intact frame proves that every frame before it was synced. If one of those is missing, the
//!   file is damaged and refused.
//! * What follows the last intact frame and is no intact frame either is the torn rest of one write
//!   that nobody was told about: it is wiped. The other reading would be two damaged copies of the
//!   very last frame; one damaged copy is mended from the other.
//! * Zeros always follow the last frame. A file that ends before them was cut.
//! * What is read may be in memory only, and clean there, when the sync before the last process's
//!   end failed. So the last frame and the zeros after it are written again before anything else.

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
    /// An intact copy of the last frame, which may be in memory only.
    pub(super) last: Option<Range<usize>>,
    /// From the first to the last byte of a torn rest.
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
        last: None,
    };
    while scan.step()? {}
    if scan.is_cut() {
        return Err(damaged(scan.at, "the file was cut"));
    }
    let torn = scan.torn();
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
        last: scan.last,
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
    last: Option<Range<usize>>,
}

impl<'a> Scan<'a> {
    /// Takes the next frame, from whichever copy is intact; `false` when there is none.
    fn step(&mut self) -> Result<bool, JournalOpenError> {
        let rest = self.file.get(self.at..).unwrap_or_default();
        let first = Frame::parse(rest, self.generation).filter(|frame| self.continues(frame));
        let (frame, intact, other) = match first {
            Some(frame) => (frame, self.at, self.at + frame.size()),
            None => match Frame::search(rest, self.generation) {
                None => return Ok(false),
                Some((distance, frame)) if self.continues(&frame) && distance == frame.size() => {
                    (frame, self.at + distance, self.at)
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
        let intact = intact..intact + frame.size();
        if self.file[other..other + frame.size()] != self.file[intact.clone()] {
            self.mends.push(Mend { from: intact.clone(), to: other as u64 });
        }
        self.last = Some(intact);
        self.at += 2 * frame.size();
        self.previous = frame.crc;
        self.sequence += 1;
        Ok(true)
    }

    fn continues(&self, frame: &Frame<'a>) -> bool {
        frame.sequence == self.sequence && frame.previous == self.previous
    }

    /// Whether the file ends before the zeros that follow every frame, also one that was torn.
    fn is_cut(&self) -> bool {
        let rest = self.file.get(self.at..).unwrap_or_default();
        let need = Frame::claimed_size(rest).map_or(0, |size| 2 * size) + FRAME_PREFIX_SIZE;
        rest.len() < need
    }

    /// The bytes after the last frame that are not zero.
    fn torn(&self) -> Option<Range<u64>> {
        let rest = self.file.get(self.at..).unwrap_or_default();
        let first = rest.iter().position(|byte| *byte != 0)?;
        let last = rest.iter().rposition(|byte| *byte != 0)?;
        Some((self.at + first) as u64..(self.at + last + 1) as u64)
    }
}

fn damaged(position: usize, reason: &'static str) -> JournalOpenError {
    JournalOpenError::Damaged { position: position as u64, reason }
}
