//! The records of `__consumer_offsets`: what a group coordinator keeps, as any reader of that topic
//! finds it.
//!
//! Key and value each begin with a version number. That of a key tells what the record is about:
//! 0 and 1 a committed offset, 2 a classic group. A record without a value takes back what earlier
//! records said under its key.

use bytes::Bytes;

use crate::error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind};
use crate::field::{Field, Version};
use crate::reader::Reader;
use crate::schema::structs;
use crate::writer::Writer;
use crate::{Str, Uuid};

/// Version of the value that a commit writes.
pub const OFFSET_VALUE_VERSION: i16 = 4;

/// Version of the value of a commit that names its own end of life; later ones cannot.
pub const OFFSET_EXPIRY_VALUE_VERSION: i16 = 1;

/// Version of the value that describes a group.
pub const GROUP_VALUE_VERSION: i16 = 3;

/// The highest version of values that can be read.
const VALUE_VERSION_MAX: i16 = 4;

/// First version of values with compact lengths and tagged fields.
const VALUE_FLEXIBLE: i16 = 4;

/// Version of the keys of committed offsets.
const OFFSET_KEY: i16 = 1;

/// Version of the keys of classic groups.
const GROUP_KEY: i16 = 2;

structs! {
    /// Names a committed offset.
    struct OffsetCommitKey {
        /// The group.
        group: Str => 0..;
        /// The topic's name.
        topic: Str => 0..;
        /// Index of the partition.
        partition: i32 => 0..;
    }

    /// A committed offset.
    struct OffsetCommitValue {
        /// The offset of the record to be consumed next.
        offset: i64 => 0..;
        /// Leader epoch of the last record consumed; -1: unknown.
        leader_epoch: i32 => 3.., default -1;
        /// The consumer's own remark.
        metadata: Str => 0..;
        /// When it was committed, in milliseconds since 1970.
        commit_timestamp: i64 => 0..;
        /// When it ends to hold, in milliseconds since 1970; -1: as the broker is configured.
        expire_timestamp: i64 => 1..=1, default -1;
        /// Id of the topic; zero: unknown.
        topic_id: Uuid => 4.., tag 0;
    }

    /// Names a group.
    struct GroupMetadataKey {
        /// The group.
        group: Str => 0..;
    }

    /// A classic group as of a generation.
    struct GroupMetadataValue {
        /// Type of the protocols, such as `consumer`; empty: none.
        protocol_type: Str => 0..;
        /// The generation.
        generation: i32 => 0..;
        /// The protocol in use.
        protocol: Option<Str> => 0..;
        /// Member id of the group's leader.
        leader: Option<Str> => 0..;
        /// When the group came into this state, in milliseconds since 1970; -1: unknown.
        current_state_timestamp: i64 => 2.., default -1;
        /// The members.
        members: Vec<GroupMember> => 0..;
    }

    /// A member of a classic group.
    struct GroupMember {
        /// Its id.
        member_id: Str => 0..;
        /// Its static id, if it has one.
        group_instance_id: Option<Str> => 3..;
        /// Its client id.
        client_id: Str => 0..;
        /// The host it connects from.
        client_host: Str => 0..;
        /// How long others wait for it to join again, in ms; -1: as long as the session time-out.
        rebalance_timeout: i32 => 1.., default -1;
        /// How long it may be silent, in ms.
        session_timeout: i32 => 0..;
        /// Its metadata for the protocol in use.
        subscription: Bytes => 0..;
        /// Its assignment.
        assignment: Bytes => 0..;
    }
}

/// What a record is about.
#[derive(Clone, Debug, PartialEq)]
pub enum OffsetsKey {
    /// A committed offset; the value is an [`OffsetCommitValue`].
    Offset(OffsetCommitKey),
    /// A classic group; the value is a [`GroupMetadataValue`].
    Group(GroupMetadataKey),
    /// Something that this crate does not know, by the key's version.
    Other(i16),
}

impl OffsetsKey {
    /// Reads a record's key.
    ///
    /// # Errors
    /// When the bytes are no key.
    pub fn decode(key: Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new(key);
        r.set_context("key version");
        let version = i16::read(&mut r, classic(0))?;
        let key = match version {
            0 | OFFSET_KEY => Self::Offset(OffsetCommitKey::read(&mut r, classic(version))?),
            GROUP_KEY => Self::Group(GroupMetadataKey::read(&mut r, classic(version))?),
            other => return Ok(Self::Other(other)),
        };
        r.finish()?;
        Ok(key)
    }

    /// The record's key.
    ///
    /// # Errors
    /// When a name is too long, or for [`OffsetsKey::Other`].
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        match self {
            Self::Offset(key) => encode(OFFSET_KEY, key, classic(OFFSET_KEY)),
            Self::Group(key) => encode(GROUP_KEY, key, classic(GROUP_KEY)),
            Self::Other(version) => {
                Err(Writer::new().error(EncodeErrorKind::UnsupportedVersion(*version)))
            }
        }
    }
}

