//! The port for other brokers: who comes in, and where they are led.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use synod_paxos::NodeId;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::circle::Circle;
use super::dial::read_introduction;
use super::frame::FrameError;
use super::hello::{Hello, HelloReply, Refusal, Session};
use super::message::{Channel, ControlMessage};
use super::reader::{Introduced, Receiver};
use super::share::InboundShare;
use super::socket;
use crate::limits::{CONTROL_RECEIVED, HELLO_TIMEOUT, LAGS_RECEIVED, PEER_STRANGERS};
use crate::metadata::ids::random_id;

/// Where introduced connections lead, once the broker serves.
#[derive(Debug)]
pub(crate) struct Inbound {
    /// One per shard; the thread reads what it is given.
    pub(crate) shards: Vec<mpsc::Sender<Introduced>>,
    /// The metadata group's inbox.
    pub(crate) control: mpsc::Sender<Received>,
    /// Whoever asks and answers about lag.
    pub(crate) lags: mpsc::Sender<Received>,
}

/// A control message, who sent it, and the room that it takes until it is handled.
pub(crate) type Received = (NodeId, ControlMessage, InboundShare);

impl Inbound {
    /// The metadata group's inbox, and the end that the metadata group reads.
    pub(crate) fn control() -> (mpsc::Sender<Received>, mpsc::Receiver<Received>) {
        mpsc::channel(CONTROL_RECEIVED)
    }

    /// The inbox for lag, and the end that is read.
    pub(crate) fn lags() -> (mpsc::Sender<Received>, mpsc::Receiver<Received>) {
        mpsc::channel(LAGS_RECEIVED)
    }
}

/// Takes connections of other brokers.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) circle: Arc<Circle>,
    pub(super) inbound: OnceLock<Inbound>,
    pub(super) stop: CancellationToken,
    /// The connection of each peer and channel that is read.
    open: Mutex<BTreeMap<(NodeId, Channel), CancellationToken>>,
}

impl Door {
    pub(super) fn new(circle: Arc<Circle>, stop: CancellationToken) -> Door {
        Door { circle, inbound: OnceLock::new(), stop, open: Mutex::default() }
    }

