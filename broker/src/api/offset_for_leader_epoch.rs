//! OffsetForLeaderEpoch (23): where a leader epoch ended.

use synod_wire::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};
use synod_wire::{ErrorCode, RequestHeader};

use super::lookup::Lookup;
use super::produce::wire_offset;
use crate::context::Context;

pub(super) async fn handle(
    context: &Context,
    _: &RequestHeader,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let lookup = Lookup::new(context);
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| answer(&lookup, &topic.topic, asked));
        OffsetForLeaderTopicResult { partitions: partitions.collect(), topic: topic.topic }
    });
    OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() }
}

fn answer(lookup: &Lookup<'_>, topic: &str, asked: &OffsetForLeaderPartition) -> EpochEndOffset {
    let partition = asked.partition;
    let end = lookup.led(topic, partition, asked.current_leader_epoch).map(|(view, round)| {
        if asked.leader_epoch < 0 {
            return None;
        }
        let high_watermark = view.high_watermark();
        // The present round may have no batch yet; it ends where the log does.
        if i32::try_from(round) == Ok(asked.leader_epoch) {
            return Some((asked.leader_epoch, high_watermark));
        }
        view.log().epoch_end_offset(asked.leader_epoch, high_watermark)
    });
    let (error_code, end) = match end {
        Ok(end) => (ErrorCode::NONE, end),
        Err(code) => (code, None),
    };
    let (leader_epoch, end_offset) = end.map_or((-1, -1), |(epoch, end)| (epoch, wire_offset(end)));
    EpochEndOffset { error_code, partition, leader_epoch, end_offset }
}
