//! Where a consumer stands in a partition, and where it begins.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::OffsetReset;
use super::fetch::Content;
use super::group::offsets::{self, CommittedOffset};
use crate::Error;
use crate::backoff::Backoff;
use crate::cluster::{Cluster, FoundOffset, Isolation, OffsetSpec, PerPartition, TopicPartition};
use crate::coordinator::Coordinator;

/// Where reading begins.
///
/// ```no_run
/// use synod_client::cluster::TopicPartition;
/// use synod_client::consumer::Start;
/// # async fn example(mut consumer: synod_client::consumer::Consumer)
/// # -> Result<(), synod_client::Error> {
/// let partition = TopicPartition::new("orders", 0);
/// for start in [Start::Last(10), Start::Offset(42), Start::Timestamp(1_704_067_200_000)] {
///     consumer.seek(&partition, start).await?;
///     println!("{start:?} is offset {}", consumer.position(&partition)?);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first record there is.
    Beginning,
    /// After the last record there is now.
    End,
    /// At this offset.
    Offset(u64),
    /// This many offsets before the end, or at the beginning if there are fewer.
    Last(u64),
    /// At the first record with this timestamp (ms since 1970) or a later one; at the end if there
    /// is none.
    Timestamp(i64),
}

/// A consumer's place in a partition.
#[derive(Debug)]
pub(super) struct Position {
    /// Of the next record to hand out.
    pub(super) offset: i64,
    /// Of the next fetch; ahead of `offset` by what is buffered.
    pub(super) fetch_offset: i64,
    /// Answers to questions of an older generation are void.
    pub(super) generation: u64,
    /// Round of the last batch before `fetch_offset`; -1 if unknown.
    pub(super) last_epoch: i32,
    /// Round of the batch before `offset`, or around it; -1 if unknown.
    pub(super) read_epoch: i32,
    /// Round whose leader has been seen to have what was read; -1 if none.
    pub(super) shared_epoch: i32,
    pub(super) high_watermark: Option<i64>,
    pub(super) is_paused: bool,
    /// Its place is still being asked for.
    pub(super) is_starting: bool,
    /// It is being let go: no record is handed out any more.
    pub(super) is_leaving: bool,
    /// A new place is being looked for.
    pub(super) is_resetting: bool,
    pub(super) retry_at: Option<Instant>,
    backoff: Backoff,
}

impl Position {
    pub(super) fn new(offset: i64, generation: u64, backoff: Backoff) -> Self {
        Self {
            offset,
            fetch_offset: offset,
            generation,
            last_epoch: -1,
            read_epoch: -1,
            shared_epoch: -1,
            high_watermark: None,
            is_paused: false,
            is_starting: false,
            is_leaving: false,
            is_resetting: false,
            retry_at: None,
            backoff,
        }
    }

    /// Whether no record is handed out now.
    pub(super) fn is_held(&self) -> bool {
        self.is_paused || self.is_leaving
    }

    /// A fetch succeeded; the next one goes on at `next_offset`.
    pub(super) fn handle_fetched(&mut self, content: &Content) {
        self.fetch_offset = content.next_offset;
        if let Some(last) = content.batches.back() {
            self.last_epoch = last.header().partition_leader_epoch;
        }
        self.high_watermark = Some(content.high_watermark);
        self.retry_at = None;
        self.backoff.reset();
    }

    /// A fetch failed: the next one comes a little later.
    pub(super) fn postpone(&mut self, now: Instant) {
        self.retry_at = Some(now + self.backoff.next());
    }

    /// What was fetched ahead is gone.
    pub(super) fn refetch(&mut self, generation: u64) {
        self.generation = generation;
        self.fetch_offset = self.offset;
        self.last_epoch = -1;
    }

    /// Goes on from another offset, nothing being buffered.
    pub(super) fn move_to(&mut self, offset: i64) {
        self.offset = offset;
        self.fetch_offset = offset;
        self.last_epoch = -1;
        self.read_epoch = -1;
        self.shared_epoch = -1;
        self.is_resetting = false;
    }

    /// Begins where a group has left off. The leader will tell if what was read up to there is not
    /// what its log has.
    pub(super) fn begin(&mut self, committed: &CommittedOffset) {
        self.move_to(committed.offset);
        self.last_epoch = committed.leader_epoch.unwrap_or(-1);
        self.read_epoch = self.last_epoch;
        self.is_starting = false;
    }

