//! ListOffsets (2): finds offsets by time, and the ends of logs.

use std::collections::HashMap;

use bytes::Bytes;
use synod_log::LogView;
use synod_wire::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};
use synod_wire::{ErrorCode, RequestHeader, Str, batch};

use super::error_codes::of_log_error;
use super::lookup::Lookup;
use super::produce::wire_offset;
use crate::context::Context;
use crate::partition::PartitionView;

/// Timestamp that asks for the end of what is decided.
const LATEST: i64 = -1;
/// Timestamp that asks for the start of the log.
const EARLIEST: i64 = -2;
/// Timestamp that asks for the record with the greatest timestamp (KIP-734).
const MAX_TIMESTAMP: i64 = -3;

/// First version that knows [`MAX_TIMESTAMP`].
const MAX_TIMESTAMP_FROM: i16 = 7;

/// Largest decompressed size of a batch that is searched, in bytes.
const DECOMPRESSED_SIZE: usize = 256 << 20;

/// A record's offset and timestamp.
type Found = Option<(i64, i64)>;

pub(super) async fn handle(
    context: &Context,
    header: &RequestHeader,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let lookup = Lookup::new(context);
    let mut counts: HashMap<(&Str, i32), usize> = HashMap::new();
    for topic in &request.topics {
        for asked in &topic.partitions {
            *counts.entry((&topic.name, asked.partition_index)).or_default() += 1;
        }
    }
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            // A partition that is named twice gets one answer, and not to either question.
            let answer = match counts.remove(&(&topic.name, asked.partition_index)) {
                Some(1) => answer(&lookup, &topic.name, asked, header.api_version).await,
                Some(_) => Err(ErrorCode::INVALID_REQUEST),
                None => continue,
            };
            partitions.push(answer.unwrap_or_else(|error_code| ListOffsetsPartitionResponse {
                partition_index: asked.partition_index,
                error_code,
                ..Default::default()
            }));
        }
        let name = topic.name.clone();
        topics.push(ListOffsetsTopicResponse { name, partitions });
    }
    ListOffsetsResponse { topics, ..Default::default() }
}

async fn answer(
    lookup: &Lookup<'_>,
    topic: &str,
    asked: &ListOffsetsPartition,
    version: i16,
) -> Result<ListOffsetsPartitionResponse, ErrorCode> {
    let (view, round) = lookup.led(topic, asked.partition_index, asked.current_leader_epoch)?;
    let end = view.high_watermark();
    let found = match asked.timestamp {
        LATEST => Some((wire_offset(end), -1)),
        EARLIEST => Some((wire_offset(view.log().start()), -1)),
        MAX_TIMESTAMP if version >= MAX_TIMESTAMP_FROM => search(&view, end, None).await?,
        timestamp if timestamp >= 0 => search(&view, end, Some(timestamp)).await?,
        _ => return Err(ErrorCode::UNSUPPORTED_VERSION),
    };
    let (offset, timestamp) = found.unwrap_or((-1, -1));
    let leader_epoch = match (found, i32::try_from(round)) {
        (Some(_), Ok(epoch)) => epoch_of(&view, offset).unwrap_or(epoch),
        _ => -1,
    };
    Ok(ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        error_code: ErrorCode::NONE,
        timestamp,
        offset,
        leader_epoch,
    })
}

/// The leader epoch of the record at an offset; `None` at the end of the log.
fn epoch_of(view: &PartitionView, offset: i64) -> Option<i32> {
    let offset = u64::try_from(offset).ok()?;
    view.log().epochs().epoch_at(offset)
}

/// Searches the log on a thread that may wait for the device: for the first record at or after a
/// timestamp, or for the one with the greatest.
async fn search(
    view: &PartitionView,
    end: u64,
    timestamp: Option<i64>,
) -> Result<Found, ErrorCode> {
    let log = view.log().clone();
    let searched = tokio::task::spawn_blocking(move || find(&log, end, timestamp));
    searched.await.unwrap_or(Err(ErrorCode::UNKNOWN_SERVER_ERROR))
}

fn find(log: &LogView, end: u64, timestamp: Option<i64>) -> Result<Found, ErrorCode> {
    let batch = match timestamp {
        Some(timestamp) => log.batch_for_timestamp(timestamp, end),
        None => log.batch_of_max_timestamp(end),
    };
    match batch.map_err(|error| of_log_error(&error))? {
        None => Ok(None),
        Some(bytes) => find_in_batch(bytes, wire_offset(log.start()), timestamp)
            .map_err(|_| ErrorCode::CORRUPT_MESSAGE),
    }
}

fn find_in_batch(
    mut bytes: Bytes,
    log_start: i64,
    timestamp: Option<i64>,
) -> Result<Found, batch::BatchError> {
    let batch = batch::Batch::split_from(&mut bytes)?;
    let wanted = timestamp.unwrap_or(batch.header().max_timestamp);
    for record in batch.records(DECOMPRESSED_SIZE)? {
        let record = record?;
        if record.timestamp >= wanted && record.offset >= log_start {
            return Ok(Some((record.offset, record.timestamp)));
        }
    }
    Ok(None)
}
