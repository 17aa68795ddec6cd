//! ElectLeaders: moves leadership, as a rule to the preferred replicas.

use synod_wire::messages::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};
use synod_wire::{ErrorCode, RequestHeader, Str};

use super::error_codes::of_admin_error;
use super::timeout::within;
use crate::context::Context;
use crate::metadata::AdminError;
use crate::metadata::request::{ElectLeaders, ElectionOutcome};

/// The election types of the request. Neither loses records here.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

pub(crate) async fn handle(
    context: &Context,
    _header: &RequestHeader,
    request: ElectLeadersRequest,
) -> ElectLeadersResponse {
    if !matches!(request.election_type, PREFERRED | UNCLEAN) {
        let error_code = ErrorCode::INVALID_REQUEST;
        return ElectLeadersResponse { error_code, ..ElectLeadersResponse::default() };
    }
    let asked = request.topic_partitions.map(|topics| {
        let of_topic = |topic: &Str, indexes: Vec<i32>| {
            let name = topic.to_string();
            indexes.into_iter().map(move |index| (name.clone(), index)).collect::<Vec<_>>()
        };
        topics.into_iter().flat_map(|it| of_topic(&it.topic, it.partitions)).collect::<Vec<_>>()
    });
    let preferred = request.election_type == PREFERRED;
    let ask = ElectLeaders { preferred, partitions: asked.clone() };
    match within(request.timeout_ms, context.controller().elect_leaders(ask)).await {
        Ok(outcomes) => answer(ErrorCode::NONE, outcomes),
        Err(error) => {
            let failed = |(topic, partition)| {
                let outcome = Err(error.clone());
                ElectionOutcome { topic, partition, outcome }
            };
            let outcomes = asked.into_iter().flatten().map(failed).collect();
            answer(of_admin_error(&error), outcomes)
        }
    }
}

/// The outcomes by topic, in the order in which topics were named first.
fn answer(error_code: ErrorCode, outcomes: Vec<ElectionOutcome>) -> ElectLeadersResponse {
    let mut results: Vec<ReplicaElectionResult> = Vec::new();
    for ElectionOutcome { topic, partition, outcome } in outcomes {
        let result = result(partition, outcome);
        match results.last_mut().filter(|last| last.topic.as_str() == topic) {
            Some(last) => last.partition_result.push(result),
            None => {
                let (topic, partition_result) = (topic.into(), vec![result]);
                results.push(ReplicaElectionResult { topic, partition_result });
            }
        }
    }
    ElectLeadersResponse {
        error_code,
        replica_election_results: results,
        ..ElectLeadersResponse::default()
    }
}

fn result(partition_id: i32, outcome: Result<(), AdminError>) -> PartitionResult {
    let (error_code, error_message) = match outcome {
        Ok(()) => (ErrorCode::NONE, None),
        Err(error) => (of_admin_error(&error), Some(error.message.into())),
    };
    PartitionResult { partition_id, error_code, error_message }
}
