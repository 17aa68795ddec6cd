//! How far a group is behind, in records and in seconds.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::output::Failure;
use crate::Cluster;
use crate::cluster::{Isolation, OffsetSpec, TopicPartition};
use crate::consumer::{CommittedOffset, Consumer, ConsumerConfig, OffsetReset, Start};

/// How long is waited for the records whose times tell the lag.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far behind the end a group is in one partition.
#[derive(Debug, Default)]
pub(super) struct Lag {
    pub(super) end: Option<i64>,
    pub(super) records: Option<i64>,
    /// Age of the first record that is not read; 0 when all are.
    pub(super) seconds: Option<f64>,
    pub(super) error: Option<String>,
}

/// The lag of each of `partitions`.
pub(super) async fn lags(
    cluster: &Cluster,
    partitions: &BTreeSet<TopicPartition>,
    offsets: &BTreeMap<TopicPartition, CommittedOffset>,
) -> Result<BTreeMap<TopicPartition, Lag>, Failure> {
    let all = partitions.iter().cloned();
    let ends = cluster.list_offsets(all, OffsetSpec::End, Isolation::ReadUncommitted).await;
    let mut lags = BTreeMap::new();
    let mut behind = BTreeMap::new();
    for (partition, end) in ends {
        let mut lag = Lag::default();
        match end {
            Ok(end) => lag.end = end.map(|end| end.offset),
            Err(error) => lag.error = Some(error.to_string()),
        }
        if let (Some(end), Some(committed)) = (lag.end, offsets.get(&partition)) {
            let records = (end - committed.offset).max(0);
            lag.records = Some(records);
            if records == 0 {
                lag.seconds = Some(0.0);
            } else if let Ok(offset) = u64::try_from(committed.offset) {
                behind.insert(partition.clone(), Start::Offset(offset));
            }
        }
        lags.insert(partition, lag);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    for (partition, timestamp) in first_times(cluster, behind).await? {
        if let Some(lag) = lags.get_mut(&partition) {
            let age = now.as_secs_f64() - timestamp as f64 / 1000.0;
            lag.seconds = Some(age.max(0.0));
        }
    }
    Ok(lags)
}

/// The time of the first record at or after each place, where one comes soon.
async fn first_times(
    cluster: &Cluster,
    places: BTreeMap<TopicPartition, Start>,
) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
    let mut times = BTreeMap::new();
    if places.is_empty() {
        return Ok(times);
    }
    let wanted = places.len();
    let config = ConsumerConfig::default()
        .isolation(Isolation::ReadUncommitted)
        // Where records were deleted meanwhile, the first one left is the first not read.
        .offset_reset(OffsetReset::Beginning)
        .max_partition_fetch_size(1);
    let mut consumer = Consumer::new(cluster.clone(), config)?;
    consumer.assign(places).await?;
    let deadline = Instant::now() + PATIENCE;
    while times.len() < wanted && Instant::now() < deadline {
        let left = deadline.saturating_duration_since(Instant::now());
        for record in consumer.poll(left).await? {
            let partition = TopicPartition::new(record.topic, record.partition);
            if let Entry::Vacant(place) = times.entry(partition) {
                consumer.pause(place.key())?;
                place.insert(record.timestamp);
            }
        }
    }
    Ok(times)
}
