//! ListGroups (16): the groups that this broker coordinates.

use futures_util::future::join_all;
use synod_wire::messages::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use synod_wire::{RequestHeader, Str};

use super::coordinator::{ask_partition, hosted};
use super::error_codes::of_group_error;
use crate::context::Context;
use crate::groups::request::Listed;
use crate::groups::{GroupError, GroupRequest};

/// The only type of group that there is so far.
const CLASSIC: &str = "classic";

pub(super) async fn handle(
    context: &Context,
    _: &RequestHeader,
    request: ListGroupsRequest,
) -> ListGroupsResponse {
    let views = hosted(context);
    let all = join_all(views.iter().map(|view| ask_partition(context, view, GroupRequest::List)));
    let mut groups = Vec::new();
    for listed in all.await {
        match listed.and_then(|listed| listed) {
            Ok(listed) => groups.extend(listed),
            // Another broker leads this partition and lists its groups.
            Err(GroupError::NotCoordinator) => {}
            Err(error) => {
                let error_code = of_group_error(error);
                return ListGroupsResponse { error_code, ..ListGroupsResponse::default() };
            }
        }
    }
    let named = |filter: &[Str], name: &str| {
        filter.is_empty() || filter.iter().any(|one| one.trim().eq_ignore_ascii_case(name))
    };
    let wanted = |group: &Listed| {
        named(&request.states_filter, group.state) && named(&request.types_filter, CLASSIC)
    };
    let groups = groups.into_iter().filter(wanted).map(|group| ListedGroup {
        group_id: group.group,
        protocol_type: group.protocol_type,
        group_state: Str::from_static(group.state),
        group_type: Str::from_static(CLASSIC),
    });
    ListGroupsResponse { groups: groups.collect(), ..ListGroupsResponse::default() }
}
