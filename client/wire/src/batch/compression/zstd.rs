//! Zstandard.

use std::io;

use zstd::stream::read::Decoder;

use super::{Failure, Output};

pub(super) fn compress(data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(&zstd::bulk::compress(data, zstd::DEFAULT_COMPRESSION_LEVEL)?);
    Ok(())
}

/// A frame may ask for a window of up to 128 MiB (the library's own bound): address space, of which
/// only what the output really fills becomes memory, and that is capped.
pub(super) fn decompress(data: &[u8], out: &mut Output) -> Result<(), Failure> {
    if data.is_empty() {
        return Err(Failure::damaged("no frame"));
    }
    out.fill_from(Decoder::with_buffer(data)?)
}
