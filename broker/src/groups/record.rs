//! What the coordinator's log says, free of the record's bytes.

use std::sync::Arc;

use bytes::Bytes;
use synod_wire::offsets_topic::{
    GROUP_VALUE_VERSION, GroupMember, GroupMetadataKey, GroupMetadataValue,
    OFFSET_EXPIRY_VALUE_VERSION, OFFSET_VALUE_VERSION, OffsetCommitKey, OffsetCommitValue,
    OffsetsKey,
};
use synod_wire::{EncodeError, Str, Uuid};

use crate::state_log::{EncodedRecord, StateError};

/// A partition of a topic, by name: groups may commit offsets of topics that no longer exist.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Str,
    /// Index of the partition.
    pub partition: i32,
}

/// A committed offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The offset of the record to be consumed next.
    pub offset: i64,
    /// Leader epoch of the last record consumed.
    pub leader_epoch: Option<i32>,
    /// The consumer's own remark.
    pub metadata: Str,
    /// When it was committed, by the coordinator's wall clock.
    pub commit_ms: i64,
    /// When it ends to hold; `None`: as configured.
    pub expire_ms: Option<i64>,
    /// Id of the topic; zero: unknown.
    pub topic_id: Uuid,
}

/// A classic group as of its generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredGroup {
    /// Type of the protocols; `None` for a group that never had members.
    pub protocol_type: Option<Str>,
    /// The generation.
    pub generation: i32,
    /// The protocol in use.
    pub protocol: Option<Str>,
    /// Member id of the group's leader.
    pub leader: Option<Str>,
    /// When the group came into this state, by the coordinator's wall clock.
    pub since_ms: Option<i64>,
    /// The members.
    pub members: Vec<StoredMember>,
}

/// A member as of its group's generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredMember {
    /// Its id.
    pub id: Str,
    /// Its static id, if it has one.
    pub instance: Option<Str>,
    /// Its client id.
    pub client_id: Str,
    /// The host it connects from.
    pub client_host: Str,
    /// How long others wait for it to join again.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// Its metadata for the protocol in use.
    pub metadata: Bytes,
    /// Its assignment.
    pub assignment: Bytes,
}

/// One decided fact about groups.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupRecord {
    /// A group committed an offset.
    Committed {
        /// The group.
        group: Str,
        /// Of what.
        partition: TopicPartition,
        /// The offset.
        offset: Arc<CommittedOffset>,
    },
    /// A group's committed offset is gone.
    Forgotten {
        /// The group.
        group: Str,
        /// Of what.
        partition: TopicPartition,
    },
    /// A group came to a generation, or one of its members changed its id.
    Group {
        /// The group.
        group: Str,
        /// What is known of it from now on.
        stored: Arc<StoredGroup>,
    },
    /// A group is gone; its offsets are forgotten one by one.
    GroupGone {
        /// The group.
        group: Str,
    },
    /// A record of a kind that this version does not know, passed over as every reader does.
    Unknown,
}

impl GroupRecord {
    /// The record's key and value.
    ///
    /// # Errors
    /// A name in it is too long.
    pub fn encode(&self) -> Result<EncodedRecord, EncodeError> {
        let (key, value) = match self {
            Self::Committed { group, partition, offset } => {
                let version = match offset.expire_ms {
                    Some(_) => OFFSET_EXPIRY_VALUE_VERSION,
                    None => OFFSET_VALUE_VERSION,
                };
                (offset_key(group, partition), Some(offset_value(offset).encode(version)?))
            }
            Self::Forgotten { group, partition } => (offset_key(group, partition), None),
            Self::Group { group, stored } => {
                (group_key(group), Some(group_value(stored).encode(GROUP_VALUE_VERSION)?))
            }
            Self::GroupGone { group } => (group_key(group), None),
            Self::Unknown => return Ok(EncodedRecord::default()),
        };
        Ok(EncodedRecord { key: Some(key.encode()?), value })
    }

