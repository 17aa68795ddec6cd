//! Produce (0): checks batches and hands them to the shards of their partitions.

mod validate;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt;
use synod_wire::messages::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, ProduceRequest,
    ProduceResponse, TopicProduceResponse,
};
use synod_wire::{ErrorCode, Message, Reader, Str};
use tokio::sync::oneshot;

use super::error_codes::of_append_error;
use super::lookup::Lookup;
use super::metadata::COORDINATOR_TOPICS;
use super::{Answer, ApiError, Call, Pending};
use crate::budget::BudgetShare;
use crate::partition::{Acks, AppendItem, AppendOutcome, AppendRequest, PartitionView};
use crate::shard::ShardRequest;
use validate::{Refusal, is_heavy, validate};

pub(super) const KEY: i16 = ProduceRequest::KEY.0;

/// Versions that are decoded.
const VERSIONS: std::ops::RangeInclusive<i16> = 3..=9;

/// Versions that are advertised. Older clients than 3 do not exist any more, but librdkafka 2.0
/// silently stops compressing unless the range begins at 0.
pub(super) const ADVERTISED: std::ops::RangeInclusive<i16> = 0..=9;

/// Fewest milliseconds that a producer's timeout is taken for: with less, a healthy sync would be
/// reported as timed out.
const MIN_TIMEOUT: Duration = Duration::from_secs(1);

/// What goes to one shard, and where its outcomes belong in the response.
#[derive(Debug, Default)]
struct Dispatch {
    items: Vec<AppendItem>,
    places: Vec<Place>,
}

/// Where an outcome belongs in the response.
#[derive(Clone, Copy, Debug)]
struct Place {
    topic: usize,
    partition: usize,
    log_start_offset: i64,
}

/// The outcomes that one shard owes.
type Due = (oneshot::Receiver<Vec<AppendOutcome>>, Vec<Place>);

/// Checks the request and queues its batches with their shards, in the order of the connection's
/// requests; the returned future waits for the outcomes.
///
/// # Errors
/// The connection has to end.
pub(super) async fn start(
    call: Call,
    reader: Reader,
    share: BudgetShare,
) -> Result<Pending, ApiError> {
    let version = call.header.api_version;
    if !VERSIONS.contains(&version) {
        return Err(ApiError::UnknownVersion { key: KEY, version });
    }
    let request: ProduceRequest = call.body(reader)?;
    let acks = match request.acks {
        0 => Some(Acks::None),
        1 => Some(Acks::Leader),
        -1 => Some(Acks::All),
        _ => None,
    };
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let count = request.topic_data.iter().map(|topic| topic.partition_data.len()).sum();
    call.check_partition_count(count)?;
    let (mut response, dispatches) = prepare(&call, request, acks).await;
    let Some(acks) = acks else {
        return Ok(std::future::ready(call.answer::<ProduceRequest>(&response)).boxed_local());
    };
    let share = Arc::new(share);
    let mut due = Vec::with_capacity(dispatches.len());
    for (shard, Dispatch { items, places }) in dispatches {
        let (reply, outcomes) = oneshot::channel();
        let reply = (acks != Acks::None).then_some(reply);
        let request = AppendRequest { items, acks, reply, share: share.clone() };
        let shard = call.context.broker().shard(shard);
        if !shard.send(ShardRequest::Append(request)).await {
            return Err(ApiError::Stopping);
        }
        due.push((outcomes, places));
    }
    drop(share);
    if acks == Acks::None {
        // Kafka's way to tell such a producer of a refusal is to close its connection.
        let codes = response.responses.iter().flat_map(|topic| &topic.partition_responses);
        let refused = codes.into_iter().any(|partition| !partition.error_code.is_none());
        let answer = if refused { Err(ApiError::UnanswerableRefusal) } else { Ok(Answer::Nothing) };
        return Ok(std::future::ready(answer).boxed_local());
    }
    Ok(async move {
        let deadline = tokio::time::Instant::now() + timeout.max(MIN_TIMEOUT);
        for due in due {
            collect(&mut response, due, deadline).await;
        }
        count_errors(&call, &response);
        call.answer::<ProduceRequest>(&response)
    }
    .boxed_local())
}

