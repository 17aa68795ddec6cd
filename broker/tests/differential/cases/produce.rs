//! Produce: who may write where, and what a batch must look like.

use bytes::Bytes;
use kafka_protocol::messages::metadata_request::MetadataRequest;
use kafka_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use kafka_protocol::messages::produce_response::ProduceResponse;

use crate::run::{Answer, Run, Silence, error, list};
use crate::support::batch::Batch;
use crate::support::wire::{produce_request, topic_name};

pub(crate) fn run(run: &mut Run) {
    destinations(run);
    acks(run);
    frames(run);
    counts(run);
    attributes(run);
    timestamps(run);
    limits(run);
    whole_requests(run);
}

/// Sends a batch to partition 0 with `acks=all`.
pub(crate) fn produce(run: &Run, topic: &str, records: Bytes) -> Answer<String> {
    run.call(9, &produce_request(topic, 0, -1, records)).map(|response| show(9, &response))
}

pub(crate) fn show(version: i16, response: &ProduceResponse) -> String {
    list(&response.responses, |topic| {
        list(&topic.partition_responses, |partition| {
            let mut shown = format!("{} {}", partition.index, error(partition.error_code));
            shown += &format!(" base {}", partition.base_offset);
            if version >= 5 {
                shown += &format!(" start {}", partition.log_start_offset);
            }
            if partition.log_append_time_ms != -1 {
                shown += " with append time";
            }
            if !partition.record_errors.is_empty() {
                let errors = list(&partition.record_errors, |error| error.batch_index.to_string());
                shown += &format!(" records {errors}");
            }
            shown
        })
    })
}

fn plain() -> Bytes {
    Batch::of(&["a"]).encode()
}

fn destinations(run: &mut Run) {
    let topic = run.create("to", 1, &[]);
    for (case, topic, partition) in [
        ("unknown partition", topic.as_str(), 7),
        ("partition -1", topic.as_str(), -1),
        ("unknown topic", "zzz", 0),
        ("bad topic name", "../x", 0),
        ("empty topic name", "", 0),
    ] {
        let request = produce_request(topic, partition, -1, plain());
        let answer = run.call(9, &request).map(|response| show(9, &response));
        run.note(&format!("produce, {case}"), answer);
    }
    for version in 3..=9 {
        let request = produce_request(&topic, 0, -1, plain());
        let answer = run.call(version, &request).map(|response| show(version, &response));
        run.note(&format!("produce v{version}"), answer);
    }
}

fn acks(run: &mut Run) {
    let topic = run.create("acks", 1, &[]);
    for acks in [1, -1, 2, 5, -2, i16::MAX] {
        let request = produce_request(&topic, 0, acks, plain());
        let answer = run.call(9, &request).map(|response| show(9, &response));
        run.note(&format!("produce, acks {acks}"), answer);
    }
    for timeout_ms in [0, -1] {
        let request = produce_request(&topic, 0, -1, plain()).with_timeout_ms(timeout_ms);
        let answer = run.call(9, &request).map(|response| show(9, &response));
        run.note(&format!("produce, timeout {timeout_ms} ms"), answer);
    }
    let bad = Batch { crc: Some(1), ..Batch::of(&["a"]) }.encode();
    for (case, partition, records) in
        [("good", 0, plain()), ("unknown partition", 9, plain()), ("bad CRC", 0, bad)]
    {
        let answer = produce_unacked(run, &topic, partition, records);
        run.note(&format!("produce, acks 0, {case}"), answer);
    }
}

/// Sends an `acks=0` produce and a Metadata request behind it: which is answered?
fn produce_unacked(run: &Run, topic: &str, partition: i32, records: Bytes) -> Answer<String> {
    let connection = &mut run.connect();
    connection.send(9, &produce_request(topic, partition, 0, records))?;
    let metadata = MetadataRequest::default().with_topics(Some(Vec::new()));
    // The broker may have closed the connection already; then reading tells.
    let _ = connection.send(4, &metadata);
    let (answered, _) = connection.receive::<MetadataRequest>(4).map_err(Silence::from)?;
    Ok(format!("request {answered} is answered"))
}

