//! DeleteTopics: by name, and from version 6 by name or id.

use std::collections::BTreeMap;

use synod_wire::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use synod_wire::{ErrorCode, RequestHeader, Str, Uuid};

use super::error_codes::of_admin_error;
use super::timeout::within;
use crate::context::Context;
use crate::metadata::request::{DeletedTopic, TopicRef};
use crate::metadata::{AdminError, TopicId};

/// First version whose topics may be named by id.
const BY_ID_VERSION: i16 = 6;

pub(crate) async fn handle(
    context: &Context,
    header: &RequestHeader,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let named = named(&request, header.api_version);
    let (refs, mut responses) = once_each(&named);
    let asked: Vec<DeleteTopicState> = refs.iter().map(|(state, _)| state.clone()).collect();
    let refs = refs.into_iter().map(|(_, topic)| topic).collect();
    let work = context.controller().delete_topics(refs);
    match within(request.timeout_ms, work).await {
        Ok(outcomes) => {
            let results = asked.into_iter().zip(outcomes);
            responses.extend(results.map(|(state, outcome)| deleted(state, outcome)));
        }
        Err(error) => {
            responses.extend(asked.into_iter().map(|state| deleted(state, Err(error.clone()))));
        }
    }
    DeleteTopicsResponse { responses, ..DeleteTopicsResponse::default() }
}

fn named(request: &DeleteTopicsRequest, version: i16) -> Vec<DeleteTopicState> {
    if version >= BY_ID_VERSION {
        return request.topics.clone();
    }
    let named = request
        .topic_names
        .iter()
        .map(|name| DeleteTopicState { name: Some(name.clone()), ..DeleteTopicState::default() });
    named.collect()
}

/// What is named properly and once; and the refusals of the rest.
fn once_each(
    named: &[DeleteTopicState],
) -> (Vec<(DeleteTopicState, TopicRef)>, Vec<DeletableTopicResult>) {
    let mut counts = BTreeMap::<(Option<Str>, Uuid), usize>::new();
    for state in named {
        *counts.entry((state.name.clone(), state.topic_id)).or_default() += 1;
    }
    let (mut refs, mut refused) = (Vec::new(), Vec::new());
    for ((name, topic_id), count) in counts {
        let state = DeleteTopicState { name: name.clone(), topic_id };
        let refusal = match (name, topic_id.is_zero()) {
            (None, true) => "Neither topic name nor id were specified.",
            (Some(_), false) => "You may not specify both topic name and topic id.",
            (Some(_), true) if count > 1 => "Duplicate topic name.",
            (None, false) if count > 1 => "Duplicate topic id.",
            (Some(name), true) => {
                refs.push((state, TopicRef::Name(name.to_string())));
                continue;
            }
            (None, false) => {
                refs.push((state, TopicRef::Id(TopicId::from_bytes(topic_id.0))));
                continue;
            }
        };
        refused.push(DeletableTopicResult {
            error_code: ErrorCode::INVALID_REQUEST,
            error_message: Some(Str::from_static(refusal)),
            ..result(state)
        });
    }
    (refs, refused)
}

fn deleted(
    state: DeleteTopicState,
    outcome: Result<DeletedTopic, AdminError>,
) -> DeletableTopicResult {
    match outcome {
        Ok(topic) => DeletableTopicResult {
            name: Some(topic.name.into()),
            topic_id: Uuid(topic.id.bytes()),
            ..DeletableTopicResult::default()
        },
        Err(error) => DeletableTopicResult {
            error_code: of_admin_error(&error),
            error_message: Some(error.message.into()),
            ..result(state)
        },
    }
}

fn result(state: DeleteTopicState) -> DeletableTopicResult {
    let DeleteTopicState { name, topic_id, .. } = state;
    DeletableTopicResult { name, topic_id, ..DeletableTopicResult::default() }
}