    /// This place, to be committed.
    pub(super) fn to_commit(&self, offset: i64) -> CommittedOffset {
        // What is known is the round before the next record to hand out, and no other.
        let is_known = offset == self.offset && self.read_epoch >= 0;
        let leader_epoch = is_known.then_some(self.read_epoch);
        CommittedOffset { leader_epoch, ..CommittedOffset::new(offset) }
    }
}

/// The offsets at which the partitions' starts lie.
pub(super) async fn resolve(
    cluster: &Cluster,
    starts: &BTreeMap<TopicPartition, Start>,
    isolation: Isolation,
) -> Result<BTreeMap<TopicPartition, i64>, Error> {
    let mut offsets = BTreeMap::new();
    // The beginnings tell which partitions exist, and no offset may lie before them.
    let beginnings =
        cluster.list_offsets(starts.keys().cloned(), OffsetSpec::Beginning, isolation).await;
    let beginnings = all_found(beginnings)?;
    let needs_end = starts
        .iter()
        .filter(|(_, start)| matches!(start, Start::End | Start::Last(_) | Start::Timestamp(_)));
    let needs_end = needs_end.map(|(partition, _)| partition.clone()).collect::<Vec<_>>();
    let ends = cluster.list_offsets(needs_end, OffsetSpec::End, isolation).await;
    let ends = all_found(ends)?;
    for (partition, start) in starts {
        let beginning = beginnings.get(partition).copied().unwrap_or(0);
        let end = ends.get(partition).copied().unwrap_or(beginning);
        let offset = match *start {
            Start::Beginning => beginning,
            Start::End => end,
            Start::Offset(offset) => i64::try_from(offset).unwrap_or(i64::MAX),
            Start::Last(count) => {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                end.saturating_sub(count).max(beginning)
            }
            Start::Timestamp(timestamp) => {
                at_time(cluster, partition, timestamp, isolation).await?.unwrap_or(end)
            }
        };
        offsets.insert(partition.clone(), offset);
    }
    Ok(offsets)
}

/// Where reading begins: at what the group has committed, else where the settings say.
pub(super) async fn committed(
    coordinator: &Coordinator,
    cluster: &Cluster,
    partitions: &BTreeSet<TopicPartition>,
    reset: OffsetReset,
    isolation: Isolation,
) -> Result<BTreeMap<TopicPartition, CommittedOffset>, Error> {
    let list: Vec<_> = partitions.iter().cloned().collect();
    let mut found = offsets::fetch(coordinator, Some(&list)).await?;
    let fresh = list.into_iter().filter(|partition| !found.contains_key(partition));
    let start = match reset {
        OffsetReset::Beginning => Start::Beginning,
        OffsetReset::End => Start::End,
        OffsetReset::Fail => {
            return match fresh.into_iter().next() {
                None => Ok(found),
                Some(partition) => {
                    Err(Error::config(format!("{partition}: no committed offset, and no reset")))
                }
            };
        }
    };
    let fresh: BTreeMap<_, _> = fresh.map(|partition| (partition, start)).collect();
    if !fresh.is_empty() {
        let places = resolve(cluster, &fresh, isolation).await?;
        found.extend(places.into_iter().map(|(p, offset)| (p, CommittedOffset::new(offset))));
    }
    Ok(found)
}

async fn at_time(
    cluster: &Cluster,
    partition: &TopicPartition,
    timestamp: i64,
    isolation: Isolation,
) -> Result<Option<i64>, Error> {
    if timestamp < 0 {
        return Err(Error::config("a time must not lie before 1970"));
    }
    let spec = OffsetSpec::Timestamp(timestamp);
    let found = cluster.list_offsets([partition.clone()], spec, isolation).await;
    match found.into_values().next() {
        Some(result) => Ok(result?.map(|found| found.offset)),
        None => Ok(None),
    }
}

/// Every partition's offset, or the first error.
fn all_found(
    results: PerPartition<Option<FoundOffset>>,
) -> Result<BTreeMap<TopicPartition, i64>, Error> {
    let offset = |(partition, result): (TopicPartition, Result<Option<FoundOffset>, Error>)| {
        let found = result?.map_or(0, |found| found.offset);
        Ok((partition, found))
    };
    results.into_iter().map(offset).collect()
}
