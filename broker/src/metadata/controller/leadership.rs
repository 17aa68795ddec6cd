//! Who may lead a partition, and who should.

use std::collections::{BTreeMap, BTreeSet};

use crate::metadata::{
    BrokerId, MetadataImage, MetadataRecord, TopicId, connectivity::Connectivity,
    image::PartitionImage,
};
use crate::planted::{PlantedBug, is_planted};

/// Chooses leaders, one partition after the other, counting what it has chosen.
#[derive(Debug)]
pub(super) struct Leadership<'a> {
    connectivity: &'a Connectivity,
    /// Brokers that are registered, heard and neither lost nor leaving.
    able: BTreeSet<BrokerId>,
    /// Partitions that each broker leads.
    counts: BTreeMap<BrokerId, usize>,
}

impl<'a> Leadership<'a> {
    pub(super) fn new(image: &'a MetadataImage, connectivity: &'a Connectivity) -> Self {
        let able = image.brokers().filter(|it| !it.lost && connectivity.is_up(it));
        let able = able.map(|broker| broker.id).collect();
        let mut counts = BTreeMap::new();
        for partition in image.topics().flat_map(|topic| &topic.partitions) {
            *counts.entry(partition.leader).or_default() += 1;
        }
        Self { connectivity, able, counts }
    }

    /// Rules a broker out.
    pub(super) fn exclude(&mut self, broker: BrokerId) {
        self.able.remove(&broker);
    }

    /// Whether `broker` could lead these replicas: it is there and linked to a majority of them.
    pub(super) fn can_lead(&self, broker: BrokerId, replicas: &[BrokerId]) -> bool {
        let reaches = self.connectivity.reaches_majority(broker, replicas)
            || is_planted(PlantedBug::ConnectivityIgnored);
        self.able.contains(&broker) && reaches
    }

    /// Whether its links to this controller and to a majority were not lost lately.
    pub(super) fn is_steady(&self, broker: BrokerId, replicas: &[BrokerId]) -> bool {
        self.connectivity.is_steady(broker, replicas)
    }

    /// The replica that can lead with the least to do, preferred ones first; not `unfit`.
    pub(super) fn choose(
        &self,
        replicas: &[BrokerId],
        unfit: Option<BrokerId>,
    ) -> Option<BrokerId> {
        self.choose_among(replicas, |broker| Some(broker) != unfit)
    }

    /// The same among those that `may` lead.
    pub(super) fn choose_among(
        &self,
        replicas: &[BrokerId],
        may: impl Fn(BrokerId) -> bool,
    ) -> Option<BrokerId> {
        let fit = |broker: &&BrokerId| may(**broker) && self.can_lead(**broker, replicas);
        // Of several minima `min_by_key` takes the first: the replicas' order decides.
        let load = |broker: &&BrokerId| self.counts.get(broker).copied().unwrap_or_default();
        replicas.iter().filter(fit).min_by_key(load).copied()
    }

    /// The record that appoints `leader`, in a round above the last one and above `promised`. Once
    /// per partition. `None` when the partition's rounds are used up.
    pub(super) fn appoint(
        &mut self,
        (topic, partition): (TopicId, u32),
        image: &PartitionImage,
        leader: BrokerId,
        promised: u32,
    ) -> Option<MetadataRecord> {
        assert!(image.replicas.contains(&leader), "a leader is one of the replicas");
        let last = image.round - u32::from(is_planted(PlantedBug::RoundAppointedTwice));
        let round = last.max(promised).checked_add(1);
        let round = round.filter(|round| *round <= crate::metadata::image::MAX_ROUND)?;
        if let Some(count) = self.counts.get_mut(&image.leader) {
            *count -= 1;
        }
        *self.counts.entry(leader).or_default() += 1;
        let replicas = image.replicas.to_vec();
        Some(MetadataRecord::Appointed { topic, partition, leader, round, replicas })
    }
}
