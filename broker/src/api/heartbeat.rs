//! Heartbeat (12): a group member's sign of life.

use synod_wire::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use synod_wire::{ErrorCode, RequestHeader};

use super::coordinator::{ask_group, detached};
use crate::context::Context;
use crate::groups::GroupRequest;
use crate::groups::request::Claim;

pub(super) async fn handle(
    context: &Context,
    _: &RequestHeader,
    request: HeartbeatRequest,
) -> HeartbeatResponse {
    let claim = Claim {
        group: request.group_id.detached(),
        member: request.member_id.detached(),
        instance: detached(request.group_instance_id.as_ref()),
        generation: request.generation_id,
    };
    let asked =
        ask_group(context, &request.group_id, |reply| GroupRequest::Heartbeat(claim, reply));
    let error_code = match asked.await {
        // A coordinator that begins gives everybody a whole session.
        Ok(()) | Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) => ErrorCode::NONE,
        Err(error_code) => error_code,
    };
    HeartbeatResponse { error_code, ..HeartbeatResponse::default() }
}
