//! Writing many pieces of memory as one stream of bytes.

use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

use crate::limits::WRITE_SLICES;

/// Pieces that are to be written one behind the other, and how far that has come.
#[derive(Debug)]
pub(crate) struct Segments<'a> {
    rest: &'a [Bytes],
    /// Bytes of the first piece that are written.
    skip: usize,
}

impl<'a> Segments<'a> {
    pub(crate) fn new(segments: &'a [Bytes]) -> Segments<'a> {
        Segments { rest: segments, skip: 0 }
    }

    /// Writes everything, in as few vectored writes as the socket takes.
    ///
    /// # Errors
    /// The connection broke, or took no byte for the time `stall`.
    pub(crate) async fn write(
        mut self,
        socket: &mut OwnedWriteHalf,
        stall: Option<Duration>,
    ) -> io::Result<()> {
        while !self.rest.is_empty() {
            let slices = self.slices();
            let is_empty = slices.iter().all(|slice| slice.is_empty());
            let write = socket.write_vectored(&slices);
            let written = match stall {
                Some(stall) => tokio::time::timeout(stall, write).await??,
                None => write.await?,
            };
            if written == 0 && !is_empty {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.advance(written);
        }
        Ok(())
    }

    fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(WRITE_SLICES.min(self.rest.len()));
        slices.push(IoSlice::new(&self.rest[0][self.skip..]));
        slices.extend(self.rest[1..].iter().take(WRITE_SLICES - 1).map(|s| IoSlice::new(s)));
        slices
    }

    fn advance(&mut self, mut written: usize) {
        while let [first, rest @ ..] = self.rest
            && written >= first.len() - self.skip
        {
            written -= first.len() - self.skip;
            (self.rest, self.skip) = (rest, 0);
        }
        self.skip += written;
    }
}
