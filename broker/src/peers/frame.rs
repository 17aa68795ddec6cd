//! Frames on a connection between brokers.
//!
//! ```text
//! u32  length         of everything behind it
//! u32  crc32          of length, version, kind, header length and header
//! u8   version        of the protocol
//! u8   kind           what the header is
//! u32  header length
//! …    header         postcard
//! …    payload        record batches, raw: they carry checksums of their own
//! ```
//!
//! Big-endian. The part before the header has the same shape in every version, so that brokers of
//! different versions can tell each other so. The checksum is looked at as soon as the header is
//! there: nothing waits for a payload that garbage announces.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::Decoder;

use crate::limits::{HELLO_FRAME_SIZE, PEER_HEADER_SIZE, PEER_PAYLOAD_SIZE};

/// The version of the protocol that this build speaks. Everything after the introduction may change
/// with it.
pub(super) const VERSION: u8 = 3;

/// Bytes before the header.
pub(super) const PREFIX_SIZE: usize = 14;

/// Bytes of the length field itself.
const LENGTH_SIZE: usize = 4;

/// Room asked for at a time, however much is announced…
const RESERVE_SIZE: usize = 1 << 20;

/// … or so many times what has come: a buffer that grows is copied, so it should not grow often.
const RESERVE_FACTOR: usize = 16;

/// What a frame's header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The dialer's introduction.
    Hello = 1,
    /// The answer to it.
    Reply = 2,
    /// Messages, with their payload.
    Messages = 3,
}

/// One frame, as it arrived. The parts are slices of the receive buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) header: Bytes,
    pub(super) payload: Bytes,
}

/// Why a connection between brokers cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error(
        "a frame of {size} bytes is beyond the limit of {limit}: these are not a broker's bytes"
    )]
    Size { size: usize, limit: usize },
    #[error("a frame's checksum does not match")]
    Checksum,
    #[error("a frame of version {found} of the brokers' protocol; this build speaks {VERSION}")]
    Version { found: u8 },
    #[error("a frame of unknown kind {0}")]
    Kind(u8),
    #[error("a frame's header cannot be understood: {0}")]
    Header(&'static str),
    #[error("a frame was repeated or is missing: number {found} came, {expected} was due")]
    Sequence { found: u64, expected: u64 },
    #[error("a frame of another connection came")]
    Session,
}

/// Takes frames off a receive buffer.
#[derive(Debug)]
pub(super) struct FrameDecoder {
    /// Largest header and payload.
    header_limit: usize,
    payload_limit: usize,
    /// The checksum of the frame at the front of the buffer has been found right.
    is_checked: bool,
}

impl FrameDecoder {
    /// For the introduction: tiny frames without payload.
    pub(super) fn for_hello() -> FrameDecoder {
        FrameDecoder { header_limit: HELLO_FRAME_SIZE, payload_limit: 0, is_checked: false }
    }

    /// For a connection whose two ends know each other.
    pub(super) fn for_messages() -> FrameDecoder {
        FrameDecoder {
            header_limit: PEER_HEADER_SIZE,
            payload_limit: PEER_PAYLOAD_SIZE,
            is_checked: false,
        }
    }

    /// Checks the frame at the front as soon as its header is there.
    fn check(&mut self, buffer: &[u8], length: usize) -> Result<bool, FrameError> {
        let Some(prefix) = buffer.first_chunk::<PREFIX_SIZE>() else { return Ok(false) };
        let header_size = header_size(prefix);
        let rest = length - (PREFIX_SIZE - LENGTH_SIZE);
        if header_size > rest {
            return Err(FrameError::Header("it is longer than its frame"));
        }
        for (size, limit) in
            [(header_size, self.header_limit), (rest - header_size, self.payload_limit)]
        {
            if size > limit {
                return Err(FrameError::Size { size, limit });
            }
        }
        let Some(header) = buffer[PREFIX_SIZE..].get(..header_size) else { return Ok(false) };
        let found = u32::from_be_bytes([prefix[4], prefix[5], prefix[6], prefix[7]]);
        if found != checksum(prefix, header) {
            return Err(FrameError::Checksum);
        }
        if prefix[8] != VERSION {
            return Err(FrameError::Version { found: prefix[8] });
        }
        self.is_checked = true;
        Ok(true)
    }
}

