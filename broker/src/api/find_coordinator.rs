//! FindCoordinator (10): which broker coordinates a group.
//!
//! The first question creates the topic that the coordinators' logs are partitions of.

use synod_wire::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};
use synod_wire::{ErrorCode, RequestHeader, Str};

use super::coordinator::partition_key;
use super::metadata::address;
use crate::context::Context;
use crate::groups::OFFSETS_TOPIC;
use crate::metadata::request::{CreateTopics, NewTopic};
use crate::metadata::{AdminError, AdminErrorKind, MetadataImage, TopicId};

/// First version that asks for several at once.
const BATCH_VERSION: i16 = 4;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// Bytes of a segment of the offsets topic, as Kafka sets it.
const SEGMENT_SIZE: &str = "104857600";

pub(super) async fn handle(
    context: &Context,
    header: &RequestHeader,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let batch = header.api_version >= BATCH_VERSION;
    let keys = if batch { request.coordinator_keys } else { vec![request.key] };
    if request.key_type == GROUP
        && !keys.is_empty()
        && context.image().topic(OFFSETS_TOPIC).is_none()
        && let Err(error) = create_topic(context).await
    {
        tracing::warn!(%error, "{OFFSETS_TOPIC} cannot be created");
    }
    let image = context.image();
    let found: Vec<Coordinator> =
        keys.into_iter().map(|key| find(context, &image, request.key_type, key)).collect();
    if batch {
        return FindCoordinatorResponse { coordinators: found, ..Default::default() };
    }
    let Coordinator { node_id, host, port, error_code, error_message, .. } =
        found.into_iter().next().unwrap_or_default();
    FindCoordinatorResponse {
        error_code,
        error_message,
        node_id,
        host,
        port,
        ..FindCoordinatorResponse::default()
    }
}

fn find(context: &Context, image: &MetadataImage, key_type: i8, key: Str) -> Coordinator {
    let refused = |key, error_code| Coordinator {
        key,
        node_id: -1,
        port: -1,
        error_code,
        error_message: Some(Str::from_static(error_code.message())),
        ..Coordinator::default()
    };
    match key_type {
        GROUP => {}
        // There is no transaction coordinator; this code ends the producer instead of letting it
        // ask for ever.
        TRANSACTION => return refused(key, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        _ => return refused(key, ErrorCode::INVALID_REQUEST),
    }
    let leader = partition_key(image, &key).and_then(|at| {
        let topic = image.topic_by_id(TopicId::from_bytes(at.topic))?;
        image.broker(topic.partition(at.partition)?.leader).filter(|broker| !broker.lost)
    });
    let Some(leader) = leader else {
        return refused(key, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    };
    let (host, port) = address(leader, &(context.broker().id(), context.advertised()));
    let (node_id, error_message) = (leader.id.as_wire(), Some(Str::EMPTY));
    Coordinator { key, node_id, host, port, error_message, ..Coordinator::default() }
}

/// Creates the offsets topic and waits until this broker can use it.
async fn create_topic(context: &Context) -> Result<(), AdminError> {
    let _creating = context.broker().offsets_topic().lock().await;
    if context.image().topic(OFFSETS_TOPIC).is_some() {
        return Ok(());
    }
    let groups = &context.config().groups;
    let config = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
    let topic = NewTopic {
        partition_count: Some(i32::try_from(groups.offsets_partitions).unwrap_or(i32::MAX)),
        replication_factor: i16::try_from(groups.offsets_replication_factor).ok(),
        configs: vec![
            config("cleanup.policy", "compact"),
            config("compression.type", "producer"),
            config("segment.bytes", SEGMENT_SIZE),
        ],
        ..NewTopic::with_defaults(TopicId::random()?, OFFSETS_TOPIC)
    };
    let request = CreateTopics { topics: vec![topic], validate_only: false };
    for outcome in context.controller().create_topics(request).await? {
        match outcome {
            Err(error) if error.kind != AdminErrorKind::TopicExists => return Err(error),
            _ => {}
        }
    }
    context.settled().await;
    Ok(())
}
