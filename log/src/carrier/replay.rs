//! Brings what was carried back to the logs, before anything else looks at them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::error::CarrierError;
use super::frame::SECTOR_SIZE;
use super::recover::{Content, Piece, Pieces, recover};
use super::store::file_path;
use crate::batch::Batch;
use crate::config::LogConfig;
use crate::data_dir::DataDir;
use crate::journal::{JournalError, JournalRecord, PartitionDurable};
use crate::key::PartitionKey;
use crate::log::Log;
use crate::log_error::LogError;
use crate::storage::{Access, File, Storage};

/// No carrier's file gets longer than this; a longer one is not read into memory.
pub const MAX_FILE_SIZE: u64 = 1 << 30;

/// Marks that are journaled together.
const MARK_GROUP: usize = 10_000;

/// Sectors of a file that may be unreadable before the whole file counts as unreadable.
const MOST_UNREADABLE: usize = 8;

/// How much of a file is read at a time.
const READ_SIZE: usize = 1 << 20;

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Partitions of which something was carried.
    pub partition_count: usize,
    /// Logs that got batches back.
    pub replayed_count: usize,
    /// Logs whose carried batches are lost. They are reported as faulty when they are opened.
    pub lost_count: usize,
}

/// Brings the logs of a directory up to what its carriers hold, notes that in the journal, and then
/// removes the carriers' files. A crash in between costs nothing: it is simply done again. To be
/// done before any log is opened, and before there is a new carrier.
///
/// `known` is what the journal holds and is kept up to date; `journal` makes records durable
/// before it returns.
///
/// # Errors
/// See [`CarrierError`].
pub fn replay(
    data_dir: &DataDir,
    known: &mut BTreeMap<PartitionKey, PartitionDurable>,
    config: impl Fn(PartitionKey) -> LogConfig,
    mut journal: impl FnMut(Vec<JournalRecord>) -> Result<(), JournalError>,
) -> Result<ReplayReport, CarrierError> {
    let storage = &**data_dir.storage();
    let dir = data_dir.carrier_path();
    let mut report = ReplayReport::default();
    if !storage.exists(&dir).map_err(io_error(&dir))? {
        return Ok(report);
    }
    let mut outdated = Vec::new();
    let mut marks = Vec::new();
    for paths in carriers(storage, &dir)? {
        let read = paths.into_iter().map(|path| read(storage, path)).collect::<Result<_, _>>()?;
        let (pieces, files) = recover(read)?;
        outdated.extend(files.into_iter().map(|file| file.path));
        report.partition_count += pieces.len();
        marks.extend(bring_back(data_dir, known, &config, pieces, &mut report)?);
    }
    for group in marks.chunks(MARK_GROUP) {
        journal(group.iter().map(|(key, end)| mark(*key, *end)).collect())?;
    }
    for (key, durable_end) in marks {
        known.entry(key).or_default().mark = durable_end;
    }
    // The older file of each carrier first: it holds what the other one may say is void.
    for path in outdated {
        storage.remove_file(&path).map_err(io_error(&path))?;
        storage.sync_dir(&dir).map_err(io_error(&dir))?;
    }
    Ok(report)
}

fn mark(key: PartitionKey, durable_end: u64) -> JournalRecord {
    JournalRecord::Mark { key, durable_end }
}

/// Opens the logs that are behind and appends what they lack. Gives the marks that hold then.
fn bring_back(
    data_dir: &DataDir,
    known: &BTreeMap<PartitionKey, PartitionDurable>,
    config: &impl Fn(PartitionKey) -> LogConfig,
    pieces: Pieces,
    report: &mut ReplayReport,
) -> Result<Vec<(PartitionKey, u64)>, CarrierError> {
    let mut marks = Vec::new();
    for (key, pieces) in pieces {
        let before = known.get(&key).map(|durable| durable.mark);
        let end = pieces.iter().map(|piece| piece.end).max().unwrap_or(0);
        if end <= before.unwrap_or(0) {
            continue;
        }
        let path = data_dir.partition_path(key);
        let is_there = data_dir.storage().exists(&path).map_err(io_error(&path))?;
        if !is_there && before.is_none() {
            // Deleted since.
            continue;
        }
        let reached = match is_there {
            true => extend(data_dir, key, config(key), before.unwrap_or(0), pieces)?,
            false => 0,
        };
        if reached >= end {
            report.replayed_count += 1;
        } else {
            tracing::error!(partition = %key, reached, end, "what was carried cannot be brought back");
            report.lost_count += 1;
        }
        // What is missing below the mark is reported when the log is opened.
        marks.push((key, reached.max(end)));
    }
    Ok(marks)
}

