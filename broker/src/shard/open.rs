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

/// Whether other brokers hold a partition, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copies {
    /// Nobody else does: what cannot be read is lost, and nothing may be built on it.
    One,
    /// What cannot be read here is repaired from a peer.
    Several,
}

/// What is known of a partition before its files are looked at.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    /// What the journal holds of it.
    pub(crate) journaled: PartitionDurable,
    /// Offsets that were found unreadable while the broker ran, which opening may not notice.
    pub(crate) corrupt: Vec<Range<u64>>,
    pub(crate) copies: Copies,
}

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
    #[error("its first records, offsets {}..{}, cannot be read", .0.start, .0.end)]
    HeadLost(Range<u64>),
}

impl OpenError {
    /// Whether there was no space, which passes.
    pub(crate) fn is_disk_full(&self) -> bool {
        match self {
            OpenError::Log(error) => matches!(error, LogError::DiskFull { .. }),
            OpenError::Io(error) => error.kind() == std::io::ErrorKind::StorageFull,
            OpenError::Journal(error) => matches!(error, JournalError::DiskFull),
            OpenError::Lost { .. } | OpenError::HeadLost(_) => false,
        }
    }
}

/// Opens a partition's files with the broker's own journal. Blocks.
///
/// # Errors
/// See [`OpenError`].
pub(crate) fn open_partition(
    storage: &Storage,
    key: PartitionKey,
    config: LogConfig,
    past: &Past,
) -> Result<(Log, Durable), OpenError> {
    let mark = |record| storage.journal.submit_and_wait(vec![record]);
    recover(&storage.data_dir, key, config, past, mark)
}

/// Opens a partition's files, or creates them where this broker never had any, and says what the
/// replica's new incarnation begins with. `journal` makes a record durable before it returns.
///
/// What recovery kept beyond the durability mark is synced and marked before the replica may speak
/// of it.
///
/// # Errors
/// See [`OpenError`].
pub(crate) fn recover(
    data_dir: &DataDir,
    key: PartitionKey,
    config: LogConfig,
    past: &Past,
    mut journal: impl FnMut(JournalRecord) -> Result<(), JournalError>,
) -> Result<(Log, Durable), OpenError> {
    let mark = past.journaled.mark;
    let device = data_dir.storage().clone();
    let path = data_dir.partition_path(key);
    let mut lost = None;
    let mut log = if device.exists(&path)? {
        let (log, report) = Log::open(device, &path, config, mark)?;
        if !report.is_clean() {
            tracing::info!(partition = %key, ?report, "recovered");
        }
        log
    } else {
        if mark > 0 && past.copies == Copies::One {
            return Err(OpenError::Lost { mark });
        }
        lost = (mark > 0).then_some(0..mark);
        Log::create(device, &data_dir.create_partition(key)?, config)?
    };
    while let Some(job) = log.poll_sync() {
        log.handle_synced(job.run())?;
    }
    let faulty = match past.copies {
        Copies::One => log.faulty(),
        Copies::Several => faulty_from(&log, past)?.or(lost),
    };
    for offsets in log.corrupt().iter().chain(&faulty) {
        tracing::error!(partition = %key, ?offsets, "acknowledged records cannot be read");
    }
    // What is synced may have been told of, although the mark did not follow.
    let wanted = match (past.copies, &faulty) {
        (Copies::One, Some(_)) => mark,
        _ => mark.max(log.durable_end()),
    };
    if wanted > mark {
        journal(JournalRecord::Mark { key, durable_end: wanted })?;
    }
    let durable = durable(&log, past.journaled, faulty);
    Ok((log, durable))
}

/// From the first unreadable offset to the end of what may have been accepted. What lies behind the
/// first damage is given up even where it can be read: the log has to be unbroken.
fn faulty_from(log: &Log, past: &Past) -> Result<Option<Range<u64>>, OpenError> {
    let held = log.start()..log.durable_end();
    let known = past.corrupt.iter().filter(|range| range.end > held.start);
    let first = log.corrupt().iter().chain(known).min_by_key(|range| range.start);
    match first {
        Some(range) if range.start < held.start => Err(OpenError::HeadLost(range.clone())),
        Some(range) => Ok(Some(range.start..range.end.max(held.end).max(past.journaled.mark))),
        None => Ok(None),
    }
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
