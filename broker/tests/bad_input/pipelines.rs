//! Several requests in flight on one connection.

use std::time::Duration;

use kafka_protocol::messages::api_versions_request::ApiVersionsRequest;
use kafka_protocol::messages::fetch_request::FetchRequest;
use kafka_protocol::messages::metadata_request::MetadataRequest;
use kafka_protocol::messages::produce_request::ProduceRequest;

use crate::Watched;
use crate::support::batch::Batch;
use crate::support::wire::{fetch_request, frame, produce_request, read_partition};

/// A wait in ms that no test sits out: something must end it.
const FOR_EVER: i32 = 1_000_000;

#[test]
fn a_parked_fetch_delays_no_later_produce() {
    let mut watched = Watched::start();
    watched.create("quiet");
    watched.create("busy");
    let mut first = watched.connect();
    first.send(11, &fetch_request("quiet", 0, 0, FOR_EVER)).expect("a request can be sent");
    let records = Batch::of(&["behind a fetch"]).encode();
    first.send(9, &produce_request("busy", 0, -1, records)).expect("a request can be sent");
    first.send(0, &ApiVersionsRequest::default()).expect("a request can be sent");

    // The produce is done although the fetch before it still waits.
    let mut second = watched.connect();
    let seen = second.call(11, &fetch_request("busy", 0, 0, FOR_EVER));
    assert_eq!(seen.responses[0].partitions[0].high_watermark, 1);
    assert!(first.stays_silent(Duration::from_millis(20)), "an answer before its turn");

    // What ends the fetch lets all three answers go, in the order of the requests.
    let records = Batch::of(&["wakes the fetch"]).encode();
    second.call(9, &produce_request("quiet", 0, -1, records));
    let (id, fetched) = first.receive::<FetchRequest>(11).expect("the first answer");
    assert_eq!((id, fetched.responses[0].partitions[0].high_watermark), (1, 1));
    let (id, produced) = first.receive::<ProduceRequest>(9).expect("the second answer");
    assert_eq!((id, produced.responses[0].partition_responses[0].error_code), (2, 0));
    let (id, _) = first.receive::<ApiVersionsRequest>(0).expect("the third answer");
    assert_eq!(id, 3);
    watched.check();
}

#[test]
fn hundreds_of_requests_in_flight_are_answered_in_order() {
    const COUNT: i32 = 500;
    let mut watched = Watched::start();
    watched.create("busy");
    let mut connection = watched.connect();
    let mut bytes = Vec::new();
    for id in 1..=COUNT {
        bytes.extend(match id % 3 {
            0 => frame(id, 0, &ApiVersionsRequest::default()),
            1 => {
                let records = Batch::of(&[format!("record {id}")]).encode();
                frame(id, 9, &produce_request("busy", 0, -1, records))
            }
            _ => {
                let request = MetadataRequest::default().with_topics(Some(Vec::new()));
                frame(id, 1, &request)
            }
        });
    }
    connection.send_bytes(&bytes).expect("requests can be sent");
    for id in 1..=COUNT {
        let frame = connection.receive_frame().expect("an answer");
        let answered = i32::from_be_bytes(frame[..4].try_into().expect("a correlation id"));
        assert_eq!(answered, id);
    }
    let read = read_partition(&mut connection, "busy", 0, 0);
    let read: Vec<_> = read.iter().map(|record| record.value.clone().unwrap_or_default()).collect();
    let expected: Vec<_> =
        (1..=COUNT).filter(|id| id % 3 == 1).map(|id| format!("record {id}")).collect();
    assert_eq!(read, expected);
    watched.check();
}

/// Two clients say nothing while one fills the pipe and never reads: they must not notice.
#[test]
fn a_client_that_never_reads_harms_nobody() {
    let mut watched = Watched::start();
    let mut greedy = watched.connect();
    let request = frame(1, 1, &MetadataRequest::default().with_topics(None));
    let many = request.repeat(1000);
    greedy.limit_writes(Duration::from_millis(500));
    // The broker stops reading at some point, and so does this loop.
    for _ in 0..1000 {
        if greedy.send_bytes(&many).is_err() {
            break;
        }
    }
    watched.check_memory();
    drop(greedy);
    watched.check_memory();
}
