//! What is shown of consumer groups. Lag, offsets and members stand under kafka_exporter's names.
//!
//! A group is told by one broker of the cluster: its coordinator.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::encode::{Encoder, Kind, label};

/// Consumer groups at a look.
#[derive(Clone, Debug, Default)]
pub struct GroupsSnapshot {
    /// The groups that this broker coordinates.
    pub groups: Vec<GroupSnapshot>,
    /// Rebalances since the start, by cause.
    pub rebalances: Vec<RebalanceSnapshot>,
}

/// One group.
#[derive(Clone, Debug)]
pub struct GroupSnapshot {
    /// Its name.
    pub group: Arc<str>,
    /// Its state, as a word.
    pub state: &'static str,
    /// How many members it has.
    pub member_count: usize,
    /// Its committed offsets, ordered by topic and partition.
    pub offsets: Vec<GroupOffsetSnapshot>,
}

/// A group's committed offset.
#[derive(Clone, Debug)]
pub struct GroupOffsetSnapshot {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The committed offset.
    pub offset: i64,
    /// Records behind the high watermark; `None` where this broker has no replica and the leader
    /// has not told it lately.
    pub lag: Option<u64>,
    /// Age of the oldest record that was not consumed, 0 if there is none; `None` if not known.
    pub lag_seconds: Option<f64>,
}

/// Rebalances of one cause.
#[derive(Clone, Copy, Debug)]
pub struct RebalanceSnapshot {
    /// The cause, as a word.
    pub cause: &'static str,
    /// How many ended.
    pub count: u64,
    /// How long groups were without assignments, all together.
    pub seconds: f64,
}

pub(super) fn groups(out: &mut Encoder, snapshot: &GroupsSnapshot) {
    let groups: Vec<(String, &GroupSnapshot)> =
        snapshot.groups.iter().map(|one| (label("consumergroup", &one.group), one)).collect();
    out.family("kafka_consumergroup_members", Kind::Gauge, "Members of a group.");
    for (labels, group) in &groups {
        out.sample(labels, group.member_count);
    }
    out.family("synod_group_state", Kind::Gauge, "State of a group; always 1.");
    for (labels, group) in &groups {
        out.sample(&format!("{labels},{}", label("state", group.state)), 1);
    }
    let offsets: Vec<(String, &GroupOffsetSnapshot)> = groups
        .iter()
        .flat_map(|(labels, group)| {
            group.offsets.iter().map(move |one| {
                let (topic, partition) = (label("topic", &one.topic), one.partition);
                (format!("{labels},{topic},partition=\"{partition}\""), one)
            })
        })
        .collect();
    type Pick = fn(&GroupOffsetSnapshot) -> Option<f64>;
    let families: [(&str, &str, Pick); 3] = [
        ("kafka_consumergroup_current_offset", "Committed offset.", |one| Some(one.offset as f64)),
        ("kafka_consumergroup_lag", "Records between the committed offset and the end.", |one| {
            one.lag.map(|lag| lag as f64)
        }),
        (
            "synod_group_lag_seconds",
            "Age of the oldest record that was not consumed; 0 if there is none.",
            |one| one.lag_seconds,
        ),
    ];
    for (name, help, pick) in families {
        out.family(name, Kind::Gauge, help);
        for (labels, one) in &offsets {
            if let Some(value) = pick(one) {
                out.sample(labels, value);
            }
        }
    }
    sums(out, &groups);
    rebalances(out, &snapshot.rebalances);
}

fn sums(out: &mut Encoder, groups: &[(String, &GroupSnapshot)]) {
    type Pick = fn(&GroupOffsetSnapshot) -> i64;
    let families: [(&str, &str, Pick); 2] = [
        ("kafka_consumergroup_current_offset_sum", "Committed offsets of a topic.", |one| {
            one.offset
        }),
        ("kafka_consumergroup_lag_sum", "Lag of a topic.", |one| {
            one.lag.map_or(0, |lag| i64::try_from(lag).unwrap_or(i64::MAX))
        }),
    ];
    for (name, help, pick) in families {
        out.family(name, Kind::Gauge, help);
        for (labels, group) in groups {
            let mut by_topic: BTreeMap<&str, i64> = BTreeMap::new();
            for one in &group.offsets {
                let sum = by_topic.entry(&one.topic).or_default();
                *sum = sum.saturating_add(pick(one));
            }
            for (topic, sum) in by_topic {
                out.sample(&format!("{labels},{}", label("topic", topic)), sum);
            }
        }
    }
}

fn rebalances(out: &mut Encoder, rebalances: &[RebalanceSnapshot]) {
    out.family("synod_group_rebalances_total", Kind::Counter, "Rebalances that ended, by cause.");
    for one in rebalances {
        out.sample(&label("cause", one.cause), one.count);
    }
    out.family(
        "synod_group_rebalance_seconds_total",
        Kind::Counter,
        "Time that groups were without assignments, by the rebalance's cause.",
    );
    for one in rebalances {
        out.sample(&label("cause", one.cause), one.seconds);
    }
}
