//! ListGroups: asks for all groups of this broker.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    LIST_GROUPS: ListGroupsRequest => ListGroupsResponse,
    versions 0..=5, flexible Some(3)
}

structs! {
    /// Asks for all groups of this broker.
    struct ListGroupsRequest {
        /// States of the groups wanted; empty: all.
        states_filter: Vec<Str> => 4..;
        /// Types of the groups wanted; empty: all.
        types_filter: Vec<Str> => 5..;
    }

    /// The answer to [`ListGroupsRequest`].
    struct ListGroupsResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 1..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 0..;
        /// The groups.
        groups: Vec<ListedGroup> => 0..;
    }

    /// One group.
    struct ListedGroup {
        /// The group.
        group_id: Str => 0..;
        /// Type of the protocols, such as `consumer`.
        protocol_type: Str => 0..;
        /// State of the group, as a word.
        group_state: Str => 4..;
        /// Type of the group, as a word.
        group_type: Str => 5..;
    }
}
