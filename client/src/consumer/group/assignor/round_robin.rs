//! One partition to each member in turn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Member, in_order, wanted};
use crate::cluster::TopicPartition;

pub(super) fn assign(
    members: &[Member],
    partition_counts: &BTreeMap<Arc<str>, i32>,
) -> Vec<BTreeSet<TopicPartition>> {
    let mut assigned = vec![BTreeSet::new(); members.len()];
    let order = in_order(members);
    let mut turns = order.iter().copied().cycle();
    for partition in wanted(members, partition_counts) {
        // Someone wants it, so one round finds a reader.
        let mut round = turns.by_ref().take(order.len());
        if let Some(reader) = round.find(|&at| members[at].topics.contains(&partition.topic)) {
            assigned[reader].insert(partition);
        }
    }
    assigned
}
