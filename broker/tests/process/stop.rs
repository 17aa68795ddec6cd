//! SIGTERM: what is parked is answered, what is acked is synced, exit status 0.

use std::time::Duration;

use kafka_protocol::messages::fetch_request::FetchRequest;
use kafka_protocol::messages::metadata_request::MetadataRequest;
use rustix::process::Signal;

use crate::load::Load;
use crate::support::broker::Broker;
use crate::support::random::Random;
use crate::support::wire::{Connection, create_topic, fetch_request, frame};

/// The promise to operators.
const STOP_PROMISE: Duration = Duration::from_secs(5);

#[test]
fn sigterm_answers_parked_fetches_and_exits_with_0() {
    let mut broker = Broker::start();
    create_topic(&mut Connection::open(broker.kafka()), "quiet", 1, &[]);
    let mut parked: Vec<_> = (0..20)
        .map(|_| {
            let mut connection = Connection::open(broker.kafka());
            let fetch = fetch_request("quiet", 0, 0, 1_000_000);
            connection.send(11, &fetch).expect("a request can be sent");
            connection
        })
        .collect();
    // A second request on each connection shows that the fetch before it has been taken.
    assert!(parked.iter_mut().all(|connection| connection.stays_silent(Duration::from_millis(5))));
    let idle = Connection::open(broker.kafka());
    let (status, time, stderr) = broker.terminate();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(time < STOP_PROMISE, "{time:?}");
    for mut connection in parked {
        let (id, response) = connection.receive::<FetchRequest>(11).expect("a parked answer");
        assert_eq!((id, response.responses[0].partitions[0].error_code), (1, 0));
        assert!(connection.is_closed_silently());
    }
    drop(idle);
}

/// Clients that never read their answers, or never finish a request, cannot hold the broker up.
#[test]
fn sigterm_with_clients_that_hang() {
    let mut broker = Broker::start();
    let metadata = frame(1, 1, &MetadataRequest::default().with_topics(None));
    let mut deaf = Connection::open(broker.kafka());
    deaf.limit_writes(Duration::from_millis(200));
    // Until neither side takes more.
    while deaf.send_bytes(&metadata.repeat(1000)).is_ok() {}
    let mut halting = Connection::open(broker.kafka());
    halting.send_bytes(&metadata[..metadata.len() / 2]).expect("bytes can be sent");
    let (status, time, stderr) = broker.terminate();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(time < STOP_PROMISE, "{time:?}");
}

#[test]
fn sigint_stops_too() {
    let broker = Broker::start();
    broker.signal(Signal::INT);
    let mut broker = broker;
    let (status, time, stderr) = broker.wait();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(time < STOP_PROMISE, "{time:?}");
}

/// What was answered before the end is there after it, although requests were in flight.
#[test]
fn sigterm_under_load_loses_nothing_acked() {
    let mut random = Random::from_environment();
    let mut broker = Broker::start();
    create_topic(&mut Connection::open(broker.kafka()), "loaded", 1, &[]);
    let mut connection = Connection::open(broker.kafka());
    let mut load = Load::idempotent("loaded", &mut connection);
    for _ in 0..3 {
        let mut connection = Connection::open(broker.kafka());
        load.run(&mut connection, 50, &mut random);
        let (status, _, stderr) = broker.terminate();
        assert_eq!(status.code(), Some(0), "{stderr}");
        broker.restart();
        let mut connection = Connection::open(broker.kafka());
        load.check(&mut connection);
        load.recover(&mut connection);
        load.check(&mut connection);
    }
}
