//! What a producer's batch must be before it may enter a log.

use bytes::Bytes;
use synod_log::batch::{Batch, BatchError, BatchHeader};
use synod_wire::ErrorCode;
use synod_wire::batch::{self as records, BatchBuilder, Compression, NewRecord, ProducerStamp};

use crate::metadata::{TimestampType, TopicConfig};
use crate::shard::unix_time_ms;

/// Why a batch is refused, as its producer is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) message: Option<String>,
    /// Records at fault, by their place in the batch.
    pub(super) records: Vec<(i32, String)>,
    /// The batch is whole and of this partition, so its producer is told where the log starts.
    pub(super) tells_start: bool,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Refusal {
        Refusal { code, message: None, records: Vec::new(), tells_start: false }
    }
}

impl Refusal {
    fn new(code: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal { message: Some(message.into()), ..code.into() }
    }

    /// A refusal of what a whole and intact batch says.
    fn of_content(code: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal { tells_start: true, ..Refusal::new(code, message) }
    }
}

/// First Produce version that may carry zstd (KIP-110).
const ZSTD_FROM: i16 = 7;

/// Largest decompressed size of a batch, in bytes: many times what any client batches, and little
/// enough for several at once.
const DECOMPRESSED_SIZE: usize = 64 << 20;

/// Size in bytes from which a compressed batch is not looked into on an event loop.
const HEAVY_SIZE: usize = 32 << 10;

/// Records named in a refusal at most.
const NAMED_RECORDS: usize = 100;

/// Whether looking at these records may take so long that other work must not wait for it.
pub(super) fn is_heavy(bytes: &Bytes) -> bool {
    let header = BatchHeader::parse(bytes);
    bytes.len() >= HEAVY_SIZE && header.is_ok_and(|header| header.compression() != 0)
}

/// Checks the records of one partition of a Produce request: exactly one batch of format 2, whole,
/// intact, dense, and within the topic's rules. Returns it, recompressed where the topic demands
/// another codec, and whether it is to get the broker's time.
///
/// Every record is looked at, inside compression too: what no consumer could read would hold up all
/// of them.
pub(super) fn validate(
    bytes: Bytes,
    config: &TopicConfig,
    version: i16,
    topic: &str,
    partition: i32,
) -> Result<(Batch, bool), Refusal> {
    let batch = parse(bytes.clone())?;
    let header = batch.header();
    check_attributes(&batch, version)?;
    batch
        .verify_crc()
        .map_err(|error| Refusal::new(ErrorCode::CORRUPT_MESSAGE, error.to_string()))?;
    if batch.size() > config.max_batch_size as usize {
        let (size, limit) = (batch.size(), config.max_batch_size);
        let message = format!("a batch of {size} bytes, more than max.message.bytes = {limit}");
        return Err(Refusal::new(ErrorCode::MESSAGE_TOO_LARGE, message));
    }
    check_counts(&batch)?;
    let log_append_time = config.timestamp_type == TimestampType::LogAppendTime;
    let now = unix_time_ms();
    let max_timestamp = check_records(bytes.clone(), config, topic, partition, now)?;
    if log_append_time && header.is_log_append_time() {
        return Err(claims_append_time(header.record_count()));
    }
    let codec = config.compression.map_or(header.compression(), Compression::id);
    // A batch that claims the broker's time, or a greatest timestamp that none of its records has,
    // is rebuilt: searches by time believe both.
    let honest = !header.is_log_append_time() && header.max_timestamp() == max_timestamp;
    if codec == header.compression() && (honest || log_append_time) {
        return Ok((batch, log_append_time));
    }
    let codec = Compression::from_id(codec).ok_or(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE)?;
    Ok((rebuild(bytes, codec).map_err(malformed)?, log_append_time))
}

/// Where the broker's time is wanted, a producer that claims to have set it is told off.
fn claims_append_time(record_count: i32) -> Refusal {
    let message = "only the broker sets the append time";
    let named = record_count.min(i32::try_from(NAMED_RECORDS).unwrap_or(i32::MAX));
    let records = (0..named).map(|place| (place, message.to_owned())).collect();
    Refusal { records, ..Refusal::of_content(ErrorCode::INVALID_TIMESTAMP, message) }
}

fn malformed(error: records::BatchError) -> Refusal {
    Refusal::of_content(ErrorCode::INVALID_RECORD, error.to_string())
}

