//! SyncGroup: fetches a member's assignment; the leader brings all of them.

use bytes::Bytes;

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    SYNC_GROUP: SyncGroupRequest => SyncGroupResponse,
    versions 0..=5, flexible Some(4)
}

structs! {
    /// Fetches a member's assignment; the leader brings all of them.
    struct SyncGroupRequest {
        /// The group.
        group_id: Str => 0..;
        /// The group's generation.
        generation_id: i32 => 0..;
        /// The member's id; empty when it has none yet.
        member_id: Str => 0..;
        /// The member's static id, if it has one.
        group_instance_id: Option<Str> => 3..;
        /// Type of the protocols, such as `consumer`.
        protocol_type: Option<Str> => 5..;
        /// The protocol in use.
        protocol_name: Option<Str> => 5..;
        /// The members' assignments, sent by the group's leader only.
        assignments: Vec<SyncGroupRequestAssignment> => 0..;
    }

    /// The assignment of one member.
    struct SyncGroupRequestAssignment {
        /// The member's id; empty when it has none yet.
        member_id: Str => 0..;
        /// The member's assignment, opaque to the broker.
        assignment: Bytes => 0..;
    }

    /// The answer to [`SyncGroupRequest`].
    struct SyncGroupResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 1..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 0..;
        /// Type of the protocols, such as `consumer`.
        protocol_type: Option<Str> => 5..;
        /// The protocol in use.
        protocol_name: Option<Str> => 5..;
        /// The member's assignment, opaque to the broker.
        assignment: Bytes => 0..;
    }
}
