//! Committed offsets: reading and writing them.

use std::collections::BTreeMap;
use std::sync::Arc;

use synod_wire::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use synod_wire::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse,
};
use synod_wire::{ErrorCode, Str};

use super::member::Identity;
use crate::Error;
use crate::cluster::{PerPartition, TopicPartition};
use crate::consumer::group::assignor::by_topic;
use crate::coordinator::Coordinator;

/// An offset that a group has committed, or shall.
///
/// ```
/// use synod_client::consumer::CommittedOffset;
/// let with_note = CommittedOffset { metadata: "by hand".into(), ..CommittedOffset::new(42) };
/// assert_eq!((with_note.offset, with_note.leader_epoch), (42, None));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// Offset of the next record to read.
    pub offset: i64,
    /// Round of the record before it, if known.
    pub leader_epoch: Option<i32>,
    /// A note of whoever committed it.
    pub metadata: String,
}

impl CommittedOffset {
    /// The offset alone.
    pub fn new(offset: i64) -> Self {
        Self { offset, leader_epoch: None, metadata: String::new() }
    }
}

/// Commits offsets; as a member, or from outside of a group without members. The result has every
/// partition.
pub(crate) async fn commit(
    coordinator: &Coordinator,
    identity: &Identity,
    instance_id: Option<&str>,
    offsets: &BTreeMap<TopicPartition, CommittedOffset>,
) -> Result<PerPartition<()>, Error> {
    let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
    for (partition, committed) in offsets {
        let one = OffsetCommitRequestPartition {
            partition_index: partition.partition,
            committed_offset: committed.offset,
            committed_leader_epoch: committed.leader_epoch.unwrap_or(-1),
            committed_metadata: Some(committed.metadata.as_str().into()),
            ..OffsetCommitRequestPartition::default()
        };
        match topics.last_mut().filter(|topic| *topic.name == *partition.topic) {
            Some(topic) => topic.partitions.push(one),
            None => topics.push(OffsetCommitRequestTopic {
                name: Str::from(&*partition.topic),
                partitions: vec![one],
                ..OffsetCommitRequestTopic::default()
            }),
        }
    }
    let request = OffsetCommitRequest {
        group_id: Str::from(&**coordinator.group()),
        generation_id_or_member_epoch: identity.generation,
        member_id: identity.member_id.clone(),
        group_instance_id: instance_id.map(Str::from),
        topics,
        ..OffsetCommitRequest::default()
    };
    let group = format!("group {}", coordinator.group());
    let response = coordinator
        .ask(&request, |response| {
            let mut answers = response.topics.iter().flat_map(|topic| &topic.partitions);
            // These concern the coordinator, not the partition, and pass.
            let passing = answers.find(|answer| is_passing(answer.error_code));
            let code = passing.map_or(ErrorCode::NONE, |answer| answer.error_code);
            Error::check(code, || group.clone(), None)
        })
        .await?;
    let mut results = PerPartition::new();
    for topic in &response.topics {
        let name: Arc<str> = Arc::from(&*topic.name);
        for answer in &topic.partitions {
            let partition = TopicPartition::new(name.clone(), answer.partition_index);
            let context = || format!("{group}, {partition}");
            let result = Error::check(answer.error_code, context, None);
            results.insert(partition, result);
        }
    }
    for partition in offsets.keys() {
        results.entry(partition.clone()).or_insert_with(|| {
            let reason = "the coordinator's answer leaves this partition out";
            let code = ErrorCode::UNKNOWN_SERVER_ERROR;
            Err(Error::broker(code, format!("{group}, {partition}"), Some(reason)))
        });
    }
    Ok(results)
}

fn is_passing(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
            | ErrorCode::COORDINATOR_NOT_AVAILABLE
            | ErrorCode::NOT_COORDINATOR
            | ErrorCode::REQUEST_TIMED_OUT
            | ErrorCode::NOT_ENOUGH_REPLICAS
            | ErrorCode::UNSTABLE_OFFSET_COMMIT
    )
}

/// What a group has committed: for these partitions, or for all (`None`). Partitions without a
/// committed offset are left out.
pub(crate) async fn fetch(
    coordinator: &Coordinator,
    partitions: Option<&[TopicPartition]>,
) -> Result<BTreeMap<TopicPartition, CommittedOffset>, Error> {
    let group_id = Str::from(&**coordinator.group());
    let topics = partitions.map(|partitions| by_topic(partitions.iter()));
    let older = topics.as_ref().map(|topics| {
        let topic = topics.iter().map(|topic| OffsetFetchRequestTopic {
            name: topic.topic.clone(),
            partition_indexes: topic.partitions.clone(),
            ..OffsetFetchRequestTopic::default()
        });
        topic.collect()
    });
    let newer = topics.map(|topics| {
        let topic = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.topic,
            partition_indexes: topic.partitions,
            ..OffsetFetchRequestTopics::default()
        });
        topic.collect()
    });
    let group = OffsetFetchRequestGroup {
        group_id: group_id.clone(),
        topics: newer,
        ..OffsetFetchRequestGroup::default()
    };
    let request = OffsetFetchRequest {
        group_id,
        topics: older,
        groups: vec![group],
        require_stable: true,
        ..OffsetFetchRequest::default()
    };
    let context = format!("group {}", coordinator.group());
    let response = coordinator.ask(&request, |response| check(response, &context)).await?;
    Ok(found(response))
}

/// The first error in an answer.
fn check(response: &OffsetFetchResponse, context: &str) -> Result<(), Error> {
    let mut codes = vec![response.error_code];
    for group in &response.groups {
        codes.push(group.error_code);
        let partitions = group.topics.iter().flat_map(|topic| &topic.partitions);
        codes.extend(partitions.map(|partition| partition.error_code));
    }
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    codes.extend(partitions.map(|partition| partition.error_code));
    // A topic that is gone has no committed offsets, which is an answer.
    let is_error =
        |code: &ErrorCode| code.is_error() && *code != ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    let code = codes.into_iter().find(is_error).unwrap_or(ErrorCode::NONE);
    Error::check(code, || context.to_owned(), None)
}

fn found(response: OffsetFetchResponse) -> BTreeMap<TopicPartition, CommittedOffset> {
    let mut offsets = BTreeMap::new();
    let mut add = |topic: &Str, partition, offset, epoch: i32, metadata: Option<Str>| {
        if offset >= 0 {
            let committed = CommittedOffset {
                offset,
                leader_epoch: Some(epoch).filter(|&epoch| epoch >= 0),
                metadata: metadata.map(String::from).unwrap_or_default(),
            };
            offsets.insert(TopicPartition::new(&**topic, partition), committed);
        }
    };
    for topic in response.topics {
        for p in topic.partitions {
            let epoch = p.committed_leader_epoch;
            add(&topic.name, p.partition_index, p.committed_offset, epoch, p.metadata);
        }
    }
    for topic in response.groups.into_iter().flat_map(|group| group.topics) {
        for p in topic.partitions {
            let epoch = p.committed_leader_epoch;
            add(&topic.name, p.partition_index, p.committed_offset, epoch, p.metadata);
        }
    }
    offsets
}