fn frames(run: &mut Run) {
    let topic = run.create("frames", 1, &[]);
    let good = || Batch::of(&["a"]);
    let two = [good().encode(), good().encode()].concat();
    let trailing = [&good().encode()[..], b"xxxxxxxxxx"].concat();
    let cases = [
        ("no bytes", Bytes::new()),
        ("5 bytes", Bytes::from_static(b"xxxxx")),
        ("70 zero bytes", Bytes::from_static(&[0; 70])),
        ("first 20 bytes of a batch", good().encode().slice(..20)),
        ("a batch without its last byte", good().encode().slice(..good().encode().len() - 1)),
        ("two batches", Bytes::from(two)),
        ("bad CRC", Batch { crc: Some(1), ..good() }.encode()),
        ("magic 0", Batch { magic: 0, ..good() }.encode()),
        ("magic 1", Batch { magic: 1, ..good() }.encode()),
        ("magic 3", Batch { magic: 3, ..good() }.encode()),
        ("magic -1", Batch { magic: -1, ..good() }.encode()),
        ("length -1", Batch { length: Some(-1), ..good() }.encode()),
        ("length 10", Batch { length: Some(10), ..good() }.encode()),
        ("length 48", Batch { length: Some(48), ..good() }.encode()),
        ("length 2^31-1", Batch { length: Some(i32::MAX), ..good() }.encode()),
        ("base offset 77", Batch { base_offset: 77, ..good() }.encode()),
        ("leader epoch 9", Batch { leader_epoch: 9, ..good() }.encode()),
        // Last, because brokers differ in whether it moves the offsets.
        ("a batch and 10 bytes", Bytes::from(trailing)),
    ];
    for (case, records) in cases {
        run.note(&format!("produce, {case}"), produce(run, &topic, records));
    }
    let request = produce_request(&topic, 0, -1, Bytes::new());
    let mut request = request;
    request.topic_data[0].partition_data[0].records = None;
    let mut connection = run.connect();
    connection.send(9, &request).expect("a request can be sent");
    let silent = connection.stays_silent(std::time::Duration::from_millis(500));
    let answer = if silent { Err(Silence::TimedOut) } else { Ok("answered or closed") };
    run.note("produce, null records", answer);
}

fn counts(run: &mut Run) {
    let topic = run.create("batch-counts", 1, &[]);
    let good = || Batch::of(&["a"]);
    let none: [&str; 0] = [];
    let cases = [
        ("count 5, delta 0", Batch { record_count: Some(5), last_offset_delta: Some(0), ..good() }),
        ("count 5, delta 4", Batch { record_count: Some(5), last_offset_delta: Some(4), ..good() }),
        ("count 1, delta 7", Batch { last_offset_delta: Some(7), ..good() }),
        ("count 1, delta -1", Batch { last_offset_delta: Some(-1), ..good() }),
        ("count -1", Batch { record_count: Some(-1), ..good() }),
        ("count 0, delta -1, no records", Batch::of(&none)),
        ("count 0, delta 0, no records", Batch { last_offset_delta: Some(0), ..Batch::of(&none) }),
        (
            "count 2^31-1",
            Batch { record_count: Some(i32::MAX), last_offset_delta: Some(i32::MAX - 1), ..good() },
        ),
        ("count 1, no records", Batch { body: Some(Vec::new()), ..good() }),
    ];
    for (case, batch) in cases {
        run.note(&format!("produce, {case}"), produce(run, &topic, batch.encode()));
    }
}

