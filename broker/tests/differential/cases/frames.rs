//! Frames and headers: what is answered, and what ends the connection.

use bytes::{BufMut, Bytes};
use kafka_protocol::messages::api_versions_request::ApiVersionsRequest;
use kafka_protocol::messages::{ApiVersionsResponse, ResponseHeader};
use kafka_protocol::protocol::Decodable;

use crate::run::{Answer, Run, Silence, error};
use crate::support::wire::{framed, text};

const API_VERSIONS: i16 = 18;
const METADATA: i16 = 3;
const PRODUCE: i16 = 0;

pub(crate) fn run(run: &mut Run) {
    api_versions(run);
    refused(run);
}

fn header(key: i16, version: i16) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_i16(key);
    bytes.put_i16(version);
    bytes.put_i32(7);
    bytes.put_i16(1);
    bytes.put_u8(b'x');
    bytes
}

fn with(mut bytes: Vec<u8>, rest: &[u8]) -> Vec<u8> {
    bytes.extend_from_slice(rest);
    bytes
}

fn send(run: &Run, bytes: &[u8]) -> Answer<Bytes> {
    let mut connection = run.connect();
    connection.send_bytes(bytes)?;
    connection.receive_frame().map_err(Silence::from)
}

/// Reads an ApiVersions response; `version` is that of the body expected.
fn show(mut frame: Bytes, version: i16) -> String {
    let header = ResponseHeader::decode(&mut frame, 0).expect("a response header");
    let response = ApiVersionsResponse::decode(&mut frame, version).expect("an ApiVersions body");
    assert!(frame.is_empty(), "bytes after the response");
    let own = response.api_keys.iter().find(|key| key.api_key == API_VERSIONS);
    let own = own.map(|key| format!("{} to {}", key.min_version, key.max_version));
    format!("{} correlation {} own {own:?}", error(response.error_code), header.correlation_id)
}

fn api_versions(run: &mut Run) {
    for version in 0..=4 {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(text("test"))
            .with_client_software_version(text("1.0"));
        let answer = run.call(version, &request).map(|response| error(response.error_code));
        run.note(&format!("api versions v{version}"), answer);
    }
    for (name, version) in [("", "1"), ("a b", "1"), ("-a", "1"), ("a", "")] {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(text(name))
            .with_client_software_version(text(version));
        let answer = run.call(3, &request).map(|response| error(response.error_code));
        run.note(&format!("api versions, software {name:?} {version:?}"), answer);
    }
    let body = b"\x00\x04abc\x04abc\x00";
    for (case, bytes) in [
        ("v99", with(header(API_VERSIONS, 99), body)),
        ("v32767", with(header(API_VERSIONS, i16::MAX), body)),
        ("v-1", header(API_VERSIONS, -1)),
        ("v0, bytes behind", with(header(API_VERSIONS, 0), b"zzz")),
    ] {
        let answer = send(run, &framed(&bytes)).map(|frame| show(frame, 0));
        run.note(&format!("api versions {case}"), answer);
    }
    let null = [&API_VERSIONS.to_be_bytes()[..], &[0, 0, 0, 0, 0, 7, 0xff, 0xff]].concat();
    let answer = send(run, &framed(&null)).map(|frame| show(frame, 0));
    run.note("api versions v0, null client id", answer);
}

fn refused(run: &mut Run) {
    let count = |count: i32| with(header(METADATA, 1), &count.to_be_bytes());
    let cases = [
        ("key 999", framed(&header(999, 0))),
        ("key -1", framed(&header(-1, 0))),
        ("key 7", framed(&header(7, 0))),
        ("metadata v99", framed(&header(METADATA, 99))),
        ("metadata v-1", framed(&header(METADATA, -1))),
        ("produce v2", framed(&with(header(PRODUCE, 2), &[0; 10]))),
        ("metadata v1, half a count", framed(&with(header(METADATA, 1), &[0, 0]))),
        ("metadata v1, 2^31-1 topics", framed(&count(i32::MAX))),
        ("metadata v1, 1000 topics missing", framed(&count(1000))),
        ("metadata v1, -5 topics", framed(&count(-5))),
        ("metadata v1, name of -5 bytes", framed(&with(count(1), &[0xff, 0xfb]))),
        ("metadata v1, name longer than the frame", framed(&with(count(1), &[0x7f, 0xff, b'a']))),
        ("metadata v1, name not UTF-8", framed(&with(count(1), &[0, 2, 0xc3, 0x28]))),
        (
            "metadata v9, endless count",
            framed(&with(header(METADATA, 9), &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
        ),
        ("client id longer than the frame", framed(&[0, 18, 0, 0, 0, 0, 0, 7, 0x7f, 0xff, 1])),
        ("header of 3 bytes", framed(&[0, 18, 0])),
        ("frame of 0 bytes", framed(&[])),
        ("frame of -1 bytes", (-1i32).to_be_bytes().to_vec()),
        ("frame of 2^31-1 bytes", i32::MAX.to_be_bytes().to_vec()),
        ("frame of 100 MiB and a byte", 104_857_601i32.to_be_bytes().to_vec()),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("TLS", with(vec![0x16, 3, 1, 0, 0xf8, 1, 0, 0, 0xf4, 3, 3], &[0; 240])),
        ("zeros", vec![0; 64]),
    ];
    for (case, bytes) in cases {
        let answer = send(run, &bytes).map(|_| "answered");
        run.note(&format!("frame, {case}"), answer);
    }
}
