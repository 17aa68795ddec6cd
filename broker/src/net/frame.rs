//! Reading length-prefixed requests from a socket.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::Instant;

use crate::budget::{Budget, BudgetShare};
use crate::limits::{FRAME_READ_TIMEOUT, FREE_FRAME_SIZE};

/// Bytes asked of the socket when nothing is known about what comes.
const READ_SIZE: usize = 16 << 10;

/// One request's bytes, with the share of the budget that they hold.
#[derive(Debug)]
pub(crate) struct InboundFrame {
    pub(crate) body: Bytes,
    pub(crate) share: BudgetShare,
}

/// Why a connection cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("a request of {size} bytes is over the limit of {limit}")]
    TooLarge { size: i64, limit: usize },
    #[error("these are the bytes of {0}, not of a Kafka client: is the port right?")]
    OtherProtocol(&'static str),
    #[error("a request was not complete {} s after its first byte", FRAME_READ_TIMEOUT.as_secs())]
    SlowFrame,
    #[error("no request for {} s", .0.as_secs())]
    Idle(Duration),
    #[error("the client closed the connection within a request")]
    Truncated,
}

/// Takes requests off a socket one by one; [`FrameReader::next`] may be cancelled at any await.
#[derive(Debug)]
pub(crate) struct FrameReader {
    socket: OwnedReadHalf,
    buffer: BytesMut,
    frame_limit: usize,
    idle_timeout: Duration,
    budget: Budget,
    /// The share for the request that is arriving, once it is known to be a large one.
    share: Option<BudgetShare>,
    deadline: Instant,
    within_frame: bool,
}

impl FrameReader {
    pub(crate) fn new(
        socket: OwnedReadHalf,
        frame_limit: usize,
        idle_timeout: Duration,
        budget: Budget,
    ) -> FrameReader {
        FrameReader {
            socket,
            buffer: BytesMut::new(),
            frame_limit,
            idle_timeout,
            budget,
            share: None,
            deadline: Instant::now() + idle_timeout,
            within_frame: false,
        }
    }

    /// The next request, or `None` where the client closed between two of them.
    ///
    /// # Errors
    /// See [`FrameError`]; the connection cannot be used after one.
    pub(crate) async fn next(&mut self) -> Result<Option<InboundFrame>, FrameError> {
        loop {
            if let Some(size) = self.announced_size()? {
                let have = self.buffer.len() - 4;
                if have >= size {
                    return self.take(size).await.map(Some);
                }
                if self.share.is_none() && have >= FREE_FRAME_SIZE {
                    self.share = Some(self.budget.take(size).await);
                }
                let next = if self.share.is_some() { size } else { size.min(FREE_FRAME_SIZE) };
                self.buffer.reserve(next.saturating_sub(have).max(READ_SIZE));
            }
            if !self.fill().await? {
                return if self.buffer.is_empty() { Ok(None) } else { Err(FrameError::Truncated) };
            }
        }
    }