fn attributes(run: &mut Run) {
    let topic = run.create("attributes", 1, &[]);
    for (case, attributes) in [
        ("codec 5", 5),
        ("codec 7", 7),
        ("gzip of no gzip", 1),
        ("snappy of no snappy", 2),
        ("lz4 of no lz4", 3),
        ("zstd of no zstd", 4),
        ("append-time bit", 8),
        ("transactional bit", 0x10),
        ("control bit", 0x20),
        ("delete-horizon bit", 0x40),
        ("unused bit", 0x80),
    ] {
        let batch = Batch { attributes, ..Batch::of(&["a"]) };
        run.note(&format!("produce, {case}"), produce(run, &topic, batch.encode()));
    }
    let zstd = Batch { attributes: 4, ..Batch::of(&["a"]) }.encode();
    let request = produce_request(&topic, 0, -1, zstd);
    let answer = run.call(6, &request).map(|response| show(6, &response));
    run.note("produce v6, zstd", answer);
    let batch = Batch { attributes: 0x10, ..Batch::of(&["a"]) }.with_producer(1, 0, 0);
    run.note("produce, transactional producer", produce(run, &topic, batch.encode()));
    let appended = run.create("append-time", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let answer = produce(run, &appended, Batch::of(&["a", "b"]).encode());
    run.note("produce, topic with append time", answer);
}

fn timestamps(run: &mut Run) {
    let topic = run.create("times", 1, &[]);
    for timestamp in [0, -1, -5] {
        let batch = Batch { base_timestamp: timestamp, ..Batch::of(&["a"]) };
        run.note(&format!("produce, timestamp {timestamp}"), produce(run, &topic, batch.encode()));
    }
    let far = Batch { base_timestamp: i64::MAX / 2, ..Batch::of(&["a"]) };
    run.note("produce, timestamp far ahead", produce(run, &topic, far.encode()));
    let batch = Batch::of(&["a", "b"]).with_timestamp_deltas(&[0, i64::MAX / 4]);
    run.note("produce, second timestamp far ahead", produce(run, &topic, batch.encode()));
    let batch = Batch { max_timestamp: Some(5), ..Batch::of(&["a"]) };
    run.note("produce, max timestamp 5", produce(run, &topic, batch.encode()));
    let old = run.create("no-old", 1, &[("message.timestamp.before.max.ms", "1000")]);
    run.note("produce, timestamp too old", produce(run, &old, plain()));
}

fn limits(run: &mut Run) {
    let topic = run.create("small", 1, &[("max.message.bytes", "1000")]);
    let large = Batch::of(&["x".repeat(2000)]).encode();
    run.note("produce, too large a batch", produce(run, &topic, large));
    let exact = Batch::of(&["x".repeat(1000 - 61 - 9)]).encode();
    assert_eq!(exact.len(), 1000);
    run.note("produce, batch of the largest size", produce(run, &topic, exact));
    let one_more = Batch::of(&["x".repeat(1000 - 61 - 8)]).encode();
    run.note("produce, batch one byte larger", produce(run, &topic, one_more));
    let topic = run.create("in-sync", 1, &[("min.insync.replicas", "2")]);
    run.note("produce, min.insync.replicas 2 of 1", produce(run, &topic, plain()));
    let topic = run.create("compacted", 1, &[("cleanup.policy", "compact")]);
    let batch = || Batch::of(&["a", "b"]);
    run.note("produce, compacted, no keys", produce(run, &topic, batch().encode()));
    let answer = produce(run, &topic, batch().with_keys(&[Some("k"), None]).encode());
    run.note("produce, compacted, second without key", answer);
    let answer = produce(run, &topic, batch().with_keys(&[Some("k"), Some("")]).encode());
    run.note("produce, compacted, keys", answer);
}

fn whole_requests(run: &mut Run) {
    let topic = run.create("twofold", 2, &[]);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(10_000);
    let answer = run.call(9, &request).map(|response| show(9, &response));
    run.note("produce, no topics", answer);
    let partition = |index, records| {
        PartitionProduceData::default().with_index(index).with_records(Some(records))
    };
    let bad = Batch { crc: Some(1), ..Batch::of(&["a"]) }.encode();
    let data = TopicProduceData::default().with_name(topic_name(&topic)).with_partition_data(vec![
        partition(0, bad),
        partition(1, plain()),
        partition(2, plain()),
    ]);
    let request = request.with_topic_data(vec![data]);
    let answer = run.call(9, &request).map(|mut response| {
        let partitions = &mut response.responses[0].partition_responses;
        partitions.sort_by_key(|partition| partition.index);
        show(9, &response)
    });
    run.note("produce, a bad, a good and an unknown partition", answer);
}
