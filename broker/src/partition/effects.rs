//! What a partition asks of its shard.

use synod_log::jobs::{BackgroundJob, SyncJob};
use synod_log::journal::JournalRecord;
use synod_log::key::PartitionKey;
use synod_paxos::NodeId;

use crate::metadata::request::ResignReason;
use crate::peers::PartitionMessage;

/// What partitions ask of their shard; gathered over one turn of the shard's loop.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// To be made durable in the journal, in this order.
    pub(crate) journal: Vec<JournalRecord>,
    /// Marks that nobody waits for.
    pub(crate) lazy_marks: Vec<(PartitionKey, u64)>,
    /// Syncs to start.
    pub(crate) syncs: Vec<(PartitionKey, SyncJob)>,
    /// Partitions of which nothing that was carried before is to come back.
    pub(crate) voids: Vec<PartitionKey>,
    /// Upkeep to do where it does not block.
    pub(crate) background: Vec<(PartitionKey, BackgroundJob)>,
    /// To be sent; everything that they wait for is durable.
    pub(crate) messages: Vec<Outgoing>,
    /// Appointments that cannot be followed (any more).
    pub(crate) resignations: Vec<Resignation>,
}

/// A message on its way to another broker. It may be lost.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) to: NodeId,
    pub(crate) message: PartitionMessage,
}

/// This broker was appointed to lead a partition and cannot. Told again with each tick for as long
/// as it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resignation {
    pub(crate) key: PartitionKey,
    /// The round of the appointment.
    pub(crate) round: u32,
    pub(crate) reason: ResignReason,
}
