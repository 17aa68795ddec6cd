//! CreateTopics.

use std::collections::BTreeMap;

use synod_wire::messages::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
    CreateTopicsResponse,
};
use synod_wire::{ErrorCode, RequestHeader, Str, Uuid};

use super::config_entries::source_code;
use super::error_codes::of_admin_error;
use super::timeout::within;
use crate::context::Context;
use crate::metadata::request::{CreateTopics, CreatedTopic, NewTopic};
use crate::metadata::{
    AdminError, ConfigView, ControllerHandle, TopicId, topic_config_table::TOPIC_KEYS,
};

pub(crate) async fn handle(
    context: &Context,
    _header: &RequestHeader,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let timeout_ms = request.timeout_ms;
    let (asked, duplicates) = once_each(request.topics);
    let names: Vec<Str> = asked.iter().map(|topic| topic.name.clone()).collect();
    let work = create(context.controller(), asked, request.validate_only);
    let outcomes = within(timeout_ms, work).await;
    let image = context.image();
    let view = context.config_view(&image);
    let results = match outcomes {
        Ok(outcomes) => names.into_iter().zip(outcomes).map(|(name, outcome)| match outcome {
            Ok(topic) => created(name, &topic, &view),
            Err(error) => refused(name, &error),
        }),
        Err(error) => {
            return CreateTopicsResponse {
                topics: names.into_iter().map(|name| refused(name, &error)).collect(),
                ..CreateTopicsResponse::default()
            };
        }
    };
    let duplicates = duplicates.into_iter().map(|name| {
        let error_message = Some(Str::from_static("Duplicate topic name."));
        result(name, ErrorCode::INVALID_REQUEST, error_message)
    });
    CreateTopicsResponse {
        topics: results.chain(duplicates).collect(),
        ..CreateTopicsResponse::default()
    }
}

/// The topics that are named once, and the names that are not.
fn once_each(topics: Vec<CreatableTopic>) -> (Vec<CreatableTopic>, Vec<Str>) {
    let mut counts = BTreeMap::<Str, usize>::new();
    for topic in &topics {
        *counts.entry(topic.name.clone()).or_default() += 1;
    }
    let once = topics.into_iter().filter(|topic| counts.get(&topic.name) == Some(&1)).collect();
    let repeated = counts.iter().filter(|(_, count)| **count > 1);
    (once, repeated.map(|(name, _)| name.clone()).collect())
}

async fn create(
    controller: &ControllerHandle,
    topics: Vec<CreatableTopic>,
    validate_only: bool,
) -> Result<Vec<Result<CreatedTopic, AdminError>>, AdminError> {
    let topics = topics.into_iter().map(new_topic).collect::<Result<_, _>>()?;
    controller.create_topics(CreateTopics { topics, validate_only }).await
}

fn new_topic(topic: CreatableTopic) -> Result<NewTopic, AdminError> {
    let assignments =
        topic.assignments.into_iter().map(|one| (one.partition_index, one.broker_ids));
    let configs = topic
        .configs
        .into_iter()
        .map(|config| (config.name.to_string(), config.value.map(|value| value.to_string())));
    Ok(NewTopic {
        id: TopicId::random()?,
        name: topic.name.to_string(),
        partition_count: Some(topic.num_partitions).filter(|count| *count != -1),
        replication_factor: Some(topic.replication_factor).filter(|factor| *factor != -1),
        assignments: assignments.collect(),
        configs: configs.collect(),
    })
}

fn created(name: Str, topic: &CreatedTopic, view: &ConfigView<'_>) -> CreatableTopicResult {
    let first = topic.partitions.first();
    let replicas = first.map_or(0, |partition| partition.replicas.len());
    let configs = TOPIC_KEYS.iter().map(|key| {
        let effective = view.topic_setting(key, topic);
        CreatableTopicConfigs {
            name: Str::from_static(key.name),
            value: effective.value.map(Str::from),
            read_only: false,
            config_source: source_code(effective.source),
            is_sensitive: false,
        }
    });
    CreatableTopicResult {
        topic_id: Uuid(topic.id.bytes()),
        num_partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(replicas).unwrap_or(i16::MAX),
        configs: Some(configs.collect()),
        ..result(name, ErrorCode::NONE, None)
    }
}

fn refused(name: Str, error: &AdminError) -> CreatableTopicResult {
    result(name, of_admin_error(error), Some(error.message.as_str().into()))
}

/// A result that says nothing about the topic itself.
fn result(name: Str, error_code: ErrorCode, error_message: Option<Str>) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code,
        error_message,
        num_partitions: -1,
        replication_factor: -1,
        configs: Some(Vec::new()),
        ..CreatableTopicResult::default()
    }
}
