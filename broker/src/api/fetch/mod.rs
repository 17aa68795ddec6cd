//! Fetch (1): reads decided records, straight from the logs' shared views.

mod session;

use std::sync::Arc;
use std::time::{Duration, Instant};

use synod_log::LogError;
use synod_wire::messages::fetch::{
    EpochEndOffset, FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData,
};
use synod_wire::{ErrorCode, Message, Records, RequestHeader, Str};
use tokio::sync::Notify;

use super::error_codes::{of_log_error, of_session_error};
use super::lookup::Lookup;
use super::produce::wire_offset;
use crate::context::Context;
use crate::partition::{PartitionView, Registration};

pub(crate) use session::{SessionError, Sessions};
use session::{Told, Turn, Wanted};

const KEY: i16 = FetchRequest::KEY.0;

/// Longest that a fetch is parked, whatever the client asks for.
const MAX_WAIT: Duration = Duration::from_secs(600);

/// What one look at the partitions found.
#[derive(Debug)]
struct Look {
    partitions: Vec<PartitionData>,
    /// Bytes of records.
    size: usize,
    /// Whether the client has to hear of something at once, records or not.
    urgent: bool,
}

/// Answers a Fetch request, when enough is there or its time is over.
pub(crate) async fn handle(
    context: &Context,
    header: &RequestHeader,
    request: FetchRequest,
) -> FetchResponse {
    let turn = match begin(context, &request) {
        Ok(turn) => turn,
        Err(error) => {
            return FetchResponse { error_code: of_session_error(error), ..Default::default() };
        }
    };
    let limits = Limits::new(context, &request, header.api_version);
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(MAX_WAIT);
    let deadline = Instant::now() + wait;
    let min_size = usize::try_from(request.min_bytes).unwrap_or(0).min(limits.response_size);
    let mut look = look(context, &turn, &limits).await;
    if !look.urgent && look.size < min_size && !wait.is_zero() {
        look = park(context, &turn, &limits, min_size, deadline).await;
    }
    respond(context, turn, look)
}

fn begin(context: &Context, request: &FetchRequest) -> Result<Turn, SessionError> {
    let wanted = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| Wanted {
            topic: topic.topic.clone(),
            partition: partition.partition,
            fetch_offset: partition.fetch_offset,
            max_size: partition.partition_max_bytes,
            current_leader_epoch: partition.current_leader_epoch,
            last_fetched_epoch: partition.last_fetched_epoch,
        })
    });
    let forgotten: Vec<(Str, i32)> = request
        .forgotten_topics_data
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic.clone(), *index)))
        .collect();
    let sessions = context.broker().sessions();
    let (id, epoch) = (request.session_id, request.session_epoch);
    sessions.begin(id, epoch, wanted.collect(), &forgotten, Instant::now())
}

/// What bounds a response.
#[derive(Clone, Copy, Debug)]
struct Limits {
    response_size: usize,
    isolated: bool,
    /// Whether the response can say where logs diverge.
    tells_divergence: bool,
}

impl Limits {
    fn new(context: &Context, request: &FetchRequest, version: i16) -> Limits {
        let limit = context.config().limits.fetch_size.bytes();
        Limits {
            response_size: usize::try_from(request.max_bytes).unwrap_or(0).min(limit),
            isolated: request.isolation_level == 1,
            tells_divergence: version >= 12,
        }
    }
}

/// Waits until enough is there, something urgent happened, the time is over or the broker stops.
async fn park(
    context: &Context,
    turn: &Turn,
    limits: &Limits,
    min_size: usize,
    deadline: Instant,
) -> Look {
    let news = Arc::new(Notify::new());
    let lookup = Lookup::new(context);
    // Registered first, looked at afterwards: what is decided in between is not missed.
    let _registrations: Vec<Registration> = turn
        .wanted
        .iter()
        .filter_map(|wanted| lookup.hosted(&wanted.topic, wanted.partition).ok())
        .map(|view| Registration::new(view.waiters().clone(), news.clone()))
        .collect();
    let mut stopping = context.broker().stopping();
    let timer = tokio::time::sleep_until(deadline.into());
    tokio::pin!(timer);
    loop {
        let found = look(context, turn, limits).await;
        if found.urgent || found.size >= min_size {
            return found;
        }
        tokio::select! {
            () = news.notified() => {}
            () = &mut timer => return look(context, turn, limits).await,
            _ = stopping.wait_for(|stopping| *stopping) => return found,
        }
    }
}

/// Reads what is there now.
async fn look(context: &Context, turn: &Turn, limits: &Limits) -> Look {
    let lookup = Lookup::new(context);
    let mut found =
        Look { partitions: Vec::with_capacity(turn.wanted.len()), size: 0, urgent: false };
    for wanted in &turn.wanted {
        let left = limits.response_size.saturating_sub(found.size);
        let answer = match lookup.led(&wanted.topic, wanted.partition, wanted.current_leader_epoch)
        {
            Ok((view, round)) if i64::from(wanted.last_fetched_epoch) > i64::from(round) => {
                tracing::debug!(partition = %view.key(), "a client read in a round yet to come");
                Err(ErrorCode::OFFSET_OUT_OF_RANGE)
            }
            Ok((view, _)) => read(&view, wanted, limits, left, found.size == 0).await,
            Err(code) => Err(code),
        };
        let answer = answer.unwrap_or_else(|code| refused(wanted.partition, code));
        found.urgent |= !answer.error_code.is_none() || answer.diverging_epoch.end_offset >= 0;
        found.size += answer.records.size();
        found.partitions.push(answer);
    }
    found
}

