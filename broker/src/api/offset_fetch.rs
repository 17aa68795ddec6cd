//! OffsetFetch (9): committed offsets of groups.

use futures_util::stream::{self, StreamExt};
use synod_wire::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use synod_wire::{ErrorCode, RequestHeader, Str};

use super::coordinator::{GROUPS_AT_ONCE, ask_group};
use crate::context::Context;
use crate::groups::request::{Fetch, Fetched};
use crate::groups::{GroupRequest, TopicPartition};

/// First version that asks about several groups at once.
const BATCH_VERSION: i16 = 8;

/// First version with an error for the group as a whole.
const GROUP_ERROR_VERSION: i16 = 2;

pub(super) async fn handle(
    context: &Context,
    header: &RequestHeader,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    if header.api_version >= BATCH_VERSION {
        let groups = stream::iter(request.groups).map(|group| fetch(context, group));
        let groups = groups.buffered(GROUPS_AT_ONCE).collect().await;
        return OffsetFetchResponse { groups, ..OffsetFetchResponse::default() };
    }
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            partition_indexes: topic.partition_indexes,
            ..OffsetFetchRequestTopics::default()
        });
        topics.collect()
    });
    let group_id = request.group_id;
    let group = OffsetFetchRequestGroup { group_id, topics, ..OffsetFetchRequestGroup::default() };
    let asked = group.topics.clone().unwrap_or_default();
    let mut group = fetch(context, group).await;
    if group.error_code.is_error() && header.api_version < GROUP_ERROR_VERSION {
        group.topics = asked.into_iter().map(|topic| failed(topic, group.error_code)).collect();
    }
    let topics = group.topics.into_iter().map(older_topic);
    OffsetFetchResponse {
        topics: topics.collect(),
        error_code: group.error_code,
        ..OffsetFetchResponse::default()
    }
}

async fn fetch(context: &Context, group: OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
    let OffsetFetchRequestGroup { group_id, topics, .. } = group;
    let partitions = topics.as_ref().map(|topics| {
        let all = topics.iter().flat_map(|topic| {
            let name = topic.name.detached();
            let partition =
                move |index: &i32| TopicPartition { topic: name.clone(), partition: *index };
            topic.partition_indexes.iter().map(partition)
        });
        all.collect()
    });
    let fetch = Fetch { group: group_id.detached(), partitions };
    let asked = ask_group(context, &group_id, |reply| GroupRequest::Fetch(fetch, reply)).await;
    let (topics, error_code) = match asked {
        Ok(fetched) => (by_topic(topics, fetched), ErrorCode::NONE),
        Err(error_code) => (Vec::new(), error_code),
    };
    OffsetFetchResponseGroup { group_id, topics, error_code }
}

/// The offsets as they were asked for; if all were, in their own order.
fn by_topic(
    topics: Option<Vec<OffsetFetchRequestTopics>>,
    fetched: Vec<Fetched>,
) -> Vec<OffsetFetchResponseTopics> {
    let mut fetched = fetched.into_iter().peekable();
    let Some(topics) = topics else {
        let mut topics: Vec<OffsetFetchResponseTopics> = Vec::new();
        for one in fetched {
            if topics.last().is_none_or(|last| last.name != one.partition.topic) {
                let name = one.partition.topic.clone();
                topics.push(OffsetFetchResponseTopics { name, ..Default::default() });
            }
            if let Some(topic) = topics.last_mut() {
                topic.partitions.push(partition(one));
            }
        }
        return topics;
    };
    let topics = topics.into_iter().map(|topic| {
        let partitions = fetched.by_ref().take(topic.partition_indexes.len()).map(partition);
        let partitions = partitions.collect();
        OffsetFetchResponseTopics { name: topic.name, partitions, ..Default::default() }
    });
    topics.collect()
}

fn partition(fetched: Fetched) -> OffsetFetchResponsePartitions {
    let partition_index = fetched.partition.partition;
    let none = OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        ..OffsetFetchResponsePartitions::default()
    };
    match fetched.offset {
        None => none,
        Some(offset) => OffsetFetchResponsePartitions {
            committed_offset: offset.offset,
            committed_leader_epoch: offset.leader_epoch.unwrap_or(-1),
            metadata: Some(offset.metadata.clone()),
            ..none
        },
    }
}

fn failed(topic: OffsetFetchRequestTopics, error_code: ErrorCode) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.iter().map(|index| OffsetFetchResponsePartitions {
        partition_index: *index,
        committed_offset: -1,
        metadata: Some(Str::EMPTY),
        error_code,
        ..OffsetFetchResponsePartitions::default()
    });
    let partitions = partitions.collect();
    OffsetFetchResponseTopics { name: topic.name, partitions, ..Default::default() }
}

fn older_topic(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter().map(|one| OffsetFetchResponsePartition {
        partition_index: one.partition_index,
        committed_offset: one.committed_offset,
        committed_leader_epoch: one.committed_leader_epoch,
        metadata: one.metadata,
        error_code: one.error_code,
    });
    OffsetFetchResponseTopic { name: topic.name, partitions: partitions.collect() }
}
