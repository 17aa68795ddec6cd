//! DeleteGroups: deletes groups.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    DELETE_GROUPS: DeleteGroupsRequest => DeleteGroupsResponse,
    versions 0..=2, flexible Some(2)
}

structs! {
    /// Deletes groups.
    struct DeleteGroupsRequest {
        /// The groups to delete.
        groups_names: Vec<Str> => 0..;
    }

    /// The answer to [`DeleteGroupsRequest`].
    struct DeleteGroupsResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 0..;
        /// The outcome for each item asked for.
        results: Vec<DeletableGroupResult> => 0..;
    }

    /// The outcome for one group.
    struct DeletableGroupResult {
        /// The group.
        group_id: Str => 0..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 0..;
    }
}
