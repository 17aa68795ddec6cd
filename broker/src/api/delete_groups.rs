//! DeleteGroups (42): deletes groups that have no members, with their offsets.

use futures_util::stream::{self, StreamExt};
use synod_wire::messages::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};
use synod_wire::{ErrorCode, RequestHeader, Str};

use super::coordinator::{GROUPS_AT_ONCE, ask_group, code_of};
use crate::context::Context;
use crate::groups::GroupRequest;

pub(super) async fn handle(
    context: &Context,
    _: &RequestHeader,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let results = stream::iter(request.groups_names).map(|group| delete(context, group));
    let results = results.buffered(GROUPS_AT_ONCE).collect().await;
    DeleteGroupsResponse { results, ..DeleteGroupsResponse::default() }
}

async fn delete(context: &Context, group_id: Str) -> DeletableGroupResult {
    let names = vec![group_id.detached()];
    let asked = ask_group(context, &group_id, |reply| GroupRequest::Delete(names, reply)).await;
    let error_code = match asked {
        Ok(mut outcomes) => outcomes.pop().map_or(ErrorCode::UNKNOWN_SERVER_ERROR, code_of),
        Err(error_code) => error_code,
    };
    DeletableGroupResult { group_id, error_code }
}
