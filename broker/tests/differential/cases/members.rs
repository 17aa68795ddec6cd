//! Scripted group members: each a connection of its own that sends what it is told to, and names in
//! place of the random ids that brokers give out.

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use kafka_protocol::messages::join_group_response::JoinGroupResponse;
use kafka_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_commit_response::OffsetCommitResponse;
use kafka_protocol::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use kafka_protocol::messages::{GroupId, HeartbeatRequest, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;

use crate::run::{Answer, Run, Silence, error, list};
use crate::support::wire::{Connection, text, topic_name};

pub(super) fn group_id(group: &str) -> GroupId {
    GroupId(text(group))
}

/// The members of one group, and what their ids stand for.
pub(super) struct Script {
    pub(super) group: String,
    names: Vec<(String, String)>,
}

/// One member.
pub(super) struct Member {
    connection: Connection,
    name: String,
    pub(super) id: String,
    pub(super) instance: Option<String>,
    pub(super) generation: i32,
    pub(super) protocols: Vec<&'static str>,
    pub(super) protocol_type: &'static str,
    pub(super) session_ms: i32,
}

impl Script {
    pub(super) fn new(run: &Run, group: &str) -> Script {
        Script { group: run.topic(group), names: Vec::new() }
    }

    pub(super) fn member(&self, run: &Run, name: &str) -> Member {
        Member {
            connection: run.connect(),
            name: name.to_owned(),
            id: String::new(),
            instance: None,
            generation: -1,
            protocols: vec!["range", "roundrobin"],
            protocol_type: "consumer",
            session_ms: 30_000,
        }
    }

    /// Text with names in place of ids.
    pub(super) fn named(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (id, name)| text.replace(id, name))
    }

    fn learn(&mut self, id: &str, name: &str) {
        if !id.is_empty() && self.names.iter().all(|(known, _)| known != id) {
            let times = self.names.iter().filter(|(_, known)| known.starts_with(name)).count();
            let again = "'".repeat(times);
            self.names.push((id.to_owned(), format!("{name}{again}")));
        }
    }

    /// Sends a JoinGroup whose answer may take until others have joined.
    pub(super) fn send_join(&self, member: &mut Member, version: i16) {
        let protocols = member.protocols.iter().map(|name| {
            JoinGroupRequestProtocol::default()
                .with_name(StrBytes::from_static_str(name))
                .with_metadata(subscription())
        });
        let request = JoinGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_session_timeout_ms(member.session_ms)
            .with_rebalance_timeout_ms(60_000)
            .with_member_id(text(&member.id))
            .with_group_instance_id(member.instance.as_deref().map(text))
            .with_protocol_type(StrBytes::from_static_str(member.protocol_type))
            .with_protocols(protocols.collect());
        member.connection.send(version, &request).expect("the broker reads");
    }

    /// The answer to the JoinGroup sent last; the member takes over what it says.
    pub(super) fn joined(&mut self, member: &mut Member, version: i16) -> Answer<String> {
        let (_, answer) =
            member.connection.receive::<JoinGroupRequest>(version).map_err(Silence::from)?;
        self.learn(&answer.member_id, &member.name);
        if answer.error_code == 0 || answer.error_code == 79 {
            member.id = answer.member_id.to_string();
            member.generation = answer.generation_id;
        }
        // A static member may be told of before it has its own answer.
        for other in &answer.members {
            if let Some(instance) = &other.group_instance_id {
                self.learn(&other.member_id, instance.trim_start_matches('i'));
            }
        }
        Ok(self.show_join(&answer))
    }

    fn show_join(&self, answer: &JoinGroupResponse) -> String {
        let members = answer.members.iter().map(|one| {
            let known = one.metadata == subscription();
            let (id, instance) = (self.named(&one.member_id), &one.group_instance_id);
            format!("{id} {instance:?} {}", if known { "metadata" } else { "?" })
        });
        let mut members: Vec<String> = members.collect();
        members.sort();
        self.named(&format!(
            "{} generation {} {:?} {:?} leader {:?} me {:?} skip {} {members:?}",
            error(answer.error_code),
            answer.generation_id,
            answer.protocol_type,
            answer.protocol_name,
            answer.leader,
            answer.member_id,
            answer.skip_assignment,
        ))
    }

    pub(super) fn join(&mut self, member: &mut Member, version: i16) -> Answer<String> {
        self.send_join(member, version);
        self.joined(member, version)
    }

    /// Joins with an id that the broker gives out first.
    pub(super) fn send_join_anew(&mut self, member: &mut Member) {
        let answer = self.join(member, 9).expect("an id");
        assert!(answer.starts_with("MemberIdRequired"), "{answer}");
        self.send_join(member, 9);
    }

    pub(super) fn send_sync(&self, member: &mut Member, given: &[(&str, &'static str)]) {
        let assignments = given.iter().map(|(id, bytes)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(id))
                .with_assignment(Bytes::from_static(bytes.as_bytes()))
        });
        let request = SyncGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(member.generation)
            .with_member_id(text(&member.id))
            .with_group_instance_id(member.instance.as_deref().map(text))
            .with_protocol_type(Some(StrBytes::from_static_str(member.protocol_type)))
            .with_protocol_name(Some(StrBytes::from_static_str(member.protocols[0])))
            .with_assignments(assignments.collect());
        member.connection.send(5, &request).expect("the broker reads");
    }

    pub(super) fn synced(&self, member: &mut Member) -> Answer<String> {
        let (_, answer): (i32, SyncGroupResponse) =
            member.connection.receive::<SyncGroupRequest>(5).map_err(Silence::from)?;
        let assignment = String::from_utf8_lossy(&answer.assignment).into_owned();
        let (kind, name) = (answer.protocol_type, answer.protocol_name);
        let code = error(answer.error_code);
        Ok(format!("{code} {kind:?} {name:?} {assignment:?}"))
    }

    pub(super) fn sync(
        &self,
        member: &mut Member,
        given: &[(&str, &'static str)],
    ) -> Answer<String> {
        self.send_sync(member, given);
        self.synced(member)
    }

    pub(super) fn heartbeat(&self, member: &mut Member) -> Answer<String> {
        let request = HeartbeatRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(member.generation)
            .with_member_id(text(&member.id))
            .with_group_instance_id(member.instance.as_deref().map(text));
        let answer = member.connection.try_call(4, &request).map_err(Silence::from)?;
        Ok(error(answer.error_code))
    }

    /// Members leave, by id and static id.
    pub(super) fn leave(&self, run: &Run, who: &[(&str, Option<&str>)]) -> Answer<String> {
        let members = who.iter().map(|(id, instance)| {
            MemberIdentity::default()
                .with_member_id(text(id))
                .with_group_instance_id(instance.map(text))
        });
        let request = LeaveGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_members(members.collect());
        let answer = run.call(5, &request)?;
        let members = list(&answer.members, |member| {
            format!(
                "{} {:?} {}",
                member.member_id,
                member.group_instance_id,
                error(member.error_code)
            )
        });
        Ok(self.named(&format!("{} {members}", error(answer.error_code))))
    }

    pub(super) fn commit(&self, member: &mut Member, topic: &str, offset: i64) -> Answer<String> {
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = OffsetCommitRequestTopic::default()
            .with_name(topic_name(topic))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id_or_member_epoch(member.generation)
            .with_member_id(text(&member.id))
            .with_group_instance_id(member.instance.as_deref().map(text))
            .with_topics(vec![topic]);
        let answer = member.connection.try_call(8, &request).map_err(Silence::from)?;
        Ok(show_commit(&answer))
    }
}

pub(super) fn show_commit(answer: &OffsetCommitResponse) -> String {
    list(&answer.topics, |topic| {
        list(&topic.partitions, |one| format!("{} {}", one.partition_index, error(one.error_code)))
    })
}

/// A subscription to a topic that does not exist.
pub(super) fn subscription() -> Bytes {
    Bytes::from_static(b"\0\0\0\0\0\x01\0\x05topic\xff\xff\xff\xff")
}
