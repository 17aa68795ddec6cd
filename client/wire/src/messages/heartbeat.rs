//! Heartbeat: a sign of life of a group member.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    HEARTBEAT: HeartbeatRequest => HeartbeatResponse,
    versions 0..=4, flexible Some(4)
}

structs! {
    /// A sign of life of a group member.
    struct HeartbeatRequest {
        /// The group.
        group_id: Str => 0..;
        /// The group's generation, as the member knows it.
        generation_id: i32 => 0..;
        /// The member's id; empty when it has none yet.
        member_id: Str => 0..;
        /// The member's static id, if it has one.
        group_instance_id: Option<Str> => 3..;
    }

    /// The answer to [`HeartbeatRequest`].
    struct HeartbeatResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 1..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 0..;
    }
}
