//! Round trips through the crate `kafka-protocol`, which is generated from Kafka's own schemas.
//!
//! Every message of every API, in every version both know, supported here or only declared.

use std::fmt::Debug;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};

use super::sample::Sample;
use super::{SAMPLES, decode_any, encode_any, sample_of};
use crate::{
    ApiKey, Message, Request, RequestHeader, ResponseHeader, Str, decode_request, decode_response,
    encode_request, encode_response, for_each_request, messages,
};

/// Field names of a `Debug` text, in order; whatever stands within quotes is passed over.
fn field_names(text: &str) -> Vec<&str> {
    let (mut names, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => continue,
            b':' => names.push(&text[start..index]),
            _ => {}
        }
        start = index + 1;
    }
    // Theirs keeps unknown tags by number, such as our own, and lacks or renames two fields of an
    // API that is not released.
    names.retain(|name| {
        !matches!(
            *name,
            "unknown_tagged_fields"
                | "synod"
                | "21337"
                | "enable_2_pc"
                | "enable_2pc"
                | "keep_prepared_txn"
        )
    });
    names
}

fn their_bytes<T: Encodable>(message: &T, version: i16) -> Bytes {
    let mut buffer = BytesMut::new();
    message.encode(&mut buffer, version).expect("theirs encodes what it decoded");
    buffer.freeze()
}

/// One message there and back, both ways.
fn round_trip<Ours, Theirs>(version: i16, seed: u64)
where
    Ours: Message + Sample,
    Theirs: Encodable + Decodable + Debug + PartialEq,
{
    let what = format!("{} v{version} seed {seed}", Ours::NAME);
    let ours: Ours = sample_of(seed, version);
    let encoded = encode_any(&ours, version).unwrap_or_else(|error| panic!("{what}: {error}"));

    // Ours → theirs → ours.
    let mut rest = encoded.clone();
    let theirs = Theirs::decode(&mut rest, version).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(!rest.has_remaining(), "{what}: theirs leaves {} bytes", rest.remaining());
    let their_encoded = their_bytes(&theirs, version);
    let back: Ours = decode_any(their_encoded.clone(), version)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(back, ours, "{what}");

    // Theirs → ours → theirs.
    let again = encode_any(&back, version).unwrap_or_else(|error| panic!("{what}: {error}"));
    let theirs_again = Theirs::decode(&mut again.clone(), version);
    assert_eq!(theirs_again.unwrap_or_else(|e| panic!("{what}: {e}")), theirs, "{what}");

    // The same bytes either way, hence the same order and defaults.
    assert_eq!(encoded, their_encoded, "{what}");

    // The same names at the same places: a swap of two fields of one type shows only here.
    let (our_text, their_text) = (format!("{ours:?}"), format!("{theirs:?}"));
    assert_eq!(field_names(&our_text), field_names(&their_text), "{what}");
}

fn all_versions<Ours, Theirs>(versions: &mut usize)
where
    Ours: Message + Sample,
    Theirs: Encodable + Decodable + Debug + PartialEq + kafka_protocol::protocol::Message,
{
    let (known, last) = (Theirs::VERSIONS, *Ours::VERSIONS.end());
    assert!(
        known.min <= *Ours::VERSIONS.start() && last <= known.max,
        "{}: the oracle knows only {known:?}",
        Ours::NAME
    );
    for version in *Ours::VERSIONS.start()..=known.max {
        for seed in 0..SAMPLES {
            round_trip::<Ours, Theirs>(version, seed);
        }
        *versions += 1;
    }
}

