//! The consumer against faults: every record once, in order, and damage is never handed out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use synod_client::cluster::TopicPartition;
use synod_client::consumer::{Consumer, ConsumerConfig, OffsetReset, Start};
use synod_client::wire::batch::{BatchBuilder, BatchHeader, HEADER_SIZE, NewRecord, ProducerStamp};
use synod_client::wire::messages::fetch::{
    FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData,
};
use synod_client::wire::messages::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use synod_client::wire::{ApiKey, ErrorCode, Records};
use synod_client::{Compression, Error};

use crate::fake::{Call, Fake, Reply, basics, cluster};
use crate::model::Random;

/// Records per batch.
pub(crate) const BATCH: i64 = 5;

/// A batch of records whose values are their offsets.
pub(crate) fn batch(base_offset: i64, codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::new();
    for offset in base_offset..base_offset + BATCH {
        let value = offset.to_string();
        let value = Some(value.as_bytes());
        builder.append(&NewRecord { value, ..NewRecord::default() }).unwrap();
    }
    let mut bytes = BytesMut::from(&builder.build(codec, ProducerStamp::NONE).unwrap()[..]);
    let header = BatchHeader { base_offset, ..BatchHeader::parse(&bytes).unwrap() };
    bytes[..HEADER_SIZE].copy_from_slice(&header.to_bytes());
    bytes.freeze()
}

/// Answers ListOffsets for a log from `start` to `end`.
pub(crate) fn list_offsets(call: &Call, start: i64, end: i64) -> Reply {
    let request: ListOffsetsRequest = call.request();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|asked| ListOffsetsPartitionResponse {
            partition_index: asked.partition_index,
            offset: match asked.timestamp {
                -1 => end,
                -2 => start,
                time => time.clamp(start, end),
            },
            timestamp: asked.timestamp,
            ..ListOffsetsPartitionResponse::default()
        });
        ListOffsetsTopicResponse {
            name: topic.name,
            partitions: partitions.collect(),
            ..ListOffsetsTopicResponse::default()
        }
    });
    call.answer(&ListOffsetsResponse { topics: topics.collect(), ..Default::default() })
}

/// Answers a fetch; `serve` gives each partition its records or error.
fn fetch(call: &Call, mut serve: impl FnMut(i32, i64) -> Result<Bytes, ErrorCode>) -> Reply {
    let request: FetchRequest = call.request();
    let responses = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|asked| {
            let served = serve(asked.partition, asked.fetch_offset);
            PartitionData {
                partition_index: asked.partition,
                error_code: served.as_ref().err().copied().unwrap_or(ErrorCode::NONE),
                high_watermark: 1_000_000,
                records: Records::from(served.unwrap_or_default()),
                ..PartitionData::default()
            }
        });
        FetchableTopicResponse {
            topic: topic.topic,
            partitions: partitions.collect(),
            ..FetchableTopicResponse::default()
        }
    });
    call.answer(&FetchResponse { responses: responses.collect(), ..FetchResponse::default() })
}

async fn consumer(fake: &Fake, config: ConsumerConfig, start: Start) -> Consumer {
    let mut consumer = Consumer::new(cluster(fake.address).await, config).unwrap();
    consumer.assign_topic("t", start).await.unwrap();
    consumer
}

