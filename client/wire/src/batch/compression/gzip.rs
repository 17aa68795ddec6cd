//! Gzip.

use std::io::{self, Write};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::{Failure, Output};

pub(super) fn compress(data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = GzEncoder::new(out, flate2::Compression::default());
    encoder.write_all(data)?;
    encoder.finish()?;
    Ok(())
}

pub(super) fn decompress(data: &[u8], out: &mut Output) -> Result<(), Failure> {
    out.fill_from(MultiGzDecoder::new(data))
}
