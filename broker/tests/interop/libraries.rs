//! What single libraries do beyond the shared records.

use serde_json::json;

use crate::client::Client;
use crate::corpus::base64;
use crate::fresh;
use crate::support::batch::timestamp;
use crate::support::broker::Broker;
use crate::support::wire::{self, Connection};

/// The README's first steps, word for word, on a topic that does not exist yet.
#[test]
fn quickstart_of_kafka_python() {
    let broker = Broker::external_or_start();
    for client in [Client::KafkaPython3, Client::KafkaPython2] {
        let job = json!({ "do": "quickstart", "topic": fresh("quickstart") });
        let results = client.run(broker.kafka(), &[job]);
        let expected: Vec<_> =
            (0..100).map(|offset| json!([offset, "some_message_bytes"])).collect();
        assert_eq!(results[0], json!(expected), "{}", client.name());
    }
}

/// Batches close to the size limit, with many small records in each, in every codec.
#[test]
fn large_batches_of_confluent_kafka() {
    const COUNT: usize = 20_000;
    let broker = Broker::external_or_start();
    let connection = &mut Connection::open(broker.kafka());
    let topics: Vec<String> = Client::Confluent.codecs().iter().map(|codec| fresh(codec)).collect();
    let values: Vec<String> = (0..COUNT).map(|n| format!("{n:0>100}")).collect();
    let records: Vec<_> = values
        .iter()
        .map(|value| {
            json!({
                "partition": 0, "key": null, "value": base64(value.as_bytes()), "headers": [],
                "timestamp": timestamp(),
            })
        })
        .collect();
    let jobs: Vec<_> = topics
        .iter()
        .zip(Client::Confluent.codecs())
        .map(|(topic, codec)| {
            wire::create_topic(connection, topic, 1, &[]);
            json!({
                "do": "produce", "topic": topic, "codec": codec, "idempotent": true,
                "records": records,
            })
        })
        .collect();
    Client::Confluent.run(broker.kafka(), &jobs);
    for topic in &topics {
        let read = wire::read_partition(connection, topic, 0, 0);
        assert_eq!(read.len(), COUNT, "{topic}");
        for (offset, (record, value)) in read.iter().zip(&values).enumerate() {
            assert_eq!(record.offset, offset as i64, "{topic}");
            assert_eq!(record.value.as_deref(), Some(value.as_bytes()), "{topic} at {offset}");
        }
    }
}
