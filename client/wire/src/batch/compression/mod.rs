//! The codecs of record batches. Decoding streams into a buffer that grows with what really comes
//! out, never with what the input claims, and stops at the caller's cap.

mod gzip;
mod lz4;
mod snappy;
mod zstd;

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use bytes::Bytes;

use super::BatchError;

/// How the records of a batch are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Gzip (RFC 1952).
    Gzip,
    /// Snappy, in the block framing that Java's xerial library writes.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard frames; needs Produce version 7 or later.
    Zstd,
}

impl Compression {
    /// Every codec.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The number in a batch's attributes.
    pub const fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The codec with this number in a batch's attributes.
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The name that `compression.type` uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Compresses `data`, appending to `out`.
    pub(super) fn compress(self, data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::None => out.extend_from_slice(data),
            Self::Gzip => gzip::compress(data, out)?,
            Self::Snappy => snappy::compress(data, out)?,
            Self::Lz4 => lz4::compress(data, out)?,
            Self::Zstd => zstd::compress(data, out)?,
        }
        Ok(())
    }

    /// Decompresses `data` into at most `max_size` bytes; data that is not compressed comes back as
    /// it is.
    pub(super) fn decompress(self, data: Bytes, max_size: usize) -> Result<Bytes, BatchError> {
        let mut out = Output { bytes: Vec::new(), max_size };
        let done = match self {
            Self::None => return Ok(data),
            Self::Gzip => gzip::decompress(&data, &mut out),
            Self::Snappy => snappy::decompress(&data, &mut out),
            Self::Lz4 => lz4::decompress(&data, &mut out),
            Self::Zstd => zstd::decompress(&data, &mut out),
        };
        match done {
            Ok(()) => Ok(out.bytes.into()),
            Err(Failure::TooLarge) => Err(BatchError::TooLarge { limit: max_size }),
            Err(Failure::Damaged(reason)) => Err(BatchError::Compressed { codec: self, reason }),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name is not one of `none`, `gzip`, `snappy`, `lz4`, `zstd`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown codec '{0}': use none, gzip, snappy, lz4 or zstd")]
pub struct UnknownCodec(Box<str>);

impl FromStr for Compression {
    type Err = UnknownCodec;

    fn from_str(name: &str) -> Result<Self, UnknownCodec> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.name() == name)
            .ok_or_else(|| UnknownCodec(name.chars().take(32).collect()))
    }
}

/// Why decompression stopped.
enum Failure {
    /// The output would pass the cap.
    TooLarge,
    /// The input is not what the codec writes.
    Damaged(Box<str>),
}

impl Failure {
    fn damaged(reason: impl fmt::Display) -> Self {
        Self::Damaged(reason.to_string().into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::damaged(error)
    }
}

/// Decompressed bytes so far, and how many there may be.
struct Output {
    bytes: Vec<u8>,
    max_size: usize,
}

impl Output {
    /// Bytes that may still come.
    fn room(&self) -> usize {
        self.max_size - self.bytes.len()
    }

    /// Appends all that `reader` gives, as far as there is room.
    fn fill_from(&mut self, reader: impl Read) -> Result<(), Failure> {
        // One byte more than allowed tells "exactly full" from "too large".
        let allowed = self.room();
        let taken = reader.take(allowed as u64 + 1).read_to_end(&mut self.bytes)?;
        if taken > allowed { Err(Failure::TooLarge) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(codec: Compression, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        codec.compress(data, &mut out).unwrap();
        out
    }

    /// Bytes with some structure: compressible, yet not one run.
    fn sample(size: usize) -> Vec<u8> {
        (0..size)
            .map(|i| (i as u32).wrapping_mul(2_654_435_761).to_be_bytes()[i % 3] & 0x3f)
            .collect()
    }

    #[test]
    fn every_codec_reads_what_it_writes_at_any_size() {
        for codec in Compression::ALL {
            for size in [0, 1, 31, 32 * 1024, 32 * 1024 + 1, 300_000] {
                let data = sample(size);
                let packed = Bytes::from(compressed(codec, &data));
                let read = codec.decompress(packed, size).unwrap();
                assert_eq!(read, data, "{codec} {size}");
            }
        }
    }

    #[test]
    fn concatenated_frames_are_one_stream() {
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let mut packed = compressed(codec, b"first ");
            packed.extend(compressed(codec, b""));
            packed.extend(compressed(codec, b"second"));
            let read = codec.decompress(packed.into(), 100).unwrap();
            assert_eq!(read, &b"first second"[..], "{codec}");
        }
    }

    #[test]
    fn a_bomb_stops_at_the_cap() {
        const BOMB: usize = 32 << 20;
        const CAP: usize = 1 << 20;
        let zeros = vec![0; BOMB];
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let packed = Bytes::from(compressed(codec, &zeros));
            assert!(packed.len() < BOMB / 20, "{codec} is a bomb");
            let error = codec.decompress(packed, CAP).unwrap_err();
            assert_eq!(error, BatchError::TooLarge { limit: CAP }, "{codec}");
        }
    }

    #[test]
    fn the_cap_is_exact() {
        let data = sample(70_000);
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let packed = Bytes::from(compressed(codec, &data));
            assert!(codec.decompress(packed.clone(), data.len()).is_ok(), "{codec}");
            let error = codec.decompress(packed, data.len() - 1).unwrap_err();
            assert_eq!(error, BatchError::TooLarge { limit: data.len() - 1 }, "{codec}");
        }
    }

    #[test]
    fn names_and_numbers_agree() {
        for codec in Compression::ALL {
            assert_eq!(Compression::from_id(codec.id()), Some(codec));
            assert_eq!(codec.name().parse(), Ok(codec));
        }
        assert_eq!(Compression::from_id(5), None);
        assert!("brotli".parse::<Compression>().is_err());
    }
}
