//! LeaveGroup: removes members from a group.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    LEAVE_GROUP: LeaveGroupRequest => LeaveGroupResponse,
    versions 0..=5, flexible Some(4)
}

structs! {
    /// Removes members from a group.
    struct LeaveGroupRequest {
        /// The group.
        group_id: Str => 0..;
        /// The member's id; empty when it has none yet.
        member_id: Str => 0..=2;
        /// The members.
        members: Vec<MemberIdentity> => 3..;
    }

    /// One member to remove.
    struct MemberIdentity {
        /// The member's id; empty when it has none yet.
        member_id: Str => 3..;
        /// The member's static id, if it has one.
        group_instance_id: Option<Str> => 3..;
        /// Why, in words.
        reason: Option<Str> => 5..;
    }

    /// The answer to [`LeaveGroupRequest`].
    struct LeaveGroupResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 1..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 0..;
        /// The members.
        members: Vec<MemberResponse> => 3..;
    }

    /// The outcome for one member.
    struct MemberResponse {
        /// The member's id; empty when it has none yet.
        member_id: Str => 3..;
        /// The member's static id, if it has one.
        group_instance_id: Option<Str> => 3..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 3..;
    }
}
