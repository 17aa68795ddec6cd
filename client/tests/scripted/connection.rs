//! Hostile and failing brokers: every misbehaviour ends in the right error, in bounded memory.

use std::time::Duration;

use synod_client::wire::messages::api_versions::{ApiVersion, ApiVersionsResponse};
use synod_client::wire::messages::metadata::{MetadataRequest, MetadataResponse};
use synod_client::wire::messages::produce::ProduceRequest;
use synod_client::wire::{ApiKey, ErrorCode, encode_response};
use synod_client::{Cluster, Connection, Error, Remedy};

use crate::fake::{Call, Fake, Reply, basics, config, versions};

/// What a request ends in when the broker replies to it (but not to the version question) like
/// this.
async fn outcome(reply: impl Fn(&Call) -> Reply + Send + 'static) -> Result<(), Error> {
    let fake = Fake::start(move |call| match call.key {
        ApiKey::API_VERSIONS => call.answer(&versions(&[])),
        _ => reply(call),
    })
    .await;
    let config = config(fake.address).max_response_size(1 << 20);
    let connection = Connection::open(&fake.address.to_string(), &config).await?;
    let result = connection.send(&MetadataRequest::default()).await.map(drop);
    assert!(
        result.is_ok() || connection.is_closed() || matches!(result, Err(Error::Protocol { .. }))
    );
    result
}

#[tokio::test]
async fn an_honest_answer_comes_through() {
    outcome(|call| call.answer(&MetadataResponse::default())).await.unwrap();
}

#[tokio::test]
async fn frames_over_the_limit_are_refused_before_they_are_read() {
    for length in [1i32 << 20 | 1, i32::MAX, -1] {
        let error = outcome(move |_| Reply::Bytes(length.to_be_bytes().into())).await.unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{error}");
        assert!(error.to_string().contains("more than 1048576 bytes"), "{error}");
        assert_eq!(error.remedy(), Remedy::GiveUp);
    }
    let http = |_: &Call| Reply::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n".into());
    assert!(matches!(outcome(http).await, Err(Error::Protocol { .. })));
}

#[tokio::test]
async fn an_early_end_is_told_apart_from_nonsense() {
    let endings: [fn(&Call) -> Reply; 3] = [
        |_| Reply::Close,
        |_| Reply::BytesThenClose(vec![0, 0]),
        |_| Reply::BytesThenClose(vec![0, 0, 0, 9, 1, 2, 3]),
    ];
    for ending in endings {
        let error = outcome(ending).await.unwrap_err();
        assert!(matches!(error, Error::Disconnected { .. }), "{error}");
        assert_eq!(error.remedy(), Remedy::Reconnect);
    }
}

#[tokio::test]
async fn answers_that_do_not_belong_are_nonsense() {
    let nonsense: [fn(&Call) -> Reply; 5] = [
        // Another correlation id.
        |call| {
            let other = call.correlation_id + 1;
            let answer = encode_response(other, call.version, &MetadataResponse::default());
            Reply::Bytes(answer.unwrap().segments().concat())
        },
        // Too short for one.
        |_| Reply::Bytes(vec![0, 0, 0, 2, 0, 0]),
        |_| Reply::Bytes(vec![0, 0, 0, 0]),
        // The right one, and garbage.
        |call| {
            let mut bytes = vec![0, 0, 0, 12];
            bytes.extend(call.correlation_id.to_be_bytes());
            bytes.extend([0xff; 8]);
            Reply::Bytes(bytes)
        },
        // An array of two billion brokers.
        |call| {
            let mut bytes = vec![0, 0, 0, 14];
            bytes.extend(call.correlation_id.to_be_bytes());
            bytes.extend([0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x07]);
            Reply::Bytes(bytes)
        },
    ];
    for reply in nonsense {
        let error = outcome(reply).await.unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{error}");
        assert!(!error.is_retriable());
    }
}

