//! A frame as it goes to the socket.

use std::io::IoSlice;

use bytes::Bytes;

use crate::error::{EncodeError, EncodeErrorKind};
use crate::writer::Writer;

/// Size of the length field in front of every frame, in bytes.
pub const LENGTH_SIZE: usize = 4;

/// An encoded frame, its length field included: small fields in one buffer, record batches by
/// reference between its slices.
///
/// Made to be sent with vectored writes, without copying any payload.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    segments: Vec<Bytes>,
    size: usize,
}

impl Frame {
    /// Encodes a frame: the length, then what `body` writes.
    ///
    /// # Errors
    /// What `body` returns, or that its output is longer than a frame can be.
    pub fn encode(
        body: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<Self, EncodeError> {
        let mut w = Writer::new();
        w.put(&[0; LENGTH_SIZE]);
        body(&mut w)?;
        let size = w.size();
        let length = i32::try_from(size - LENGTH_SIZE)
            .map_err(|_| w.error(EncodeErrorKind::TooLong(size)))?;
        w.patch_i32(0, length);
        Ok(Self { segments: w.into_segments(), size })
    }

    /// The bytes to send, in order.
    pub fn segments(&self) -> &[Bytes] {
        &self.segments
    }

    /// The bytes to send, in order.
    pub fn into_segments(self) -> Vec<Bytes> {
        self.segments
    }

    /// Bytes to send in all, the length field included.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Fills `slices` for a vectored write that begins at byte `start` of the frame, and returns
    /// how many it filled; 0 when nothing is left.
    pub fn io_slices<'a>(&'a self, start: usize, slices: &mut [IoSlice<'a>]) -> usize {
        let mut skip = start;
        let mut filled = 0;
        for segment in &self.segments {
            if filled == slices.len() {
                break;
            }
            if skip >= segment.len() {
                skip -= segment.len();
                continue;
            }
            slices[filled] = IoSlice::new(&segment[skip..]);
            skip = 0;
            filled += 1;
        }
        filled
    }

    /// The frame's body in one buffer, without the length field. Copies; for tests and tools.
    pub fn to_body(&self) -> Bytes {
        Bytes::from(self.segments.concat()).slice(LENGTH_SIZE..)
    }
}

/// Reads the length field of a frame, before anything is allocated for the body.
///
/// # Errors
/// When the length is negative or greater than `limit`.
pub fn body_size(length: [u8; LENGTH_SIZE], limit: usize) -> Result<usize, FrameSizeError> {
    let announced = i32::from_be_bytes(length);
    match usize::try_from(announced) {
        Ok(size) if size <= limit => Ok(size),
        _ => Err(FrameSizeError { announced, limit }),
    }
}

/// A length field that no frame here can have; perhaps the peer does not speak Kafka at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame of {announced} bytes announced, the limit is {limit}{}", hint(self.announced))]
pub struct FrameSizeError {
    /// The length that was read.
    pub announced: i32,
    /// The limit that it exceeds, in bytes.
    pub limit: usize,
}

/// What other protocols begin with, read as a length.
fn hint(announced: i32) -> &'static str {
    match &announced.to_be_bytes() {
        b"GET " | b"POST" | b"PUT " | b"HEAD" | b"DELE" | b"OPTI" | b"PATC" => {
            ": this looks like an HTTP request"
        }
        b"PRI " => ": this looks like an HTTP/2 request",
        [0x16, 0x03, _, _] => ": this looks like a TLS handshake",
        _ => "",
    }
}

impl FrameSizeError {
    /// What the bytes look like instead, as the end of a sentence; empty when nothing known.
    pub fn hint(&self) -> &'static str {
        hint(self.announced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_payload_is_passed_on_by_reference() -> Result<(), EncodeError> {
        let large = Bytes::from(vec![7; 5000]);
        let frame = Frame::encode(|w| {
            w.put(b"head");
            w.put_shared(&large);
            w.put_shared(&Bytes::from_static(b"small"));
            w.put_shared(&large);
            Ok(())
        })?;
        let sizes: Vec<usize> = frame.segments().iter().map(Bytes::len).collect();
        assert_eq!(sizes, [8, 5000, 5, 5000]);
        assert_eq!(frame.segments()[1].as_ptr(), large.as_ptr());
        assert_eq!(frame.size(), 10_013);
        assert_eq!(&frame.segments()[0][..4], 10_009i32.to_be_bytes());
        Ok(())
    }

    #[test]
    fn slices_resume_anywhere() -> Result<(), EncodeError> {
        let frame = Frame::encode(|w| {
            w.put_shared(&Bytes::from(vec![1; 2000]));
            w.put(&[2; 10]);
            w.put_shared(&Bytes::from(vec![3; 3000]));
            Ok(())
        })?;
        let whole = frame.segments().concat();
        for start in 0..=frame.size() {
            let mut slices = [IoSlice::new(&[]); 8];
            let count = frame.io_slices(start, &mut slices);
            let rest: Vec<u8> = slices[..count].iter().flat_map(|s| s.iter().copied()).collect();
            assert_eq!(rest, whole[start..]);
        }
        assert_eq!(frame.io_slices(0, &mut [IoSlice::new(&[]); 2]), 2);
        Ok(())
    }

    #[test]
    fn length_is_checked_before_allocating() {
        assert_eq!(body_size([0, 0, 1, 0], 256), Ok(256));
        assert!(body_size([0, 0, 1, 1], 256).is_err());
        assert!(body_size([0xff; 4], 256).is_err());
        for (bytes, word) in [(*b"GET ", "HTTP"), ([0x16, 3, 1, 2], "TLS")] {
            let error = body_size(bytes, 100 << 20).expect_err("far over the limit");
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
