//! SyncGroup (14): fetches a member's assignment; the leader brings all of them.

use bytes::Bytes;
use synod_wire::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};
use synod_wire::{ErrorCode, RequestHeader, Str};

use super::coordinator::{ask_group, detached};
use crate::context::Context;
use crate::groups::GroupRequest;
use crate::groups::request::{Claim, Sync};

/// First version in which members must name the protocol that they believe in.
const PROTOCOL_VERSION: i16 = 5;

pub(super) async fn handle(
    context: &Context,
    header: &RequestHeader,
    request: SyncGroupRequest,
) -> SyncGroupResponse {
    let named = request.protocol_type.is_some() && request.protocol_name.is_some();
    if header.api_version >= PROTOCOL_VERSION && !named {
        return refused(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    }
    let assignments = request
        .assignments
        .iter()
        .map(|one| (one.member_id.detached(), Bytes::copy_from_slice(&one.assignment)));
    let sync = Box::new(Sync {
        claim: Claim {
            group: request.group_id.detached(),
            member: request.member_id.detached(),
            instance: detached(request.group_instance_id.as_ref()),
            generation: request.generation_id,
        },
        protocol_type: detached(request.protocol_type.as_ref()),
        protocol: detached(request.protocol_name.as_ref()),
        assignments: assignments.collect(),
    });
    match ask_group(context, &request.group_id, |reply| GroupRequest::Sync(sync, reply)).await {
        Ok(synced) => SyncGroupResponse {
            protocol_type: synced.protocol_type,
            protocol_name: synced.protocol,
            assignment: synced.assignment,
            ..SyncGroupResponse::default()
        },
        Err(error_code) => refused(error_code),
    }
}

fn refused(error_code: ErrorCode) -> SyncGroupResponse {
    let (protocol_type, protocol_name) = (None::<Str>, None::<Str>);
    SyncGroupResponse { error_code, protocol_type, protocol_name, ..SyncGroupResponse::default() }
}