fn headers<Ours>(client_id: Option<&str>)
where
    Ours: Request + Sample,
    Ours::Response: Sample,
{
    let key = theirs::ApiKey::try_from(Ours::KEY.0).expect("the oracle has the key");
    for version in Ours::VERSIONS {
        let what = format!("{} v{version}", Ours::NAME);
        let client_id = client_id.map(Str::from);
        let request: Ours = sample_of(7, version);
        let frame = encode_request(77, client_id.as_ref(), version, &request)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut body = frame.to_body();
        let header_version = key.request_header_version(version);
        let header = theirs::RequestHeader::decode(&mut body, header_version)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(body, encode_any(&request, version).expect("has been encoded"), "{what}");
        let mut again = BytesMut::new();
        header.encode(&mut again, header_version).unwrap_or_else(|e| panic!("{what}: {e}"));
        again.extend_from_slice(&body);
        let (ours, decoded): (RequestHeader, Ours) =
            decode_request(again.freeze()).unwrap_or_else(|error| panic!("{what}: {error}"));
        let expected = RequestHeader {
            api_key: Ours::KEY.0,
            api_version: version,
            correlation_id: 77,
            client_id,
        };
        assert_eq!((ours, decoded), (expected, request), "{what}");

        let response: Ours::Response = sample_of(8, version);
        let frame = encode_response(78, version, &response)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut body = frame.to_body();
        let header_version = key.response_header_version(version);
        let header = theirs::ResponseHeader::decode(&mut body, header_version)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(body, encode_any(&response, version).expect("has been encoded"), "{what}");
        let mut again = BytesMut::new();
        header.encode(&mut again, header_version).unwrap_or_else(|e| panic!("{what}: {e}"));
        again.extend_from_slice(&body);
        let decoded = decode_response::<Ours>(again.freeze(), version)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(decoded, (ResponseHeader { correlation_id: 78 }, response), "{what}");
    }
}

fn api<Ours, Theirs>()
where
    Ours: Request + Sample,
    Ours::Response: Sample,
    Theirs: kafka_protocol::protocol::Request + Debug + PartialEq + HeaderVersion,
    Theirs::Response: Debug + PartialEq,
{
    assert_eq!(Ours::KEY.0, Theirs::KEY, "{}", Ours::NAME);
    let mut versions = 0;
    all_versions::<Ours, Theirs>(&mut versions);
    all_versions::<Ours::Response, Theirs::Response>(&mut versions);
    println!("{}: {versions} message versions, seeds 0..{SAMPLES}", Ours::KEY);
    headers::<Ours>(Some("clïent"));
    headers::<Ours>(None);
}

macro_rules! test_per_api {
    ($($module:ident::$request:ident,)*) => {
        $(
            #[test]
            fn $module() {
                api::<messages::$module::$request, theirs::$request>();
            }
        )*

        /// APIs that have a round trip above.
        const TESTED: &[ApiKey] = &[$(<messages::$module::$request as Message>::KEY),*];
    };
}

for_each_request!(test_per_api);

/// Every number with a module of messages has a round trip, and the released ones are these.
#[test]
fn no_api_is_forgotten() {
    let declared: Vec<ApiKey> = messages::APIS.iter().map(|api| api.key).collect();
    assert_eq!(declared, TESTED);
    let released = [
        (0, 3..=9, Some(9)),
        (1, 4..=12, Some(12)),
        (2, 1..=7, Some(6)),
        (3, 0..=12, Some(9)),
        (8, 2..=8, Some(8)),
        (9, 1..=8, Some(6)),
        (10, 0..=4, Some(3)),
        (11, 0..=9, Some(6)),
        (12, 0..=4, Some(4)),
        (13, 0..=5, Some(4)),
        (14, 0..=5, Some(4)),
        (15, 0..=5, Some(5)),
        (16, 0..=5, Some(3)),
        (18, 0..=4, Some(3)),
        (19, 2..=7, Some(5)),
        (20, 1..=6, Some(4)),
        (21, 0..=2, Some(2)),
        (22, 0..=5, Some(2)),
        (23, 2..=4, Some(4)),
        (32, 1..=4, Some(4)),
        (33, 0..=2, Some(2)),
        (35, 1..=4, Some(2)),
        (37, 0..=3, Some(2)),
        (42, 0..=2, Some(2)),
        (43, 0..=2, Some(2)),
        (44, 0..=1, Some(1)),
        (46, 0..=0, Some(0)),
        (47, 0..=0, None),
        (60, 0..=1, Some(0)),
    ];
    let declared: Vec<_> =
        messages::APIS.iter().map(|api| (api.key.0, api.versions.clone(), api.flexible)).collect();
    assert_eq!(declared, released);
}

/// The module list and the list of requests cannot drift apart: each file is in the table.
#[test]
fn every_module_is_in_the_table() {
    let source = include_str!("../messages/mod.rs");
    let modules = source.lines().filter(|line| line.starts_with("pub mod ")).count();
    assert_eq!(modules, messages::APIS.len());
}
