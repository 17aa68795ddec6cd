//! A member of a group, in memory.

use bytes::Bytes;
use synod_wire::Str;

use super::record::StoredMember;
use super::request::{DescribedMember, Join, JoinedMember, Protocol};

/// A member. Who waits for what is kept by its group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) id: Str,
    pub(super) instance: Option<Str>,
    pub(super) client_id: Str,
    pub(super) client_host: Str,
    pub(super) session_timeout_ms: i32,
    pub(super) rebalance_timeout_ms: i32,
    /// What it knows, the protocol it likes best first; no name twice.
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Bytes,
    /// It has not been part of a generation yet.
    pub(super) is_new: bool,
}

impl Member {
    /// The member that `join` asks for, under the id that it has or gets.
    pub(super) fn new(id: Str, join: &Join) -> Member {
        let mut member = Member {
            id,
            instance: join.instance.clone(),
            client_id: join.client_id.clone(),
            client_host: join.client_host.clone(),
            is_new: true,
            ..Member::default()
        };
        member.update(join);
        member
    }

    /// Takes over what it says of itself when it joins again.
    pub(super) fn update(&mut self, join: &Join) {
        self.session_timeout_ms = join.session_timeout_ms;
        self.rebalance_timeout_ms = join.rebalance_timeout_ms;
        self.protocols.clone_from(&join.protocols);
    }

    /// The member as the log has it.
    pub(super) fn from_stored(stored: &StoredMember, protocol: Option<&Str>) -> Member {
        let name = protocol.cloned().unwrap_or_default();
        Member {
            id: stored.id.clone(),
            instance: stored.instance.clone(),
            client_id: stored.client_id.clone(),
            client_host: stored.client_host.clone(),
            session_timeout_ms: stored.session_timeout_ms,
            rebalance_timeout_ms: stored.rebalance_timeout_ms,
            protocols: vec![Protocol { name, metadata: stored.metadata.clone() }],
            assignment: stored.assignment.clone(),
            is_new: false,
        }
    }

    /// The member as the log keeps it.
    pub(super) fn to_stored(&self, protocol: Option<&Str>, assignment: Bytes) -> StoredMember {
        StoredMember {
            id: self.id.clone(),
            instance: self.instance.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            metadata: self.metadata(protocol),
            assignment,
        }
    }

    /// Its metadata for a protocol; empty for one that it does not know.
    pub(super) fn metadata(&self, protocol: Option<&Str>) -> Bytes {
        let known = self.protocols.iter().find(|known| Some(&known.name) == protocol);
        known.map(|known| known.metadata.clone()).unwrap_or_default()
    }

    /// The member as told to the group's leader.
    pub(super) fn to_joined(&self, protocol: Option<&Str>) -> JoinedMember {
        JoinedMember {
            id: self.id.clone(),
            instance: self.instance.clone(),
            metadata: self.metadata(protocol),
        }
    }

    /// The member as told to tools; with its metadata if a protocol is given.
    pub(super) fn describe(&self, protocol: Option<&Str>) -> DescribedMember {
        DescribedMember {
            id: self.id.clone(),
            instance: self.instance.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            metadata: self.metadata(protocol),
            assignment: self.assignment.clone(),
        }
    }
}