#[tokio::test]
async fn an_answer_nobody_asked_for_ends_the_connection() {
    let fake = Fake::start(|call| match call.key {
        ApiKey::API_VERSIONS => call.answer(&versions(&[])),
        _ => {
            let answer = call.answer(&MetadataResponse::default());
            let Reply::Bytes(bytes) = answer else { unreachable!() };
            Reply::Bytes([bytes.clone(), bytes].concat())
        }
    })
    .await;
    let connection =
        Connection::open(&fake.address.to_string(), &config(fake.address)).await.unwrap();
    connection.send(&MetadataRequest::default()).await.unwrap();
    // The next request meets the end, whichever comes first.
    let error = loop {
        match connection.send(&MetadataRequest::default()).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Disconnected { .. } | Error::Protocol { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn silence_ends_in_a_time_out() {
    // Time moves by itself only while everything waits, so this takes no real time.
    let fake = Fake::start(|call| match call.key {
        ApiKey::API_VERSIONS => call.answer(&versions(&[])),
        _ => Reply::Silence,
    })
    .await;
    let config = config(fake.address).request_timeout(Duration::from_secs(3600));
    let connection = Connection::open(&fake.address.to_string(), &config).await.unwrap();
    let request = MetadataRequest::default();
    let late = connection.start(&request, Duration::from_secs(7200)).await.unwrap();
    let first = connection.start(&request, Duration::from_secs(3600)).await.unwrap();
    let error = first.await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(error.is_retriable());
    // Its answer could not overtake: the connection is over for everyone.
    assert!(late.await.is_err());
    assert!(connection.is_closed());
}

#[tokio::test]
async fn requests_are_pipelined_and_one_may_be_given_up() {
    let mut held: Vec<Call> = Vec::new();
    let fake = Fake::start(move |call| match call.key {
        ApiKey::API_VERSIONS => call.answer(&versions(&[])),
        _ => {
            held.push(call.clone());
            if held.len() < 3 {
                return Reply::Silence;
            }
            // Only now, with all three here, are they answered.
            let answers = held.iter().enumerate().map(|(index, call)| {
                let controller_id = 100 + index as i32;
                let response = MetadataResponse { controller_id, ..MetadataResponse::default() };
                match call.answer(&response) {
                    Reply::Bytes(bytes) => bytes,
                    _ => unreachable!(),
                }
            });
            Reply::Bytes(answers.collect::<Vec<_>>().concat())
        }
    })
    .await;
    let connection =
        Connection::open(&fake.address.to_string(), &config(fake.address)).await.unwrap();
    let within = Duration::from_secs(20);
    let request = MetadataRequest::default();
    let first = connection.start(&request, within).await.unwrap();
    let given_up = connection.start(&request, within).await.unwrap();
    let third = connection.start(&request, within).await.unwrap();
    drop(given_up);
    assert_eq!(third.await.unwrap().controller_id, 102);
    assert_eq!(first.await.unwrap().controller_id, 100);
}

#[tokio::test]
async fn an_older_broker_is_spoken_to_in_its_versions() {
    let fake = Fake::start(|call| {
        if call.key == ApiKey::API_VERSIONS && call.version > 1 {
            // In the shape of version 0, as brokers do that know no better.
            let response = ApiVersionsResponse {
                error_code: ErrorCode::UNSUPPORTED_VERSION,
                api_keys: vec![ApiVersion {
                    api_key: 18,
                    min_version: 0,
                    max_version: 1,
                    ..ApiVersion::default()
                }],
                ..ApiVersionsResponse::default()
            };
            let answer = encode_response(call.correlation_id, 0, &response).unwrap();
            return Reply::Bytes(answer.segments().concat());
        }
        match call.key {
            ApiKey::API_VERSIONS => {
                let mut known = versions(&[(ApiKey::METADATA, 5)]);
                known.api_keys.retain(|api| api.api_key != ApiKey::PRODUCE.0);
                call.answer(&known)
            }
            _ => {
                assert_eq!(call.version, 5);
                call.answer(&MetadataResponse::default())
            }
        }
    })
    .await;
    let connection =
        Connection::open(&fake.address.to_string(), &config(fake.address)).await.unwrap();
    connection.send(&MetadataRequest::default()).await.unwrap();
    let error = connection.send(&ProduceRequest::default()).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { api: "Produce", .. }), "{error}");
}

#[tokio::test]
async fn the_version_question_may_go_wrong_too() {
    for reply in [Reply::Close, Reply::Bytes(b"220 smtp.example.com ESMTP\r\n".into())] {
        let fake = Fake::start(move |_| reply.clone()).await;
        let error =
            Connection::open(&fake.address.to_string(), &config(fake.address)).await.unwrap_err();
        assert!(
            error.to_string().contains(&fake.address.to_string()),
            "names the address: {error}"
        );
    }
    // A broker that refuses even its own version must not be asked for ever.
    let fake = Fake::start(|call| {
        let response =
            ApiVersionsResponse { error_code: ErrorCode::UNSUPPORTED_VERSION, ..versions(&[]) };
        let answer = encode_response(call.correlation_id, 0, &response).unwrap();
        Reply::Bytes(answer.segments().concat())
    })
    .await;
    let error = Connection::open(&fake.address.to_string(), &config(fake.address)).await;
    assert!(matches!(error, Err(Error::Unsupported { .. })), "{error:?}");
}

#[tokio::test]
async fn any_bootstrap_address_will_do_and_all_failures_are_named() {
    let (listener, address) = Fake::bind().await;
    let fake =
        Fake::run(listener, move |call| basics(call, &[address], &[1]).unwrap_or(Reply::Close));
    // A port that was free a moment ago refuses.
    let (closed, refused) = Fake::bind().await;
    drop(closed);
    let both = [refused.to_string(), fake.address.to_string()];
    for _ in 0..8 {
        Cluster::connect(synod_client::ClientConfig::new(both.clone())).await.unwrap();
    }
    let error = Cluster::connect(config(refused)).await.unwrap_err();
    assert!(error.to_string().contains(&refused.to_string()), "{error}");
    assert!(error.to_string().contains("connection refused"), "{error}");
}
