//! What other threads report back to a shard.

use std::sync::{Mutex, PoisonError};

use synod_log::carrier::{CarrierDone, CarrierPrepared};
use synod_log::jobs::{BackgroundDone, SyncDone};
use synod_log::journal::{JournalError, JournalRecord};
use synod_log::key::PartitionKey;
use synod_log::sync::{JobPanicked, JobReport};
use tokio::sync::Notify;

use super::appeals::Appeal;
use super::coordinators::Loaded;
use super::open::OpenError;
use super::reconcile::Opened;
use crate::control::OpenedMetadata;

/// One report.
#[derive(Debug)]
pub(crate) enum Event {
    /// A sync of a partition's log returned.
    Synced(PartitionKey, JobReport<SyncDone>),
    /// A round of the shard's carrier returned.
    Carried(JobReport<CarrierDone>),
    /// Nothing was carried of a partition that would have to be void.
    Voided(PartitionKey),
    /// Room in the carrier is prepared, or could not be.
    CarrierPrepared(Result<CarrierPrepared, JobPanicked>),
    /// A journal submission is durable, or can never be.
    Journaled(Vec<JournalRecord>, Result<(), JournalError>),
    /// Upkeep of a partition's log is done.
    Background(PartitionKey, Result<BackgroundDone, JobPanicked>),
    /// A partition's files were opened or created, or could not be.
    Opened(Box<Opened>),
    /// The metadata log was opened anew, or could not be.
    MetadataOpened(Box<Result<OpenedMetadata, OpenError>>),
    /// The log of a group coordinator is folded, for a round of its partition.
    GroupsLoaded(PartitionKey, u32, Box<Loaded>),
    /// A deleted partition's files are gone, or could not be removed.
    Deleted(PartitionKey),
    /// A request to the controller is over.
    Answered(Appeal),
}

/// The queue of reports. It holds at most one report per piece of work that the shard gave away,
/// so its size is bounded by what the shard has under way.
#[derive(Debug, Default)]
pub(crate) struct Events {
    queue: Mutex<Vec<Event>>,
    ready: Notify,
}

impl Events {
    /// Queues a report and wakes the shard. Callable from any thread; never blocks for long.
    pub(crate) fn push(&self, event: Event) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        self.ready.notify_one();
    }

    /// Waits until there is a report. May be cancelled.
    pub(crate) async fn ready(&self) {
        self.ready.notified().await;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Moves all reports to the end of `events`.
    pub(crate) fn take(&self, events: &mut Vec<Event>) {
        events.append(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