impl Decoder for FrameDecoder {
    type Item = Frame;
    type Error = FrameError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some(length) = buffer.first_chunk::<LENGTH_SIZE>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        let limit = PREFIX_SIZE - LENGTH_SIZE + self.header_limit + self.payload_limit;
        if length < PREFIX_SIZE - LENGTH_SIZE || length > limit {
            return Err(FrameError::Size { size: length, limit });
        }
        if !self.is_checked && !self.check(buffer, length)? {
            buffer.reserve(PREFIX_SIZE.max(length.min(self.header_limit)).min(RESERVE_SIZE));
            return Ok(None);
        }
        let size = LENGTH_SIZE + length;
        if buffer.len() < size {
            let room = RESERVE_SIZE.max(RESERVE_FACTOR * buffer.len());
            buffer.reserve((size - buffer.len()).min(room));
            return Ok(None);
        }
        self.is_checked = false;
        let mut frame = buffer.split_to(size).freeze();
        let kind = match frame[9] {
            1 => Kind::Hello,
            2 => Kind::Reply,
            3 => Kind::Messages,
            other => return Err(FrameError::Kind(other)),
        };
        let header_size = frame.first_chunk().map_or(0, header_size);
        frame.advance(PREFIX_SIZE);
        let header = frame.split_to(header_size);
        Ok(Some(Frame { kind, header, payload: frame }))
    }

    /// Bytes of an unfinished frame at the end are an error of their own.
    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        match self.decode(buffer)? {
            None if !buffer.is_empty() => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            frame => Ok(frame),
        }
    }
}

/// The part of a frame before its payload. `header` writes itself behind the prefix.
pub(super) fn encode_head(
    kind: Kind,
    payload_size: usize,
    header: impl FnOnce(Vec<u8>) -> Result<Vec<u8>, postcard::Error>,
) -> Result<Bytes, EncodeError> {
    let mut head = header(vec![0; PREFIX_SIZE]).map_err(EncodeError::Form)?;
    let header_size = head.len() - PREFIX_SIZE;
    if header_size > PEER_HEADER_SIZE || payload_size > PEER_PAYLOAD_SIZE {
        return Err(EncodeError::TooLarge);
    }
    let length = (head.len() - LENGTH_SIZE + payload_size) as u32;
    let mut prefix = &mut head[..PREFIX_SIZE];
    prefix.put_u32(length);
    prefix.put_u32(0);
    prefix.put_u8(VERSION);
    prefix.put_u8(kind as u8);
    prefix.put_u32(header_size as u32);
    let (prefix, header) = head.split_at(PREFIX_SIZE);
    let crc = checksum(prefix.first_chunk().expect("a whole prefix"), header);
    head[4..8].copy_from_slice(&crc.to_be_bytes());
    Ok(head.into())
}

/// Why a frame cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EncodeError {
    #[error("it would be larger than a frame may be")]
    TooLarge,
    #[error("{0}")]
    Form(postcard::Error),
}

fn header_size(prefix: &[u8; PREFIX_SIZE]) -> usize {
    u32::from_be_bytes([prefix[10], prefix[11], prefix[12], prefix[13]]) as usize
}

