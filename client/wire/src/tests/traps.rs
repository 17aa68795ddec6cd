//! The traps of Kafka's protocol that concern the codec, one test each.

use bytes::Bytes;

use crate::messages::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use crate::messages::fetch::{FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData};
use crate::messages::metadata::MetadataRequest;
use crate::messages::offset_delete::OffsetDeleteRequest;
use crate::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use crate::{
    ApiKey, DecodeErrorKind, EncodeErrorKind, ErrorCode, Message, Reader, Records, RequestHeader,
    Str, decode_body, decode_request, decode_response, encode_request, encode_response,
};

/// An unknown higher version of ApiVersions is answered in the shape of version 0.
#[test]
fn api_versions_of_the_future_can_be_refused() {
    let mut body = Vec::new();
    body.extend_from_slice(&18i16.to_be_bytes());
    body.extend_from_slice(&99i16.to_be_bytes());
    body.extend_from_slice(&5i32.to_be_bytes());
    body.extend_from_slice(&[0, 2, b'm', b'e', 0, 0xde, 0xad]);
    let mut r = Reader::new(body.into());
    let header = RequestHeader::decode(&mut r).expect("the header does not depend on the body");
    assert_eq!((header.api_version, header.correlation_id), (99, 5));
    assert_eq!(header.client_id.as_deref(), Some("me"));
    let error = ApiVersionsRequest::decode(&mut r, 99).expect_err("nobody knows version 99");
    assert_eq!(error.kind, DecodeErrorKind::UnsupportedVersion(99));

    let answer = ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION,
        api_keys: vec![ApiVersion { api_key: 18, min_version: 0, max_version: 4 }],
        ..Default::default()
    };
    let frame = encode_response(5, 0, &answer).expect("version 0 exists");
    let expected = [0, 0, 0, 16, 0, 0, 0, 5, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4].as_slice();
    assert_eq!(frame.segments().concat(), expected);
}

/// The response header of ApiVersions has no tagged fields even in flexible versions.
#[test]
fn api_versions_response_header_is_always_classic() {
    for version in ApiVersionsResponse::VERSIONS {
        let frame = encode_response(1, version, &ApiVersionsResponse::default());
        let body = frame.expect("a supported version").to_body();
        assert_eq!(body[..6], [0, 0, 0, 1, 0, 0], "correlation id, then at once the error code");
    }
}

/// In flexible headers the client id is still a classic string, and may be null.
#[test]
fn client_id_is_classic_in_flexible_headers() {
    let frame = encode_request(9, Some(&Str::from("ab")), 9, &MetadataRequest::default());
    let body = frame.expect("version 9 exists").to_body();
    assert_eq!(body[..13], [0, 3, 0, 9, 0, 0, 0, 9, 0, 2, b'a', b'b', 0]);
    let frame = encode_request(9, None, 9, &MetadataRequest::default());
    let body = frame.expect("version 9 exists").to_body();
    assert_eq!(body[8..11], [0xff, 0xff, 0]);
}

/// Unknown APIs: the fixed part of the header still reads.
#[test]
fn headers_of_unknown_apis_can_be_read() {
    let body = Bytes::from_static(&[0x7f, 0xff, 0, 1, 0, 0, 0, 3, 0xff, 0xff, 1, 2, 3]);
    let header = RequestHeader::decode(&mut Reader::new(body)).expect("a header");
    assert_eq!(header.key().to_string(), "Unknown(32767)");
    assert_eq!((header.correlation_id, header.client_id), (3, None));
}

#[test]
fn offset_delete_is_never_flexible() {
    assert!((0..100).all(|version| !OffsetDeleteRequest::is_flexible(version)));
    assert!(!ApiKey::OFFSET_DELETE.is_flexible(i16::MAX));
}

/// Metadata: version 0 has no null, its empty list means all; later null and empty differ.
#[test]
fn metadata_tells_all_from_none() {
    let all = MetadataRequest { topics: None, ..Default::default() };
    let none = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
    let error = encode_request(0, None, 0, &all).expect_err("no null in version 0");
    assert_eq!(error.kind, EncodeErrorKind::UnexpectedNull(0));
    let null = Bytes::from_static(&[0xff; 4]);
    let error = decode_body::<MetadataRequest>(&mut Reader::new(null.clone()), 0);
    assert_eq!(error.expect_err("no null").kind, DecodeErrorKind::UnexpectedNull);
    let decoded: MetadataRequest = decode_body(&mut Reader::new(null), 1).expect("null is all");
    assert_eq!(decoded.topics, None);
    for version in 1..=12 {
        for request in [&all, &none] {
            let frame = encode_request(0, None, version, request).expect("null from version 1");
            let (_, decoded): (_, MetadataRequest) =
                decode_request(frame.to_body()).expect("decodes");
            assert_eq!(decoded.topics, request.topics, "v{version}");
        }
    }
}

/// Auto-creation can be declined only from version 4; before, it always is allowed.
#[test]
fn metadata_before_version_4_allows_auto_creation() {
    let body = Bytes::from_static(&[0, 0, 0, 0]);
    let request: MetadataRequest = decode_body(&mut Reader::new(body), 3).expect("decodes");
    assert!(request.allow_auto_topic_creation);
}

