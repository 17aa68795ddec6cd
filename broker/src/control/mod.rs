//! The metadata group on this broker: its replica, the state folded from its log, the controller.
//!
//! Requests to the controller become records of the metadata log through the one runtime for
//! replicated state ([`StateLog`](crate::state_log::StateLog)); what is decided is folded into an
//! image, published to the whole broker, and only then answered. [`Group`] is all of that without
//! a runtime; [`Control`] joins it to the broker's queues and links.

mod form;
mod group;
mod open;
mod registering;
mod released;
mod reopening;
mod requests;
mod served;
mod supervisor;
#[cfg(test)]
mod tests;

use reopening::Reopening;
use synod_log::key::PartitionKey;
use tokio::sync::mpsc;

use crate::metadata::ControllerRequest;
use crate::partition::{Effects, EndReason, Ended, Partition, PartitionError};
use crate::peers::{ControlLinks, Received};
use crate::shard::{Copies, OpenError, Past, unix_time_ms};

#[cfg(any(test, feature = "simulator"))]
pub(crate) use crate::state_log::batches::decode;
pub(crate) use group::{Group, GroupParts, METADATA_KEY};
#[cfg(any(test, feature = "simulator"))]
pub(crate) use open::replica_config;
pub(crate) use open::{OpenedMetadata, open_metadata};

/// Requests and messages that are taken from their queues at a time.
const TURN: usize = 256;

/// What [`Control`] is made of.
#[derive(Debug)]
pub(crate) struct ControlParts {
    pub(crate) group: GroupParts,
    pub(crate) requests: mpsc::Receiver<ControllerRequest>,
    /// What other brokers say on their control connections.
    pub(crate) incoming: mpsc::Receiver<Received>,
    pub(crate) links: ControlLinks,
}

/// The metadata group joined to this broker's queues and links; lives on one shard.
#[derive(Debug)]
pub(crate) struct Control {
    group: Group,
    requests: Inbox<ControllerRequest>,
    incoming: Inbox<Received>,
    links: ControlLinks,
    reopening: Reopening,
}

impl Control {
    pub(crate) fn new(parts: ControlParts) -> Control {
        Control {
            group: Group::new(parts.group),
            requests: Inbox::new(parts.requests),
            incoming: Inbox::new(parts.incoming),
            links: parts.links,
            reopening: Reopening::default(),
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
        self.reopening.handle_tick();
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
        for (from, message, _share) in self.incoming.taken.drain(..) {
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

    /// Ages the metadata log.
    ///
    /// # Errors
    /// The log failed.
    pub(crate) fn upkeep(
        &mut self,
        now_ms: i64,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        self.partition().upkeep(now_ms, false, effects)
    }

    /// If the replica had to stop and nothing of it is under way: what it is to be opened anew
    /// with, told once. One that found the disk full waits for space.
    pub(crate) fn poll_reopening(&mut self, has_space: impl FnOnce() -> bool) -> Option<Past> {
        if !self.reopening.is_due() {
            return None;
        }
        let Ended { reason, journaled, corrupt } = self.partition().poll_ended()?;
        if reason == EndReason::DiskFull && !has_space() {
            return None;
        }
        self.reopening.begin();
        // Only whoever has peers to go on with stops.
        Some(Past { journaled, corrupt, copies: Copies::Several })
    }

    /// The replica's files were opened anew, or could not be.
    ///
    /// # Errors
    /// The device failed: what it holds is not known any more.
    pub(crate) fn handle_reopened(
        &mut self,
        result: Result<OpenedMetadata, OpenError>,
    ) -> Result<(), PartitionError> {
        let mut pauses = false;
        match result {
            Ok(opened) => {
                tracing::info!("the metadata log is open again");
                self.group.reopen(opened);
            }
            Err(error) if error.is_disk_full() => {}
            Err(error) if error.is_device_failure() => return Err(error.into()),
            Err(error) => {
                tracing::error!(%error, "cannot open the metadata log; trying again later");
                pauses = true;
            }
        }
        self.reopening.end(pauses);
        Ok(())
    }

    /// Closes the metadata log.
    pub(crate) fn close(self) -> Option<(PartitionKey, u64)> {
        match self.group.stop() {
            Ok(mark) => mark,
            Err(error) => {
                tracing::warn!(%error, "the metadata log was not closed cleanly");
                None
            }
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