fn parse(bytes: Bytes) -> Result<Batch, Refusal> {
    let (batch, rest) = Batch::parse(bytes).map_err(|error| match error {
        BatchError::Incomplete { .. } | BatchError::BadCount { .. } => {
            Refusal::new(ErrorCode::INVALID_RECORD, error.to_string())
        }
        BatchError::BadMagic(0 | 1) => {
            Refusal::new(ErrorCode::INVALID_RECORD, "record formats 0 and 1 are not supported")
        }
        BatchError::BadSize(_) | BatchError::BadMagic(_) | BatchError::BadChecksum { .. } => {
            Refusal::new(ErrorCode::CORRUPT_MESSAGE, error.to_string())
        }
    })?;
    if !rest.is_empty() {
        let message = "exactly one batch per partition is allowed";
        return Err(Refusal::new(ErrorCode::INVALID_RECORD, message));
    }
    Ok(batch)
}

fn check_attributes(batch: &Batch, version: i16) -> Result<(), Refusal> {
    let header = batch.header();
    match header.compression() {
        0..=3 => {}
        4 if version < ZSTD_FROM => return Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE.into()),
        4 => {}
        codec => {
            let message = format!("compression codec {codec} does not exist");
            return Err(Refusal::new(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE, message));
        }
    }
    if header.is_control() {
        let message = "producers may not write control records";
        return Err(Refusal::of_content(ErrorCode::INVALID_RECORD, message));
    }
    if header.is_transactional() {
        let message = "transactions are not supported yet";
        return Err(Refusal::new(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, message));
    }
    Ok(())
}

fn check_counts(batch: &Batch) -> Result<(), Refusal> {
    let header = batch.header();
    let (count, last) = (header.record_count(), header.last_offset_delta());
    if count < 1 || i64::from(last) + 1 != i64::from(count) {
        let message = format!("{count} records with a last offset delta of {last}");
        return Err(Refusal::of_content(ErrorCode::INVALID_RECORD, message));
    }
    if header.base_offset() != 0 {
        let message = "the base offset of a new batch must be 0";
        return Err(Refusal::of_content(ErrorCode::INVALID_RECORD, message));
    }
    if header.producer_id().is_some() && header.producer_epoch() >= 0 && header.base_sequence() < 0
    {
        let message = "an idempotent producer's batch needs a sequence number";
        return Err(Refusal::of_content(ErrorCode::INVALID_RECORD, message));
    }
    Ok(())
}

fn is_timely(timestamp: i64, config: &TopicConfig, now: i64) -> bool {
    let ms = |age: std::time::Duration| i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    let earliest = now.saturating_sub(ms(config.timestamp_before_max));
    let latest = now.saturating_add(ms(config.timestamp_after_max));
    timestamp < 0 || (earliest..=latest).contains(&timestamp)
}

/// Looks at each record: its form, its key where the topic is compacted, its timestamp. Returns the
/// greatest timestamp.
fn check_records(
    mut bytes: Bytes,
    config: &TopicConfig,
    topic: &str,
    partition: i32,
    now: i64,
) -> Result<i64, Refusal> {
    let own_time = config.timestamp_type == TimestampType::CreateTime;
    let mut max_timestamp = i64::MIN;
    let mut keyless = Vec::new();
    let mut untimely = Vec::new();
    let batch = records::Batch::split_from(&mut bytes).map_err(malformed)?;
    for (place, record) in (0i32..).zip(batch.records(DECOMPRESSED_SIZE).map_err(malformed)?) {
        let record = record.map_err(malformed)?;
        max_timestamp = max_timestamp.max(record.timestamp);
        if config.compact && record.key.is_none() && keyless.len() < NAMED_RECORDS {
            let place_name = format!("{topic}-{partition}");
            let message =
                format!("a record of the compacted topic partition {place_name} needs a key");
            keyless.push((place, message));
        }
        if own_time && !is_timely(record.timestamp, config, now) && untimely.len() < NAMED_RECORDS {
            let time = record.timestamp;
            untimely.push((place, format!("timestamp {time} is too far from the broker's {now}")));
        }
    }
    for (code, records) in
        [(ErrorCode::INVALID_RECORD, keyless), (ErrorCode::INVALID_TIMESTAMP, untimely)]
    {
        if let Some((_, first)) = records.first() {
            let message = format!("{} record(s) refused, the first because {first}", records.len());
            return Err(Refusal { records, ..Refusal::of_content(code, message) });
        }
    }
    Ok(max_timestamp)
}

/// The same records in a batch of another codec.
fn rebuild(mut bytes: Bytes, codec: Compression) -> Result<Batch, records::BatchError> {
    let batch = records::Batch::split_from(&mut bytes)?;
    let header = batch.header();
    let mut builder = BatchBuilder::with_capacity(batch.size());
    for record in batch.records(DECOMPRESSED_SIZE)? {
        let record = record?;
        builder.append(&NewRecord {
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &record.headers,
        })?;
    }
    let stamp = ProducerStamp {
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
    };
    let (rebuilt, _) = Batch::parse(builder.build(codec, stamp)?)
        .unwrap_or_else(|error| unreachable!("the builder makes whole batches: {error}"));
    Ok(rebuilt)
}
