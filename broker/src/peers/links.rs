//! The links of one channel to all peers.

use std::sync::Arc;

use synod_paxos::NodeId;
use tokio_util::sync::DropGuard;

use super::link::Link;
use super::message::{ControlMessage, PartitionMessage};

/// A shard's links: one to each peer. Clones speak of the same links, which end with the last.
#[derive(Clone, Debug)]
pub(crate) struct Links(Arc<Channels>);

/// The control links: one to each peer. Clones speak of the same links, which end with the last.
#[derive(Clone, Debug)]
pub(crate) struct ControlLinks(Arc<Channels>);

#[derive(Debug)]
struct Channels {
    links: Vec<Link>,
    _running: DropGuard,
}

impl Links {
    pub(super) fn new(links: Vec<Link>, running: DropGuard) -> Links {
        Links(Arc::new(Channels { links, _running: running }))
    }

    /// Queues messages for a peer, in order. Never waits: what finds no connection or no room is
    /// dropped, as the network may drop anything.
    pub(crate) fn send(&self, to: NodeId, messages: Vec<PartitionMessage>) {
        let Some(link) = self.0.link(to) else { return };
        for message in messages {
            link.send(ControlMessage::Partition(message));
        }
    }
}

impl ControlLinks {
    pub(super) fn new(links: Vec<Link>, running: DropGuard) -> ControlLinks {
        ControlLinks(Arc::new(Channels { links, _running: running }))
    }

    /// Queues a message for a peer; heartbeats pass all else. Never waits: what finds no connection
    /// or no room is dropped, as the network may drop anything.
    pub(crate) fn send(&self, to: NodeId, message: ControlMessage) {
        if let Some(link) = self.0.link(to) {
            link.send(message);
        }
    }
}

impl Channels {
    fn link(&self, to: NodeId) -> Option<&Link> {
        self.links.iter().find(|link| link.peer() == to)
    }
}
