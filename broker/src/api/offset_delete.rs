//! OffsetDelete (47): forgets offsets that a group committed.

use synod_wire::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};
use synod_wire::{ErrorCode, RequestHeader};

use super::coordinator::{ask_group, code_of};
use super::offset_commit::exists;
use crate::context::Context;
use crate::groups::request::Forget;
use crate::groups::{GroupRequest, TopicPartition};

pub(super) async fn handle(
    context: &Context,
    _: &RequestHeader,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let image = context.image();
    let all = request.topics.iter().flat_map(|topic| {
        let name = topic.name.detached();
        topic.partitions.iter().map(move |partition| TopicPartition {
            topic: name.clone(),
            partition: partition.partition_index,
        })
    });
    let partitions = all.filter(|one| exists(&image, &one.topic, one.partition)).collect();
    let forget = Forget { group: request.group_id.detached(), partitions };
    let asked = ask_group(context, &request.group_id, |reply| GroupRequest::Forget(forget, reply));
    let mut outcomes = match asked.await {
        Ok(outcomes) => outcomes.into_iter(),
        Err(error_code) => return OffsetDeleteResponse { error_code, ..Default::default() },
    };
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let partition_index = partition.partition_index;
            let error_code = match exists(&image, &topic.name, partition_index) {
                false => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                true => outcomes.next().map_or(ErrorCode::UNKNOWN_SERVER_ERROR, code_of),
            };
            OffsetDeleteResponsePartition { partition_index, error_code }
        });
        let partitions = partitions.collect();
        OffsetDeleteResponseTopic { name: topic.name, partitions }
    });
    OffsetDeleteResponse { topics: topics.collect(), ..OffsetDeleteResponse::default() }
}
