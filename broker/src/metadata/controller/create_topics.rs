//! Creating topics.

use std::collections::BTreeMap;

use super::{ControllerContext, FIRST_ROUND, PARTITIONS_PER_REQUEST, draft::Draft};
use crate::metadata::{
    BrokerId, MetadataImage, MetadataRecord, TopicId,
    config_key::nearest,
    error::{AdminError, AdminErrorKind as Kind},
    placement::Placement,
    record::ConfigScope,
    request::{CreateTopics, CreatedTopic, NewTopic, Outcomes},
    topic_config_table::{TOPIC_KEYS, topic_key},
};

/// The longest topic name in bytes: with a partition's number it must still be a file name.
const NAME_SIZE: usize = 249;

/// The name under which the metadata group's own log is known.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// Makes the records that create topics.
#[must_use]
pub fn create_topics(
    image: &MetadataImage,
    request: &CreateTopics,
    context: &ControllerContext,
) -> (Vec<MetadataRecord>, Outcomes<CreatedTopic>) {
    let mut draft = Draft::new(image);
    let mut placement = Placement::of(image);
    let mut room = PARTITIONS_PER_REQUEST;
    let outcomes = request
        .topics
        .iter()
        .map(|topic| {
            let (records, partition_count) =
                topic_records(draft.image(), topic, context, &mut placement, room)?;
            draft.add(records)?;
            room -= partition_count;
            let created = draft.image().topic_by_id(topic.id);
            let missing = || AdminError::new(Kind::InvalidRequest, "the topic was not created");
            created.map(|topic| CreatedTopic::clone(topic)).ok_or_else(missing)
        })
        .collect();
    (draft.finish(request.validate_only), outcomes)
}

/// The records that create one topic, and how many partitions it has.
fn topic_records(
    image: &MetadataImage,
    topic: &NewTopic,
    context: &ControllerContext,
    placement: &mut Placement,
    room: usize,
) -> Result<(Vec<MetadataRecord>, usize), AdminError> {
    check_name(image, &topic.name)?;
    let mut records =
        vec![MetadataRecord::TopicCreated { topic: topic.id, name: topic.name.clone() }];
    records.extend(config_records(topic)?);
    let replica_sets = if topic.assignments.is_empty() {
        let count = partition_count(topic, context)?;
        let replicas = replication_factor(topic, context, placement.broker_count())?;
        check_room(image, context, count, room)?;
        place(placement, topic.id, 0, count, replicas)?
    } else {
        check_room(image, context, topic.assignments.len(), room)?;
        let sets = manual_assignment(image, topic)?;
        sets.iter().for_each(|set| placement.count(set));
        sets
    };
    let partition_count = replica_sets.len();
    records.extend(partition_records(image, topic.id, 0, replica_sets));
    Ok((records, partition_count))
}

fn check_name(image: &MetadataImage, name: &str) -> Result<(), AdminError> {
    validate_topic_name(name)?;
    if name == METADATA_TOPIC {
        let message = format!("Creation of internal topic {METADATA_TOPIC} is prohibited.");
        return Err(AdminError::new(Kind::InvalidRequest, message));
    }
    if image.topic(name).is_some() {
        let message = format!("Topic '{name}' already exists.");
        return Err(AdminError::new(Kind::TopicExists, message));
    }
    // Metric names turn '.' into '_', so two such names could not be told apart there.
    if name.contains(['.', '_'])
        && let Some(other) = image.topics().find(|other| same_metric_name(&other.name, name))
    {
        let message = format!("Topic '{name}' collides with existing topic: {}", other.name);
        return Err(AdminError::new(Kind::InvalidTopicName, message));
    }
    Ok(())
}

fn same_metric_name(a: &str, b: &str) -> bool {
    let folded = |byte: u8| if byte == b'.' { b'_' } else { byte };
    a.len() == b.len() && a.bytes().map(folded).eq(b.bytes().map(folded))
}

