//! JoinGroup (11): joins a group, or joins it again for the next generation.

use bytes::Bytes;
use synod_wire::messages::join_group::{
    JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember,
};
use synod_wire::{ErrorCode, RequestHeader, Str};

use super::coordinator::{ask, detached};
use super::error_codes::of_group_error;
use crate::context::Context;
use crate::groups::GroupRequest;
use crate::groups::request::{Join, JoinAnswer, Protocol};
use crate::metadata::ids::random_id;

/// First version whose clients can be told to come back with an id.
const COME_BACK_VERSION: i16 = 4;

/// First version in which there may be no protocol.
const NULL_PROTOCOL_VERSION: i16 = 7;

/// First version whose leaders can be told that no assignment is wanted.
const SKIP_VERSION: i16 = 9;

/// Characters of a client's name in its member id, which must fit into a string of every version.
const CLIENT_ID_LENGTH: usize = 1024;

pub(super) async fn handle(
    context: &Context,
    header: &RequestHeader,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let member = request.member_id.detached();
    let answer = match new_member_id(header, &request) {
        Ok(new_member) => {
            let group = request.group_id.clone();
            let join = Box::new(join(context, header, &request, new_member));
            let asked = ask(context, &group, |reply| GroupRequest::Join(join, reply)).await;
            asked.unwrap_or_else(|error| JoinAnswer::refused(error, member))
        }
        Err(error) => {
            tracing::error!(%error, "no random member id can be drawn");
            let (error_code, member_id) = (ErrorCode::UNKNOWN_SERVER_ERROR, member);
            return JoinGroupResponse { error_code, member_id, ..JoinGroupResponse::default() };
        }
    };
    let mut response = respond(answer);
    if header.api_version < NULL_PROTOCOL_VERSION {
        response.protocol_name.get_or_insert_default();
    }
    response
}

fn respond(answer: JoinAnswer) -> JoinGroupResponse {
    let error_code = answer.error.map_or(ErrorCode::NONE, of_group_error);
    let member_id = answer.member;
    let Some(joined) = answer.joined else {
        let protocol_name = None;
        return JoinGroupResponse { error_code, member_id, protocol_name, ..Default::default() };
    };
    let members = joined.members.into_iter().map(|member| JoinGroupResponseMember {
        member_id: member.id,
        group_instance_id: member.instance,
        metadata: member.metadata,
    });
    JoinGroupResponse {
        error_code,
        generation_id: joined.generation,
        protocol_type: joined.protocol_type,
        protocol_name: joined.protocol,
        leader: joined.leader,
        skip_assignment: joined.skip_assignment,
        member_id,
        members: members.collect(),
        ..JoinGroupResponse::default()
    }
}

fn join(
    context: &Context,
    header: &RequestHeader,
    request: &JoinGroupRequest,
    new_member: Str,
) -> Join {
    let version = header.api_version;
    let protocols = request.protocols.iter().map(|protocol| Protocol {
        name: protocol.name.detached(),
        metadata: Bytes::copy_from_slice(&protocol.metadata),
    });
    Join {
        group: request.group_id.detached(),
        member: request.member_id.detached(),
        instance: detached(request.group_instance_id.as_ref()),
        new_member,
        can_come_back: version >= COME_BACK_VERSION,
        can_skip_assignment: version >= SKIP_VERSION,
        client_id: detached(header.client_id.as_ref()).unwrap_or_default(),
        // As Java writes an address.
        client_host: format!("/{}", context.peer().ip()).into(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: match version {
            0 => request.session_timeout_ms,
            _ => request.rebalance_timeout_ms,
        },
        protocol_type: request.protocol_type.detached(),
        protocols: protocols.collect(),
    }
}

/// The id that the member gets if it needs one: its static id or its client's name, and a random
/// number in the form of a UUID.
fn new_member_id(header: &RequestHeader, request: &JoinGroupRequest) -> std::io::Result<Str> {
    let name = request.group_instance_id.as_ref().or(header.client_id.as_ref());
    let name = name.map(Str::as_str).unwrap_or_default();
    let name: String = name.chars().take(CLIENT_ID_LENGTH).collect();
    let mut id = random_id()?;
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let uuid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    Ok(format!("{name}-{uuid}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_ids_begin_with_a_name_and_end_with_a_version_4_uuid() {
        let header = RequestHeader { client_id: Some("app".into()), ..RequestHeader::default() };
        let mut request = JoinGroupRequest::default();
        let id = new_member_id(&header, &request).unwrap();
        let (name, id) = id.split_once('-').unwrap();
        assert_eq!(name, "app");
        assert_eq!(uuid::Uuid::parse_str(id).unwrap().get_version_num(), 4);
        request.group_instance_id = Some("i-1".into());
        assert!(new_member_id(&header, &request).unwrap().starts_with("i-1-"));
        let header = RequestHeader { client_id: Some("ü".repeat(9000).into()), ..header };
        request.group_instance_id = None;
        assert!(new_member_id(&header, &request).unwrap().len() <= 2 * CLIENT_ID_LENGTH + 37);
        let nameless = RequestHeader { client_id: None, ..header };
        assert!(new_member_id(&nameless, &request).unwrap().starts_with('-'));
    }
}
