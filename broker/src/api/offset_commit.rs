//! OffsetCommit (8): commits offsets of a group.

use synod_wire::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use synod_wire::{ErrorCode, RequestHeader, Str, Uuid};

use super::coordinator::{ask_group, code_of, detached};
use crate::context::Context;
use crate::groups::request::{Claim, Commit};
use crate::groups::{CommittedOffset, GroupRequest, TopicPartition};
use crate::metadata::MetadataImage;

pub(super) async fn handle(
    context: &Context,
    _: &RequestHeader,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let claim = Claim {
        group: request.group_id.detached(),
        member: request.member_id.detached(),
        instance: detached(request.group_instance_id.as_ref()),
        generation: request.generation_id_or_member_epoch,
    };
    let image = context.image();
    let offsets = offsets(&image, &request.topics);
    let retention_ms = Some(request.retention_time_ms).filter(|retention| *retention != -1);
    let mut outcomes = if offsets.is_empty() {
        Ok(Vec::new())
    } else {
        let commit = Commit { claim, retention_ms, offsets };
        ask_group(context, &request.group_id, |reply| GroupRequest::Commit(commit, reply)).await
    }
    .map(Vec::into_iter);
    let topics = request.topics.into_iter().filter(|topic| !topic.partitions.is_empty());
    let topics = topics.map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let error_code = match &mut outcomes {
                _ if !exists(&image, &topic.name, partition.partition_index) => {
                    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
                }
                Ok(outcomes) => outcomes.next().map_or(ErrorCode::UNKNOWN_SERVER_ERROR, code_of),
                Err(error_code) => *error_code,
            };
            let partition_index = partition.partition_index;
            OffsetCommitResponsePartition { partition_index, error_code }
        });
        let partitions = partitions.collect();
        OffsetCommitResponseTopic { name: topic.name, partitions, topic_id: topic.topic_id }
    });
    OffsetCommitResponse { topics: topics.collect(), ..OffsetCommitResponse::default() }
}

/// The offsets of partitions that exist.
fn offsets(
    image: &MetadataImage,
    topics: &[OffsetCommitRequestTopic],
) -> Vec<(TopicPartition, CommittedOffset)> {
    let mut offsets = Vec::new();
    for topic in topics {
        let name = topic.name.detached();
        let topic_id = image.topic_id(&name).map_or(Uuid::default(), |id| Uuid(id.bytes()));
        for partition in &topic.partitions {
            if !exists(image, &name, partition.partition_index) {
                continue;
            }
            let key = TopicPartition { topic: name.clone(), partition: partition.partition_index };
            let offset = CommittedOffset {
                offset: partition.committed_offset,
                leader_epoch: Some(partition.committed_leader_epoch).filter(|epoch| *epoch >= 0),
                metadata: partition.committed_metadata.as_ref().map_or(Str::EMPTY, Str::detached),
                topic_id,
                ..CommittedOffset::default()
            };
            offsets.push((key, offset));
        }
    }
    offsets
}

/// Whether there is such a partition.
pub(super) fn exists(image: &MetadataImage, topic: &str, partition: i32) -> bool {
    let index = u32::try_from(partition).ok();
    let topic = image.topic(topic);
    index.zip(topic).is_some_and(|(index, topic)| topic.partition(index).is_some())
}
