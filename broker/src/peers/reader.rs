//! Taking messages off an introduced connection and handing them to those they are for.

use std::io;
use std::sync::Arc;

use futures_util::StreamExt;
use synod_paxos::NodeId;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::mpsc;
use tokio_util::codec::FramedRead;
use tokio_util::sync::CancellationToken;

use super::circle::Circle;
use super::frame::{FrameDecoder, FrameError};
use super::hello::Session;
use super::listener::Received;
use super::message::{Channel, ControlMessage, PartitionMessage};
use super::pack::{Sequence, unpack};
use super::pulse;
use super::share::{InboundRoom, InboundShare};
use crate::shard::{ShardHandle, ShardRequest, shard_of};

/// Bytes asked of the socket when nothing is known about what comes.
const READ_SIZE: usize = 64 << 10;

/// An introduced connection on its way to the thread that reads it.
#[derive(Debug)]
pub(crate) struct Introduced {
    pub(super) circle: Arc<Circle>,
    pub(super) socket: std::net::TcpStream,
    pub(super) from: NodeId,
    pub(super) channel: Channel,
    pub(super) session: Session,
    /// Ends the connection: a newer one of the same peer and channel has come, or the broker stops.
    pub(super) replaced: CancellationToken,
}

/// Where a connection's messages go.
#[derive(Debug)]
pub(super) enum Receiver {
    /// To the shard that owns the partition; the two sides may have different numbers of shards.
    Shards(Vec<ShardHandle>),
    /// To the metadata group, one by one; what is about lag, to whoever sees to that.
    Control { control: mpsc::Sender<Received>, lags: mpsc::Sender<Received> },
}

impl Introduced {
    /// Reads a shard's connection until it ends, on the thread of one of the shards.
    pub(crate) async fn read_for(self, shards: Vec<ShardHandle>) {
        self.read(Receiver::Shards(shards)).await;
    }

    pub(super) async fn read(self, receiver: Receiver) {
        let (circle, from, channel) = (self.circle.clone(), self.from, self.channel);
        let replaced = self.replaced.clone();
        match replaced.run_until_cancelled(self.read_all(receiver)).await {
            None => tracing::debug!(peer = from.0, %channel, "an older connection is closed"),
            Some(Ok(())) => tracing::debug!(peer = from.0, %channel, "the peer disconnected"),
            Some(Err(FrameError::Io(error))) => {
                tracing::debug!(peer = from.0, %channel, %error, "a peer's connection broke");
            }
            Some(Err(error)) => {
                circle.metrics.peer_frames_refused.add(1);
                if circle.complaints.is_due(&format!("frames of node {}", from.0), "") {
                    let peer = from.0;
                    tracing::warn!(peer, %channel, %error, "a peer's connection is closed");
                }
            }
        }
    }

    async fn read_all(self, receiver: Receiver) -> Result<(), FrameError> {
        let (read, write) = TcpStream::from_std(self.socket)?.into_split();
        let messages = Messages { circle: self.circle, from: self.from, receiver };
        tokio::select! {
            ended = messages.take(read, self.session) => ended,
            error = pulse::beat(write) => Err(error.into()),
        }
    }
}

/// What a connection brings, and where it goes.
struct Messages {
    circle: Arc<Circle>,
    from: NodeId,
    receiver: Receiver,
}

impl Messages {
    async fn take(self, socket: OwnedReadHalf, session: Session) -> Result<(), FrameError> {
        let Messages { circle, from, receiver } = self;
        let decoder = FrameDecoder::for_messages();
        let mut frames = FramedRead::with_capacity(socket, decoder, READ_SIZE);
        let mut sequence = Sequence::new(session.0);
        let room = InboundRoom::new();
        while let Some(frame) = frames.next().await {
            let messages = unpack(&mut sequence, frame?)?;
            let size = messages.iter().map(ControlMessage::cost).sum();
            let share = room.take(size).await;
            match &receiver {
                Receiver::Shards(shards) => {
                    to_shards(from, messages, share, shards).await?;
                }
                Receiver::Control { control, lags } => {
                    for message in messages {
                        if message.is_about_lag() {
                            // A question that finds no room is asked again.
                            let _ = lags.try_send((from, message, share.clone()));
                            continue;
                        }
                        note_contact(&circle, from, &message);
                        if control.send((from, message, share.clone())).await.is_err() {
                            return Err(stopped());
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// A peer that hears this broker, and is heard, is in contact. Noted at arrival: how busy the
/// controller is says nothing about the peer.
fn note_contact(circle: &Circle, from: NodeId, message: &ControlMessage) {
    if let ControlMessage::Heartbeat(heartbeat) = message
        && heartbeat.hears.contains(&NodeId(circle.node()))
    {
        circle.contacts.note(from);
    }
}

/// Hands partition messages to the shards that own the partitions, in order.
async fn to_shards(
    from: NodeId,
    messages: Vec<ControlMessage>,
    share: InboundShare,
    shards: &[ShardHandle],
) -> Result<(), FrameError> {
    let mut by_shard: Vec<Vec<PartitionMessage>> = shards.iter().map(|_| Vec::new()).collect();
    for message in messages {
        match message {
            ControlMessage::Partition(message) => {
                by_shard[shard_of(message.key, shards.len())].push(message);
            }
            _ => return Err(FrameError::Header("a shard's connection carries partitions alone")),
        }
    }
    for (shard, messages) in shards.iter().zip(by_shard) {
        if messages.is_empty() {
            continue;
        }
        if !shard.send(ShardRequest::Peer { from, messages, share: share.clone() }).await {
            return Err(stopped());
        }
    }
    Ok(())
}

fn stopped() -> FrameError {
    io::Error::new(io::ErrorKind::ConnectionAborted, "this broker stops").into()
}