/// Appends to a log what it lacks, as far as it takes it. Gives the end up to which it is sound and
/// synced then.
fn extend(
    data_dir: &DataDir,
    key: PartitionKey,
    config: LogConfig,
    mark: u64,
    pieces: Vec<Piece>,
) -> Result<u64, CarrierError> {
    let (storage, path) = (data_dir.storage().clone(), data_dir.partition_path(key));
    let mut log = match Log::open(storage, &path, config, mark) {
        Ok((log, _)) if log.faulty().is_none() => log,
        // It says so again when its partition is opened.
        Ok(_) | Err(LogError::StartUnknown { .. } | LogError::Corrupt { .. }) => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    append_missing(&mut log, pieces)?;
    Ok(log.settle()?)
}

/// Appends what lies behind the log's end, as far as it follows without a gap.
fn append_missing(log: &mut Log, pieces: Vec<Piece>) -> Result<(), CarrierError> {
    for piece in pieces {
        if piece.end <= log.end() {
            continue;
        }
        let missing = piece.batches.and_then(|it| batches_from(it, log.end(), piece.end));
        let Some(missing) = missing else { break };
        match log.append(&missing) {
            Err(LogError::NotContiguous { .. }) => break,
            other => other?,
        }
    }
    Ok(())
}

/// The batches of a piece that begin at or beyond `from`, if they follow it without a gap.
fn batches_from(mut bytes: Bytes, from: u64, end: u64) -> Option<Vec<Batch>> {
    let mut missing = Vec::new();
    let mut next = from;
    while !bytes.is_empty() {
        let (batch, rest) = Batch::parse(bytes).ok()?;
        bytes = rest;
        if batch.end_offset() > from {
            if batch.base_offset() != next || batch.verify_crc().is_err() {
                return None;
            }
            next = batch.end_offset();
            missing.push(batch);
        }
    }
    (next == end).then_some(missing)
}

/// The files of each carrier.
fn carriers(storage: &dyn Storage, dir: &Path) -> Result<Vec<Vec<PathBuf>>, CarrierError> {
    let mut shards: BTreeMap<usize, Vec<PathBuf>> = BTreeMap::new();
    for entry in storage.list(dir).map_err(io_error(dir))? {
        let Some((shard, slot)) = parse_name(&entry.name) else { continue };
        let path = file_path(dir, shard, slot);
        if entry.size > MAX_FILE_SIZE {
            return Err(CarrierError::TooLong { path, size: entry.size });
        }
        shards.entry(shard).or_default().push(path);
    }
    Ok(shards.into_values().collect())
}

fn parse_name(name: &str) -> Option<(usize, usize)> {
    let (shard, slot) = name.split_once('-')?;
    let (shard, slot) = (shard.parse().ok()?, slot.parse().ok()?);
    (slot < 2 && format!("{shard}-{slot}") == name).then_some((shard, slot))
}

/// Reads a file. A sector that the device cannot read becomes what is no part of any frame; a
/// device that cannot read many is no device to trust.
fn read(storage: &dyn Storage, path: PathBuf) -> Result<Content, CarrierError> {
    let file = storage.open_file(&path, Access::ReadOnly).map_err(io_error(&path))?;
    let mut bytes = vec![0; file.size() as usize];
    let mut unreadable_count = 0;
    for (index, part) in bytes.chunks_mut(READ_SIZE).enumerate() {
        let position = (index * READ_SIZE) as u64;
        if file.read_at(part, position).is_err() {
            let read = read_sectors(&*file, part, position, &mut unreadable_count);
            read.map_err(io_error(&path))?;
        }
    }
    Ok(Content { path, bytes: bytes.into() })
}

fn read_sectors(
    file: &dyn File,
    part: &mut [u8],
    position: u64,
    unreadable_count: &mut usize,
) -> io::Result<()> {
    for (index, sector) in part.chunks_mut(SECTOR_SIZE).enumerate() {
        let at = position + (index * SECTOR_SIZE) as u64;
        if let Err(error) = file.read_at(sector, at) {
            *unreadable_count += 1;
            if *unreadable_count > MOST_UNREADABLE {
                return Err(error);
            }
            tracing::error!(position = at, %error, "a sector of the carrier cannot be read");
            sector.fill(0xff);
        }
    }
    Ok(())
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> CarrierError {
    let path: PathBuf = path.to_owned();
    move |source| CarrierError::Io { path, source }
}