/// Checks the rules for topic names: 1 to 249 ASCII letters, digits, `.`, `_` and `-`, and not `.`
/// or `..`.
///
/// # Errors
/// `InvalidTopicName` that says which rule is broken.
pub fn validate_topic_name(name: &str) -> Result<(), AdminError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let broken = if name.is_empty() {
        "the empty string is not allowed".to_owned()
    } else if matches!(name, "." | "..") {
        format!("'{name}' is not allowed")
    } else if name.len() > NAME_SIZE {
        let shown: String = name.chars().take(NAME_SIZE + 1).collect();
        format!("the length of '{shown}' is longer than the max allowed length {NAME_SIZE}")
    } else if !name.chars().all(allowed) {
        format!(
            "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' \
             and '-'"
        )
    } else {
        return Ok(());
    };
    Err(AdminError::new(Kind::InvalidTopicName, format!("Topic name is invalid: {broken}")))
}

fn partition_count(topic: &NewTopic, context: &ControllerContext) -> Result<usize, AdminError> {
    let count = match topic.partition_count {
        None => usize::try_from(context.partition_count).ok(),
        Some(count) => usize::try_from(count).ok().filter(|count| *count > 0),
    };
    count.ok_or_else(|| {
        let message = "Number of partitions was set to an invalid non-positive value.";
        AdminError::new(Kind::InvalidPartitionCount, message)
    })
}

fn replication_factor(
    topic: &NewTopic,
    context: &ControllerContext,
    broker_count: usize,
) -> Result<usize, AdminError> {
    let refused = |message: String| AdminError::new(Kind::InvalidReplicationFactor, message);
    let factor = match topic.replication_factor {
        None => usize::from(context.replication_factor),
        Some(factor) => {
            usize::try_from(factor).ok().filter(|factor| *factor > 0).ok_or_else(|| {
                refused(
                    "Replication factor must be larger than 0, or -1 to use the default value."
                        .into(),
                )
            })?
        }
    };
    if factor > broker_count {
        return Err(refused(format!(
            "Unable to replicate the partition {factor} time(s): The target replication factor of \
             {factor} cannot be reached because only {broker_count} broker(s) are registered."
        )));
    }
    Ok(factor)
}

/// Checks that `count` more partitions fit into the request and into the cluster.
pub(super) fn check_room(
    image: &MetadataImage,
    context: &ControllerContext,
    count: usize,
    room: usize,
) -> Result<(), AdminError> {
    if count > room {
        let message = format!(
            "Excessively large number of partitions per request: at most {PARTITIONS_PER_REQUEST}."
        );
        return Err(AdminError::new(Kind::LimitExceeded, message));
    }
    if image.partition_count().saturating_add(count) > context.partition_limit {
        let message = format!(
            "The cluster has {} partitions; {count} more would exceed its limit of {} \
             (limits.partitions).",
            image.partition_count(),
            context.partition_limit
        );
        return Err(AdminError::new(Kind::LimitExceeded, message));
    }
    Ok(())
}

/// Lets the controller choose replica sets for partitions from `first` on.
pub(super) fn place(
    placement: &mut Placement,
    topic: TopicId,
    first: usize,
    count: usize,
    replicas: usize,
) -> Result<Vec<Vec<BrokerId>>, AdminError> {
    let too_few = || {
        let message = format!(
            "Unable to replicate the partition {replicas} time(s): only {} broker(s) are \
             registered, and a majority of the replicas must be on brokers that are there.",
            placement.broker_count()
        );
        AdminError::new(Kind::InvalidReplicationFactor, message)
    };
    let error = too_few();
    (first..first + count)
        .map(|index| {
            let index = u32::try_from(index).ok();
            index.and_then(|index| placement.place(topic, index, replicas))
        })
        .collect::<Option<_>>()
        .ok_or(error)
}

/// The records of new partitions, each led by the first of its replicas that is there.
pub(super) fn partition_records(
    image: &MetadataImage,
    topic: TopicId,
    first: usize,
    replica_sets: Vec<Vec<BrokerId>>,
) -> impl Iterator<Item = MetadataRecord> {
    (first..).zip(replica_sets).filter_map(move |(index, replicas)| {
        let partition = u32::try_from(index).ok()?;
        let live = replicas.iter().find(|broker| image.is_live(**broker));
        let leader = *live.or(replicas.first())?;
        let round = FIRST_ROUND;
        Some(MetadataRecord::PartitionCreated { topic, partition, replicas, leader, round })
    })
}

