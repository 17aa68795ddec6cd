//! Consecutive ranges of each topic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Member, in_order};
use crate::cluster::TopicPartition;

pub(super) fn assign(
    members: &[Member],
    partition_counts: &BTreeMap<Arc<str>, i32>,
) -> Vec<BTreeSet<TopicPartition>> {
    let mut assigned = vec![BTreeSet::new(); members.len()];
    let order = in_order(members);
    for (topic, &count) in partition_counts {
        let readers: Vec<_> =
            order.iter().filter(|&&at| members[at].topics.contains(topic)).collect();
        let reader_count = i32::try_from(readers.len()).unwrap_or(i32::MAX);
        if reader_count == 0 {
            continue;
        }
        // The first few have one more.
        let (each, more) = (count / reader_count, count % reader_count);
        let mut next = 0;
        for (rank, &&at) in (0..).zip(&readers) {
            let end = next + each + i32::from(rank < more);
            let range = (next..end).map(|number| TopicPartition::new(topic.clone(), number));
            assigned[at].extend(range);
            next = end;
        }
    }
    assigned
}
