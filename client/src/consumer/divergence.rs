//! Whether what was read is still in the log, asked of leaders whose Fetch cannot tell: those of
//! Kafka before 2.7. It can only be otherwise once another leader's log counts.

use std::collections::BTreeMap;
use std::time::Duration;

use synod_wire::messages::fetch::FetchRequest;
use synod_wire::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use synod_wire::{ErrorCode, Str};

use super::fetch::Asked;
use crate::cluster::TopicPartition;
use crate::{Connection, Error};

/// First version of Fetch in which the leader compares by itself.
const COMPARING_FETCH: i16 = 12;

/// First version of OffsetForLeaderEpoch that is meant for consumers.
const FOR_CONSUMERS: i16 = 3;

/// What the leader says of each place it was asked about: the end of what both have in common if
/// that lies before the place.
pub(super) type Verdicts = BTreeMap<TopicPartition, Result<Option<i64>, Error>>;

/// Asks about the places that this leader has not been seen to share, if Fetch does not do it.
pub(super) async fn verdicts(
    connection: &Connection,
    asked: &[Asked],
    within: Duration,
) -> Result<Verdicts, Error> {
    let unsure: Vec<_> = asked.iter().filter(|asked| asked.is_unsure()).collect();
    let compares = connection.version::<FetchRequest>()? >= COMPARING_FETCH;
    let can_tell = connection
        .version::<OffsetForLeaderEpochRequest>()
        .is_ok_and(|version| version >= FOR_CONSUMERS);
    if unsure.is_empty() || compares || !can_tell {
        return Ok(Verdicts::new());
    }
    let response = connection.start(&request(&unsure), within).await?.await?;
    let mut verdicts = Verdicts::new();
    for topic in response.topics {
        for answer in topic.partitions {
            let found = unsure.iter().find(|asked| {
                asked.partition.partition == answer.partition
                    && *asked.partition.topic == *topic.topic
            });
            // A partition nobody asked for is none of our business.
            let Some(asked) = found else { continue };
            verdicts.insert(asked.partition.clone(), verdict(asked, &answer));
        }
    }
    Ok(verdicts)
}

fn request(unsure: &[&Asked]) -> OffsetForLeaderEpochRequest {
    let mut topics: Vec<OffsetForLeaderTopic> = Vec::new();
    for asked in unsure {
        let wanted = OffsetForLeaderPartition {
            partition: asked.partition.partition,
            current_leader_epoch: asked.leader_epoch,
            leader_epoch: asked.last_epoch,
            ..OffsetForLeaderPartition::default()
        };
        match topics.last_mut().filter(|topic| *topic.topic == *asked.partition.topic) {
            Some(topic) => topic.partitions.push(wanted),
            None => topics.push(OffsetForLeaderTopic {
                topic: Str::from(&*asked.partition.topic),
                partitions: vec![wanted],
                ..OffsetForLeaderTopic::default()
            }),
        }
    }
    OffsetForLeaderEpochRequest { replica_id: -1, topics, ..OffsetForLeaderEpochRequest::default() }
}

/// The end of the latest round up to ours that the leader knows; what we read beyond is not there.
fn verdict(asked: &Asked, answer: &EpochEndOffset) -> Result<Option<i64>, Error> {
    let context = || asked.partition.to_string();
    Error::check(answer.error_code, context, None)?;
    if answer.leader_epoch < 0 || answer.end_offset < 0 {
        let reason = "the leader has no record as old as what was read";
        return Err(Error::broker(ErrorCode::OFFSET_OUT_OF_RANGE, context(), Some(reason)));
    }
    Ok(Some(answer.end_offset).filter(|&end| end < asked.offset))
}
