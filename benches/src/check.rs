//! Reads back what a run wrote, and compares it with what was acknowledged.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use synod_client::cluster::{Isolation, OffsetSpec, TopicPartition};
use synod_client::consumer::{Consumer, ConsumerConfig, ConsumerRecord, Start};
use synod_client::{ClientConfig, Cluster};

use crate::error::BenchError;
use crate::payload::{Content, Payload};
use crate::progress::Progress;
use crate::tally::{Comparison, Findings, Tally};

/// Nothing may stay silent for longer while there is something to read.
const PATIENCE: Duration = Duration::from_secs(30);

/// What reading back showed, and how fast it went.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Check {
    #[serde(flatten)]
    pub(crate) findings: Findings,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
}

impl Check {
    /// The check itself, if what was acknowledged is there.
    ///
    /// # Errors
    /// [`BenchError::Unsound`].
    pub(crate) fn sound(self, idempotent: bool) -> Result<Self, BenchError> {
        match self.findings.is_sound(idempotent) {
            true => Ok(self),
            false => Err(BenchError::Unsound(self.findings)),
        }
    }
}

/// Offsets of partitions.
pub(crate) type Offsets = BTreeMap<TopicPartition, u64>;

/// Where each partition of a topic ends now.
///
/// # Errors
/// What keeps a partition's leader from answering.
pub(crate) async fn ends(
    cluster: &Cluster,
    topic: &str,
    partitions: u32,
) -> Result<Offsets, BenchError> {
    let all = (0..partitions as i32).map(|index| TopicPartition::new(topic, index));
    let found = cluster.list_offsets(all, OffsetSpec::End, Isolation::ReadUncommitted).await;
    let mut ends = Offsets::new();
    for (partition, offset) in found {
        // A partition's end is never negative; a broker that says so has nothing to read.
        let end = offset?.and_then(|found| u64::try_from(found.offset).ok()).unwrap_or(0);
        ends.insert(partition, end);
    }
    Ok(ends)
}

/// Reads every partition from its offset in `starts` to its present end.
///
/// # Errors
/// What keeps the records from being read. Records that are missing or wrong are no error here but
/// part of the findings.
pub(crate) async fn check(
    client: &ClientConfig,
    starts: &Offsets,
    tally: &Tally,
    payload: &Payload,
) -> Result<Check, BenchError> {
    let cluster = Cluster::connect(client.clone()).await?;
    let mut comparison = Comparison::new(tally);
    let begin = Instant::now();
    let mut bytes = 0;
    let mut progress = Progress::new("check", Some(tally.acked()));
    let mut read = 0;
    let topic = starts.keys().next().map(|partition| partition.topic.clone());
    let Some(topic) = topic else {
        return Ok(Check { findings: comparison.finish(), bytes: 0, seconds: 0.0 });
    };
    let ends = ends(&cluster, &topic, starts.len() as u32).await?;
    let mut open: BTreeMap<i32, u64> = BTreeMap::new();
    let mut wanted = Vec::new();
    for (partition, &start) in starts {
        let end = ends.get(partition).copied().unwrap_or(start);
        if end > start {
            open.insert(partition.partition, end);
            wanted.push((partition.clone(), Start::Offset(start)));
        }
    }
    let mut consumer = Consumer::new(cluster, ConsumerConfig::default())?;
    if !wanted.is_empty() {
        consumer.assign(wanted).await?;
    }
    while !open.is_empty() {
        let records = consumer.poll(PATIENCE).await?;
        if records.is_empty() {
            let reason =
                format!("{} partitions of {topic} cannot be read to their end", open.len());
            return Err(BenchError::Process(reason));
        }
        for record in records {
            let value = record.value.as_deref().unwrap_or_default();
            bytes += value.len() as u64;
            match payload.recognise(value) {
                Content::Record(place) => comparison.handle_record(place),
                Content::Damaged => comparison.handle_damaged(),
                Content::Foreign => comparison.handle_foreign(),
            }
            read += 1;
            if is_last(&open, record.partition, record.offset) {
                open.remove(&record.partition);
            }
        }
        progress.show(read, bytes);
    }
    Ok(Check { findings: comparison.finish(), bytes, seconds: begin.elapsed().as_secs_f64() })
}

/// The record before each of these offsets; a partition without one is passed over.
///
/// # Errors
/// What keeps one of them from being read.
pub(crate) async fn last_before(
    cluster: &Cluster,
    ends: &Offsets,
) -> Result<Vec<ConsumerRecord>, BenchError> {
    let ends = ends.iter().filter(|(_, end)| **end > 0);
    let mut open: BTreeMap<_, _> =
        ends.map(|(partition, end)| (partition.clone(), Start::Offset(end - 1))).collect();
    let mut found = Vec::with_capacity(open.len());
    let mut consumer = Consumer::new(cluster.clone(), ConsumerConfig::default())?;
    if !open.is_empty() {
        consumer.assign(open.clone()).await?;
    }
    while !open.is_empty() {
        let records = consumer.poll(PATIENCE).await?;
        if records.is_empty() {
            let reason = format!("the last records of {} partitions cannot be read", open.len());
            return Err(BenchError::Process(reason));
        }
        for record in records {
            let partition = TopicPartition::new(record.topic.clone(), record.partition);
            if open.remove(&partition).is_some() {
                consumer.pause(&partition)?;
                found.push(record);
            }
        }
    }
    Ok(found)
}

/// Whether a record is the last one before the end of its partition.
pub(crate) fn is_last(ends: &BTreeMap<i32, u64>, partition: i32, offset: i64) -> bool {
    let next = u64::try_from(offset).map_or(0, |offset| offset + 1);
    ends.get(&partition).is_some_and(|&end| next >= end)
}
