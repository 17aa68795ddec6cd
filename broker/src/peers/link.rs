//! One outgoing connection to a peer.

use std::sync::Arc;

use synod_paxos::NodeId;

use super::message::ControlMessage;
use super::queue::Queue;

/// The sending end of a link.
#[derive(Debug)]
pub(super) struct Link {
    peer: NodeId,
    queue: Arc<Queue>,
}

impl Link {
    pub(super) fn peer(&self) -> NodeId {
        self.peer
    }

    /// Queues a message, or drops it.
    pub(super) fn send(&self, message: ControlMessage) {
        self.queue.push(message);
    }
}
