//! Valid requests with single bytes changed, and plain noise.

use std::time::Duration;

use kafka_protocol::protocol::Request;

use crate::Watched;
use crate::requests;
use crate::support::random::Random;
use crate::support::wire::{Connection, frame, framed};

/// Bytes that mean the most in sizes, counts and marks.
pub(crate) const BYTES: [u8; 6] = [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff];

/// Sends bytes, says that no more come and reads whatever comes back. The broker must end the
/// connection by itself; what it answers does not matter here.
fn send_and_leave(mut connection: Connection, bytes: &[u8], what: &str) {
    // The broker may close before it has read all.
    let _ = connection.send_bytes(bytes);
    connection.finish();
    assert!(connection.drain(), "the broker keeps the connection after {what}");
}

#[test]
fn any_byte_of_any_request_may_be_wrong() {
    let mut watched = Watched::start();
    for (name, valid) in requests::one_of_each("watched") {
        for position in 4..valid.len() {
            for byte in BYTES {
                let mut bytes = valid.clone();
                bytes[position] = byte;
                let what = format!("{name} with {byte:#04x} at {position}");
                send_and_leave(watched.connect(), &bytes, &what);
            }
        }
        assert!(watched.broker.is_running(), "the broker ended by a wrong {name}");
    }
    watched.check_memory();
}

#[test]
fn noise() {
    let mut watched = Watched::start();
    let mut random = Random::from_environment();
    for round in 0..400 {
        let size = random.below(2000) as usize;
        let mut body: Vec<u8> = (0..size).map(|_| random.below(256) as u8).collect();
        // Every other time a plausible header, so that noise reaches the decoders.
        if round % 2 == 0 && size > 12 {
            body[0] = 0;
            body[1] = random.below(70) as u8;
            body[2] = 0;
            body[3] = random.below(14) as u8;
            body[8] = 0xff;
            body[9] = 0xff;
        }
        let bytes = if random.below(10) == 0 { body } else { framed(&body) };
        send_and_leave(watched.connect(), &bytes, &format!("noise of round {round}"));
    }
    watched.check_memory();
}

/// Sanity of the tests above: unchanged, each of the requests is answered.
#[test]
fn the_requests_are_valid() {
    let watched = Watched::start();
    for (name, valid) in requests::one_of_each("watched") {
        let mut connection = watched.connect();
        connection.send_bytes(&valid).expect("bytes can be sent");
        let answer = connection.receive_frame();
        assert!(answer.is_ok(), "{name}: {answer:?}");
        assert!(connection.stays_silent(Duration::from_millis(1)), "{name}: more than an answer");
    }
}

/// A request with its own name, for messages.
pub(crate) fn named<R: Request>(
    name: &'static str,
    version: i16,
    request: &R,
) -> (&'static str, Vec<u8>) {
    (name, frame(7, version, request))
}