    /// Accepts until the broker stops.
    pub(super) async fn accept(self: Arc<Self>, listener: TcpListener) {
        let strangers = Arc::new(Semaphore::new(PEER_STRANGERS));
        while let Some(accepted) = self.stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((socket, address)) => {
                    let Ok(stranger) = strangers.clone().try_acquire_owned() else {
                        self.complain(address, "too many connections without introduction");
                        continue;
                    };
                    let door = self.clone();
                    tokio::spawn(async move {
                        door.clone().stop.run_until_cancelled(door.meet(socket, address)).await;
                        drop(stranger);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a peer's connection");
                    // Out of descriptors, most likely: trying again at once would only spin.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Takes the introduction of whoever has connected, answers, and leads the connection on.
    async fn meet(self: Arc<Self>, mut socket: TcpStream, address: SocketAddr) {
        let introduced = tokio::time::timeout(HELLO_TIMEOUT, self.introduce(&mut socket)).await;
        let (hello, session) = match introduced {
            Ok(Ok(Some(introduced))) => introduced,
            Ok(Ok(None) | Err(FrameError::Io(_))) => return,
            Ok(Err(error)) => {
                self.circle.metrics.peer_frames_refused.add(1);
                if matches!(error, FrameError::Version { .. }) {
                    // The other side learns the version of this one from the answer's prefix.
                    let from = self.circle.own();
                    let outcome = Err(Refusal::NotServing);
                    if let Ok(reply) = (HelloReply { from, outcome }).encode() {
                        let _ = socket.write_all(&reply).await;
                    }
                }
                return self.complain(address, &error.to_string());
            }
            Err(_) => return self.complain(address, "no introduction in time"),
        };
        self.lead(socket, hello, session);
    }

    /// The dialer's introduction and the answer to it. `None`: there is nothing to read after it.
    async fn introduce(
        &self,
        socket: &mut TcpStream,
    ) -> Result<Option<(Hello, Session)>, FrameError> {
        socket::prepare(socket)?;
        let (frame, rest) = read_introduction(socket).await?;
        if !rest.is_empty() {
            return Err(FrameError::Header("more follows before the answer"));
        }
        let hello = Hello::decode(&frame)?;
        let outcome = self.judge(&hello).await;
        if let Err(refusal) = &outcome {
            self.note_refusal(&hello, refusal);
        }
        let reply = HelloReply { from: self.circle.own(), outcome: outcome.clone() };
        let reply = reply.encode().map_err(std::io::Error::other)?;
        socket.write_all(&reply).await?;
        Ok(match outcome {
            Ok(session) if hello.channel != Channel::Probe => Some((hello, session)),
            _ => None,
        })
    }

    async fn judge(&self, hello: &Hello) -> Result<Session, Refusal> {
        let own = self.circle.own();
        own.fits(&hello.from, None).map_err(Refusal::Mismatch)?;
        if hello.to != own.node {
            let mismatch = super::hello::Mismatch::WrongNode { meant: hello.to };
            return Err(Refusal::Mismatch(mismatch));
        }
        let session = || {
            let id = random_id().map_err(|_| Refusal::NotServing)?;
            Ok(Session(u64::from_be_bytes(*id.first_chunk().expect("16 bytes"))))
        };
        if hello.channel == Channel::Probe {
            return session();
        }
        if !self.circle.is_formed() {
            return Err(Refusal::Forming);
        }
        self.circle.verify(&hello.from).await?;
        if self.inbound.get().is_none() {
            return Err(Refusal::NotServing);
        }
        session()
    }

    /// Hands an introduced connection to whoever reads it. An older one of the same peer and
    /// channel ends: its other side is gone, whether this side has noticed or not.
    fn lead(&self, socket: TcpStream, hello: Hello, session: Session) {
        let Some(inbound) = self.inbound.get() else { return };
        let Ok(socket) = socket.into_std() else { return };
        let (from, channel) = (NodeId(hello.from.node), hello.channel);
        let replaced = self.stop.child_token();
        let circle = self.circle.clone();
        {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(older) = open.insert((from, channel), replaced.clone()) {
                older.cancel();
            }
        }
        let introduced = Introduced { circle, socket, from, channel, session, replaced };
        match channel {
            Channel::Probe => {}
            Channel::Control => {
                let (control, lags) = (inbound.control.clone(), inbound.lags.clone());
                tokio::spawn(introduced.read(Receiver::Control { control, lags }));
            }
            Channel::Shard(index) => {
                let shard = &inbound.shards[usize::from(index) % inbound.shards.len()];
                // A full queue closes the connection; the other side dials again.
                if shard.try_send(introduced).is_err() {
                    tracing::warn!(peer = from.0, %channel, "a shard takes no connection now");
                }
            }
        }
    }

    /// Says in this broker's log what is wrong with the other side.
    fn note_refusal(&self, hello: &Hello, refusal: &Refusal) {
        let node = hello.from.node;
        let text = match refusal {
            Refusal::Mismatch(mismatch) => mismatch.describe(&self.circle.own(), &hello.from),
            Refusal::Impostor => format!(
                "a process that says it is node {node} is not the one that answers at node \
                 {node}'s address in the cluster list: two brokers run with one node id, or on \
                 copies of one data directory. It is refused"
            ),
            Refusal::Unverified | Refusal::Forming | Refusal::NotServing => {
                tracing::debug!(peer = node, ?refusal, "a connection is refused for now");
                return;
            }
        };
        if self.circle.complaints.is_due(&format!("connections of node {node}"), &text) {
            tracing::warn!("refused a connection: {text}");
        }
    }

    fn complain(&self, address: SocketAddr, text: &str) {
        // What garbage is called may change with each connection.
        if self.circle.complaints.is_due(&format!("address {}", address.ip()), "") {
            tracing::warn!(%address, "closed a connection to the peer port: {text}");
        }
    }
}
