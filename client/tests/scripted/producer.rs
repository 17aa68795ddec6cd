//! The producer against faults: what it reports is true, and what is idempotent stays so.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use synod_client::producer::{Acks, Producer, ProducerConfig, ProducerRecord};
use synod_client::wire::messages::produce::{
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use synod_client::wire::{ApiKey, ErrorCode};
use synod_client::{Compression, Error};
use tokio::sync::watch;

use crate::fake::{Call, Fake, Reply, basics, cluster, config};
use crate::model::{Partition, Random};

/// Applies each batch of a request and makes the answer.
pub(crate) fn answer(
    call: &Call,
    mut apply: impl FnMut(i32, Bytes) -> Result<i64, ErrorCode>,
) -> ProduceResponse {
    let request: ProduceRequest = call.request();
    let responses = request.topic_data.into_iter().map(|topic| {
        let partition = |data: synod_client::wire::messages::produce::PartitionProduceData| {
            let result = apply(data.index, data.records.unwrap());
            PartitionProduceResponse {
                index: data.index,
                error_code: result.err().unwrap_or(ErrorCode::NONE),
                base_offset: result.unwrap_or(-1),
                ..PartitionProduceResponse::default()
            }
        };
        let partition_responses = topic.partition_data.into_iter().map(partition).collect();
        TopicProduceResponse {
            name: topic.name,
            partition_responses,
            ..TopicProduceResponse::default()
        }
    });
    ProduceResponse { responses: responses.collect(), ..ProduceResponse::default() }
}

/// One broker with one partition, and a script for produce requests.
async fn broker(mut script: impl FnMut(&Call) -> Reply + Send + 'static) -> Fake {
    let (listener, address) = Fake::bind().await;
    Fake::run(listener, move |call| {
        basics(call, &[address], &[1]).unwrap_or_else(|| {
            assert_eq!(call.key, ApiKey::PRODUCE);
            script(call)
        })
    })
}

fn value(number: usize) -> Bytes {
    Bytes::from(format!("value {number:06}"))
}

/// Any mixture of lost requests, lost answers, refusals and passing errors: every record is there
/// once and in order, and its delivery tells the offset at which it is.
async fn faults_neither_duplicate_nor_reorder(seed: u64) {
    const COUNT: usize = 400;
    let partitions: Arc<Mutex<[Partition; 3]>> = Arc::default();
    let (listener, address) = Fake::bind().await;
    let fake = Fake::run(listener, {
        let partitions = partitions.clone();
        let mut random = Random((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        move |call| {
            if let Some(reply) = basics(call, &[address], &[1, 1, 1]) {
                return reply;
            }
            let mut partitions = partitions.lock().unwrap();
            let mut append = |index: i32, bytes: Bytes| {
                let count = i32::from_be_bytes(bytes[57..61].try_into().unwrap());
                // A third of the brokers take small batches only.
                if seed.is_multiple_of(3) && count > 2 {
                    return Err(ErrorCode::MESSAGE_TOO_LARGE);
                }
                partitions[index as usize].append(bytes)
            };
            match random.below(12) {
                0 => Reply::Close,
                1 => {
                    answer(call, append);
                    Reply::Close
                }
                2 => {
                    let response = answer(call, |_, _| Err(ErrorCode::NOT_LEADER_OR_FOLLOWER));
                    call.answer(&response)
                }
                3 => {
                    // Written, and said not to be known.
                    let response = answer(call, |index, bytes| {
                        append(index, bytes).and(Err(ErrorCode::REQUEST_TIMED_OUT))
                    });
                    call.answer(&response)
                }
                4 => {
                    // One partition of several has trouble.
                    let unlucky = random.below(3) as i32;
                    let response = answer(call, |index, bytes| match index == unlucky {
                        true => Err(ErrorCode::NOT_ENOUGH_REPLICAS),
                        false => append(index, bytes),
                    });
                    call.answer(&response)
                }
                _ => call.answer(&answer(call, append)),
            }
        }
    });
    let codec = Compression::ALL[seed as usize % 5];
    let settings = ProducerConfig::default().batch_size(200).compression(codec);
    let producer = Producer::new(cluster(fake.address).await, settings).unwrap();
    let mut deliveries = Vec::new();
    for number in 0..COUNT {
        let partition = (number % 3) as i32;
        let record = ProducerRecord::new("t").partition(partition).value(value(number));
        deliveries.push(producer.send(record).await.unwrap());
        if number % 20 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for (number, delivery) in deliveries.into_iter().enumerate() {
        let receipt = delivery.await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let offset = (number / 3) as i64;
        assert_eq!(receipt.offset.unwrap_or(offset), offset, "seed {seed}");
    }
    producer.close().await;
    for (index, partition) in partitions.lock().unwrap().iter().enumerate() {
        let expected: Vec<_> = (index..COUNT).step_by(3).map(value).collect();
        assert_eq!(partition.values, expected, "seed {seed}, partition {index}");
    }
}

#[tokio::test]
async fn idempotent_under_any_faults() {
    for seed in 0..15 {
        faults_neither_duplicate_nor_reorder(seed).await;
    }
}

#[tokio::test]
async fn batches_fill_while_earlier_ones_are_under_way() {
    let log: Arc<Mutex<(Partition, usize)>> = Arc::default();
    let (open, gate) = watch::channel(false);
    let fake = broker({
        let log = log.clone();
        move |call| {
            let mut log = log.lock().unwrap();
            log.1 += 1;
            match call.answer(&answer(call, |_, bytes| log.0.append(bytes))) {
                Reply::Bytes(bytes) => Reply::Gated(gate.clone(), bytes),
                other => other,
            }
        }
    })
    .await;
    let settings = ProducerConfig::default().max_in_flight(1);
    let producer = Producer::new(cluster(fake.address).await, settings).unwrap();
    let mut deliveries =
        vec![producer.send(ProducerRecord::new("t").value(value(0))).await.unwrap()];
    // The first request is under way before the others are handed over.
    while log.lock().unwrap().1 == 0 {
        tokio::task::yield_now().await;
    }
    for number in 1..1000 {
        deliveries
            .push(producer.send(ProducerRecord::new("t").value(value(number))).await.unwrap());
    }
    open.send(true).unwrap();
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    let log = log.lock().unwrap();
    assert_eq!(log.0.values, (0..1000).map(value).collect::<Vec<_>>());
    assert_eq!(log.1, 2, "one alone, then all the others together");
}

#[tokio::test]
async fn a_refused_batch_fails_alone_and_the_rest_goes_on() {
    let partition: Arc<Mutex<Partition>> = Arc::default();
    let fake = broker({
        let partition = partition.clone();
        move |call| {
            let response =
                answer(call, |_, bytes| match bytes.windows(6).any(|window| window == b"poison") {
                    true => Err(ErrorCode::INVALID_RECORD),
                    false => partition.lock().unwrap().append(bytes),
                });
            call.answer(&response)
        }
    })
    .await;
    let settings = ProducerConfig::default().batch_size(1);
    let producer = Producer::new(cluster(fake.address).await, settings).unwrap();
    let mut deliveries = Vec::new();
    for value in ["a", "b", "poison", "c", "d", "poison", "e"] {
        deliveries.push(producer.send(ProducerRecord::new("t").value(value)).await.unwrap());
    }
    let mut failed = 0;
    for delivery in deliveries {
        if let Err(error) = delivery.await {
            assert_eq!(error.code(), Some(ErrorCode::INVALID_RECORD));
            assert!(!error.is_retriable());
            failed += 1;
        }
    }
    assert_eq!(failed, 2);
    assert_eq!(partition.lock().unwrap().values, ["a", "b", "c", "d", "e"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_nobody_answers_for_expires_with_its_fate_unknown() {
    let fake = broker(|_| Reply::Silence).await;
    let config = config(fake.address).request_timeout(Duration::from_secs(30));
    let cluster = synod_client::Cluster::connect(config).await.unwrap();
    let settings = ProducerConfig::default().delivery_timeout(Duration::from_secs(100));
    let producer = Producer::new(cluster, settings).unwrap();
    let delivery = producer.send(ProducerRecord::new("t").value("x")).await.unwrap();
    let error = delivery.await.unwrap_err();
    assert!(matches!(error, Error::Expired { sent: true, .. }), "{error}");
    assert!(error.to_string().contains("may or may not be written"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_makes_senders_wait_and_tells_them_in_the_end() {
    let fake = broker(|_| Reply::Silence).await;
    let settings = ProducerConfig::default()
        .max_request_size(2000)
        .buffer_size(2000)
        .delivery_timeout(Duration::from_secs(10));
    let producer = Producer::new(cluster(fake.address).await, settings).unwrap();
    let record = || ProducerRecord::new("t").value(vec![0; 900]);
    let first = producer.send(record()).await.unwrap();
    let second = producer.send(record()).await.unwrap();
    let error = producer.send(record()).await.unwrap_err();
    assert!(matches!(error, Error::Expired { sent: false, .. }), "{error}");
    assert!(first.await.is_err() && second.await.is_err());
    // Their room is free again.
    let _third = producer.send(record()).await.unwrap();
    let error = producer.send(ProducerRecord::new("t").value(vec![0; 3000])).await.unwrap_err();
    assert!(matches!(error, Error::RecordTooLarge { limit: 2000, .. }), "{error}");
}

#[tokio::test]
async fn a_moved_leader_is_followed() {
    let partition: Arc<Mutex<Partition>> = Arc::default();
    let ((first, first_address), (second, second_address)) =
        (Fake::bind().await, Fake::bind().await);
    let brokers = [first_address, second_address];
    let leader = Arc::new(Mutex::new(1));
    let script = |id: i32| {
        let (leader, partition) = (leader.clone(), partition.clone());
        move |call: &Call| {
            let mut leader = leader.lock().unwrap();
            if let Some(reply) = basics(call, &brokers, &[*leader]) {
                return reply;
            }
            if id == 1 && partition.lock().unwrap().values.len() >= 10 {
                *leader = 2;
            }
            let response = answer(call, |_, bytes| match *leader == id {
                true => partition.lock().unwrap().append(bytes),
                false => Err(ErrorCode::NOT_LEADER_OR_FOLLOWER),
            });
            call.answer(&response)
        }
    };
    let _running = (Fake::run(first, script(1)), Fake::run(second, script(2)));
    let settings = ProducerConfig::default().batch_size(1);
    let producer = Producer::new(cluster(first_address).await, settings).unwrap();
    let mut deliveries = Vec::new();
    for number in 0..100 {
        deliveries
            .push(producer.send(ProducerRecord::new("t").value(value(number))).await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    assert_eq!(*leader.lock().unwrap(), 2);
    assert_eq!(partition.lock().unwrap().values, (0..100).map(value).collect::<Vec<_>>());
}

#[tokio::test]
async fn without_acknowledgement_records_are_sent_and_nothing_is_waited_for() {
    let partition: Arc<Mutex<Partition>> = Arc::default();
    let fake = broker({
        let partition = partition.clone();
        move |call| {
            assert_eq!(call.request::<ProduceRequest>().acks, 0);
            answer(call, |_, bytes| partition.lock().unwrap().append(bytes));
            Reply::Silence
        }
    })
    .await;
    let settings = ProducerConfig::default().acks(Acks::None);
    let producer = Producer::new(cluster(fake.address).await, settings).unwrap();
    let delivery = producer.send(ProducerRecord::new("t").value("x")).await.unwrap();
    assert_eq!(delivery.await.unwrap().offset, None);
    while partition.lock().unwrap().values.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn keys_choose_the_partition_and_mistakes_are_refused_at_once() {
    let (listener, address) = Fake::bind().await;
    let fake = Fake::run(listener, move |call| {
        basics(call, &[address], &[1; 5])
            .unwrap_or_else(|| call.answer(&answer(call, |_, _| Ok(0))))
    });
    let producer = Producer::new(cluster(fake.address).await, ProducerConfig::default()).unwrap();
    for key in ["21", "foobar", "a-little-bit-long-string"] {
        let delivery = producer.send(ProducerRecord::new("t").key(key)).await.unwrap();
        let expected = synod_client::producer::partition_for_key(key.as_bytes(), 5);
        assert_eq!(delivery.partition(), expected as i32);
    }
    let error = producer.send(ProducerRecord::new("t").partition(5)).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    producer.flush().await;
    let record = ProducerRecord::new("t").value("x");
    let delivery = producer.send(record).await.unwrap();
    drop(producer);
    // Sent already, or given up: either way it is known.
    if let Err(error) = delivery.await {
        assert!(matches!(error, Error::Closed), "{error}");
    }
}
