//! Frames cut short, too large, slow, or of another protocol.

use std::thread;
use std::time::{Duration, Instant};

use bytes::BufMut;
use kafka_protocol::messages::api_versions_request::ApiVersionsRequest;
use kafka_protocol::messages::metadata_request::MetadataRequest;
use kafka_protocol::messages::produce_request::ProduceRequest;

use crate::Watched;
use crate::support::batch::Batch;
use crate::support::wire::{READ_TIMEOUT, frame, framed, produce_request};

const MESSAGE_TOO_LARGE: i16 = 10;

#[test]
fn a_frame_that_drips_byte_by_byte_is_answered() {
    let mut watched = Watched::start();
    let mut connection = watched.connect();
    for byte in frame(1, 0, &ApiVersionsRequest::default()) {
        connection.send_bytes(&[byte]).expect("a byte can be sent");
        // Others are served between any two bytes.
        watched.check();
    }
    let (id, response) = connection.receive::<ApiVersionsRequest>(0).expect("an answer");
    assert_eq!((id, response.error_code), (1, 0));
}

#[test]
fn frames_cut_at_any_byte_leave_no_trace() {
    let mut watched = Watched::start();
    let metadata = frame(1, 9, &MetadataRequest::default().with_topics(None));
    let records = Batch::of(&["never written"]).encode();
    let produce = frame(1, 9, &produce_request("watched", 0, -1, records));
    for whole in [metadata, produce] {
        for size in 0..whole.len() {
            let mut connection = watched.connect();
            connection.send_bytes(&whole[..size]).expect("bytes can be sent");
            connection.finish();
            assert!(connection.is_closed_silently(), "an answer to {size} of {}", whole.len());
        }
    }
    watched.check_memory();
}

/// Each connection claims the largest frame there is and sends a few bytes of it.
#[test]
fn claimed_sizes_are_not_believed() {
    let mut watched = Watched::start();
    let claim = 100i32 << 20;
    let connections: Vec<_> = (0..64)
        .map(|_| {
            let mut connection = watched.connect();
            let mut bytes = Vec::new();
            bytes.put_i32(claim);
            bytes.extend_from_slice(&[0; 1000]);
            connection.send_bytes(&bytes).expect("bytes can be sent");
            connection
        })
        .collect();
    watched.check_memory();
    drop(connections);
    watched.check_memory();
}

/// Requests that are really sent, far more of them at once than the broker has room for, are all
/// answered, a few at a time.
#[test]
fn more_bytes_than_the_budget_wait_their_turn() {
    const SENDERS: usize = 24;
    let mut watched = Watched::start_with(&[
        "--set",
        "limits.frame_size=16MiB",
        "--set",
        "limits.in_flight_size=32MiB",
    ]);
    let records = Batch::of(&["x".repeat(8 << 20)]).encode();
    let request = frame(1, 9, &produce_request("watched", 0, -1, records));
    thread::scope(|scope| {
        for _ in 0..SENDERS {
            let mut connection = watched.connect();
            let request = &request;
            scope.spawn(move || {
                connection.send_bytes(request).expect("a request can be sent");
                let (_, response) = connection.receive::<ProduceRequest>(9).expect("an answer");
                let code = response.responses[0].partition_responses[0].error_code;
                assert_eq!(code, MESSAGE_TOO_LARGE);
            });
        }
    });
    watched.check_memory();
}

#[test]
fn too_large_frames_end_the_connection() {
    let mut watched = Watched::start();
    for size in [(100i32 << 20) + 1, i32::MAX, -1, i32::MIN] {
        let mut connection = watched.connect();
        connection.send_bytes(&size.to_be_bytes()).expect("bytes can be sent");
        assert!(connection.is_closed_silently(), "frame of {size} bytes");
    }
    watched.check_memory();
}

#[test]
fn other_protocols_are_refused_and_named_in_the_log() {
    let mut watched = Watched::start();
    let tls = [&[0x16, 3, 1, 0, 0xf8, 1, 0, 0, 0xf4, 3, 3][..], &[0; 240]].concat();
    let requests: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /topics HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        &tls,
        &[0xff; 300],
    ];
    for bytes in requests {
        let mut connection = watched.connect();
        connection.send_bytes(bytes).expect("bytes can be sent");
        assert!(connection.is_closed_silently(), "{:?}", String::from_utf8_lossy(bytes));
    }
    watched.check();
    let log = watched.broker.stderr();
    for protocol in ["HTTP", "TLS"] {
        assert!(log.contains(protocol), "no word of {protocol} in the log:\n{log}");
    }
}

#[test]
fn connections_that_end_give_everything_back() {
    let mut watched = Watched::start();
    let before = watched.descriptor_count();
    for round in 0..500 {
        let mut connection = watched.connect();
        match round % 4 {
            0 => {}
            1 => connection.send_bytes(&[0, 0]).expect("bytes can be sent"),
            2 => connection.send_bytes(&framed(b"garbage")).expect("bytes can be sent"),
            _ => {
                connection.call(0, &ApiVersionsRequest::default());
            }
        }
    }
    let deadline = Instant::now() + READ_TIMEOUT;
    while watched.descriptor_count() > before + 4 {
        let now = watched.descriptor_count();
        assert!(Instant::now() < deadline, "{now} descriptors, {before} before");
        thread::sleep(Duration::from_millis(10));
    }
    watched.check_memory();
}
