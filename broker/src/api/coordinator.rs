//! The way from a group's name to its coordinator, and back with the answer.

use std::sync::Arc;

use synod_log::key::PartitionKey;
use synod_wire::{ErrorCode, Str};
use tokio::sync::oneshot;

use super::error_codes::of_group_error;
use crate::context::Context;
use crate::groups::request::Reply;
use crate::groups::{GroupError, GroupRequest, OFFSETS_TOPIC, partition_of};
use crate::metadata::{MetadataImage, TopicId};
use crate::partition::PartitionView;
use crate::shard::ShardRequest;

/// Groups of one request that are asked about at once.
pub(super) const GROUPS_AT_ONCE: usize = 64;

/// Asks the coordinator of a group, if it is on this broker.
pub(super) async fn ask<T>(
    context: &Context,
    group: &str,
    request: impl FnOnce(Reply<T>) -> GroupRequest,
) -> Result<T, GroupError> {
    let view = coordinating(context, group).ok_or(GroupError::NotCoordinator)?;
    ask_partition(context, &view, request).await
}

/// As [`ask`], for requests whose answer is an outcome; the error as Kafka's code.
pub(super) async fn ask_group<T>(
    context: &Context,
    group: &str,
    request: impl FnOnce(Reply<Result<T, GroupError>>) -> GroupRequest,
) -> Result<T, ErrorCode> {
    let answer = ask(context, group, request).await.and_then(|answer| answer);
    answer.map_err(of_group_error)
}

/// Asks the coordinator of a partition of the offsets topic that is hosted here.
pub(super) async fn ask_partition<T>(
    context: &Context,
    view: &PartitionView,
    request: impl FnOnce(Reply<T>) -> GroupRequest,
) -> Result<T, GroupError> {
    let (reply, answer) = oneshot::channel();
    let request = ShardRequest::Group { key: view.key(), request: request(reply) };
    if !context.broker().shard(view.shard()).send(request).await {
        return Err(GroupError::NotCoordinator);
    }
    // Without an answer the shard has stopped: another broker will know the group.
    answer.await.map_err(|_| GroupError::NotCoordinator)
}

/// The partition of the offsets topic that a group belongs to.
pub(super) fn partition_key(image: &MetadataImage, group: &str) -> Option<PartitionKey> {
    let topic = image.topic(OFFSETS_TOPIC)?;
    let count = u32::try_from(topic.partitions.len()).ok().filter(|count| *count > 0)?;
    Some(PartitionKey { topic: topic.id.bytes(), partition: partition_of(group, count) })
}

fn coordinating(context: &Context, group: &str) -> Option<Arc<PartitionView>> {
    let key = partition_key(&context.image(), group)?;
    context.partitions().partition(TopicId::from_bytes(key.topic), key.partition)
}

/// All partitions of the offsets topic that are hosted here.
pub(super) fn hosted(context: &Context) -> Vec<Arc<PartitionView>> {
    let image = context.image();
    let Some(topic) = image.topic(OFFSETS_TOPIC) else { return Vec::new() };
    let indexes = 0..u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
    indexes.filter_map(|index| context.partitions().partition(topic.id, index)).collect()
}

/// The code of an outcome.
pub(super) fn code_of(outcome: Result<(), GroupError>) -> ErrorCode {
    outcome.map_or_else(of_group_error, |()| ErrorCode::NONE)
}

/// A copy that does not keep the request's frame in memory.
pub(super) fn detached(text: Option<&Str>) -> Option<Str> {
    text.map(Str::detached)
}
