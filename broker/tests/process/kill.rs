//! `kill -9` under load: nothing acked is lost, nothing comes twice.

use std::collections::BTreeSet;
use std::env;
use std::time::Duration;

use kafka_protocol::messages::delete_topics_request::DeleteTopicsRequest;
use kafka_protocol::messages::metadata_request::MetadataRequest;

use crate::load::Load;
use crate::support::broker::Broker;
use crate::support::random::Random;
use crate::support::wire::{Connection, create_topic, new_topic_request, topic_name};

/// Kills in one run; `SYNOD_KILL_ROUNDS` asks for more.
const ROUNDS: usize = 20;

/// Largest number of acked batches between two kills.
const ACKED_MAX: u64 = 60;

#[test]
fn acked_records_survive_kill_9() {
    let rounds =
        env::var("SYNOD_KILL_ROUNDS").map_or(ROUNDS, |count| count.parse().expect("a number"));
    let mut random = Random::from_environment();
    let mut broker = Broker::start();
    let mut connection = Connection::open(broker.kafka());
    for topic in ["plain", "idempotent"] {
        create_topic(&mut connection, topic, 1, &[("segment.bytes", "1048576")]);
    }
    let mut plain = Load::plain("plain");
    let mut idempotent = Load::idempotent("idempotent", &mut connection);
    for round in 0..rounds {
        let mut first = Connection::open(broker.kafka());
        let mut second = Connection::open(broker.kafka());
        plain.run(&mut first, random.below(ACKED_MAX) as usize, &mut random);
        idempotent.run(&mut second, random.below(ACKED_MAX) as usize, &mut random);
        broker.kill();
        // Now and then recovery itself is cut short.
        if random.below(3) == 0 {
            broker.start_and_kill(Duration::from_millis(random.below(30)));
        }
        broker.restart();
        let connection = &mut Connection::open(broker.kafka());
        plain.check(connection);
        idempotent.check(connection);
        plain.recover(connection);
        idempotent.recover(connection);
        idempotent.check(connection);
        println!("round {round}: {} and {}", plain.acked_count(), idempotent.acked_count());
    }
}

/// Topics whose creation was answered are there, those whose deletion was answered are not; what
/// was in flight is either.
#[test]
fn acked_topic_changes_survive_kill_9() {
    let mut random = Random::from_environment();
    let mut broker = Broker::start();
    let mut there = BTreeSet::new();
    for round in 0..8 {
        let connection = &mut Connection::open(broker.kafka());
        for number in 0..random.below(12) {
            let name = format!("t{round}-{number}");
            create_topic(connection, &name, 3, &[]);
            there.insert(name);
        }
        for _ in 0..random.below(4) {
            let index = random.below(there.len() as u64 + 1) as usize;
            let Some(name) = there.iter().nth(index).cloned() else { continue };
            let request = DeleteTopicsRequest::default()
                .with_topic_names(vec![topic_name(&name)])
                .with_timeout_ms(10_000);
            assert_eq!(connection.call(5, &request).responses[0].error_code, 0, "{name}");
            there.remove(&name);
        }
        let in_flight = format!("unknown-{round}");
        connection.send(5, &new_topic_request(&in_flight, 3, &[])).expect("a request can be sent");
        broker.kill();
        broker.restart();
        let request = MetadataRequest::default().with_topics(None);
        let response = Connection::open(broker.kafka()).call(5, &request);
        let names = response.topics.iter().filter_map(|topic| topic.name.as_ref());
        let found: BTreeSet<String> = names.map(|name| name.to_string()).collect();
        if found.contains(&in_flight) {
            there.insert(in_flight);
        }
        assert_eq!(found, there, "round {round}");
        assert!(response.topics.iter().all(|topic| topic.partitions.len() == 3));
    }
}
