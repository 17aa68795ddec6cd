//! The metadata group on this broker: its replica, the state folded from its log, the controller.
//!
//! Requests to the controller become records of the metadata log through the one runtime for
//! replicated state ([`StateLog`](crate::state_log::StateLog)); what is decided is folded into an
//! image, published to the whole broker, and only then answered. [`Group`] is all of that without
//! a runtime; [`Control`] joins it to the broker's queues and links.

mod codec;
mod form;
mod group;
mod registering;
mod released;
mod requests;
mod served;
mod supervisor;
#[cfg(test)]
mod tests;

use synod_log::key::PartitionKey;
use synod_paxos::NodeId;
use tokio::sync::mpsc;

use crate::metadata::ControllerRequest;
use crate::partition::{Effects, Partition, PartitionError};
use crate::peers::{ControlLinks, ControlMessage};
use crate::shard::unix_time_ms;

pub(crate) use group::{Group, GroupParts, METADATA_KEY};

/// Requests and messages that are taken from their queues at a time.
const TURN: usize = 256;

/// What [`Control`] is made of.
#[derive(Debug)]
pub(crate) struct ControlParts {
    pub(crate) group: GroupParts,
    pub(crate) requests: mpsc::Receiver<ControllerRequest>,
    /// What other brokers say on their control connections.
    pub(crate) incoming: mpsc::Receiver<(NodeId, ControlMessage)>,
    pub(crate) links: ControlLinks,
}

/// The metadata group joined to this broker's queues and links; lives on one shard.
#[derive(Debug)]
pub(crate) struct Control {
    group: Group,
    requests: Inbox<ControllerRequest>,
    incoming: Inbox<(NodeId, ControlMessage)>,
    links: ControlLinks,
}

impl Control {
    pub(crate) fn new(parts: ControlParts) -> Control {
        Control {
            group: Group::new(parts.group),
            requests: Inbox::new(parts.requests),
            incoming: Inbox::new(parts.incoming),
            links: parts.links,
        }
    }

    /// Begins: a group of one elects itself without waiting for a tick.
    ///
    /// # Errors
    /// The log failed.
    pub(crate) fn start(&mut self, effects: &mut Effects) -> Result<(), PartitionError> {
        self.step(effects)
    }

    pub(crate) fn partition(&mut self) -> &mut Partition {
        self.group.partition()
    }

    /// The durability mark that the metadata log should have, if `key` is its key.
    pub(crate) fn mark(&self, key: PartitionKey) -> Option<u64> {
        (key == METADATA_KEY).then(|| self.group.mark())
    }

    /// Waits until there is a request or a message; for ever on shards without the controller.
    pub(crate) async fn ready(control: &mut Option<Control>) {
        let Some(Control { group, requests, incoming, .. }) = control else {
            return std::future::pending().await;
        };
        let room = group.has_room();
        tokio::select! {
            () = requests.fill(), if room => {}
            () = incoming.fill() => {}
        }
    }

    /// A tick of the replicas passed; [`Control::step`] is to follow.
    ///
    /// # Errors
    /// The log failed.
    pub(crate) fn tick(&mut self, effects: &mut Effects) -> Result<(), PartitionError> {
        self.group.handle_tick(effects)?;
        // Another process serves under this broker's number: only one of them may.
        match self.group.refusal() {
            Some(refusal) => Err(PartitionError::Refused(refusal.clone())),
            None => Ok(()),
        }
    }

    /// Handles what has arrived and ends the group's turn.
    ///
    /// # Errors
    /// The log failed, or holds what cannot be folded.
    pub(crate) fn step(&mut self, effects: &mut Effects) -> Result<(), PartitionError> {
        for (from, message) in self.incoming.taken.drain(..) {
            self.group.handle_message(from, message, effects)?;
        }
        for request in self.requests.taken.drain(..) {
            self.group.handle_request(request);
        }
        self.group.step(unix_time_ms(), effects)?;
        for (to, message) in self.group.take_messages() {
            self.links.send(to, message);
        }
        Ok(())
    }

    /// Closes the metadata log.
    pub(crate) fn close(self) {
        if let Err(error) = self.group.close().close() {
            tracing::warn!(%error, "the metadata log was not closed cleanly");
        }
    }
}

/// A queue and what was taken out of it.
#[derive(Debug)]
struct Inbox<T> {
    queue: mpsc::Receiver<T>,
    taken: Vec<T>,
    open: bool,
}

impl<T> Inbox<T> {
    fn new(queue: mpsc::Receiver<T>) -> Inbox<T> {
        Inbox { queue, taken: Vec::new(), open: true }
    }

    /// Waits until something was taken; for ever once nobody can put anything in.
    async fn fill(&mut self) {
        if self.open && self.queue.recv_many(&mut self.taken, TURN).await > 0 {
            return;
        }
        self.open = false;
        std::future::pending().await
    }
}
