//! Where a new partition's replicas go: consistent hashing with bounded loads and rack spread.
//!
//! Every broker owns [`VIRTUAL_NODES`] points on a ring of 64-bit hashes. A partition's replicas
//! are the first brokers met clockwise from the partition's own point that are not full, racks
//! that have none of its replicas first. A broker is full at [`LOAD_BOUND`] percent of the mean, so
//! with equal racks no broker gets far more than its share, and because points do not move when a
//! broker joins, little more than the new broker's share would be placed elsewhere than before.
//!
//! Leaders are bounded in the same way, apart from replicas: the first replica is the preferred
//! leader.

use std::collections::{BTreeMap, BTreeSet};

use super::{BrokerId, MetadataImage, TopicId};

/// Points of each broker on the ring.
pub const VIRTUAL_NODES: u32 = 128;

/// A broker takes up to this many percent of the mean load.
pub const LOAD_BOUND: u64 = 125;

/// A broker that can take replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub broker: BrokerId,
    /// Its failure domain; brokers without one count as one domain each.
    pub rack: Option<String>,
    /// Replicas that it has already.
    pub replica_count: u64,
    /// Partitions that it is the preferred leader of already.
    pub leader_count: u64,
    /// It is not there now: it gets replicas only where the others do not suffice, and never the
    /// majority of a set.
    pub lost: bool,
}

/// Chooses replica sets, one partition after the other, counting what it has chosen.
#[derive(Clone, Debug)]
pub struct Placement {
    candidates: BTreeMap<BrokerId, Candidate>,
    ring: Vec<(u64, BrokerId)>,
    replica_total: u64,
    leader_total: u64,
}

impl Placement {
    /// Starts from the brokers and what they carry.
    #[must_use]
    pub fn new(candidates: impl IntoIterator<Item = Candidate>) -> Self {
        let candidates: BTreeMap<_, _> =
            candidates.into_iter().map(|candidate| (candidate.broker, candidate)).collect();
        let mut ring: Vec<_> = candidates
            .keys()
            .flat_map(|broker| {
                let point = |node| hash(u64::from(broker.0) << 32 | u64::from(node));
                (0..VIRTUAL_NODES).map(move |node| (point(node), *broker))
            })
            .collect();
        ring.sort_unstable();
        let replica_total = candidates.values().map(|c| c.replica_count).sum();
        let leader_total = candidates.values().map(|c| c.leader_count).sum();
        Self { candidates, ring, replica_total, leader_total }
    }

    /// Starts from all registered brokers and the partitions of all topics.
    #[must_use]
    pub fn of(image: &MetadataImage) -> Self {
        let mut placement = Self::new(image.brokers().map(|broker| Candidate {
            broker: broker.id,
            rack: broker.rack.as_deref().map(Into::into),
            replica_count: 0,
            leader_count: 0,
            lost: broker.lost,
        }));
        for partition in image.topics().flat_map(|topic| &topic.partitions) {
            placement.count(&partition.replicas);
        }
        placement
    }

    /// How many brokers there are.
    #[must_use]
    pub fn broker_count(&self) -> usize {
        self.candidates.len()
    }

    /// Chooses the ordered replica set of one partition.
    ///
    /// Returns `None` when there are fewer than `replica_count` brokers, when too few of them are
    /// there, or none are wanted.
    pub fn place(
        &mut self,
        topic: TopicId,
        partition: u32,
        replica_count: usize,
    ) -> Option<Vec<BrokerId>> {
        if replica_count == 0 || replica_count > self.candidates.len() {
            return None;
        }
        let (walk, lost): (Vec<_>, Vec<_>) = self
            .walk(point_of(topic, partition))
            .into_iter()
            .partition(|broker| !self.candidates[broker].lost);
        if 2 * walk.len() <= replica_count {
            return None;
        }
        let bound = self.bound(self.replica_total, replica_count as u64);
        let leader_bound = self.bound(self.leader_total, 1);
        let has_room = |broker: &BrokerId| self.candidates[broker].replica_count < bound;
        let may_lead = |broker: &BrokerId| self.candidates[broker].leader_count < leader_bound;

        let leader = walk
            .iter()
            .find(|broker| has_room(broker) && may_lead(broker))
            .or_else(|| walk.iter().find(|broker| may_lead(broker)))
            .or(walk.first())?;
        let mut replicas = vec![*leader];
        // A rack without a replica comes before room on a broker: a lost rack costs more than load.
        let passes = [(true, true), (true, false), (false, true), (false, false)];
        for (brokers, (new_rack, room)) in
            [&walk, &lost].into_iter().flat_map(|brokers| passes.map(|pass| (brokers, pass)))
        {
            for broker in brokers {
                let fits = replicas.len() < replica_count
                    && !replicas.contains(broker)
                    && (!new_rack || !self.shares_rack(*broker, &replicas))
                    && (!room || has_room(broker));
                if fits {
                    replicas.push(*broker);
                }
            }
        }
        self.count(&replicas);
        Some(replicas)
    }

    /// Counts a replica set that exists.
    pub fn count(&mut self, replicas: &[BrokerId]) {
        for (index, broker) in replicas.iter().enumerate() {
            // A broker that is not registered any more cannot take anything either.
            if let Some(candidate) = self.candidates.get_mut(broker) {
                candidate.replica_count += 1;
                self.replica_total += 1;
                if index == 0 {
                    candidate.leader_count += 1;
                    self.leader_total += 1;
                }
            }
        }
    }

    /// The most that one broker may carry once `more` has been added to `total`, rounded up.
    fn bound(&self, total: u64, more: u64) -> u64 {
        ((total + more) * LOAD_BOUND).div_ceil(100 * self.candidates.len() as u64)
    }

    /// All brokers in the order in which they are met clockwise from `point`.
    fn walk(&self, point: u64) -> Vec<BrokerId> {
        let start = self.ring.partition_point(|(owned, _)| *owned < point);
        let (before, after) = self.ring.split_at(start);
        let mut seen = BTreeSet::new();
        let mut walk = Vec::with_capacity(self.candidates.len());
        for (_, broker) in after.iter().chain(before) {
            if seen.insert(*broker) {
                walk.push(*broker);
                if walk.len() == self.candidates.len() {
                    break;
                }
            }
        }
        walk
    }

    fn shares_rack(&self, broker: BrokerId, replicas: &[BrokerId]) -> bool {
        let rack = |broker: &BrokerId| self.candidates[broker].rack.as_deref();
        rack(&broker).is_some_and(|mine| replicas.iter().any(|other| rack(other) == Some(mine)))
    }
}

/// A partition's point on the ring.
fn point_of(topic: TopicId, partition: u32) -> u64 {
    let bits = u128::from_be_bytes(topic.bytes());
    let (high, low) = ((bits >> 64) as u64, bits as u64);
    hash(hash(high) ^ low.rotate_left(32) ^ hash(u64::from(partition)))
}

/// A fixed mixing of 64 bits (the finalizer of splitmix64): placement must not depend on the
/// process or the version of the standard library.
fn hash(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
