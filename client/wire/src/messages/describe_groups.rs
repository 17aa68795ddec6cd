//! DescribeGroups: asks for the details of groups.

use bytes::Bytes;

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    DESCRIBE_GROUPS: DescribeGroupsRequest => DescribeGroupsResponse,
    versions 0..=5, flexible Some(5)
}

structs! {
    /// Asks for the details of groups.
    struct DescribeGroupsRequest {
        /// The groups.
        groups: Vec<Str> => 0..;
        /// Whether to tell what the client may do.
        include_authorized_operations: bool => 3..;
    }

    /// The answer to [`DescribeGroupsRequest`].
    struct DescribeGroupsResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 1..;
        /// The groups.
        groups: Vec<DescribedGroup> => 0..;
    }

    /// One group.
    struct DescribedGroup {
        /// What went wrong, if anything.
        error_code: ErrorCode => 0..;
        /// More about the error, in words.
        error_message: Option<Str> => 6..;
        /// The group.
        group_id: Str => 0..;
        /// State of the group, as a word.
        group_state: Str => 0..;
        /// Type of the protocols, such as `consumer`.
        protocol_type: Str => 0..;
        /// The protocol in use.
        protocol_data: Str => 0..;
        /// The members.
        members: Vec<DescribedGroupMember> => 0..;
        /// What the client may do, as bits; `i32::MIN` when not asked for.
        authorized_operations: i32 => 3.., default i32::MIN;
    }

    /// One member of a group.
    struct DescribedGroupMember {
        /// The member's id; empty when it has none yet.
        member_id: Str => 0..;
        /// The member's static id, if it has one.
        group_instance_id: Option<Str> => 4..;
        /// The member's client id.
        client_id: Str => 0..;
        /// The host that the member connects from.
        client_host: Str => 0..;
        /// The member's metadata for the protocol in use, opaque to the broker.
        member_metadata: Bytes => 0..;
        /// The member's assignment, opaque to the broker.
        member_assignment: Bytes => 0..;
    }
}
