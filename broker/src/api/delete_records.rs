//! DeleteRecords (21): drops the heads of partitions.

use synod_wire::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest,
    DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use synod_wire::{ErrorCode, RequestHeader};
use tokio::sync::oneshot;

use super::error_codes::of_trim_error;
use super::lookup::Lookup;
use super::produce::wire_offset;
use crate::context::Context;
use crate::shard::ShardRequest;

/// Offset that stands for the high watermark.
const HIGH_WATERMARK: i64 = -1;

pub(super) async fn handle(
    context: &Context,
    _: &RequestHeader,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let lookup = Lookup::new(context);
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let trimmed = trim(context, &lookup, &topic.name, &partition).await;
            let (low_watermark, error_code) = match trimmed {
                Ok(start) => (wire_offset(start), ErrorCode::NONE),
                Err(code) => (-1, code),
            };
            partitions.push(DeleteRecordsPartitionResult {
                partition_index: partition.partition_index,
                low_watermark,
                error_code,
            });
        }
        let name = topic.name;
        topics.push(DeleteRecordsTopicResult { name, partitions });
    }
    DeleteRecordsResponse { topics, ..Default::default() }
}

async fn trim(
    context: &Context,
    lookup: &Lookup<'_>,
    topic: &str,
    partition: &DeleteRecordsPartition,
) -> Result<u64, ErrorCode> {
    let (view, _) = lookup.led(topic, partition.partition_index, -1)?;
    if !view.config().delete {
        return Err(ErrorCode::POLICY_VIOLATION);
    }
    let before = match partition.offset {
        HIGH_WATERMARK => None,
        offset => Some(u64::try_from(offset).map_err(|_| ErrorCode::OFFSET_OUT_OF_RANGE)?),
    };
    let (reply, outcome) = oneshot::channel();
    let request = ShardRequest::Trim { key: view.key(), before, reply };
    if !context.broker().shard(view.shard()).send(request).await {
        return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
    }
    let outcome = outcome.await.map_err(|_| ErrorCode::NOT_LEADER_OR_FOLLOWER)?;
    outcome.map_err(of_trim_error)
}