    /// The size that the buffered length prefix announces, checked before anything is reserved.
    fn announced_size(&mut self) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        if let Some(protocol) = other_protocol(prefix) {
            return Err(FrameError::OtherProtocol(protocol));
        }
        let size = i32::from_be_bytes(*prefix);
        match usize::try_from(size) {
            Ok(size) if size <= self.frame_limit => Ok(Some(size)),
            _ => Err(FrameError::TooLarge { size: size.into(), limit: self.frame_limit }),
        }
    }

    async fn take(&mut self, size: usize) -> Result<InboundFrame, FrameError> {
        let share = match self.share.take() {
            Some(share) => share,
            None => self.budget.take(size).await,
        };
        let mut frame = self.buffer.split_to(4 + size);
        let body = frame.split_off(4).freeze();
        self.within_frame = !self.buffer.is_empty();
        self.deadline =
            Instant::now() + if self.within_frame { FRAME_READ_TIMEOUT } else { self.idle_timeout };
        Ok(InboundFrame { body, share })
    }

    /// Reads what the socket has; false at its end.
    async fn fill(&mut self) -> Result<bool, FrameError> {
        loop {
            match tokio::time::timeout_at(self.deadline, self.socket.readable()).await {
                Ok(ready) => ready?,
                Err(_) if self.within_frame => return Err(FrameError::SlowFrame),
                Err(_) => return Err(FrameError::Idle(self.idle_timeout)),
            }
            // Room is made only when bytes wait, so that idle connections hold no buffer.
            if self.buffer.capacity() - self.buffer.len() == 0 {
                self.buffer.reserve(READ_SIZE);
            }
            match self.socket.try_read_buf(&mut self.buffer) {
                Ok(0) => return Ok(false),
                Ok(_) => {
                    if !self.within_frame {
                        self.within_frame = true;
                        self.deadline = Instant::now() + FRAME_READ_TIMEOUT;
                    }
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Names the protocol whose opening bytes these are, where it is surely not Kafka's.
fn other_protocol(prefix: &[u8; 4]) -> Option<&'static str> {
    match prefix {
        b"GET " | b"POST" | b"PUT " | b"HEAD" | b"DELE" | b"OPTI" | b"PATC" | b"PRI " => {
            Some("HTTP")
        }
        [0x16, 0x03, ..] => Some("TLS"),
        b"SSH-" => Some("SSH"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Segments;
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::tcp::OwnedWriteHalf;
    use tokio::net::{TcpListener, TcpStream};

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        (client.expect("connect"), server.expect("accept").0)
    }

    fn reader(server: TcpStream, limit: usize) -> (FrameReader, OwnedWriteHalf, Budget) {
        let (read, write) = server.into_split();
        let budget = Budget::new(1 << 20);
        let idle = Duration::from_secs(600);
        (FrameReader::new(read, limit, idle, budget.clone()), write, budget)
    }

    #[tokio::test]
    async fn frames_arrive_whole_in_order_and_hold_budget() {
        let (mut client, server) = pair().await;
        let (mut reader, _write, budget) = reader(server, 1 << 20);
        let large = vec![7u8; 200_000];
        let sender = tokio::spawn(async move {
            client.write_all(&[0, 0, 0, 2, b'a', b'b', 0, 0]).await?;
            client.write_all(&[0, 0]).await?;
            client.write_all(&200_000u32.to_be_bytes()).await?;
            client.write_all(&large).await
        });
        let first = reader.next().await.expect("read").expect("frame");
        assert_eq!(&first.body[..], b"ab");
        assert_eq!(budget.used(), 2);
        assert_eq!(reader.next().await.expect("read").expect("frame").body.len(), 0);
        let third = reader.next().await.expect("read").expect("frame");
        assert_eq!(third.body.len(), 200_000);
        assert_eq!(budget.used(), 200_002);
        drop((first, third));
        assert_eq!(budget.used(), 0);
        sender.await.expect("join").expect("write");
        assert!(reader.next().await.expect("clean end").is_none());
    }

    #[tokio::test]
    async fn wrong_sizes_and_other_protocols_are_named() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\n"[..], "HTTP"),
            (&[0x16, 3, 1, 0, 200][..], "TLS"),
            (&[0x7f, 0xff, 0xff, 0xff][..], "over the limit"),
            (&[0xff, 0xff, 0xff, 0xff][..], "over the limit"),
            (&[0, 0, 0, 9, 1][..], "within a request"),
        ] {
            let (mut client, server) = pair().await;
            let (mut reader, _write, _) = reader(server, 1000);
            client.write_all(bytes).await.expect("write");
            drop(client);
            let error = reader.next().await.expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_that_drips_is_given_up() {
        let (mut client, server) = pair().await;
        let (mut reader, _write, _) = reader(server, 1000);
        client.write_all(&[0, 0, 0, 9, 1]).await.expect("write");
        assert!(matches!(reader.next().await, Err(FrameError::SlowFrame)));
    }

    #[tokio::test]
    async fn segments_of_any_shape_arrive_whole() {
        let (mut client, server) = pair().await;
        let (_reader, mut write, _) = reader(server, 1000);
        let segments: Vec<Bytes> = (0..500usize)
            .map(|i| Bytes::from(vec![i as u8; if i % 7 == 0 { 0 } else { i * 13 }]))
            .collect();
        let expected: Vec<u8> = segments.concat();
        let task =
            tokio::spawn(async move { Segments::new(&segments).write(&mut write, None).await });
        let mut got = vec![0; expected.len()];
        client.read_exact(&mut got).await.expect("read");
        assert_eq!(got, expected);
        task.await.expect("join").expect("write");
    }
}
