//! The Kafka APIs: one file per API, and here the way from a frame to its handler.

#[cfg(test)]
mod admin_tests;
mod alter_configs;
mod api_versions;
mod config_entries;
mod coordinator;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod elect_leaders;
mod error_codes;
pub(crate) mod fetch;
mod find_coordinator;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod lookup;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod operations;
mod produce;
mod sync_group;
mod timeout;

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::{FutureExt, LocalBoxFuture};
use synod_wire::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse};
use synod_wire::messages::create_topics::{CreateTopicsRequest, CreateTopicsResponse};
use synod_wire::{
    DecodeError, EncodeError, Frame, Message, Reader, Request, RequestHeader, encode_response,
};

use crate::context::Context;
use crate::net::InboundFrame;

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A response to send.
    Frame(Frame),
    /// Nothing is sent (`acks=0`).
    Nothing,
}

/// Why a request makes its connection end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("malformed request: {0}")]
    Malformed(#[from] DecodeError),
    #[error("malformed {api}, version {version}: {error}")]
    MalformedBody { api: &'static str, version: i16, error: DecodeError },
    #[error("API key {0} is not served")]
    UnknownApi(i16),
    #[error("version {version} of API key {key} is not served")]
    UnknownVersion { key: i16, version: i16 },
    #[error(
        "a request names {count} partitions, more than limits.partitions_per_request = {limit}"
    )]
    TooManyPartitions { count: usize, limit: usize },
    #[error("cannot encode the response: {0}")]
    Encode(#[from] EncodeError),
    #[error("a producer that wants no answer sent what cannot be appended")]
    UnanswerableRefusal,
    #[error("the broker is stopping")]
    Stopping,
}

/// An answer that is not ready yet.
pub(crate) type Pending = LocalBoxFuture<'static, Result<Answer, ApiError>>;

/// One request, read up to its body.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) context: Rc<Context>,
    pub(crate) header: RequestHeader,
}

impl Call {
    /// Reads the body. Bytes behind it are ignored, as Kafka does: librdkafka sends some.
    fn body<R: Request>(&self, mut reader: Reader) -> Result<R, ApiError> {
        let version = self.header.api_version;
        R::decode(&mut reader, version).map_err(|error| ApiError::MalformedBody {
            api: R::NAME,
            version,
            error,
        })
    }

    /// Refuses requests that name more partitions than the configuration allows.
    fn check_partition_count(&self, count: usize) -> Result<(), ApiError> {
        let limit = self.context.config().limits.partitions_per_request;
        if count > limit { Err(ApiError::TooManyPartitions { count, limit }) } else { Ok(()) }
    }

    /// The answer that carries `response`.
    fn answer<R: Request>(&self, response: &R::Response) -> Result<Answer, ApiError> {
        let RequestHeader { correlation_id, api_version, .. } = self.header;
        Ok(Answer::Frame(encode_response(correlation_id, api_version, response)?))
    }
}

/// Starts to handle a request. What has to happen in the order of the requests has happened when
/// this returns; the rest goes on in the returned future.
///
/// # Errors
/// The connection has to end.
pub(crate) async fn start(context: &Rc<Context>, frame: InboundFrame) -> Result<Pending, ApiError> {
    let started = Instant::now();
    let InboundFrame { body, share } = frame;
    let (header, reader) = read_header(body)?;
    let key = header.api_key;
    let call = Call { context: context.clone(), header };
    let pending = if key == produce::KEY {
        produce::start(call, reader, share).await?
    } else {
        let pending = dispatch(call, reader)?;
        // The request's bytes are decoded; what is left of them is names.
        drop(share);
        pending
    };
    let context = context.clone();
    Ok(pending
        .inspect(move |_| context.broker().metrics().request(key, started.elapsed()))
        .boxed_local())
}

fn read_header(body: Bytes) -> Result<(RequestHeader, Reader), ApiError> {
    let mut reader = Reader::new(body);
    let header = RequestHeader::decode(&mut reader)?;
    Ok((header, reader))
}

/// Declares which handler serves which API: the one list of what this broker answers.
macro_rules! apis {
    ($($request:path, $versions:expr => $handler:path;)*) => {
        /// Keys and version ranges of the APIs that [`dispatch`] serves.
        fn served() -> impl Iterator<Item = (i16, std::ops::RangeInclusive<i16>)> {
            [$((<$request as Message>::KEY.0, $versions)),*].into_iter()
        }

        fn dispatch(call: Call, reader: Reader) -> Result<Pending, ApiError> {
            let RequestHeader { api_key, api_version, .. } = call.header;
            $(
                if api_key == <$request as Message>::KEY.0 {
                    if !$versions.contains(&api_version) {
                        return refuse_version(&call);
                    }
                    let request = call.body::<$request>(reader)?;
                    return Ok(async move {
                        let response = $handler(&call.context, &call.header, request).await;
                        call.answer::<$request>(&response)
                    }
                    .boxed_local());
                }
            )*
            Err(ApiError::UnknownApi(api_key))
        }
    };
}

