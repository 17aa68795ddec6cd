//! One outgoing connection to a peer, made again whenever it breaks.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use synod_paxos::NodeId;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::circle::Circle;
use super::dial::{Dialed, dial};
use super::hello::Session;
use super::message::{Channel, ControlMessage};
use super::pack::{Sequence, pack};
use super::pulse;
use super::queue::Queue;
use crate::config::Voter;
use crate::limits::{DIAL_PAUSE_LIMIT, PEER_PACK_SIZE, PEER_STALL_TIMEOUT};
use crate::metrics::LinkMetrics;
use crate::net::Segments;

/// The sending end of a link. Its task runs on the runtime that made it.
#[derive(Debug)]
pub(super) struct Link {
    peer: NodeId,
    queue: Arc<Queue>,
    metrics: Arc<LinkMetrics>,
}

/// The task behind a link.
struct Carrier {
    circle: Arc<Circle>,
    voter: Voter,
    channel: Channel,
    queue: Arc<Queue>,
    metrics: Arc<LinkMetrics>,
}

impl Link {
    /// Starts dialing, until `stop`.
    pub(super) fn start(
        circle: &Arc<Circle>,
        voter: &Voter,
        channel: Channel,
        stop: &CancellationToken,
    ) -> Link {
        let queue = Arc::new(Queue::default());
        let metrics = circle.metrics.link(voter.node_id, &channel.to_string());
        let carrier = Carrier {
            circle: circle.clone(),
            voter: voter.clone(),
            channel,
            queue: queue.clone(),
            metrics: metrics.clone(),
        };
        let stop = stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(carrier.run()).await });
        Link { peer: NodeId(voter.node_id), queue, metrics }
    }

    pub(super) fn peer(&self) -> NodeId {
        self.peer
    }

    /// Queues a message, or drops it.
    pub(super) fn send(&self, message: ControlMessage) {
        if self.queue.push(message) {
            self.metrics.queued_size.set(self.queue.size() as i64);
        } else {
            self.metrics.dropped.add(1);
        }
    }
}

impl Carrier {
    async fn run(self) {
        let seed = u64::from(self.voter.node_id) << 16 ^ u64::from(std::process::id());
        let mut backoff = Backoff::new(seed ^ hash_of(self.channel));
        loop {
            let hello = self.circle.hello(self.voter.node_id, self.channel);
            match dial(&self.voter.address, &hello).await {
                Ok(dialed) => {
                    self.circle.reached(&dialed.from);
                    let lasted = self.carry(dialed).await;
                    // A peer that takes connections and drops them at once is not hammered.
                    if lasted >= DIAL_PAUSE_LIMIT {
                        backoff.reset();
                        continue;
                    }
                }
                Err(error) => self.circle.failed(&self.voter, &error),
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }

    /// Sends what is queued until the connection breaks; says how long it lasted.
    async fn carry(&self, dialed: Dialed) -> Duration {
        let began = Instant::now();
        let (peer, channel) = (self.voter.node_id, self.channel);
        tracing::debug!(peer, %channel, "connected");
        self.metrics.connections.add(1);
        let _connected = Connected::new(self);
        let error = self.send_all(dialed.socket, dialed.session).await;
        tracing::info!(peer, %channel, %error, "the connection broke");
        began.elapsed()
    }

    async fn send_all(&self, socket: TcpStream, session: Session) -> io::Error {
        let (read, write) = socket.into_split();
        tokio::select! {
            error = pulse::lost(read) => error,
            error = self.write_all(write, session) => error,
        }
    }

    async fn write_all(&self, mut write: OwnedWriteHalf, Session(session): Session) -> io::Error {
        let mut sequence = Sequence::new(session);
        let (mut messages, mut packed) = (Vec::new(), Vec::new());
        loop {
            self.queue.filled().await;
            self.queue.take(&mut messages, PEER_PACK_SIZE);
            pack(&mut sequence, std::mem::take(&mut messages), &mut packed);
            for frame in packed.drain(..) {
                let segments = Segments::new(&frame.segments);
                if let Err(error) = segments.write(&mut write, Some(PEER_STALL_TIMEOUT)).await {
                    return error;
                }
                self.metrics.frames.add(1);
            }
            self.metrics.queued_size.set(self.queue.size() as i64);
        }
    }
}

/// The queue takes messages while this lives.
struct Connected<'a>(&'a Carrier);

impl Connected<'_> {
    fn new(carrier: &Carrier) -> Connected<'_> {
        carrier.queue.connected();
        carrier.metrics.connected.set(1);
        Connected(carrier)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        let Connected(Carrier { queue, metrics, .. }) = self;
        metrics.dropped.add(queue.disconnected() as u64);
        metrics.connected.set(0);
        metrics.queued_size.set(0);
    }
}

fn hash_of(channel: Channel) -> u64 {
    match channel {
        Channel::Probe => 0,
        Channel::Control => 1 << 40,
        Channel::Shard(index) => (u64::from(index) + 2) << 40,
    }
}
