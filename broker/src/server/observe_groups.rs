//! What a scrape of the metrics sees of consumer groups.

use std::sync::Arc;

use crate::broker::Broker;
use crate::groups::{Cause, CommittedOffset, Overview, TopicPartition};
use crate::metadata::MetadataImage;
use crate::metrics::{GroupOffsetSnapshot, GroupSnapshot, GroupsSnapshot, RebalanceSnapshot};
use crate::partition::PartitionView;
use crate::shard::unix_time_ms;

/// Committed offsets whose lag in seconds one scrape looks up: each may read from the disk.
const LAGS_IN_SECONDS: usize = 10_000;

/// The groups that this broker coordinates, as of the last second.
pub(super) fn groups(broker: &Broker, image: &MetadataImage) -> GroupsSnapshot {
    let mut look = Look { broker, image, now_ms: unix_time_ms(), lags_left: LAGS_IN_SECONDS };
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
        let view = self.view(at);
        let next = u64::try_from(offset.offset).ok();
        let lag = view
            .as_ref()
            .zip(next)
            .map(|(view, next)| view.high_watermark().saturating_sub(next.max(view.log().start())));
        let lag_seconds = match (view, lag) {
            (_, Some(0)) => Some(0.0),
            (Some(view), Some(_)) if self.lags_left > 0 => {
                self.lags_left -= 1;
                self.age(&view, next.unwrap_or_default())
            }
            _ => None,
        };
        GroupOffsetSnapshot {
            topic: at.topic.as_str().into(),
            partition: at.partition,
            offset: offset.offset,
            lag,
            lag_seconds,
        }
    }

    /// The age of the record at an offset: that of its batch's first record.
    fn age(&self, view: &PartitionView, offset: u64) -> Option<f64> {
        let from = offset.max(view.log().start());
        let slice = view.log().read(from, 0, true, view.high_watermark()).ok()?;
        let header = synod_wire::batch::BatchHeader::parse(slice.batches.first()?).ok()?;
        let age_ms = self.now_ms.saturating_sub(header.base_timestamp).max(0);
        Some(age_ms as f64 / 1000.0)
    }

    fn view(&self, at: &TopicPartition) -> Option<Arc<PartitionView>> {
        let topic = self.image.topic_id(&at.topic)?;
        self.broker.directory().partition(topic, u32::try_from(at.partition).ok()?)
    }
}
