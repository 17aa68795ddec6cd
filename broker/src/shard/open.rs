//! Opening a partition's files: what the log and the journal say, put together for the replica.

use std::ops::Range;

use synod_log::data_dir::DataDir;
use synod_log::journal::{JournalError, JournalRecord, PartitionDurable};
use synod_log::key::PartitionKey;
use synod_log::sync::SyncPool;
use synod_log::{Log, LogConfig, LogError};
use synod_paxos::{Ballot, Durable, NodeId, RoundStart};

use super::event_loop::Storage;
use crate::partition::first_batch_base;

/// Why a partition could not be opened. The others go on without it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("its directory is gone, although records up to offset {mark} were acknowledged")]
    Lost { mark: u64 },
}

/// Opens a partition's files, or creates them where this broker never had any. Blocks.
///
/// What recovery kept beyond the durability mark is synced and marked before the replica may speak
/// of it.
///
/// # Errors
/// See [`OpenError`].
pub(crate) fn open_partition(
    storage: &Storage,
    key: PartitionKey,
    config: LogConfig,
) -> Result<(Log, Durable), OpenError> {
    let journaled = storage.recovered.get(&key).copied().unwrap_or_default();
    let device = storage.data_dir.storage().clone();
    let path = storage.data_dir.partition_path(key);
    let mut log = if device.exists(&path)? {
        let (log, report) = Log::open(device, &path, config, journaled.mark)?;
        if !report.is_clean() {
            tracing::info!(partition = %key, ?report, "recovered");
        }
        log
    } else if journaled.mark > 0 {
        return Err(OpenError::Lost { mark: journaled.mark });
    } else {
        Log::create(device, &storage.data_dir.create_partition(key)?, config)?
    };
    while let Some(job) = log.poll_sync() {
        log.handle_synced(job.run())?;
    }
    for offsets in log.corrupt() {
        tracing::error!(partition = %key, ?offsets, "acknowledged records cannot be read");
    }
    let faulty = log.faulty();
    if faulty.is_none() && log.durable_end() > journaled.mark {
        let mark = JournalRecord::Mark { key, durable_end: log.durable_end() };
        storage.journal.submit_and_wait(vec![mark])?;
    }
    let durable = durable(&log, journaled, faulty);
    Ok((log, durable))
}

/// Removes the files of deleted partitions, in the background.
pub(crate) fn purge_deleted(pool: &SyncPool, data_dir: &DataDir) {
    pool.submit_background(data_dir.purge_job(), |report| match report.result {
        Ok(Ok(0)) => {}
        Ok(Ok(count)) => tracing::info!(count, "removed the files of deleted partitions"),
        Ok(Err(error)) => tracing::warn!(%error, "files of deleted partitions are left"),
        Err(panicked) => tracing::error!(%panicked, "files of deleted partitions are left"),
    });
}

/// What the replica's new incarnation begins with.
fn durable(log: &Log, journaled: PartitionDurable, faulty: Option<Range<u64>>) -> Durable {
    let vow = journaled.vow.unwrap_or_default();
    let ballot = |ballot: synod_log::journal::Ballot| Ballot {
        round: ballot.round,
        node: NodeId(ballot.node),
    };
    let rounds = log.epochs().entries().iter().filter_map(|entry| {
        let round = u32::try_from(entry.leader_epoch).ok()?;
        Some(RoundStart { round, base: entry.start })
    });
    Durable {
        promised: ballot(vow.promised),
        accepted_ballot: ballot(vow.accepted),
        log_start: first_batch_base(log),
        log_end: faulty.as_ref().map_or(log.durable_end(), |faulty| faulty.start),
        faulty_end: faulty.map(|faulty| faulty.end),
        decided_end: 0,
        rounds: rounds.collect(),
    }
}
