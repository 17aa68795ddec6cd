//! Snappy. Java clients frame it their own way ("xerial"): a 16-byte header, then blocks, each
//! behind a 4-byte big-endian size. Others write one raw block without a header. Both are read; the
//! framed form is written, since every client reads it.

use std::io;

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::{Failure, Output};

/// Begins a framed stream; the version and the oldest compatible version follow, 4 bytes each.
const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const VERSION: u32 = 1;
const FRAME_HEADER_SIZE: usize = 16;

/// Uncompressed bytes per block, as Java writes.
const BLOCK_SIZE: usize = 32 * 1024;

/// No element of the format yields more than 64 bytes from 2, so a block that claims a greater
/// ratio lies, and need not be given memory.
const MAX_RATIO: usize = 32;

pub(super) fn compress(data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&VERSION.to_be_bytes());
    let mut encoder = Encoder::new();
    for block in data.chunks(BLOCK_SIZE) {
        let size_at = out.len();
        let start = size_at + 4;
        out.resize(start + max_compress_len(block.len()), 0);
        let size = encoder.compress(block, &mut out[start..])?;
        out.truncate(start + size);
        out[size_at..start].copy_from_slice(&(size as u32).to_be_bytes());
    }
    Ok(())
}

pub(super) fn decompress(data: &[u8], out: &mut Output) -> Result<(), Failure> {
    if !data.starts_with(&MAGIC) {
        return block(data, out);
    }
    let mut rest = data;
    while !rest.is_empty() {
        // A header may come again where streams were joined.
        if rest.starts_with(&MAGIC) {
            rest = rest.get(FRAME_HEADER_SIZE..).ok_or_else(|| cut("stream header"))?;
            continue;
        }
        let (size, after) = rest.split_first_chunk::<4>().ok_or_else(|| cut("block size"))?;
        let size = u32::from_be_bytes(*size) as usize;
        let (compressed, after) = after.split_at_checked(size).ok_or_else(|| cut("block"))?;
        block(compressed, out)?;
        rest = after;
    }
    Ok(())
}

/// Decompresses one raw block.
fn block(compressed: &[u8], out: &mut Output) -> Result<(), Failure> {
    let size = decompress_len(compressed).map_err(Failure::damaged)?;
    if size > compressed.len().saturating_mul(MAX_RATIO) {
        return Err(Failure::damaged("block claims an impossible size"));
    }
    if size > out.room() {
        return Err(Failure::TooLarge);
    }
    let start = out.bytes.len();
    out.bytes.resize(start + size, 0);
    let written =
        Decoder::new().decompress(compressed, &mut out.bytes[start..]).map_err(Failure::damaged)?;
    out.bytes.truncate(start + written);
    Ok(())
}

fn cut(part: &str) -> Failure {
    Failure::damaged(format_args!("{part} is cut short"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::{BatchError, Compression};
    use super::*;

    #[test]
    fn a_raw_block_without_header_is_read() {
        let packed = Encoder::new().compress_vec(b"raw snappy").unwrap();
        let read = Compression::Snappy.decompress(packed.into(), 100).unwrap();
        assert_eq!(read, &b"raw snappy"[..]);
    }

    #[test]
    fn a_claimed_size_gets_no_memory() {
        // Varint 0xffff_ffff: four gigabytes claimed by six bytes.
        let bomb = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
        let error = Compression::Snappy.decompress(bomb, usize::MAX).unwrap_err();
        assert!(matches!(error, BatchError::Compressed { .. }), "{error}");
    }

    #[test]
    fn a_cut_stream_is_an_error_at_every_length() {
        let mut packed = Vec::new();
        compress(&[7; 100_000], &mut packed).unwrap();
        for size in FRAME_HEADER_SIZE + 1..packed.len() {
            let cut = Bytes::copy_from_slice(&packed[..size]);
            if let Ok(read) = Compression::Snappy.decompress(cut, 100_000) {
                assert_eq!(read.len() % BLOCK_SIZE, 0, "only whole blocks at {size}");
            }
        }
    }
}
