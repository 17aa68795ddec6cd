//! What a scrape of the metrics sees of consumer groups.

use synod_log::key::PartitionKey;

use super::lags::Lags;
use crate::broker::Broker;
use crate::groups::{Cause, CommittedOffset, Overview, TopicPartition};
use crate::metadata::MetadataImage;
use crate::metrics::{GroupOffsetSnapshot, GroupSnapshot, GroupsSnapshot, RebalanceSnapshot};
use crate::partition::PartitionView;
use crate::shard::unix_time_ms;

/// Committed offsets whose lag in seconds one scrape looks up: each may read from the disk.
const LAGS_IN_SECONDS: usize = 10_000;

/// The groups that this broker coordinates, as of the last second; lag in partitions without a
/// replica here as their leaders have told it lately.
pub(super) fn groups(broker: &Broker, image: &MetadataImage, lags: &Lags) -> GroupsSnapshot {
    let now_ms = unix_time_ms();
    let mut look = Look { broker, image, lags, now_ms, lags_left: LAGS_IN_SECONDS };
    let mut groups = Vec::new();
    for overview in broker.group_overviews().all() {
        look.add(&overview, &mut groups);
    }
    groups.sort_by(|a, b| a.group.cmp(&b.group));
    let rebalances = Cause::ALL.map(|cause| {
        let counter = broker.group_counters().rebalances(cause);
        let seconds = counter.paused_ms() as f64 / 1000.0;
        RebalanceSnapshot { cause: cause.name(), count: counter.count(), seconds }
    });
    GroupsSnapshot { groups, rebalances: rebalances.into() }
}

struct Look<'a> {
    broker: &'a Broker,
    image: &'a MetadataImage,
    lags: &'a Lags,
    now_ms: i64,
    lags_left: usize,
}

impl Look<'_> {
    fn add(&mut self, overview: &Overview, groups: &mut Vec<GroupSnapshot>) {
        for (group, state, member_count) in overview.groups() {
            let facts = overview.state().group(group);
            let all = facts.into_iter().flat_map(|facts| facts.offsets.iter());
            let mut offsets: Vec<_> = all.map(|(at, offset)| self.offset(at, offset)).collect();
            offsets.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
            groups.push(GroupSnapshot {
                group: group.as_str().into(),
                state,
                member_count,
                offsets,
            });
        }
    }

    fn offset(&mut self, at: &TopicPartition, offset: &CommittedOffset) -> GroupOffsetSnapshot {
        let found = u64::try_from(offset.offset).ok().and_then(|next| self.lag(at, next));
        GroupOffsetSnapshot {
            topic: at.topic.as_str().into(),
            partition: at.partition,
            offset: offset.offset,
            lag: found.map(|(lag, _)| lag),
            lag_seconds: found.and_then(|(_, seconds)| seconds),
        }
    }

    /// Records and seconds from `next` to the end of a partition, as far as known.
    fn lag(&mut self, at: &TopicPartition, next: u64) -> Option<(u64, Option<f64>)> {
        let topic = self.image.topic_id(&at.topic)?;
        let partition = u32::try_from(at.partition).ok()?;
        let behind = |log_start: u64, end: u64| end.saturating_sub(next.max(log_start));
        let (lag, time_ms) = match self.broker.directory().partition(topic, partition) {
            Some(view) => {
                let lag = behind(view.log().start(), view.high_watermark());
                let looks = lag > 0 && self.lags_left > 0;
                self.lags_left -= usize::from(looks);
                (lag, looks.then(|| first_time_ms(&view, next)).flatten())
            }
            None => {
                let known = self.lags.known(PartitionKey { topic: topic.bytes(), partition })?;
                (behind(known.log_start, known.high_watermark), known.first_time_ms(next))
            }
        };
        let age = |time_ms: i64| self.now_ms.saturating_sub(time_ms).max(0) as f64 / 1000.0;
        Some((lag, if lag == 0 { Some(0.0) } else { time_ms.map(age) }))
    }
}

/// The time of the first record at or behind an offset: that of its batch's first record.
pub(super) fn first_time_ms(view: &PartitionView, offset: u64) -> Option<i64> {
    let from = offset.max(view.log().start());
    let slice = view.log().read(from, 0, true, view.high_watermark()).ok()?;
    let header = synod_wire::batch::BatchHeader::parse(slice.batches.first()?).ok()?;
    Some(header.base_timestamp)
}