#[tokio::test]
async fn every_record_comes_once_and_in_order_whatever_goes_wrong() {
    const END: i64 = 300;
    for seed in 1..20 {
        let (listener, address) = Fake::bind().await;
        let mut random = Random(seed);
        let fake = Fake::run(listener, move |call| {
            if let Some(reply) = basics(call, &[address], &[1, 1]) {
                return reply;
            }
            if call.key == ApiKey::LIST_OFFSETS {
                return list_offsets(call, 0, END);
            }
            assert_eq!(call.key, ApiKey::FETCH);
            match random.below(10) {
                0 => Reply::Close,
                1 => fetch(call, |_, _| Err(ErrorCode::NOT_LEADER_OR_FOLLOWER)),
                2 => fetch(call, |_, _| Err(ErrorCode::KAFKA_STORAGE_ERROR)),
                3 => fetch(call, |_, _| Ok(Bytes::new())),
                _ => fetch(call, |_, offset| {
                    let first = offset - offset % BATCH;
                    let codec = Compression::ALL[(first / BATCH) as usize % 5];
                    let mut bytes = BytesMut::from(&batch(first, codec)[..]);
                    if first + BATCH < END {
                        // Brokers cut an answer by size, in the middle of a batch.
                        let next = batch(first + BATCH, Compression::None);
                        let cut = random.below(next.len() as u64 + 1) as usize;
                        bytes.extend_from_slice(&next[..cut]);
                    }
                    Ok(if first >= END { Bytes::new() } else { bytes.freeze() })
                }),
            }
        });
        // Begins inside of a batch, which comes whole.
        let mut consumer = consumer(&fake, ConsumerConfig::default(), Start::Offset(7)).await;
        let mut next = BTreeMap::from([(0, 7), (1, 7)]);
        while next.values().any(|&next| next < END) {
            let record = consumer.next().await.unwrap();
            let expected = next.get_mut(&record.partition).unwrap();
            assert_eq!(record.offset, *expected, "seed {seed}");
            assert_eq!(record.value.unwrap(), record.offset.to_string());
            *expected += 1;
            let partition = TopicPartition::new("t", record.partition);
            assert_eq!(consumer.position(&partition).unwrap(), *expected);
        }
    }
}

/// A partition from `start` to 100, with a script for fetches.
async fn partition(start: i64, mut script: impl FnMut(&Call) -> Reply + Send + 'static) -> Fake {
    let (listener, address) = Fake::bind().await;
    Fake::run(listener, move |call| {
        basics(call, &[address], &[1]).unwrap_or_else(|| match call.key {
            ApiKey::LIST_OFFSETS => list_offsets(call, start, 100),
            _ => script(call),
        })
    })
}

/// What lies at an offset of a log from 50 to 100.
fn serve(offset: i64) -> Result<Bytes, ErrorCode> {
    match offset {
        50..100 => Ok(batch(offset - offset % BATCH, Compression::None)),
        100 => Ok(Bytes::new()),
        _ => Err(ErrorCode::OFFSET_OUT_OF_RANGE),
    }
}

#[tokio::test]
async fn each_start_begins_where_it_says() {
    let fake = partition(50, |call| fetch(call, |_, offset| serve(offset))).await;
    let starts = [
        (Start::Beginning, 50),
        (Start::Offset(63), 63),
        (Start::Last(3), 97),
        (Start::Last(1000), 50),
        (Start::Timestamp(77), 77),
    ];
    for (start, expected) in starts {
        let mut consumer = consumer(&fake, ConsumerConfig::default(), start).await;
        assert_eq!(consumer.next().await.unwrap().offset, expected, "{start:?}");
    }
    let mut consumer = consumer(&fake, ConsumerConfig::default(), Start::End).await;
    assert_eq!(consumer.poll(Duration::ZERO).await.unwrap(), []);
    let partition = TopicPartition::new("t", 0);
    assert_eq!(consumer.position(&partition).unwrap(), 100);
    consumer.seek(&partition, Start::Offset(60)).await.unwrap();
    assert_eq!(consumer.next().await.unwrap().offset, 60);
    // What was read ahead belongs to the old place.
    consumer.seek(&partition, Start::Offset(90)).await.unwrap();
    assert_eq!(consumer.next().await.unwrap().offset, 90);
    let unknown = TopicPartition::new("t", 1);
    assert!(matches!(consumer.seek(&unknown, Start::End).await, Err(Error::Config(_))));
}

#[tokio::test]
async fn an_offset_that_is_gone_is_dealt_with_as_configured() {
    let fake = partition(50, |call| fetch(call, |_, offset| serve(offset))).await;
    let reset = |reset| ConsumerConfig::default().offset_reset(reset);
    for gone in [3, 500] {
        let mut from_start =
            consumer(&fake, reset(OffsetReset::Beginning), Start::Offset(gone)).await;
        assert_eq!(from_start.next().await.unwrap().offset, 50);
        let mut failing = consumer(&fake, reset(OffsetReset::Fail), Start::Offset(gone)).await;
        let error = failing.next().await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::OFFSET_OUT_OF_RANGE));
    }
}

