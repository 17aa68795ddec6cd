//! Evenly, and as much as possible where partitions were before.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Member, in_order, wanted};
use crate::cluster::TopicPartition;

pub(super) fn assign(
    members: &[Member],
    partition_counts: &BTreeMap<Arc<str>, i32>,
) -> Vec<BTreeSet<TopicPartition>> {
    let order = in_order(members);
    let partitions = wanted(members, partition_counts);
    let owners = owners(members);
    let mut assigned = vec![BTreeSet::new(); members.len()];
    let mut homeless = Vec::new();
    for partition in partitions {
        match owners.get(&partition) {
            Some(&at) if members[at].topics.contains(&partition.topic) => {
                assigned[at].insert(partition);
            }
            _ => homeless.push(partition),
        }
    }
    for partition in homeless {
        let readers = order.iter().copied();
        let readers = readers.filter(|&at| members[at].topics.contains(&partition.topic));
        if let Some(lightest) = readers.min_by_key(|&at| assigned[at].len()) {
            assigned[lightest].insert(partition);
        }
    }
    while balance(members, &order, &mut assigned) {}
    assigned
}

/// Who has each partition, by the newest generation; what two claim of the same one has nobody.
pub(super) fn owners(members: &[Member]) -> BTreeMap<&TopicPartition, usize> {
    let mut claims: BTreeMap<&TopicPartition, (i32, Option<usize>)> = BTreeMap::new();
    for (at, member) in members.iter().enumerate() {
        for partition in &member.owned {
            match claims.entry(partition) {
                Entry::Vacant(free) => {
                    free.insert((member.generation, Some(at)));
                }
                Entry::Occupied(mut claim) => match member.generation.cmp(&claim.get().0) {
                    std::cmp::Ordering::Greater => {
                        claim.insert((member.generation, Some(at)));
                    }
                    std::cmp::Ordering::Equal => claim.get_mut().1 = None,
                    std::cmp::Ordering::Less => {}
                },
            }
        }
    }
    claims.into_iter().filter_map(|(partition, (_, owner))| Some((partition, owner?))).collect()
}

/// Moves partitions from members that have at least two more than another that wants them. Returns
/// whether there was such a move. Each one lowers the sum of squares of the counts, so this ends.
fn balance(members: &[Member], order: &[usize], assigned: &mut [BTreeSet<TopicPartition>]) -> bool {
    let mut has_moved = false;
    let mut heaviest: Vec<_> = order.to_vec();
    heaviest.sort_by_key(|&at| std::cmp::Reverse(assigned[at].len()));
    for from in heaviest {
        // From the end: what was owned longest tends to come first.
        let mine: Vec<_> = assigned[from].iter().rev().cloned().collect();
        for partition in mine {
            let readers = order.iter().copied().filter(|&at| at != from);
            let readers = readers.filter(|&at| members[at].topics.contains(&partition.topic));
            let Some(to) = readers.min_by_key(|&at| assigned[at].len()) else { continue };
            if assigned[to].len() + 1 < assigned[from].len() {
                assigned[from].remove(&partition);
                assigned[to].insert(partition);
                has_moved = true;
                // One at a time, else a member could give away so much that it needs some back.
                break;
            }
        }
    }
    has_moved
}

/// Takes out what another member still owns: it must let go first, and then the group is assigned
/// once more. A member of an older generation has lost its partitions already.
pub(super) fn hold_back(members: &[Member], assigned: &mut [BTreeSet<TopicPartition>]) {
    let newest = members.iter().map(|member| member.generation).max().unwrap_or(-1);
    let mut holders: BTreeMap<&TopicPartition, Vec<usize>> = BTreeMap::new();
    for (at, member) in members.iter().enumerate() {
        if member.generation == newest {
            for partition in &member.owned {
                holders.entry(partition).or_default().push(at);
            }
        }
    }
    for (at, partitions) in assigned.iter_mut().enumerate() {
        partitions.retain(|partition| match holders.get(partition) {
            Some(holders) => holders.iter().all(|&holder| holder == at),
            None => true,
        });
    }
}
