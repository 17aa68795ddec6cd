//! When another broker would be the better controller.

use super::failover::suspects;
use super::leadership::Leadership;
use crate::metadata::{BrokerId, MetadataImage, connectivity::Connectivity, image::PartitionImage};

/// Whether a partition waits for a leader that this controller cannot appoint, because it has no
/// link to it, and another broker could: one that is linked to it and to a majority.
///
/// The controller then lets others stand for election. Whoever wins sees for itself.
#[must_use]
pub fn should_yield(image: &MetadataImage, connectivity: &Connectivity) -> bool {
    let brokers: Vec<BrokerId> = image.brokers().map(|broker| broker.id).collect();
    let is_better = |other: BrokerId, replica: BrokerId| {
        connectivity.is_linked(other, replica) && connectivity.reaches_majority(other, &brokers)
    };
    let up = image.brokers().filter(|it| connectivity.is_up(it)).map(|it| it.id);
    let up: Vec<BrokerId> = up.collect();
    let detached = image.brokers().filter(|it| connectivity.detached_end(it).is_some());
    let detached: Vec<BrokerId> = detached.map(|broker| broker.id).collect();
    let is_appointable = |it: &&BrokerId| up.iter().any(|other| is_better(*other, **it));
    let appointable: Vec<BrokerId> = detached.iter().filter(is_appointable).copied().collect();
    if appointable.is_empty() {
        return false;
    }
    let suspects = suspects(image, connectivity);
    let leadership = Leadership::new(image, connectivity);
    // Whether two brokers that are both out of reach are linked is for the next one to find out.
    let may_reach = |one: BrokerId, other: BrokerId| {
        connectivity.is_linked(one, other) || detached.contains(&one) && detached.contains(&other)
    };
    let could_lead = |broker: &BrokerId, replicas: &[BrokerId]| {
        let reached = replicas.iter().filter(|replica| may_reach(*broker, **replica)).count();
        appointable.contains(broker) && 2 * reached > replicas.len()
    };
    let waits = |partition: &PartitionImage| {
        let (leader, replicas) = (partition.leader, &partition.replicas);
        suspects.get(&leader).is_some_and(|why| why.holds(connectivity, partition))
            && leadership.choose(replicas, Some(leader)).is_none()
            && replicas.iter().any(|other| *other != leader && could_lead(other, replicas))
    };
    image.topics().flat_map(|topic| &topic.partitions).any(waits)
}
