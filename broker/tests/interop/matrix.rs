//! What any client writes, every client reads: same content, order, offsets and times.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::client::Client;
use crate::corpus::{self, PARTITIONS, Record, base64};
use crate::support::broker::Broker;
use crate::support::wire::{self, Connection};
use crate::{fresh, kcat};

/// What was written: topics in order, each with its records as they must be read.
type Written = BTreeMap<String, Vec<Record>>;

#[test]
fn every_client_reads_what_every_client_wrote() {
    let broker = Broker::external_or_start();
    let mut written = Written::new();
    for client in Client::ALL {
        write(client, broker.kafka(), &mut written);
    }
    read_raw(broker.kafka(), &written);
    for client in Client::ALL.into_iter().filter(|client| client.can_assign()) {
        let job = json!({
            "do": "consume", "topics": written.keys().collect::<Vec<_>>(), "partitions": PARTITIONS,
        });
        let results = client.run(broker.kafka(), &[job]);
        let records: Vec<Record> =
            serde_json::from_value(results[0].clone()).expect("records from a driver");
        compare(client.name(), &written, records);
    }
    let topics: Vec<&str> = written.keys().map(String::as_str).collect();
    compare("kcat", &without_headers(&written), kcat::read(broker.kafka(), &topics, PARTITIONS));
}

/// Writes a topic for each codec and kind of producer that the client has.
fn write(client: Client, bootstrap: &str, written: &mut Written) {
    let connection = &mut Connection::open(bootstrap);
    let mut jobs = Vec::new();
    for codec in client.codecs() {
        for idempotent in [false, true] {
            // One plain producer is enough; the codec makes no difference to it.
            if idempotent != client.can_be_idempotent() && *codec != "none" {
                continue;
            }
            if idempotent && !client.can_be_idempotent() {
                continue;
            }
            let kind = if idempotent { "idempotent" } else { "plain" };
            let topic = fresh(&format!("{}-{codec}-{kind}", client.name()));
            wire::create_topic(connection, &topic, PARTITIONS, &[]);
            let records = corpus::records(&topic, client.has_null_headers());
            jobs.push(json!({
                "do": "produce", "topic": topic, "codec": codec, "idempotent": idempotent,
                "records": records.iter().map(to_write).collect::<Vec<_>>(),
            }));
            written.insert(topic, records);
        }
    }
    let results = client.run(bootstrap, &jobs);
    for (job, places) in jobs.iter().zip(results) {
        let topic = job["topic"].as_str().expect("a topic");
        let expected: Vec<(i32, i64)> =
            written[topic].iter().map(|record| (record.partition, record.offset)).collect();
        let places: Vec<(i32, i64)> = serde_json::from_value(places).expect("places");
        assert_eq!(places, expected, "{topic}: partitions and offsets told to the producer");
    }
}

/// A record without what the broker decides.
fn to_write(record: &Record) -> Value {
    json!({
        "partition": record.partition, "key": record.key, "value": record.value,
        "headers": record.headers, "timestamp": record.timestamp,
    })
}

fn read_raw(bootstrap: &str, written: &Written) {
    let connection = &mut Connection::open(bootstrap);
    let mut read = Vec::new();
    for topic in written.keys() {
        for partition in 0..PARTITIONS {
            for record in wire::read_partition(connection, topic, partition, 0) {
                let encode = |bytes: Option<&bytes::Bytes>| bytes.map(|bytes| base64(bytes));
                let headers = record.headers.iter();
                read.push(Record {
                    topic: topic.clone(),
                    partition,
                    offset: record.offset,
                    key: encode(record.key.as_ref()),
                    value: encode(record.value.as_ref()),
                    headers: headers
                        .map(|(name, value)| (name.to_string(), encode(value.as_ref())))
                        .collect(),
                    timestamp: record.timestamp,
                });
            }
        }
    }
    compare("the wire", written, read);
}

fn without_headers(written: &Written) -> Written {
    let mut written = written.clone();
    for record in written.values_mut().flatten() {
        record.headers.clear();
    }
    written
}

/// Compares what a reader got with what was written, partition by partition in the order received.
fn compare(reader: &str, written: &Written, read: Vec<Record>) {
    let mut by_place: BTreeMap<(String, i32), Vec<Record>> = BTreeMap::new();
    for record in read {
        by_place.entry((record.topic.clone(), record.partition)).or_default().push(record);
    }
    for (topic, records) in written {
        for partition in 0..PARTITIONS {
            let expected = records.iter().filter(|record| record.partition == partition);
            let got = by_place.remove(&(topic.clone(), partition)).unwrap_or_default();
            for (expected, got) in expected.clone().zip(&got) {
                assert_eq!(got, expected, "{reader} reading {topic}-{partition}");
            }
            assert_eq!(got.len(), expected.count(), "{reader} reading {topic}-{partition}");
        }
    }
    assert!(by_place.is_empty(), "{reader} read more: {:?}", by_place.keys());
}