apis! {
    synod_wire::messages::fetch::FetchRequest, 4..=12 => fetch::handle;
    synod_wire::messages::list_offsets::ListOffsetsRequest, 1..=7 => list_offsets::handle;
    synod_wire::messages::metadata::MetadataRequest, 0..=12 => metadata::handle;
    synod_wire::messages::offset_commit::OffsetCommitRequest, 2..=8 => offset_commit::handle;
    synod_wire::messages::offset_fetch::OffsetFetchRequest, 1..=8 => offset_fetch::handle;
    synod_wire::messages::find_coordinator::FindCoordinatorRequest, 0..=4
        => find_coordinator::handle;
    synod_wire::messages::join_group::JoinGroupRequest, 0..=9 => join_group::handle;
    synod_wire::messages::heartbeat::HeartbeatRequest, 0..=4 => heartbeat::handle;
    synod_wire::messages::leave_group::LeaveGroupRequest, 0..=5 => leave_group::handle;
    synod_wire::messages::sync_group::SyncGroupRequest, 0..=5 => sync_group::handle;
    synod_wire::messages::describe_groups::DescribeGroupsRequest, 0..=5
        => describe_groups::handle;
    synod_wire::messages::list_groups::ListGroupsRequest, 0..=5 => list_groups::handle;
    synod_wire::messages::delete_groups::DeleteGroupsRequest, 0..=2 => delete_groups::handle;
    synod_wire::messages::offset_delete::OffsetDeleteRequest, 0..=0 => offset_delete::handle;
    synod_wire::messages::api_versions::ApiVersionsRequest, 0..=4 => api_versions::handle;
    synod_wire::messages::create_topics::CreateTopicsRequest, 2..=7 => settled_create_topics;
    synod_wire::messages::delete_topics::DeleteTopicsRequest, 1..=6 => delete_topics::handle;
    synod_wire::messages::delete_records::DeleteRecordsRequest, 0..=2 => delete_records::handle;
    synod_wire::messages::init_producer_id::InitProducerIdRequest, 0..=5
        => init_producer_id::handle;
    synod_wire::messages::offset_for_leader_epoch::OffsetForLeaderEpochRequest, 2..=4
        => offset_for_leader_epoch::handle;
    synod_wire::messages::describe_configs::DescribeConfigsRequest, 1..=4
        => describe_configs::handle;
    synod_wire::messages::alter_configs::AlterConfigsRequest, 0..=2 => alter_configs::handle;
    synod_wire::messages::describe_log_dirs::DescribeLogDirsRequest, 1..=4
        => describe_log_dirs::handle;
    synod_wire::messages::create_partitions::CreatePartitionsRequest, 0..=3
        => settled_create_partitions;
    synod_wire::messages::elect_leaders::ElectLeadersRequest, 0..=2 => elect_leaders::handle;
    synod_wire::messages::incremental_alter_configs::IncrementalAlterConfigsRequest, 0..=1
        => alter_configs::handle_incremental;
    synod_wire::messages::list_partition_reassignments::ListPartitionReassignmentsRequest, 0..=0
        => list_partition_reassignments::handle;
    synod_wire::messages::describe_cluster::DescribeClusterRequest, 0..=1
        => describe_cluster::handle;
}

async fn settled_create_topics(
    context: &Context,
    header: &RequestHeader,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let response = create_topics::handle(context, header, request).await;
    context.settled().await;
    response
}

async fn settled_create_partitions(
    context: &Context,
    header: &RequestHeader,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let response = create_partitions::handle(context, header, request).await;
    context.settled().await;
    response
}

/// Only ApiVersions has an answer for versions that are not known: clients begin with it.
fn refuse_version(call: &Call) -> Result<Pending, ApiError> {
    let RequestHeader { api_key, api_version, correlation_id, .. } = call.header;
    if api_key != api_versions::KEY {
        return Err(ApiError::UnknownVersion { key: api_key, version: api_version });
    }
    let frame = api_versions::refuse_version(correlation_id)?;
    Ok(std::future::ready(Ok(Answer::Frame(frame))).boxed_local())
}