    /// The inverse of [`GroupRecord::encode`]. What it returns shares no memory with the bytes.
    ///
    /// # Errors
    /// The bytes are no record, or a value of a newer version.
    pub fn decode(record: &EncodedRecord) -> Result<Self, StateError> {
        let Some(key) = record.key.clone() else { return Ok(Self::Unknown) };
        Ok(match (OffsetsKey::decode(key)?, record.value.clone()) {
            (OffsetsKey::Offset(key), value) => {
                let group = key.group.detached();
                let partition =
                    TopicPartition { topic: key.topic.detached(), partition: key.partition };
                match value {
                    Some(value) => {
                        let offset = Arc::new(committed(&OffsetCommitValue::decode(value)?));
                        Self::Committed { group, partition, offset }
                    }
                    None => Self::Forgotten { group, partition },
                }
            }
            (OffsetsKey::Group(key), value) => {
                let group = key.group.detached();
                match value {
                    Some(value) => {
                        let stored = Arc::new(stored(&GroupMetadataValue::decode(value)?));
                        Self::Group { group, stored }
                    }
                    None => Self::GroupGone { group },
                }
            }
            (OffsetsKey::Other(_), _) => Self::Unknown,
        })
    }
}

fn offset_key(group: &Str, partition: &TopicPartition) -> OffsetsKey {
    let TopicPartition { topic, partition } = partition.clone();
    OffsetsKey::Offset(OffsetCommitKey { group: group.clone(), topic, partition })
}

fn group_key(group: &Str) -> OffsetsKey {
    OffsetsKey::Group(GroupMetadataKey { group: group.clone() })
}

fn offset_value(offset: &CommittedOffset) -> OffsetCommitValue {
    OffsetCommitValue {
        offset: offset.offset,
        leader_epoch: offset.leader_epoch.unwrap_or(-1),
        metadata: offset.metadata.clone(),
        commit_timestamp: offset.commit_ms,
        expire_timestamp: offset.expire_ms.unwrap_or(-1),
        topic_id: offset.topic_id,
    }
}

fn committed(value: &OffsetCommitValue) -> CommittedOffset {
    CommittedOffset {
        offset: value.offset,
        leader_epoch: Some(value.leader_epoch).filter(|epoch| *epoch >= 0),
        metadata: value.metadata.detached(),
        commit_ms: value.commit_timestamp,
        expire_ms: Some(value.expire_timestamp).filter(|time| *time != -1),
        topic_id: value.topic_id,
    }
}

fn group_value(stored: &StoredGroup) -> GroupMetadataValue {
    let members = stored.members.iter().map(|member| GroupMember {
        member_id: member.id.clone(),
        group_instance_id: member.instance.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: member.metadata.clone(),
        assignment: member.assignment.clone(),
    });
    GroupMetadataValue {
        protocol_type: stored.protocol_type.clone().unwrap_or_default(),
        generation: stored.generation,
        protocol: stored.protocol.clone(),
        leader: stored.leader.clone(),
        current_state_timestamp: stored.since_ms.unwrap_or(-1),
        members: members.collect(),
    }
}

fn stored(value: &GroupMetadataValue) -> StoredGroup {
    let members = value.members.iter().map(|member| StoredMember {
        id: member.member_id.detached(),
        instance: member.group_instance_id.as_ref().map(Str::detached),
        client_id: member.client_id.detached(),
        client_host: member.client_host.detached(),
        rebalance_timeout_ms: match member.rebalance_timeout {
            -1 => member.session_timeout,
            timeout => timeout,
        },
        session_timeout_ms: member.session_timeout,
        metadata: Bytes::copy_from_slice(&member.subscription),
        assignment: Bytes::copy_from_slice(&member.assignment),
    });
    StoredGroup {
        protocol_type: Some(value.protocol_type.detached()).filter(|kind| !kind.is_empty()),
        generation: value.generation,
        protocol: value.protocol.as_ref().map(Str::detached),
        leader: value.leader.as_ref().map(Str::detached),
        since_ms: Some(value.current_state_timestamp).filter(|time| *time != -1),
        members: members.collect(),
    }
}
