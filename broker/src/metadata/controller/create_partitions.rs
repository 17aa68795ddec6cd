//! Adding partitions to topics.

use super::{
    ControllerContext, PARTITIONS_PER_REQUEST,
    create_topics::{check_replica_set, check_room, partition_records, place},
    delete_topics::unknown_topic,
    draft::Draft,
};
use crate::metadata::{
    BrokerId, MetadataImage, MetadataRecord, TopicImage,
    error::{AdminError, AdminErrorKind as Kind},
    placement::Placement,
    request::{CreatePartitions, Outcomes},
};

/// Makes the records that add partitions.
#[must_use]
pub fn create_partitions(
    image: &MetadataImage,
    request: &CreatePartitions,
    context: &ControllerContext,
) -> (Vec<MetadataRecord>, Outcomes<()>) {
    let mut draft = Draft::new(image);
    let mut placement = Placement::of(image);
    let mut room = PARTITIONS_PER_REQUEST;
    let outcomes = request
        .topics
        .iter()
        .map(|more| {
            let topic = draft.image().topic(&more.name).ok_or_else(unknown_topic)?;
            let (topic_id, first) = (topic.id, topic.partitions.len());
            let added = added_count(topic, more.count)?;
            let sets = match &more.assignments {
                Some(sets) => manual_assignment(draft.image(), topic, sets, added)?,
                None => {
                    check_room(draft.image(), context, added, room)?;
                    // A topic grows with as many replicas as its first partition has.
                    let replicas = topic.partition(0).map_or(1, |first| first.replicas.len());
                    place(&mut placement, topic_id, first, added, replicas)?
                }
            };
            check_room(draft.image(), context, added, room)?;
            draft.add(partition_records(image, topic_id, first, sets).collect())?;
            room -= added;
            Ok(())
        })
        .collect();
    (draft.finish(request.validate_only), outcomes)
}

fn added_count(topic: &TopicImage, count: i32) -> Result<usize, AdminError> {
    let present = topic.partitions.len();
    let refused = |message: String| AdminError::new(Kind::InvalidPartitionCount, message);
    match usize::try_from(count) {
        Ok(count) if count > present => Ok(count - present),
        Ok(count) if count == present => {
            Err(refused(format!("Topic already has {present} partition(s).")))
        }
        _ => Err(refused(format!(
            "The topic {} currently has {present} partition(s); {count} would not be an increase.",
            topic.name
        ))),
    }
}

fn manual_assignment(
    image: &MetadataImage,
    topic: &TopicImage,
    sets: &[Vec<i32>],
    added: usize,
) -> Result<Vec<Vec<BrokerId>>, AdminError> {
    if sets.len() != added {
        let message = format!(
            "Attempted to add {added} additional partition(s), but only {} assignment(s) were \
             specified.",
            sets.len()
        );
        return Err(AdminError::new(Kind::InvalidReplicaAssignment, message));
    }
    let mut size = topic.partition(0).map(|first| first.replicas.len());
    sets.iter().map(|set| check_replica_set(image, set, &mut size)).collect()
}
