//! The administration interfaces of the clients: each driver tours its own and tells what it saw.

use serde_json::{Value, json};

use crate::client::Client;
use crate::fresh;
use crate::support::broker::Broker;

fn tour(client: Client, expected: Value) {
    let broker = Broker::external_or_start();
    let job = json!({ "do": "admin", "topic": fresh(&format!("{}-admin", client.name())) });
    let results = client.run(broker.kafka(), &[job]);
    assert_eq!(results[0], expected, "{}", client.name());
}

#[test]
fn confluent_kafka() {
    tour(
        Client::Confluent,
        json!({
            "again": "TOPIC_ALREADY_EXISTS", "partitions": true, "more partitions": true,
            "retention": "123456", "max message": true, "offsets": [4, 10], "nodes": 1,
            "gone": true,
        }),
    );
}

#[test]
fn kafka_python() {
    for client in [Client::KafkaPython3, Client::KafkaPython2] {
        tour(
            client,
            json!({
                "again": "TOPIC_ALREADY_EXISTS", "partitions": true, "more partitions": true,
                "retention": "123456", "listed": true, "gone": true,
            }),
        );
    }
}

#[test]
fn aiokafka() {
    const TOPIC_ALREADY_EXISTS: i16 = 36;
    tour(
        Client::Aiokafka,
        json!({
            "again": TOPIC_ALREADY_EXISTS, "partitions": 2, "more partitions": true,
            "retention": "123456", "gone": true,
        }),
    );
}

#[test]
fn kafkajs() {
    tour(
        Client::Kafkajs,
        json!({
            "created": true, "created again": false, "partitions": 2, "more partitions": 4,
            "retention": "123456", "offsets": [4, 10], "nodes": 1, "gone": true,
        }),
    );
}

#[test]
fn java() {
    tour(
        Client::Java,
        json!({
            "created": 2, "created retention": "123456", "again": true, "more partitions": 4,
            "replicas": 1, "by id": true, "max message": "2000",
            "max message source": "DYNAMIC_TOPIC_CONFIG", "retention": "604800000",
            "retention default": true, "offsets": [4, 10, 9, 7], "nodes": 1, "cluster": true,
            "log dirs": 1, "reassignments": 0, "gone": true,
        }),
    );
}

#[test]
fn franz_go() {
    tour(
        Client::FranzGo,
        json!({
            "created": 2, "again": true, "more partitions": true, "retention": "123456",
            "produced": 10, "deleted": 10, "nodes": 1, "log dirs": 1, "gone": true,
        }),
    );
}
