//! Opening a partition's files: what the log and the journal say, put together for the replica.

use std::io;
use std::ops::Range;

use synod_log::data_dir::DataDir;
use synod_log::journal::{JournalError, JournalRecord, PartitionDurable};
use synod_log::key::PartitionKey;
use synod_log::sync::SyncPool;
use synod_log::{Log, LogConfig, LogError};
use synod_paxos::{Ballot, Durable, NodeId, RoundStart};

use super::event_loop::Storage;
use crate::partition::{PartitionError, first_batch_base};

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
}

impl OpenError {
    /// Whether there was no space, which passes.
    pub(crate) fn is_disk_full(&self) -> bool {
        match self {
            OpenError::Log(error) => matches!(error, LogError::DiskFull { .. }),
            OpenError::Io(error) => error.kind() == std::io::ErrorKind::StorageFull,
            OpenError::Journal(error) => matches!(error, JournalError::DiskFull),
            OpenError::Lost { .. } => false,
        }
    }

    /// Whether a write or a sync may have failed: what memory holds of the files may not be on the
    /// device then, and opening them again would trust it. A file that is not there, or not this
    /// process's to use, is no such failure.
    pub(crate) fn is_device_failure(&self) -> bool {
        let is_device = |error: &io::Error| {
            use io::ErrorKind as Kind;
            let harmless = [
                Kind::NotFound,
                Kind::PermissionDenied,
                Kind::ReadOnlyFilesystem,
                Kind::StorageFull,
            ];
            !harmless.contains(&error.kind())
        };
        match self {
            OpenError::Log(LogError::Poisoned) => true,
            OpenError::Log(LogError::Io { source, .. }) | OpenError::Io(source) => {
                is_device(source)
            }
            OpenError::Journal(error) => matches!(error, JournalError::Failed(_)),
            OpenError::Log(_) | OpenError::Lost { .. } => false,
        }
    }
}

impl From<OpenError> for PartitionError {
    fn from(error: OpenError) -> PartitionError {
        PartitionError::Open(Box::new(error))
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
    let (mut log, lost) = open_log(data_dir, key, config, past, &mut journal)?;
    while let Some(job) = log.poll_sync() {
        log.handle_synced(job.run())?;
    }
    let faulty = match past.copies {
        Copies::One => log.faulty(),
        Copies::Several => lost.or_else(|| faulty_from(&log, past)),
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

/// The log, and what is lost of it altogether: a replica that has peers begins an empty one then.
fn open_log(
    data_dir: &DataDir,
    key: PartitionKey,
    config: LogConfig,
    past: &Past,
    journal: &mut impl FnMut(JournalRecord) -> Result<(), JournalError>,
) -> Result<(Log, Option<Range<u64>>), OpenError> {
    let mark = past.journaled.mark;
    let device = data_dir.storage().clone();
    let path = data_dir.partition_path(key);
    let mut lost_end = mark;
    if device.exists(&path)? {
        let (log, report) = Log::open(device.clone(), &path, config.clone(), mark)?;
        if !report.is_clean() {
            tracing::info!(partition = %key, ?report, "recovered");
        }
        if past.copies == Copies::One || !is_head_lost(&log, past) {
            return Ok((log, None));
        }
        tracing::error!(partition = %key, corrupt = ?log.corrupt(), "its head is lost: set aside");
        // What lies beyond the mark may have been told of, too.
        lost_end = mark.max(log.end());
        if lost_end > mark {
            journal(JournalRecord::Mark { key, durable_end: lost_end })?;
        }
        drop(log);
        data_dir.set_partition_aside(key)?;
    } else if mark > 0 && past.copies == Copies::One {
        return Err(OpenError::Lost { mark });
    }
    let log = Log::create(device, &data_dir.create_partition(key)?, config)?;
    Ok((log, (lost_end > 0).then_some(0..lost_end)))
}

/// The first range that cannot be read, as far as known. One that could not be read once may have
/// been out of reach for that moment only.
fn first_corrupt<'a>(log: &'a Log, past: &'a Past) -> Option<&'a Range<u64>> {
    let known = past.corrupt.iter().filter(|range| !log.is_intact(range));
    log.corrupt().iter().chain(known).min_by_key(|range| range.start)
}

/// Whether the batch at the log's start cannot be read: then there is no boundary to cut at, and
/// nothing that could be kept. A start that was trimmed to may lie in the middle of that batch, and
/// no peer could go on from there.
fn is_head_lost(log: &Log, past: &Past) -> bool {
    let start = log.start();
    first_corrupt(log, past).is_some_and(|range| range.start <= start && start > 0)
}

/// From the first unreadable offset to the end of what may have been accepted. What lies behind the
/// first damage is given up even where it can be read: the log has to be unbroken.
fn faulty_from(log: &Log, past: &Past) -> Option<Range<u64>> {
    let first = first_corrupt(log, past)?;
    Some(first.start..first.end.max(log.durable_end()).max(past.journaled.mark))
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
