//! LZ4 frames.

use std::io::{self, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::{Failure, Output};

/// Independent blocks of 64 KiB: Java's reader knows no linked blocks, and its writer uses this
/// size.
pub(super) fn compress(data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let info = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(info, out);
    encoder.write_all(data)?;
    // Without this an empty input gets no frame at all, which other readers refuse.
    encoder.flush()?;
    encoder.finish().map_err(io::Error::other)?;
    Ok(())
}

pub(super) fn decompress(data: &[u8], out: &mut Output) -> Result<(), Failure> {
    if data.is_empty() {
        return Err(Failure::damaged("no frame"));
    }
    let mut decoder = FrameDecoder::new(data);
    // The decoder pauses at each end mark; every turn takes at least a frame's magic from the
    // input.
    while !decoder.get_ref().is_empty() {
        out.fill_from(&mut decoder)?;
    }
    Ok(())
}
