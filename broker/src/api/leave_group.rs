//! LeaveGroup (13): removes members from a group.

use synod_wire::messages::leave_group::{
    LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse,
};
use synod_wire::{ErrorCode, RequestHeader};

use super::coordinator::{ask_group, code_of, detached};
use crate::context::Context;
use crate::groups::GroupRequest;
use crate::groups::request::Leave;

/// First version that removes several members at once.
const BATCH_VERSION: i16 = 3;

pub(super) async fn handle(
    context: &Context,
    header: &RequestHeader,
    request: LeaveGroupRequest,
) -> LeaveGroupResponse {
    let batch = header.api_version >= BATCH_VERSION;
    let members = match batch {
        true => request.members,
        false => vec![MemberIdentity {
            member_id: request.member_id.clone(),
            ..MemberIdentity::default()
        }],
    };
    let named = members
        .iter()
        .map(|member| (member.member_id.detached(), detached(member.group_instance_id.as_ref())));
    let leave = Leave { group: request.group_id.detached(), members: named.collect() };
    let asked = ask_group(context, &request.group_id, |reply| GroupRequest::Leave(leave, reply));
    let outcomes = match asked.await {
        Ok(outcomes) => outcomes,
        Err(error_code) => return LeaveGroupResponse { error_code, ..Default::default() },
    };
    if !batch {
        let error_code = outcomes.into_iter().next().map_or(ErrorCode::NONE, code_of);
        return LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() };
    }
    let members = members.into_iter().zip(outcomes).map(|(member, outcome)| MemberResponse {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        error_code: code_of(outcome),
    });
    LeaveGroupResponse { members: members.collect(), ..LeaveGroupResponse::default() }
}
