//! JoinGroup: joins a group, or joins it again for the next generation.

use bytes::Bytes;

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    JOIN_GROUP: JoinGroupRequest => JoinGroupResponse,
    versions 0..=9, flexible Some(6)
}

structs! {
    /// Joins a group, or joins it again for the next generation.
    struct JoinGroupRequest {
        /// The group.
        group_id: Str => 0..;
        /// How long the member may be silent before it is removed.
        session_timeout_ms: i32 => 0..;
        /// How long the others wait for the member to join again.
        rebalance_timeout_ms: i32 => 1.., default -1;
        /// The member's id; empty on the first call.
        member_id: Str => 0..;
        /// The member's static id, if it has one.
        group_instance_id: Option<Str> => 5..;
        /// Type of the protocols, such as `consumer`.
        protocol_type: Str => 0..;
        /// The protocols the member knows, the one it likes best first.
        protocols: Vec<JoinGroupRequestProtocol> => 0..;
        /// Why, in words.
        reason: Option<Str> => 8..;
    }

    /// One protocol that the member knows.
    struct JoinGroupRequestProtocol {
        /// The name.
        name: Str => 0..;
        /// The member's metadata for this protocol, opaque to the broker.
        metadata: Bytes => 0..;
    }

    /// The answer to [`JoinGroupRequest`].
    struct JoinGroupResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 2..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 0..;
        /// The group's generation.
        generation_id: i32 => 0.., default -1;
        /// Type of the protocols, such as `consumer`.
        protocol_type: Option<Str> => 7..;
        /// The protocol in use.
        protocol_name: Option<Str> => 0.., default Some(Str::EMPTY), nullable 7..;
        /// Member id of the group's leader.
        leader: Str => 0..;
        /// Whether the leader must not compute assignments.
        skip_assignment: bool => 9..;
        /// The member's id; empty when it has none yet.
        member_id: Str => 0..;
        /// The members.
        members: Vec<JoinGroupResponseMember> => 0..;
    }

    /// One member, as told to the leader.
    struct JoinGroupResponseMember {
        /// The member's id; empty when it has none yet.
        member_id: Str => 0..;
        /// The member's static id, if it has one.
        group_instance_id: Option<Str> => 5..;
        /// The member's metadata for this protocol, opaque to the broker.
        metadata: Bytes => 0..;
    }
}
