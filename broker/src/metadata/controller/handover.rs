//! Planned moves of leadership: to the preferred replica, on request, and away from a broker that
//! is about to stop.

use std::collections::BTreeSet;

use super::leadership::Leadership;
use crate::metadata::{
    MetadataImage, MetadataRecord,
    connectivity::Connectivity,
    error::{AdminError, AdminErrorKind as Kind},
    request::{ElectLeaders, ElectionOutcome, LedPartition, ReturnLeadership, ShutDown},
};

/// Gives partitions back to their preferred leaders, as far as the present leader nominates them
/// and they have been there for a while, and did not come and go before. The rest stays as it is.
pub fn return_leadership(
    image: &MetadataImage,
    request: &ReturnLeadership,
    connectivity: &Connectivity,
) -> (Vec<MetadataRecord>, Result<(), AdminError>) {
    let mut leadership = Leadership::new(image, connectivity);
    let mut records = Vec::new();
    let nominated: BTreeSet<_> = request.partitions.iter().collect();
    for LedPartition { topic, partition, round } in nominated {
        let Some(known) = image.partition(*topic, *partition) else { continue };
        let preferred = known.replicas[0];
        if known.leader == request.broker
            && known.round == *round
            && preferred != known.leader
            && connectivity.is_calm(preferred, &known.replicas)
            && leadership.can_lead(preferred, &known.replicas)
        {
            records.extend(leadership.appoint((*topic, *partition), known, preferred, 0));
        }
    }
    (records, Ok(()))
}

/// Moves everything that a broker leads to others, as evenly as possible, and takes it for lost
/// from then on, so that it gets nothing new before it stops. What nobody else can lead stays.
pub fn shut_down(
    image: &MetadataImage,
    request: &ShutDown,
    connectivity: &Connectivity,
) -> (Vec<MetadataRecord>, Result<(), AdminError>) {
    let (broker, incarnation) = (request.broker, request.incarnation);
    let Some(known) = image.broker(broker).filter(|it| it.incarnation == incarnation) else {
        let message = format!("this life of broker {broker} is not the one that is registered");
        return (Vec::new(), Err(AdminError::new(Kind::StaleIncarnation, message)));
    };
    let mut leadership = Leadership::new(image, connectivity);
    leadership.exclude(broker);
    let mut records = Vec::new();
    for topic in image.topics() {
        for (index, partition) in (0u32..).zip(&topic.partitions) {
            if partition.leader == broker
                && let Some(successor) = leadership.choose(&partition.replicas, Some(broker))
            {
                records.extend(leadership.appoint((topic.id, index), partition, successor, 0));
            }
        }
    }
    if !known.lost {
        records.push(MetadataRecord::BrokerLost { broker, incarnation });
    }
    (records, Ok(()))
}

/// Moves leaders on an operator's request: to the preferred replicas, or, where the leader cannot
/// lead, to any that can. No election here ever loses records, whatever its type is called.
pub fn elect_leaders(
    image: &MetadataImage,
    request: &ElectLeaders,
    connectivity: &Connectivity,
) -> (Vec<MetadataRecord>, Vec<ElectionOutcome>) {
    let mut leadership = Leadership::new(image, connectivity);
    let mut records = Vec::new();
    let mut outcomes = Vec::new();
    let all = request.partitions.is_none();
    let asked = match &request.partitions {
        Some(partitions) => partitions.clone(),
        None => every_partition(image),
    };
    let mut seen = BTreeSet::new();
    for (topic, partition) in asked {
        if !seen.insert((topic.clone(), partition)) {
            continue;
        }
        let outcome = elect(image, &mut leadership, request.preferred, &topic, partition);
        let outcome = outcome.map(|record| records.push(record));
        // Whoever asks for all wants to hear of those that were moved, or should have been.
        let needless = |error: &AdminError| error.kind == Kind::ElectionNotNeeded;
        if !(all && outcome.as_ref().is_err_and(needless)) {
            outcomes.push(ElectionOutcome { topic, partition, outcome });
        }
    }
    (records, outcomes)
}

fn every_partition(image: &MetadataImage) -> Vec<(String, i32)> {
    let of_topic = |topic: &crate::metadata::TopicImage| {
        let name = topic.name.to_string();
        (0..topic.partitions.len())
            .filter_map(move |index| Some((name.clone(), i32::try_from(index).ok()?)))
    };
    image.topics().flat_map(|topic| of_topic(topic).collect::<Vec<_>>()).collect()
}

fn elect(
    image: &MetadataImage,
    leadership: &mut Leadership<'_>,
    preferred: bool,
    topic: &str,
    partition: i32,
) -> Result<MetadataRecord, AdminError> {
    let unknown = || AdminError::new(Kind::UnknownTopic, "The topic or partition does not exist.");
    let topic = image.topic(topic).ok_or_else(unknown)?;
    let index = u32::try_from(partition).map_err(|_| unknown())?;
    let known = topic.partition(index).ok_or_else(unknown)?;
    let leads = leadership.can_lead(known.leader, &known.replicas);
    let (chosen, missing) = if preferred {
        let first = known.replicas[0];
        let able = leadership.can_lead(first, &known.replicas);
        let message = "The preferred leader was not available.";
        (Some(first).filter(|_| able), (Kind::PreferredLeaderNotAvailable, message))
    } else {
        let other = || leadership.choose(&known.replicas, Some(known.leader));
        let message = "No replica that reaches a majority of the replicas was available.";
        let chosen = if leads { Some(known.leader) } else { other() };
        (chosen, (Kind::EligibleLeadersNotAvailable, message))
    };
    let chosen = chosen.ok_or_else(|| AdminError::new(missing.0, missing.1))?;
    if chosen == known.leader && leads {
        let message = "Leader election not needed for topic partition.";
        return Err(AdminError::new(Kind::ElectionNotNeeded, message));
    }
    let used_up = || AdminError::new(Kind::LimitExceeded, "The partition's rounds are used up.");
    leadership.appoint((topic.id, index), known, chosen, 0).ok_or_else(used_up)
}
