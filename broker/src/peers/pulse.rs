//! Signs of life against the stream of a connection's messages.
//!
//! Messages travel one way only, so a dialer whose peer is gone without a word (its host was
//! replaced, something between them forgot the connection) would talk to nobody for ever: TCP need
//! not notice, least of all through a proxy. So the side that reads says now and then that it does.

use std::io::{Error, ErrorKind};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::limits::{PEER_PULSE, PEER_PULSE_TIMEOUT};

/// One sign of life; says nothing else.
const BEAT: u8 = 0;

/// Whether these bytes are signs of life alone.
pub(super) fn is_nothing_else(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == BEAT)
}

/// Gives signs of life until the connection breaks.
pub(super) async fn beat(mut write: OwnedWriteHalf) -> Error {
    let mut interval = interval(PEER_PULSE);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Err(error) = write.write_all(&[BEAT]).await {
            return error;
        }
    }
}

/// Returns when there have been no signs of life for a while, or something else came.
pub(super) async fn lost(mut read: OwnedReadHalf) -> Error {
    let mut bytes = [0; 64];
    loop {
        match timeout(PEER_PULSE_TIMEOUT, read.read(&mut bytes)).await {
            Ok(Ok(0)) => return Error::new(ErrorKind::ConnectionReset, "the peer closed it"),
            Ok(Ok(count)) if is_nothing_else(&bytes[..count]) => {}
            Ok(Ok(_)) => {
                return Error::new(ErrorKind::InvalidData, "the peer answered out of turn");
            }
            Ok(Err(error)) => return error,
            Err(_) => return Error::new(ErrorKind::TimedOut, "the peer gave no sign of reading"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// The dialer's and the reader's end of a connection.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let dialer = TcpStream::connect(address).await.expect("a listener");
        (dialer, listener.accept().await.expect("a dialer").0)
    }

    async fn lost_when(harm: impl AsyncFnOnce(TcpStream)) -> ErrorKind {
        let (dialer, reader) = pair().await;
        harm(reader).await;
        lost(dialer.into_split().0).await.kind()
    }

    #[tokio::test]
    async fn a_reader_that_is_gone_or_talks_nonsense_is_lost() {
        assert_eq!(lost_when(async |_| {}).await, ErrorKind::ConnectionReset);
        let nonsense = async |mut reader: TcpStream| {
            reader.write_all(&[BEAT, BEAT + 1]).await.expect("room");
            std::mem::forget(reader);
        };
        assert_eq!(lost_when(nonsense).await, ErrorKind::InvalidData);
        let silent = async |reader| std::mem::forget(reader);
        assert_eq!(lost_when(silent).await, ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn whoever_beats_is_not_lost() {
        let (dialer, reader) = pair().await;
        let (_kept, write) = reader.into_split();
        let lost = timeout(2 * PEER_PULSE_TIMEOUT, lost(dialer.into_split().0));
        tokio::select! {
            lost = lost => assert!(lost.is_err(), "{lost:?}"),
            error = beat(write) => panic!("{error}"),
        }
    }
}
