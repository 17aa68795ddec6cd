//! What the controller does about brokers and leaders that fail, from what it hears.

use std::collections::{BTreeMap, BTreeSet};

use super::leadership::Leadership;
use crate::metadata::{
    BrokerId, MetadataImage, MetadataRecord,
    connectivity::Connectivity,
    image::{BrokerImage, PartitionImage},
    pacing::{Pacing, PartitionRef},
    request::{ResignReason, Resigned},
};

/// Appointments of one batch: a larger failover takes several, one after the other.
pub const APPOINTMENTS_PER_BATCH: usize = 4096;

/// Where nobody's links are steadier, a leader gets this long to find its majority again, in ticks
/// of 50 ms: 1 s. What is lost for half a second, over and over, is there again before.
const PATIENCE_TICKS: u64 = 20;

/// Resignations that still ask for another leader, by partition.
pub type Resignations = BTreeMap<PartitionRef, Resigned>;

/// Makes the records that the state of the cluster asks for: brokers that are lost and that
/// return, and a new leader for each partition whose leader is lost, has no link to a majority of
/// its replicas, cannot have heard that it leads, or resigned. Empty as long as all is well, or
/// nothing can be done.
///
/// Being wrong about who is alive costs a round, never safety.
#[must_use]
pub fn failover(
    image: &MetadataImage,
    connectivity: &Connectivity,
    pacing: &Pacing,
    resignations: &Resignations,
) -> Vec<MetadataRecord> {
    let brokers: Vec<BrokerId> = image.brokers().map(|broker| broker.id).collect();
    if !connectivity.is_informed(&brokers) {
        // It is this controller that is lost, or was a moment ago. What it sees of the others is
        // too little to judge.
        return Vec::new();
    }
    let mut records = comings_and_goings(image, connectivity, pacing);
    let mut ahead = image.clone();
    for record in &records {
        let applied = ahead.apply(ahead.end(), record);
        assert!(applied.is_ok(), "brokers come and go as the image says: {applied:?}");
    }
    let suspects = suspects(&ahead, connectivity);
    if suspects.is_empty() && resignations.is_empty() {
        return records;
    }
    let mut leadership = None;
    let first_appointment = records.len();
    for topic in ahead.topics() {
        for (index, partition) in (0u32..).zip(&topic.partitions) {
            let key = (topic.id, index);
            let resigned = resignations.get(&key).filter(|resigned| resigned.is_of(partition));
            let suspect = suspects.get(&partition.leader);
            let broken = suspect.is_some_and(|why| why.holds(connectivity, partition));
            if resigned.is_none() && !broken || !pacing.may_appoint(key) {
                continue;
            }
            let leadership =
                leadership.get_or_insert_with(|| Leadership::new(&ahead, connectivity));
            let may =
                |broker: BrokerId| broker != partition.leader && !pacing.is_unfit(key, broker);
            let steady = |broker| may(broker) && leadership.is_steady(broker, &partition.replicas);
            let fit = leadership.choose_among(&partition.replicas, steady);
            let alone_ticks = connectivity.alone_ticks(partition.leader, &partition.replicas);
            if fit.is_none() && resigned.is_none() && (1..PATIENCE_TICKS).contains(&alone_ticks) {
                continue;
            }
            let fit = fit.or_else(|| leadership.choose_among(&partition.replicas, may));
            let successor = successor(leadership, partition, broken, resigned, fit);
            let Some((leader, promised)) = successor else { continue };
            records.extend(leadership.appoint(key, partition, leader, promised));
            if records.len() - first_appointment >= APPOINTMENTS_PER_BATCH {
                return records;
            }
        }
    }
    records
}

fn comings_and_goings(
    image: &MetadataImage,
    connectivity: &Connectivity,
    pacing: &Pacing,
) -> Vec<MetadataRecord> {
    let mut records = Vec::new();
    for known in image.brokers() {
        let (broker, incarnation) = (known.id, known.incarnation);
        let steady_ticks = connectivity.steady_ticks(broker);
        if !known.lost && connectivity.is_gone(known) {
            records.push(MetadataRecord::BrokerLost { broker, incarnation });
        } else if known.lost
            && connectivity.is_up(known)
            && pacing.may_return(broker, incarnation, steady_ticks)
        {
            records.push(MetadataRecord::BrokerReturned { broker, incarnation });
        }
    }
    records
}

/// Why a broker's leaderships have to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspect {
    /// It leads nothing any more.
    Lost,
    /// It has no link to some broker that is there.
    Unlinked,
    /// It has none to this one, and learns of nothing in the metadata log from there on.
    Detached { end: u64 },
}

impl Suspect {
    pub(super) fn holds(self, connectivity: &Connectivity, partition: &PartitionImage) -> bool {
        let alone = || !connectivity.reaches_majority(partition.leader, &partition.replicas);
        match self {
            Self::Lost => true,
            Self::Unlinked => alone(),
            Self::Detached { end } => partition.since >= end || alone(),
        }
    }
}

/// Brokers that some partition may need another leader than.
///
/// A leader that is linked to every broker that is there reaches whatever any other could, so only
/// links to those matter. One that is not linked to the controller need not be disturbed for that:
/// it leads on whatever it knows that it leads, as long as others say that it is there.
pub(super) fn suspects(
    image: &MetadataImage,
    connectivity: &Connectivity,
) -> BTreeMap<BrokerId, Suspect> {
    let is_there = |it: &&BrokerImage| {
        connectivity.is_up(it) || !it.lost && connectivity.detached_end(it).is_some()
    };
    let there: BTreeSet<BrokerId> =
        image.brokers().filter(is_there).map(|broker| broker.id).collect();
    let mut suspects = BTreeMap::new();
    for broker in image.brokers() {
        let linked = |other: &BrokerId| connectivity.is_linked(broker.id, *other);
        if broker.lost {
            suspects.insert(broker.id, Suspect::Lost);
        } else if let Some(end) = connectivity.detached_end(broker) {
            suspects.insert(broker.id, Suspect::Detached { end });
        } else if connectivity.is_settled(broker.id) && !there.iter().all(linked) {
            suspects.insert(broker.id, Suspect::Unlinked);
        }
    }
    suspects
}

/// Who shall lead instead: `fit`, if need be one that could not lead lately; and the round that the
/// appointment has to exceed besides the last one.
fn successor(
    leadership: &Leadership<'_>,
    partition: &PartitionImage,
    broken: bool,
    resigned: Option<&Resigned>,
    fit: Option<BrokerId>,
) -> Option<(BrokerId, u32)> {
    let (leader, replicas) = (partition.leader, &partition.replicas);
    // Who could not lead lately may be able to by now, and is better than nobody.
    let another = || fit.or_else(|| leadership.choose(replicas, Some(leader)));
    let Some(resigned) = resigned else { return Some((another()?, 0)) };
    let same = || Some(leader).filter(|it| !broken && leadership.can_lead(*it, replicas));
    match resigned.reason {
        // Only its round was too low.
        ResignReason::Stale { promised_round } => Some((same().or_else(another)?, promised_round)),
        ResignReason::Faulty => Some((another()?, 0)),
        ResignReason::QuorumLost | ResignReason::PromisesMissing => {
            Some((another().or_else(same)?, 0))
        }
    }
}
