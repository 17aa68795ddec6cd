//! DescribeGroups (15): groups with their members.

use futures_util::stream::{self, StreamExt};
use synod_wire::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use synod_wire::{RequestHeader, Str};

use super::coordinator::{GROUPS_AT_ONCE, ask_group};
use super::operations::GROUP_OPERATIONS;
use crate::context::Context;
use crate::groups::GroupRequest;

/// The state of a group that does not exist.
const DEAD: &str = "Dead";

pub(super) async fn handle(
    context: &Context,
    _: &RequestHeader,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let with_operations = request.include_authorized_operations;
    let groups = stream::iter(request.groups).map(|group| describe(context, group));
    let mut groups: Vec<DescribedGroup> = groups.buffered(GROUPS_AT_ONCE).collect().await;
    if with_operations {
        let found = groups.iter_mut().filter(|group| group.error_code.is_none());
        found.for_each(|group| group.authorized_operations = GROUP_OPERATIONS);
    }
    DescribeGroupsResponse { groups, ..DescribeGroupsResponse::default() }
}

async fn describe(context: &Context, group_id: Str) -> DescribedGroup {
    let names = vec![group_id.detached()];
    let asked = ask_group(context, &group_id, |reply| GroupRequest::Describe(names, reply)).await;
    let described = match asked {
        Ok(mut described) => described.pop().flatten(),
        Err(error_code) => {
            return DescribedGroup { error_code, group_id, ..DescribedGroup::default() };
        }
    };
    let Some(described) = described else {
        let group_state = Str::from_static(DEAD);
        return DescribedGroup { group_id, group_state, ..DescribedGroup::default() };
    };
    let members = described.members.into_iter().map(|member| DescribedGroupMember {
        member_id: member.id,
        group_instance_id: member.instance,
        client_id: member.client_id,
        client_host: member.client_host,
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    });
    DescribedGroup {
        group_id,
        group_state: Str::from_static(described.state),
        protocol_type: described.protocol_type,
        protocol_data: described.protocol,
        members: members.collect(),
        ..DescribedGroup::default()
    }
}