macro_rules! value {
    ($name:ident) => {
        impl $name {
            /// Reads a record's value.
            ///
            /// # Errors
            /// When the bytes are no such value, or one of a newer version.
            pub fn decode(value: Bytes) -> Result<Self, DecodeError> {
                decode_value(value, concat!(stringify!($name), " version"))
            }

            /// The record's value in this version.
            ///
            /// # Errors
            /// When the version is unknown, or a field has no form in it.
            pub fn encode(&self, version: i16) -> Result<Bytes, EncodeError> {
                if !(0..=VALUE_VERSION_MAX).contains(&version) {
                    return Err(Writer::new().error(EncodeErrorKind::UnsupportedVersion(version)));
                }
                encode(version, self, value_version(version))
            }
        }
    };
}

value!(OffsetCommitValue);
value!(GroupMetadataValue);

fn classic(number: i16) -> Version {
    Version { number, flexible: false }
}

fn value_version(number: i16) -> Version {
    Version { number, flexible: number >= VALUE_FLEXIBLE }
}

fn encode(number: i16, body: &impl Field, version: Version) -> Result<Bytes, EncodeError> {
    let mut w = Writer::new();
    w.put(&number.to_be_bytes());
    body.write(&mut w, version)?;
    Ok(w.into_segments().concat().into())
}

fn decode_value<T: Field>(value: Bytes, context: &'static str) -> Result<T, DecodeError> {
    let mut r = Reader::new(value);
    r.set_context(context);
    let number = i16::read(&mut r, classic(0))?;
    if !(0..=VALUE_VERSION_MAX).contains(&number) {
        return Err(r.error(DecodeErrorKind::UnsupportedVersion(number)));
    }
    let body = T::read(&mut r, value_version(number))?;
    r.finish()?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::sample::{Rng, Sample};

    #[test]
    fn keys_have_kafkas_bytes() {
        let key = OffsetCommitKey { group: "g".into(), topic: "tt".into(), partition: 3 };
        let bytes = OffsetsKey::Offset(key.clone()).encode().unwrap();
        assert_eq!(bytes, &b"\0\x01\0\x01g\0\x02tt\0\0\0\x03"[..]);
        assert_eq!(OffsetsKey::decode(bytes).unwrap(), OffsetsKey::Offset(key));
        let key = GroupMetadataKey { group: "g".into() };
        let bytes = OffsetsKey::Group(key.clone()).encode().unwrap();
        assert_eq!(bytes, &b"\0\x02\0\x01g"[..]);
        assert_eq!(OffsetsKey::decode(bytes).unwrap(), OffsetsKey::Group(key));
    }

    #[test]
    fn values_have_kafkas_bytes() {
        let value = OffsetCommitValue {
            offset: 7,
            leader_epoch: 2,
            metadata: "m".into(),
            commit_timestamp: 9,
            ..OffsetCommitValue::default()
        };
        let bytes = value.encode(OFFSET_VALUE_VERSION).unwrap();
        let expected = b"\0\x04\0\0\0\0\0\0\0\x07\0\0\0\x02\x02m\0\0\0\0\0\0\0\x09\0";
        assert_eq!(bytes, &expected[..]);
        let value = GroupMetadataValue {
            protocol_type: "consumer".into(),
            generation: 1,
            current_state_timestamp: 5,
            ..GroupMetadataValue::default()
        };
        let bytes = value.encode(GROUP_VALUE_VERSION).unwrap();
        let expected = b"\0\x03\0\x08consumer\0\0\0\x01\xff\xff\xff\xff\0\0\0\0\0\0\0\x05\0\0\0\0";
        assert_eq!(bytes, &expected[..]);
    }

    #[test]
    fn every_version_comes_back_as_it_went() {
        let mut rng = Rng::new(1);
        for version in 0..=VALUE_VERSION_MAX {
            for _ in 0..50 {
                let offset = OffsetCommitValue::sample(&mut rng, value_version(version));
                let bytes = offset.encode(version).unwrap();
                assert_eq!(OffsetCommitValue::decode(bytes).unwrap(), offset);
                let group = GroupMetadataValue::sample(&mut rng, value_version(version));
                let bytes = group.encode(version).unwrap();
                assert_eq!(GroupMetadataValue::decode(bytes).unwrap(), group);
            }
        }
    }

    #[test]
    fn what_is_no_record_is_an_error() {
        assert!(OffsetsKey::decode(Bytes::from_static(b"\0")).is_err());
        assert!(OffsetsKey::decode(Bytes::from_static(b"\0\x02\0\x05g")).is_err());
        assert!(OffsetsKey::decode(Bytes::from_static(b"\0\x02\0\x01gx")).is_err(), "trailing");
        let newer = OffsetsKey::decode(Bytes::from_static(b"\0\x09anything")).unwrap();
        assert_eq!(newer, OffsetsKey::Other(9));
        assert!(newer.encode().is_err());
        assert!(OffsetCommitValue::decode(Bytes::from_static(b"\0\x05")).is_err(), "newer");
        assert!(OffsetCommitValue::default().encode(5).is_err());
        let bomb = b"\0\x03\0\0\0\0\0\x01\xff\xff\xff\xff\0\0\0\0\0\0\0\x05\x7f\xff\xff\xff";
        assert!(GroupMetadataValue::decode(Bytes::from_static(bomb)).is_err());
    }
}
