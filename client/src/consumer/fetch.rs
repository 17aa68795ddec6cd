//! Fetch requests and what comes back.

use std::collections::{BTreeSet, VecDeque};

use synod_wire::batch::{Batch, BatchError, Batches};
use synod_wire::messages::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic, PartitionData,
};
use synod_wire::{ErrorCode, Str};

use super::ConsumerConfig;
use super::divergence::Verdicts;
use super::fetched::Aborted;
use super::group::assignor::by_topic;
use super::session::Increment;
use crate::Error;
use crate::cluster::TopicPartition;

/// One partition in a fetch request.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) partition: TopicPartition,
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
    /// Round of the last batch before the offset; -1 if unknown.
    pub(super) last_epoch: i32,
    /// Round whose leader has been seen to have what lies before the offset; -1 if none.
    pub(super) shared_epoch: i32,
    pub(super) generation: u64,
}

impl Asked {
    /// Whether the leader's log may have something else before the offset than what was read.
    pub(super) fn is_unsure(&self) -> bool {
        self.last_epoch >= 0 && self.leader_epoch >= 0 && self.leader_epoch != self.shared_epoch
    }
}

/// A request that tells a session's leader what is new.
pub(super) fn request(config: &ConsumerConfig, increment: &Increment) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for asked in &increment.changed {
        let wanted = FetchPartition {
            partition: asked.partition.partition,
            current_leader_epoch: asked.leader_epoch,
            fetch_offset: asked.offset,
            last_fetched_epoch: asked.last_epoch,
            log_start_offset: -1,
            partition_max_bytes: config.max_partition_fetch_size,
            ..FetchPartition::default()
        };
        match topics.last_mut().filter(|topic| *topic.topic == *asked.partition.topic) {
            Some(topic) => topic.partitions.push(wanted),
            None => topics.push(FetchTopic {
                topic: Str::from(&*asked.partition.topic),
                partitions: vec![wanted],
                ..FetchTopic::default()
            }),
        }
    }
    let forgotten = by_topic(increment.forgotten.iter()).into_iter().map(|gone| ForgottenTopic {
        topic: gone.topic,
        partitions: gone.partitions,
        ..ForgottenTopic::default()
    });
    FetchRequest {
        replica_id: -1,
        max_wait_ms: i32::try_from(config.max_fetch_wait.as_millis()).unwrap_or(i32::MAX),
        min_bytes: config.min_fetch_size,
        max_bytes: config.max_fetch_size,
        isolation_level: config.isolation.level(),
        session_id: increment.session_id,
        session_epoch: increment.session_epoch,
        topics,
        forgotten_topics_data: forgotten.collect(),
        ..FetchRequest::default()
    }
}

/// What a fetch brought for one partition.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) partition: TopicPartition,
    pub(super) result: Result<Content, Error>,
}

/// Whole batches, in order, each ending after the offset that was asked for.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) batches: VecDeque<Batch>,
    pub(super) aborted: Vec<Aborted>,
    pub(super) high_watermark: i64,
    /// Where the next fetch goes on; the offset asked for when nothing came.
    pub(super) next_offset: i64,
    /// The records from here on are not those that were read: an election took them back.
    pub(super) diverges_at: Option<i64>,
}

impl Content {
    /// Nothing but the end of what is common.
    fn diverging(end: i64) -> Self {
        Self {
            batches: VecDeque::new(),
            aborted: Vec::new(),
            high_watermark: end,
            next_offset: end,
            diverges_at: Some(end),
        }
    }
}

/// Takes an answer apart. `asked` tells at which offset each partition was asked. A verdict against
/// a partition's place is its answer, whatever was fetched there.
pub(super) fn answers(
    response: FetchResponse,
    asked: &[Asked],
    verdicts: Verdicts,
) -> Result<Vec<Answer>, Error> {
    Error::check(response.error_code, || "fetch".into(), None)?;
    let against = verdicts.into_iter().filter_map(|(partition, verdict)| {
        let result = verdict.transpose()?.map(Content::diverging);
        Some(Answer { partition, result })
    });
    let mut answers: Vec<_> = against.collect();
    let judged: BTreeSet<_> = answers.iter().map(|answer| answer.partition.clone()).collect();
    for topic in response.responses {
        for data in topic.partitions {
            let found = asked.iter().find(|asked| {
                asked.partition.partition == data.partition_index
                    && *asked.partition.topic == *topic.topic
            });
            // A partition nobody asked for is none of our business.
            let Some(asked) = found else { continue };
            let partition = asked.partition.clone();
            if judged.contains(&partition) {
                continue;
            }
            answers.push(Answer { partition, result: content(data, asked) });
        }
    }
    Ok(answers)
}

fn content(data: PartitionData, asked: &Asked) -> Result<Content, Error> {
    let context = || asked.partition.to_string();
    Error::check(data.error_code, context, None)?;
    let corrupt = |source| {
        let context = format!("{}, offset {}", asked.partition, asked.offset).into();
        Error::Corrupt { context, source }
    };
    let mut batches = VecDeque::new();
    let mut next_offset = asked.offset;
    'parts: for part in data.records.into_parts() {
        for batch in Batches::new(part) {
            let batch = match batch {
                Ok(batch) => batch,
                // The broker cuts an answer by size; the rest comes with the next one.
                Err(BatchError::Truncated { .. }) if !batches.is_empty() => break 'parts,
                Err(error) => return Err(corrupt(error)),
            };
            if batch.header().end_offset() <= next_offset {
                // Lies wholly before what was asked for, or repeats what came already.
                continue;
            }
            next_offset = batch.header().end_offset();
            batches.push_back(batch);
        }
    }
    let aborted = data.aborted_transactions.unwrap_or_default();
    let aborted = aborted.into_iter().map(|transaction| Aborted {
        producer_id: transaction.producer_id,
        first_offset: transaction.first_offset,
    });
    Ok(Content {
        batches,
        aborted: aborted.collect(),
        high_watermark: data.high_watermark,
        next_offset,
        diverges_at: Some(data.diverging_epoch.end_offset).filter(|&end| end >= 0),
    })
}

/// Whether an error means that the offset itself does not exist.
pub(super) fn is_out_of_range(error: &Error) -> bool {
    error.code() == Some(ErrorCode::OFFSET_OUT_OF_RANGE)
}