/// Reads one partition. `first` lets a batch through that is larger than every limit, so that a
/// client always gets on.
async fn read(
    view: &PartitionView,
    wanted: &Wanted,
    limits: &Limits,
    left: usize,
    first: bool,
) -> Result<PartitionData, ErrorCode> {
    let log = view.log();
    let high_watermark = view.high_watermark();
    let mut answer = PartitionData {
        partition_index: wanted.partition,
        high_watermark: wire_offset(high_watermark),
        last_stable_offset: wire_offset(high_watermark),
        log_start_offset: wire_offset(log.start()),
        aborted_transactions: limits.isolated.then(Vec::new),
        ..Default::default()
    };
    if limits.tells_divergence
        && let Some(diverging) = diverging_epoch(view, wanted, high_watermark)
    {
        answer.diverging_epoch = diverging;
        return Ok(answer);
    }
    let from = u64::try_from(wanted.fetch_offset).map_err(|_| ErrorCode::OFFSET_OUT_OF_RANGE)?;
    if from < log.start() || from > high_watermark {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    let size = usize::try_from(wanted.max_size).unwrap_or(0).min(left);
    if from == high_watermark || (size == 0 && !first) {
        return Ok(answer);
    }
    if !log.is_resident(from, size) {
        warm(log.clone(), from, size, first, high_watermark).await;
    }
    match log.read(from, size, first, high_watermark) {
        Ok(slice) => {
            view.metrics().fetch_requests.add(1);
            view.metrics().sent_size.add(slice.size() as u64);
            view.metrics().sent_records.add(slice.next_offset.saturating_sub(from));
            answer.records = Records::from(slice.batches);
            Ok(answer)
        }
        Err(error) => {
            tracing::warn!(partition = %view.key(), from, %error, "cannot read");
            // Others hold it and will lead in a moment, while this replica is repaired: a code
            // after which clients ask again.
            let heals = matches!(error, LogError::Corrupt { .. }) && view.in_sync_count() > 1;
            Err(if heals { ErrorCode::KAFKA_STORAGE_ERROR } else { of_log_error(&error) })
        }
    }
}

/// Brings cold pages into memory on a thread that may wait for the device.
async fn warm(log: synod_log::LogView, from: u64, size: usize, first: bool, end: u64) {
    let warmed = tokio::task::spawn_blocking(move || {
        log.prefetch(from, size);
        if let Ok(slice) = log.read(from, size, first, end) {
            let pages = slice.batches.iter().flat_map(|bytes| bytes.iter().step_by(PAGE_SIZE));
            std::hint::black_box(pages.fold(0u8, |sum, byte| sum ^ byte));
        }
    });
    // A failure shows itself at the read that follows.
    let _ = warmed.await;
}

/// Bytes between two touches that bring every page into memory.
const PAGE_SIZE: usize = 4096;

/// Where the client's log and this one part, if the client says what it read last.
fn diverging_epoch(view: &PartitionView, wanted: &Wanted, end: u64) -> Option<EpochEndOffset> {
    if wanted.last_fetched_epoch < 0 {
        return None;
    }
    let (epoch, epoch_end) = view.log().epoch_end_offset(wanted.last_fetched_epoch, end)?;
    let end_offset = wire_offset(epoch_end);
    let diverges = epoch < wanted.last_fetched_epoch || end_offset < wanted.fetch_offset;
    diverges.then_some(EpochEndOffset { epoch, end_offset })
}

fn refused(partition_index: i32, error_code: ErrorCode) -> PartitionData {
    PartitionData {
        partition_index,
        error_code,
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        ..Default::default()
    }
}

/// Keeps what the session has to tell, grouped by topic in the session's order.
fn respond(context: &Context, turn: Turn, look: Look) -> FetchResponse {
    let answers: Vec<(Told, bool)> = look
        .partitions
        .iter()
        .map(|partition| {
            context.broker().metrics().error(KEY, partition.error_code.code());
            let told = Told {
                high_watermark: partition.high_watermark,
                log_start_offset: partition.log_start_offset,
            };
            let news = partition.records.size() > 0
                || !partition.error_code.is_none()
                || partition.diverging_epoch.end_offset >= 0;
            (told, news)
        })
        .collect();
    let included = turn.finish(&answers);
    let mut response = FetchResponse { session_id: turn.session_id, ..Default::default() };
    for ((wanted, partition), included) in
        turn.wanted.into_iter().zip(look.partitions).zip(included)
    {
        if !included {
            continue;
        }
        match response.responses.last_mut() {
            Some(topic) if topic.topic == wanted.topic => topic.partitions.push(partition),
            _ => response.responses.push(FetchableTopicResponse {
                topic: wanted.topic,
                partitions: vec![partition],
                ..Default::default()
            }),
        }
    }
    response
}