/// The lengths belong to what is checked: with a wrong one everything behind would be misread.
fn checksum(prefix: &[u8; PREFIX_SIZE], header: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&prefix[..4]);
    hasher.update(&prefix[8..]);
    hasher.update(header);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(header: &[u8], payload: &[u8]) -> Vec<u8> {
        let head = encode_head(Kind::Messages, payload.len(), |mut head| {
            head.extend_from_slice(header);
            Ok(head)
        });
        [&head.expect("small")[..], payload].concat()
    }

    fn decode_all(
        decoder: &mut FrameDecoder,
        buffer: &mut BytesMut,
    ) -> Result<Vec<Frame>, FrameError> {
        let mut frames = Vec::new();
        while let Some(frame) = decoder.decode(buffer)? {
            frames.push(frame);
        }
        Ok(frames)
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let bytes = [frame(b"head", b"payload"), frame(b"", b""), frame(b"x", b"")].concat();
        for cut in 0..bytes.len() {
            let mut decoder = FrameDecoder::for_messages();
            let mut buffer = BytesMut::from(&bytes[..cut]);
            let mut frames = decode_all(&mut decoder, &mut buffer).expect("whole so far");
            buffer.extend_from_slice(&bytes[cut..]);
            frames.extend(decode_all(&mut decoder, &mut buffer).expect("whole"));
            let parts: Vec<(&[u8], &[u8])> =
                frames.iter().map(|frame| (&frame.header[..], &frame.payload[..])).collect();
            assert_eq!(parts, [(&b"head"[..], &b"payload"[..]), (b"", b""), (b"x", b"")]);
            assert!(buffer.is_empty() && frames.iter().all(|frame| frame.kind == Kind::Messages));
        }
    }

    #[test]
    fn every_flipped_bit_before_the_payload_is_noticed() {
        let whole = frame(b"some header", b"payload");
        for position in 0..PREFIX_SIZE + 11 {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[position] ^= 1 << bit;
                let mut buffer = BytesMut::from(&bytes[..]);
                // Only a length that grew leaves something to wait for, and then the end tells.
                let found = FrameDecoder::for_messages().decode_eof(&mut buffer);
                assert!(found.is_err(), "bit {bit} of byte {position}: {found:?}");
            }
        }
    }

    #[test]
    fn a_cut_frame_is_an_error_at_the_end_of_the_connection() {
        let whole = frame(b"head", b"payload");
        for length in 1..whole.len() {
            let mut buffer = BytesMut::from(&whole[..length]);
            let mut decoder = FrameDecoder::for_messages();
            assert!(decoder.decode(&mut buffer).expect("nothing wrong yet").is_none());
            assert!(matches!(decoder.decode_eof(&mut buffer), Err(FrameError::Io(_))), "{length}");
        }
    }

    #[test]
    fn limits_hold_before_anything_is_reserved() {
        let huge = u32::MAX.to_be_bytes();
        for mut decoder in [FrameDecoder::for_hello(), FrameDecoder::for_messages()] {
            let mut buffer = BytesMut::from(&huge[..]);
            assert!(matches!(decoder.decode(&mut buffer), Err(FrameError::Size { .. })));
            assert!(buffer.capacity() < 1 << 16);
        }
        // What is fine between acquaintances is too much for an introduction.
        let large = frame(&vec![0; HELLO_FRAME_SIZE + 1], b"");
        let payload = frame(b"", b"p");
        for bytes in [&large, &payload] {
            let mut buffer = BytesMut::from(&bytes[..]);
            let found = FrameDecoder::for_hello().decode(&mut buffer);
            assert!(matches!(found, Err(FrameError::Size { .. })), "{found:?}");
            let mut buffer = BytesMut::from(&bytes[..]);
            assert!(FrameDecoder::for_messages().decode(&mut buffer).expect("fine").is_some());
        }
        // A large frame is announced: room is made piece by piece.
        let whole = frame(b"h", &vec![0; 8 << 20]);
        let mut buffer = BytesMut::from(&whole[..100]);
        assert!(FrameDecoder::for_messages().decode(&mut buffer).expect("fine").is_none());
        assert!(buffer.capacity() <= 2 << 20, "{}", buffer.capacity());
    }

    #[test]
    fn another_version_is_named_and_so_is_an_unknown_kind() {
        let change = |index: usize, value: u8| {
            let mut bytes = frame(b"h", b"");
            bytes[index] = value;
            let (prefix, header) = bytes.split_at(PREFIX_SIZE);
            let crc = checksum(prefix.first_chunk().expect("whole"), header);
            bytes[4..8].copy_from_slice(&crc.to_be_bytes());
            FrameDecoder::for_messages().decode(&mut BytesMut::from(&bytes[..]))
        };
        assert!(matches!(change(8, 9), Err(FrameError::Version { found: 9 })));
        assert!(matches!(change(9, 200), Err(FrameError::Kind(200))));
    }

    #[test]
    fn a_frame_that_is_too_large_is_not_made() {
        let oversized = |mut head: Vec<u8>| {
            head.resize(PREFIX_SIZE + PEER_HEADER_SIZE + 1, 0);
            Ok(head)
        };
        assert_eq!(encode_head(Kind::Messages, 0, oversized), Err(EncodeError::TooLarge));
        let found = encode_head(Kind::Messages, PEER_PAYLOAD_SIZE + 1, Ok);
        assert_eq!(found, Err(EncodeError::TooLarge));
    }

    #[test]
    fn payload_is_not_copied() {
        let whole = frame(b"head", b"payload");
        let mut buffer = BytesMut::from(&whole[..]);
        let range = buffer.as_ptr_range();
        let frame = FrameDecoder::for_messages().decode(&mut buffer).expect("fine").expect("whole");
        assert!(range.contains(&frame.payload.as_ptr()));
    }
}
