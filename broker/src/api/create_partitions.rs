//! CreatePartitions.

use std::collections::BTreeMap;

use synod_wire::messages::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsResponse,
    CreatePartitionsTopic, CreatePartitionsTopicResult,
};
use synod_wire::{ErrorCode, RequestHeader, Str};

use super::error_codes::of_admin_error;
use super::timeout::within;
use crate::context::Context;
use crate::metadata::AdminError;
use crate::metadata::request::{CreatePartitions, MorePartitions};

pub(crate) async fn handle(
    context: &Context,
    _header: &RequestHeader,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let (asked, duplicates) = once_each(request.topics);
    let names: Vec<Str> = asked.iter().map(|topic| topic.name.clone()).collect();
    let topics = asked.into_iter().map(more_partitions).collect();
    let more = CreatePartitions { topics, validate_only: request.validate_only };
    let outcomes = within(request.timeout_ms, context.controller().create_partitions(more)).await;
    let outcomes = outcomes.unwrap_or_else(|error| vec![Err(error); names.len()]);
    let results = names.into_iter().zip(outcomes).map(|(name, outcome)| result(name, outcome));
    let duplicates = duplicates.into_iter().map(|name| CreatePartitionsTopicResult {
        name,
        error_code: ErrorCode::INVALID_REQUEST,
        error_message: Some(Str::from_static("Duplicate topic name.")),
    });
    CreatePartitionsResponse {
        results: results.chain(duplicates).collect(),
        ..CreatePartitionsResponse::default()
    }
}

/// The topics that are named once, and the names that are not.
fn once_each(topics: Vec<CreatePartitionsTopic>) -> (Vec<CreatePartitionsTopic>, Vec<Str>) {
    let mut counts = BTreeMap::<Str, usize>::new();
    for topic in &topics {
        *counts.entry(topic.name.clone()).or_default() += 1;
    }
    let once = topics.into_iter().filter(|topic| counts.get(&topic.name) == Some(&1)).collect();
    let repeated = counts.iter().filter(|(_, count)| **count > 1);
    (once, repeated.map(|(name, _)| name.clone()).collect())
}

fn more_partitions(topic: CreatePartitionsTopic) -> MorePartitions {
    let sets = |sets: Vec<CreatePartitionsAssignment>| {
        sets.into_iter().map(|set| set.broker_ids).collect()
    };
    MorePartitions {
        name: topic.name.to_string(),
        count: topic.count,
        assignments: topic.assignments.map(sets),
    }
}

fn result(name: Str, outcome: Result<(), AdminError>) -> CreatePartitionsTopicResult {
    let error_code = outcome.as_ref().err().map_or(ErrorCode::NONE, of_admin_error);
    let error_message = outcome.err().map(|error| error.message.into());
    CreatePartitionsTopicResult { name, error_code, error_message }
}