/// Checks every batch. Refusals are in the response already; what passed waits in the dispatches.
async fn prepare(
    call: &Call,
    request: ProduceRequest,
    acks: Option<Acks>,
) -> (ProduceResponse, BTreeMap<usize, Dispatch>) {
    let lookup = Lookup::new(&call.context);
    let mut dispatches: BTreeMap<usize, Dispatch> = BTreeMap::new();
    let mut response = ProduceResponse::default();
    response.responses.reserve_exact(request.topic_data.len());
    for (topic_place, topic) in request.topic_data.into_iter().enumerate() {
        let mut partitions = Vec::with_capacity(topic.partition_data.len());
        for (place, partition) in topic.partition_data.into_iter().enumerate() {
            let index = partition.index;
            let checked = match acks {
                None => Err((ErrorCode::INVALID_REQUIRED_ACKS.into(), -1)),
                Some(_) => check(call, &lookup, &topic.name, partition).await,
            };
            partitions.push(match checked {
                Ok((view, item)) => {
                    let dispatch = dispatches.entry(view.shard()).or_default();
                    dispatch.items.push(item);
                    let log_start_offset = wire_offset(view.log().start());
                    dispatch.places.push(Place {
                        topic: topic_place,
                        partition: place,
                        log_start_offset,
                    });
                    PartitionProduceResponse { index, ..Default::default() }
                }
                Err((refusal, log_start_offset)) => refused(index, refusal, log_start_offset),
            });
        }
        response.responses.push(TopicProduceResponse {
            name: topic.name,
            partition_responses: partitions,
            ..Default::default()
        });
    }
    (response, dispatches)
}

async fn check(
    call: &Call,
    lookup: &Lookup<'_>,
    topic: &Str,
    partition: PartitionProduceData,
) -> Result<(Arc<PartitionView>, AppendItem), (Refusal, i64)> {
    let view = lookup.hosted(topic, partition.index).map_err(|code| (code.into(), -1))?;
    if COORDINATOR_TOPICS.contains(&topic.as_str()) {
        // Its one writer is the coordinator.
        return Err((ErrorCode::INVALID_TOPIC_EXCEPTION.into(), -1));
    }
    view.metrics().produce_requests.add(1);
    let records = partition.records.unwrap_or_default();
    let (version, index) = (call.header.api_version, partition.index);
    let checked = if is_heavy(&records) {
        let (config, topic) = (Arc::clone(&view.config()), topic.clone());
        let work = move || validate(records, &config, version, &topic, index);
        let checked = tokio::task::spawn_blocking(work).await;
        checked.unwrap_or_else(|_| Err(ErrorCode::UNKNOWN_SERVER_ERROR.into()))
    } else {
        validate(records, &view.config(), version, topic, index)
    };
    let (batch, log_append_time) = checked.map_err(|refusal| {
        let tells = refusal.tells_start;
        (refusal, if tells { wire_offset(view.log().start()) } else { -1 })
    })?;
    view.metrics().received_size.add(batch.size() as u64);
    view.metrics().received_records.add(u64::from(batch.header().record_count().unsigned_abs()));
    let item = AppendItem { key: view.key(), batch, log_append_time };
    Ok((view, item))
}

fn refused(index: i32, refusal: Refusal, log_start_offset: i64) -> PartitionProduceResponse {
    let record_errors = refusal.records.into_iter().map(|(batch_index, message)| {
        let batch_index_error_message = Some(message.into());
        BatchIndexAndErrorMessage { batch_index, batch_index_error_message }
    });
    PartitionProduceResponse {
        index,
        error_code: refusal.code,
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset,
        record_errors: record_errors.collect(),
        error_message: refusal.message.map(Into::into),
        ..Default::default()
    }
}

/// Waits for what one shard owes and puts it in its places.
async fn collect(response: &mut ProduceResponse, due: Due, deadline: tokio::time::Instant) {
    let (outcomes, places) = due;
    let outcomes = match tokio::time::timeout_at(deadline, outcomes).await {
        Ok(Ok(outcomes)) => outcomes,
        // The batches may still be decided: only a code that makes the producer try again is true.
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    let mut outcomes = outcomes.into_iter();
    for Place { topic, partition, log_start_offset } in places {
        let answer = &mut response.responses[topic].partition_responses[partition];
        match outcomes.next() {
            Some(Ok(appended)) => {
                answer.error_code = ErrorCode::NONE;
                answer.base_offset = wire_offset(appended.base_offset);
                answer.log_append_time_ms = appended.log_append_time.unwrap_or(-1);
                answer.log_start_offset = wire_offset(appended.log_start_offset);
            }
            Some(Err(error)) => {
                let refusal = of_append_error(error).into();
                *answer = refused(answer.index, refusal, log_start_offset);
            }
            None => *answer = refused(answer.index, ErrorCode::REQUEST_TIMED_OUT.into(), -1),
        }
    }
}

fn count_errors(call: &Call, response: &ProduceResponse) {
    for partition in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
        call.context.broker().metrics().error(KEY, partition.error_code.code());
    }
}

/// An offset as the wire carries it.
pub(super) fn wire_offset(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}
