//! The bytes of one connection: read, kept as long as the link wants, written.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::Link;

/// Bytes read at once.
const CHUNK_SIZE: usize = 64 << 10;

/// Chunks on their way in one direction; beyond it the sender is held back as TCP does.
const CHUNKS: usize = 64;

/// Bytes, and when they may be written.
type Chunk = (Instant, Vec<u8>);

/// Passes bytes in both directions until both sides ended or the link is cut. `head` was read from
/// the dialer before.
pub(super) async fn run(
    mut dialer: TcpStream,
    mut dialed: TcpStream,
    head: Vec<u8>,
    link: watch::Receiver<Link>,
) {
    // Batches are made by the brokers; nothing is gained by waiting here.
    let _ = (dialer.set_nodelay(true), dialed.set_nodelay(true));
    let (from_dialer, to_dialer) = dialer.split();
    let (from_dialed, to_dialed) = dialed.split();
    let both = async {
        tokio::try_join!(
            pass(from_dialer, to_dialed, head, link.clone()),
            pass(from_dialed, to_dialer, Vec::new(), link.clone()),
        )
    };
    let (mut cut, mut half) = (link.clone(), link.clone());
    // A connection that is made while others are half open is a whole one.
    let is_new = *link.borrow() == Link::HalfOpen;
    let ended = tokio::select! {
        ended = both => ended.map_err(|_| Link::Cut),
        () = becomes(&mut cut, Link::Cut) => Err(Link::Cut),
        () = becomes(&mut half, Link::HalfOpen), if !is_new => Err(Link::HalfOpen),
    };
    match ended {
        Ok(_) => {}
        Err(Link::HalfOpen) => {
            reset(dialed);
            swallow(dialer, &mut cut).await;
        }
        Err(_) => {
            reset(dialer);
            reset(dialed);
        }
    }
}

/// Reads what nobody will ever get, until the dialer gives up or the link is cut.
async fn swallow(mut dialer: TcpStream, link: &mut watch::Receiver<Link>) {
    let mut bytes = vec![0; CHUNK_SIZE];
    loop {
        tokio::select! {
            read = dialer.read(&mut bytes) => if matches!(read, Ok(0) | Err(_)) { return },
            () = becomes(link, Link::Cut) => return reset(dialer),
        }
    }
}

/// Waits until the link is in this state.
pub(super) async fn becomes(link: &mut watch::Receiver<Link>, state: Link) {
    if link.wait_for(|link| *link == state).await.is_err() {
        // The proxies are ending; their connections end with their runtime.
        std::future::pending::<()>().await;
    }
}

/// Ends a connection as a cut does: what is on its way is lost, and the other side is told so.
pub(super) fn reset(stream: TcpStream) {
    let _ = stream.set_zero_linger();
}

/// Passes bytes in one direction until there are no more.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    head: Vec<u8>,
    link: watch::Receiver<Link>,
) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let watched = link.clone();
    tokio::try_join!(read(&mut from, head, sender, watched), write(&mut to, receiver, link))?;
    Ok(())
}

async fn read(
    from: &mut ReadHalf<'_>,
    head: Vec<u8>,
    sender: mpsc::Sender<Chunk>,
    link: watch::Receiver<Link>,
) -> io::Result<()> {
    let mut bytes = head;
    loop {
        if !bytes.is_empty() {
            let delay = match *link.borrow() {
                Link::Slow(delay) => delay,
                _ => Duration::ZERO,
            };
            if sender.send((Instant::now() + delay, bytes)).await.is_err() {
                // The writing side failed, and says why itself.
                return Ok(());
            }
        }
        bytes = Vec::with_capacity(CHUNK_SIZE);
        if from.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
}

async fn write(
    to: &mut WriteHalf<'_>,
    mut receiver: mpsc::Receiver<Chunk>,
    mut link: watch::Receiver<Link>,
) -> io::Result<()> {
    while let Some((due, bytes)) = receiver.recv().await {
        sleep_until(due).await;
        if link.wait_for(|link| *link != Link::Silent).await.is_err() {
            return Ok(());
        }
        to.write_all(&bytes).await?;
    }
    // The end of the stream is as silent as its bytes.
    let _ = link.wait_for(|link| *link != Link::Silent).await;
    to.shutdown().await
}