fn manual_assignment(
    image: &MetadataImage,
    topic: &NewTopic,
) -> Result<Vec<Vec<BrokerId>>, AdminError> {
    let contradiction = |field| {
        let message =
            format!("A manual partition assignment was specified, but {field} was not set to -1.");
        AdminError::new(Kind::InvalidRequest, message)
    };
    if topic.replication_factor.is_some() {
        return Err(contradiction("replication factor"));
    }
    if topic.partition_count.is_some() {
        return Err(contradiction("numPartitions"));
    }
    let refused = |message: String| AdminError::new(Kind::InvalidReplicaAssignment, message);
    let mut sets = BTreeMap::new();
    for (partition, brokers) in &topic.assignments {
        if sets.insert(*partition, brokers).is_some() {
            return Err(refused(format!(
                "Found multiple manual partition assignments for partition {partition}"
            )));
        }
    }
    let mut size = None;
    let mut checked = Vec::with_capacity(sets.len());
    for (expected, (partition, brokers)) in (0..).zip(sets) {
        checked.push(check_replica_set(image, brokers, &mut size)?);
        if partition != expected {
            return Err(refused(
                "partitions should be a consecutive 0-based integer sequence".into(),
            ));
        }
    }
    Ok(checked)
}

/// Checks a replica set that a client chose; `size` is that of the sets before it.
pub(super) fn check_replica_set(
    image: &MetadataImage,
    brokers: &[i32],
    size: &mut Option<usize>,
) -> Result<Vec<BrokerId>, AdminError> {
    let refused = |message: String| AdminError::new(Kind::InvalidReplicaAssignment, message);
    if brokers.is_empty() {
        return Err(refused(
            "The manual partition assignment includes an empty replica list.".into(),
        ));
    }
    let mut set = Vec::new();
    for id in brokers {
        let known = BrokerId::from_wire(*id).filter(|id| image.broker(*id).is_some());
        let broker = known.ok_or_else(|| {
            refused(format!(
                "The manual partition assignment includes broker {id}, but no such broker is \
                 registered."
            ))
        })?;
        if set.contains(&broker) {
            return Err(refused(format!(
                "The manual partition assignment includes the broker {id} more than once."
            )));
        }
        set.push(broker);
    }
    let expected = *size.get_or_insert(set.len());
    if set.len() != expected {
        return Err(refused(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is \
             not consistent with previous partitions, which have {expected} replica(s).",
            set.len()
        )));
    }
    Ok(set)
}

/// Checks the topic's own settings; of a name given twice, the last value holds.
fn config_records(topic: &NewTopic) -> Result<Vec<MetadataRecord>, AdminError> {
    let mut values = BTreeMap::new();
    for (name, value) in &topic.configs {
        let key = topic_key(name).ok_or_else(|| unknown_topic_config(name))?;
        let value = value.as_deref().ok_or_else(|| {
            let message = format!("Null value not supported for topic configs: {name}");
            AdminError::new(Kind::InvalidConfig, message)
        })?;
        values.insert(key.name, key.canonical(value)?);
    }
    let resource = ConfigScope::Topic(topic.id);
    let set = |(name, value): (&str, _)| MetadataRecord::ConfigSet {
        resource,
        name: name.to_owned(),
        value,
    };
    Ok(values.into_iter().map(set).collect())
}

/// A setting that no topic has, with the nearest one that exists.
pub(super) fn unknown_topic_config(name: &str) -> AdminError {
    let known = TOPIC_KEYS.iter().map(|key| key.name);
    let hint = nearest(name, known).map(|near| format!("; did you mean {near}?"));
    let shown: String = name.chars().take(128).collect();
    let message = format!("Unknown topic config name: {shown}{}", hint.unwrap_or_default());
    AdminError::new(Kind::InvalidConfig, message)
}
