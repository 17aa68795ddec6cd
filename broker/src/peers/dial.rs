//! Reaching a peer: connection, introduction, answer.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::codec::Decoder;

use super::frame::{Frame, FrameDecoder, FrameError};
use super::hello::{Hello, HelloReply, Introduction, Mismatch, Refusal, Session};
use super::message::Channel;
use super::pulse;
use super::socket;
use crate::config::HostPort;
use crate::limits::{DIAL_TIMEOUT, HELLO_TIMEOUT};

/// Why a peer could not be reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no connection within {} ms", DIAL_TIMEOUT.as_millis())]
    NoConnection,
    #[error("no answer within {} s", HELLO_TIMEOUT.as_secs())]
    NoAnswer,
    #[error("{0}")]
    Frame(FrameError),
    /// The two do not fit, in this side's words.
    #[error("{text}")]
    Mismatch { mismatch: Mismatch, text: String },
    #[error("{}", show_refusal(.0))]
    Refused(Refusal),
}

fn show_refusal(refusal: &Refusal) -> &'static str {
    match refusal {
        // Turned into `DialError::Mismatch` where it arrives.
        Refusal::Mismatch(_) => "it says that the two of us do not fit together",
        Refusal::Impostor => {
            "another process answers at this broker's address in the cluster list: two processes \
             run with one node id, or the list is wrong. Only the one at that address takes part"
        }
        Refusal::Unverified => {
            "it cannot reach this broker at its address in the cluster list and so cannot verify it"
        }
        Refusal::Forming => "its cluster is not formed yet",
        Refusal::NotServing => "it is starting or stopping",
    }
}

/// A connection that the other side took.
#[derive(Debug)]
pub(super) struct Dialed {
    pub(super) socket: TcpStream,
    pub(super) session: Session,
    pub(super) from: Introduction,
}

/// Connects and introduces this broker.
///
/// # Errors
/// Nobody is there, or it is the wrong one, or it refuses.
pub(super) async fn dial(address: &HostPort, hello: &Hello) -> Result<Dialed, DialError> {
    let (socket, reply) = exchange(address, hello).await?;
    let session = judge(hello, &reply)?;
    Ok(Dialed { socket, session, from: reply.from })
}

/// Asks who is at an address. The answer may not fit this broker; that is for the caller to judge.
///
/// # Errors
/// Nobody is there, or no broker.
pub(super) async fn probe(
    address: &HostPort,
    from: Introduction,
    to: u32,
) -> Result<HelloReply, DialError> {
    let hello = Hello { from, to, channel: Channel::Probe };
    Ok(exchange(address, &hello).await?.1)
}

async fn exchange(address: &HostPort, hello: &Hello) -> Result<(TcpStream, HelloReply), DialError> {
    let connect = TcpStream::connect((address.host(), address.port()));
    let connected = tokio::time::timeout(DIAL_TIMEOUT, connect).await;
    let mut socket = connected.map_err(|_| DialError::NoConnection)??;
    socket::prepare(&socket)?;
    let hello = hello.encode().map_err(io::Error::other)?;
    let talk = async {
        socket.write_all(&hello).await?;
        let (frame, rest) = read_introduction(&mut socket).await.map_err(DialError::Frame)?;
        // Whoever took the connection reads it from then on, and says so.
        if !pulse::is_nothing_else(&rest) {
            return Err(DialError::Frame(FrameError::Header("more follows the answer")));
        }
        HelloReply::decode(&frame).map_err(DialError::Frame)
    };
    let reply = within(HELLO_TIMEOUT, talk).await??;
    Ok((socket, reply))
}

async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Result<T, DialError> {
    tokio::time::timeout(time, work).await.map_err(|_| DialError::NoAnswer)
}

/// Checks the answer to `hello`: what this side sees first, since it is the more precise.
fn judge(hello: &Hello, reply: &HelloReply) -> Result<Session, DialError> {
    let (own, other) = (&hello.from, &reply.from);
    let mismatch = match (own.fits(other, Some(hello.to)), &reply.outcome) {
        (Err(mismatch), _) => mismatch,
        (Ok(()), Ok(session)) => return Ok(*session),
        (Ok(()), Err(Refusal::Mismatch(theirs))) => theirs.reversed(),
        (Ok(()), Err(refusal)) => return Err(DialError::Refused(refusal.clone())),
    };
    Err(DialError::Mismatch { mismatch, text: mismatch.describe(own, other) })
}

/// The one small frame that opens a connection, on either side, and what came with it.
///
/// # Errors
/// The other side closed, or sent something else.
pub(super) async fn read_introduction(
    socket: &mut TcpStream,
) -> Result<(Frame, BytesMut), FrameError> {
    let mut buffer = BytesMut::with_capacity(1024);
    let mut decoder = FrameDecoder::for_hello();
    loop {
        if let Some(frame) = decoder.decode(&mut buffer)? {
            return Ok((frame, buffer));
        }
        if socket.read_buf(&mut buffer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}