/// Absent records have length 0, never null.
#[test]
fn fetch_never_sends_null_records() {
    let response = FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic: "t".into(),
            partitions: vec![PartitionData::default()],
            ..Default::default()
        }],
        ..Default::default()
    };
    let classic = encode_response(0, 11, &response).expect("version 11 exists").to_body();
    assert_eq!(classic[classic.len() - 4..], [0; 4]);
    let flexible = encode_response(0, 12, &response).expect("version 12 exists").to_body();
    // Records' length + 1, then no tags of the partition, the topic and the response.
    assert_eq!(flexible[flexible.len() - 4..], [1, 0, 0, 0]);
    // Null from elsewhere reads as empty.
    let mut null = classic.to_vec();
    let start = null.len() - 4;
    null[start..].fill(0xff);
    let (_, decoded) = decode_response::<FetchRequest>(null.into(), 11).expect("decodes");
    assert_eq!(decoded, response);
}

/// A fetch response refers to the log's bytes, however many parts they have.
#[test]
fn fetched_records_are_not_copied() {
    let parts = [Bytes::from(vec![1u8; 70_000]), Bytes::from(vec![2u8; 3_000])];
    let partition = PartitionData { records: Records::from(parts.to_vec()), ..Default::default() };
    let response = FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic: "t".into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    for version in FetchResponse::VERSIONS {
        let frame = encode_response(0, version, &response).expect("a supported version");
        for part in &parts {
            let shared = frame.segments().iter().any(|segment| segment.as_ptr() == part.as_ptr());
            assert!(shared, "v{version}: a part was copied");
        }
        let (_, decoded) =
            decode_response::<FetchRequest>(frame.to_body(), version).expect("decodes");
        assert_eq!(decoded, response);
    }
}

/// Produced records are a slice of the frame.
#[test]
fn produced_records_are_not_copied() {
    let partition = PartitionProduceData { index: 0, records: Some(Bytes::from(vec![7; 5_000])) };
    let request = ProduceRequest {
        acks: -1,
        topic_data: vec![TopicProduceData {
            name: "t".into(),
            partition_data: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    for version in ProduceRequest::VERSIONS {
        let body = encode_request(0, None, version, &request).expect("supported").to_body();
        let range = body.as_ptr_range();
        let (_, decoded): (_, ProduceRequest) = decode_request(body.clone()).expect("decodes");
        let records = decoded.topic_data[0].partition_data[0].records.as_ref();
        let start = records.expect("were sent").as_ptr();
        assert!(range.contains(&start), "v{version}: copied");
        assert_eq!(decoded, request);
    }
}

#[test]
fn strings_must_be_utf8_and_short() {
    let body = Bytes::from_static(&[0, 0, 0, 1, 0, 2, 0xc3, 0x28]);
    let error = decode_body::<MetadataRequest>(&mut Reader::new(body), 1);
    let error = error.expect_err("not UTF-8");
    assert_eq!(error.kind, DecodeErrorKind::NotUtf8);
    assert_eq!(error.context, "MetadataRequestTopic.name");

    let long = Str::from("x".repeat(32_768));
    let request = ApiVersionsRequest { client_software_name: long, ..Default::default() };
    let error = encode_request(0, None, 3, &request).expect_err("one byte too long");
    assert_eq!(error.kind, EncodeErrorKind::TooLong(32_768));
    let mut body = vec![0x81, 0x80, 0x02];
    body.resize(40_000, b'x');
    let error = decode_body::<ApiVersionsRequest>(&mut Reader::new(body.into()), 3);
    assert_eq!(error.expect_err("too long").kind, DecodeErrorKind::StringTooLong(32_768));
}

/// Tagged fields nobody knows are passed over; known ones must fill their size.
#[test]
fn unknown_tags_are_passed_over() {
    let with_tag = |size: u8| {
        let mut body = vec![1, 1, 1, 99, size];
        body.extend([0xaa; 3]);
        Bytes::from(body)
    };
    let request = decode_body::<ApiVersionsRequest>(&mut Reader::new(with_tag(3)), 3);
    assert_eq!(request, Ok(ApiVersionsRequest::default()));
    let error = decode_body::<ApiVersionsRequest>(&mut Reader::new(with_tag(2)), 3);
    assert_eq!(error.expect_err("a byte left").kind, DecodeErrorKind::TrailingBytes(1));
    let error = decode_body::<ApiVersionsRequest>(&mut Reader::new(with_tag(4)), 3);
    assert!(matches!(error.expect_err("short").kind, DecodeErrorKind::Truncated { .. }));

    // finalized_features_epoch is tag 1 and eight bytes long; here it claims nine.
    let mut body = vec![0, 0, 1, 0, 0, 0, 0, 1, 1, 9];
    body.extend([0; 9]);
    let error = decode_body::<ApiVersionsResponse>(&mut Reader::new(body.into()), 3);
    assert_eq!(error.expect_err("a byte left").kind, DecodeErrorKind::TagSizeMismatch { tag: 1 });
}
