//! Administration: what is retried, and what must not be.

use std::sync::{Arc, Mutex};

use synod_client::Error;
use synod_client::admin::{Admin, NewTopic};
use synod_client::wire::messages::create_topics::{
    CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use synod_client::wire::{ApiKey, ErrorCode};

use crate::fake::{Call, Fake, Reply, basics, cluster};

fn created(call: &Call, code: ErrorCode) -> Reply {
    let request: CreateTopicsRequest = call.request();
    let topic = CreatableTopicResult {
        name: request.topics[0].name.clone(),
        error_code: code,
        error_message: Some("in the broker's words".into()),
        ..CreatableTopicResult::default()
    };
    call.answer(&CreateTopicsResponse { topics: vec![topic], ..CreateTopicsResponse::default() })
}

/// Creates a topic at a broker that does this at each attempt; returns the number of attempts too.
async fn create(replies: Vec<fn(&Call) -> Reply>) -> (Result<(), Error>, usize) {
    let attempts = Arc::new(Mutex::new(0));
    let (listener, address) = Fake::bind().await;
    let fake = Fake::run(listener, {
        let attempts = attempts.clone();
        move |call| {
            basics(call, &[address], &[1]).unwrap_or_else(|| {
                assert_eq!(call.key, ApiKey::CREATE_TOPICS);
                let mut attempts = attempts.lock().unwrap();
                *attempts += 1;
                replies[*attempts - 1](call)
            })
        }
    });
    let admin = Admin::new(cluster(fake.address).await);
    let result = admin.create_topic(NewTopic::new("new")).await.map(drop);
    let attempts = *attempts.lock().unwrap();
    (result, attempts)
}

#[tokio::test]
async fn a_controller_that_moved_is_asked_again() {
    let (result, attempts) = create(vec![
        |call| created(call, ErrorCode::NOT_CONTROLLER),
        |call| created(call, ErrorCode::NOT_CONTROLLER),
        |call| created(call, ErrorCode::NONE),
    ])
    .await;
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(attempts, 3);
}

#[tokio::test]
async fn a_change_that_may_have_happened_is_not_repeated() {
    let (result, attempts) = create(vec![|_| Reply::Close]).await;
    assert!(matches!(result, Err(Error::Disconnected { .. })), "{result:?}");
    assert_eq!(attempts, 1);
    let (result, attempts) = create(vec![|call| created(call, ErrorCode::REQUEST_TIMED_OUT)]).await;
    assert_eq!(result.unwrap_err().code(), Some(ErrorCode::REQUEST_TIMED_OUT));
    assert_eq!(attempts, 1);
}

#[tokio::test]
async fn a_refusal_comes_in_the_brokers_words() {
    let (result, attempts) =
        create(vec![|call| created(call, ErrorCode::TOPIC_ALREADY_EXISTS)]).await;
    let error = result.unwrap_err();
    let expected = "topic new: in the broker's words (TOPIC_ALREADY_EXISTS)";
    assert_eq!(error.to_string(), expected);
    assert!(!error.is_retriable());
    assert_eq!(attempts, 1);
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_said_so_at_once() {
    let (listener, address) = Fake::bind().await;
    let fake =
        Fake::run(listener, move |call| basics(call, &[address], &[1]).unwrap_or(Reply::Close));
    let admin = Admin::new(cluster(fake.address).await);
    let error = admin.topic("nope").await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    assert_eq!(admin.topics().await.unwrap().len(), 1);
}
