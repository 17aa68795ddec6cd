//! Produce requests and their answers.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use synod_wire::ErrorCode;
use synod_wire::Str;
use synod_wire::batch::Compression;
use synod_wire::messages::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};

use super::accumulator::Key;
use super::batch::SealedBatch;
use super::completion::Written;
use super::{Acks, Shared};
use crate::connection::Pending;
use crate::{Connection, Error};

/// The first version in which zstd is allowed.
const ZSTD_VERSION: i16 = 7;

/// A request under way with its batches, at most one of each partition.
pub(super) struct Flight {
    pub(super) broker: i32,
    pub(super) batches: Vec<(Key, SealedBatch)>,
    /// The batches as on the wire, in the same order.
    encoded: Vec<Bytes>,
}

impl Flight {
    /// Encodes the batches; those that cannot be are returned with the reason.
    pub(super) fn new(
        broker: i32,
        batches: Vec<(Key, SealedBatch)>,
        compression: Compression,
    ) -> (Self, Vec<(Key, SealedBatch, Error)>) {
        let mut flight = Self { broker, batches: Vec::new(), encoded: Vec::new() };
        let mut unsendable = Vec::new();
        for (key, mut batch) in batches {
            match batch.encode(compression) {
                Ok(bytes) => {
                    flight.encoded.push(bytes);
                    flight.batches.push((key, batch));
                }
                Err(source) => {
                    let context = format!("topic {}, partition {}", key.0, key.1).into();
                    unsendable.push((key, batch, Error::Corrupt { context, source }));
                }
            }
        }
        (flight, unsendable)
    }

    fn request(&self, acks: Acks, timeout_ms: i32) -> ProduceRequest {
        let mut topics: Vec<TopicProduceData> = Vec::new();
        let mut places: HashMap<&Arc<str>, usize> = HashMap::new();
        for (((topic, partition), _), bytes) in self.batches.iter().zip(&self.encoded) {
            let place = *places.entry(topic).or_insert_with(|| {
                topics.push(TopicProduceData {
                    name: Str::from(&**topic),
                    ..TopicProduceData::default()
                });
                topics.len() - 1
            });
            topics[place].partition_data.push(PartitionProduceData {
                index: *partition,
                records: Some(bytes.clone()),
                ..PartitionProduceData::default()
            });
        }
        ProduceRequest {
            transactional_id: None,
            acks: acks.code(),
            timeout_ms,
            topic_data: topics,
            ..ProduceRequest::default()
        }
    }
}

/// Sends the request. The future of the answer, or `None` when none will come.
pub(super) async fn start(
    connection: &Connection,
    flight: &Flight,
    shared: &Shared,
) -> Result<Option<Pending<ProduceRequest>>, Error> {
    if shared.config.compression == Compression::Zstd
        && connection.version::<ProduceRequest>()? < ZSTD_VERSION
    {
        let address = connection.address();
        return Err(Error::config(format!("{address} is too old for zstd: use another codec")));
    }
    let within = shared.cluster.config().request_timeout;
    // The broker gives up a little before us, so that its answer says why.
    let timeout_ms = i32::try_from((within - within / 10).as_millis()).unwrap_or(i32::MAX);
    let request = flight.request(shared.config.acks, timeout_ms);
    if shared.config.acks == Acks::None {
        connection.send_unanswered(&request).await?;
        return Ok(None);
    }
    connection.start(&request, within).await.map(Some)
}

/// The answer of each partition.
pub(super) struct Answers {
    partitions: HashMap<Key, Result<Written, Error>>,
    unanswered: bool,
}

/// Sorts an answer by partition; `unanswered`: the broker was asked not to give one.
pub(super) fn answers(response: ProduceResponse, unanswered: bool) -> Answers {
    let mut partitions = HashMap::new();
    for topic in response.responses {
        let name: Arc<str> = Arc::from(&*topic.name);
        for answer in topic.partition_responses {
            let outcome = if answer.error_code == ErrorCode::NONE {
                Ok(Written {
                    base_offset: Some(answer.base_offset).filter(|&offset| offset >= 0),
                    append_time: Some(answer.log_append_time_ms).filter(|&time| time >= 0),
                })
            } else {
                let context = format!("topic {name}, partition {}", answer.index);
                let message = answer.error_message.as_deref();
                let record = answer.record_errors.first();
                let record = record.and_then(|e| e.batch_index_error_message.as_deref());
                Err(Error::broker(answer.error_code, context, record.or(message)))
            };
            partitions.insert((name.clone(), answer.index), outcome);
        }
    }
    Answers { partitions, unanswered }
}

impl Answers {
    /// The answer for one partition.
    pub(super) fn of(&self, key: &Key) -> Result<Written, Error> {
        match self.partitions.get(key) {
            Some(outcome) => outcome.clone(),
            None if self.unanswered => Ok(Written { base_offset: None, append_time: None }),
            None => Err(Error::broker(
                ErrorCode::UNKNOWN_SERVER_ERROR,
                format!("topic {}, partition {}", key.0, key.1),
                Some("the broker's answer leaves this partition out"),
            )),
        }
    }
}