#[tokio::test]
async fn damage_is_an_error_and_reading_goes_on_once_it_is_repaired() {
    let mut served = 0;
    let fake = partition(50, move |call| {
        fetch(call, |_, offset| {
            let mut bytes = BytesMut::from(&serve(offset)?[..]);
            if offset == 55 {
                served += 1;
                if served <= 2 {
                    let last = bytes.len() - 2;
                    bytes[last] ^= 0x10;
                }
            }
            Ok(bytes.freeze())
        })
    })
    .await;
    let mut consumer = consumer(&fake, ConsumerConfig::default(), Start::Beginning).await;
    let mut errors = 0;
    for expected in 50..65 {
        let record = loop {
            match consumer.next().await {
                Ok(record) => break record,
                Err(error) => {
                    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
                    assert!(error.to_string().contains("offset 55"), "{error}");
                    errors += 1;
                }
            }
        };
        assert_eq!(record.offset, expected);
    }
    assert_eq!(errors, 2);
}

#[tokio::test]
async fn a_bomb_is_an_error() {
    let fake = partition(0, |call| {
        fetch(call, |_, _| {
            let mut builder = BatchBuilder::new();
            let zeros = vec![0; 4 << 20];
            builder.append(&NewRecord { value: Some(&zeros), ..NewRecord::default() }).unwrap();
            Ok(builder.build(Compression::Zstd, ProducerStamp::NONE).unwrap())
        })
    })
    .await;
    let config = ConsumerConfig::default().max_batch_size(1 << 20);
    let mut consumer = consumer(&fake, config, Start::Beginning).await;
    let error = consumer.next().await.unwrap_err();
    assert!(error.to_string().contains("larger than 1048576 bytes"), "{error}");
}

#[tokio::test]
async fn fetching_ahead_stops_at_the_configured_size() {
    let fetches = Arc::new(Mutex::new(0));
    let fake = partition(0, {
        let fetches = fetches.clone();
        move |call| {
            *fetches.lock().unwrap() += 1;
            fetch(call, |_, offset| Ok(batch(offset, Compression::None)))
        }
    })
    .await;
    let one_batch = batch(0, Compression::None).len();
    let config = ConsumerConfig::default().max_buffered_size(one_batch * 3).max_poll_records(1);
    let mut consumer = consumer(&fake, config, Start::Beginning).await;
    assert_eq!(consumer.next().await.unwrap().offset, 0);
    consumer.pause(&TopicPartition::new("t", 0)).unwrap();
    // Nothing to hand out, and nothing to fetch: the time just passes.
    assert_eq!(consumer.poll(Duration::from_millis(1)).await.unwrap(), []);
    consumer.resume(&TopicPartition::new("t", 0)).unwrap();
    for expected in 1..100 {
        assert_eq!(consumer.next().await.unwrap().offset, expected);
        let ahead = *fetches.lock().unwrap() * BATCH - expected;
        assert!(ahead <= 5 * BATCH, "{ahead} records ahead");
    }
}

#[tokio::test]
async fn a_paused_partition_keeps_its_place_and_its_order() {
    let (listener, address) = Fake::bind().await;
    let fake = Fake::run(listener, move |call| {
        basics(call, &[address], &[1, 1]).unwrap_or_else(|| match call.key {
            ApiKey::LIST_OFFSETS => list_offsets(call, 0, 1000),
            _ => fetch(call, |_, offset| Ok(batch(offset, Compression::None))),
        })
    });
    let config = ConsumerConfig::default().max_poll_records(1);
    let mut consumer = consumer(&fake, config, Start::Beginning).await;
    let mut next = [0, 0];
    for turn in 0..200 {
        let paused = TopicPartition::new("t", (turn / 20) % 2);
        if turn % 20 == 0 {
            let other = TopicPartition::new("t", 1 - paused.partition);
            consumer.pause(&paused).unwrap();
            consumer.resume(&other).unwrap();
        }
        let record = consumer.poll(Duration::from_secs(20)).await.unwrap().remove(0);
        assert_ne!(record.partition, paused.partition);
        let next = &mut next[record.partition as usize];
        assert_eq!(record.offset, *next);
        *next += 1;
    }
    assert_eq!(next, [100, 100]);
}
