//! What the members of a consumer group tell each other through the coordinator, which passes it on
//! unread: subscriptions inside JoinGroup, assignments inside SyncGroup.
//!
//! Each begins with its version. A version that is not known yet has the known fields first and
//! more behind them, so it is read as the newest known one, and what follows is passed over.

use bytes::Bytes;

use crate::error::{DecodeErrorKind, EncodeError};
use crate::field::{Field, Version};
use crate::schema::structs;
use crate::{DecodeError, Reader, Str, Writer};

/// The newest version of all of them.
const NEWEST: i16 = 3;

structs! {
    /// Partitions of one topic.
    struct TopicPartitions {
        /// Name of the topic.
        topic: Str => 0..;
        /// Numbers of the partitions.
        partitions: Vec<i32> => 0..;
    }

    /// What a member wants.
    struct Subscription {
        /// The topics.
        topics: Vec<Str> => 0..;
        /// What the assignor wants to know besides.
        user_data: Option<Bytes> => 0..;
        /// The partitions it holds on to while it joins.
        owned_partitions: Vec<TopicPartitions> => 1..;
        /// The generation in which it got them; -1: unknown.
        generation_id: i32 => 2.., default -1;
        /// The member's rack.
        rack_id: Option<Str> => 3..;
    }

    /// What a member gets.
    struct Assignment {
        /// The partitions.
        assigned_partitions: Vec<TopicPartitions> => 0..;
        /// What the assignor wants the member to know besides.
        user_data: Option<Bytes> => 0..;
    }

    /// The user data of Kafka's sticky assignor: what the member had before.
    struct StickyUserData {
        /// The partitions.
        previous_assignment: Vec<TopicPartitions> => 0..;
        /// The generation in which it got them; not in what early versions write.
        generation: i32 => 1.., default -1;
    }
}

fn version(number: i16) -> Version {
    Version { number, flexible: false }
}

fn decode<T: Field>(bytes: Bytes) -> Result<T, DecodeError> {
    let mut r = Reader::new(bytes);
    let number = i16::read(&mut r, version(0))?;
    if number < 0 {
        return Err(r.error(DecodeErrorKind::UnsupportedVersion(number)));
    }
    T::read(&mut r, version(number.min(NEWEST)))
}

fn encode<T: Field>(value: &T) -> Result<Bytes, EncodeError> {
    let mut w = Writer::new();
    w.put(&NEWEST.to_be_bytes());
    value.write(&mut w, version(NEWEST))?;
    Ok(w.into_segments().concat().into())
}

impl Subscription {
    /// Reads it with the version in front.
    ///
    /// # Errors
    /// When the bytes are no subscription.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        decode(bytes)
    }

    /// Writes it with the version in front.
    ///
    /// # Errors
    /// When a topic's name is too long.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        encode(self)
    }
}

impl Assignment {
    /// Reads it with the version in front.
    ///
    /// # Errors
    /// When the bytes are no assignment.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        decode(bytes)
    }

    /// Writes it with the version in front.
    ///
    /// # Errors
    /// When a topic's name is too long.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        encode(self)
    }
}

impl StickyUserData {
    /// Reads it; it has no version, so the older form is the one that ends earlier.
    ///
    /// # Errors
    /// When the bytes are neither form.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let newer = Self::read(&mut Reader::new(bytes.clone()), version(1));
        newer.or_else(|_| Self::read(&mut Reader::new(bytes), version(0)))
    }

    /// Writes it in the newer form.
    ///
    /// # Errors
    /// When a topic's name is too long.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut w = Writer::new();
        self.write(&mut w, version(1))?;
        Ok(w.into_segments().concat().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(topic: &str, partitions: &[i32]) -> TopicPartitions {
        TopicPartitions { topic: topic.into(), partitions: partitions.to_vec() }
    }

    #[test]
    fn a_subscription_is_written_as_other_clients_write_it() {
        let subscription = Subscription {
            topics: vec!["t".into()],
            owned_partitions: vec![held("t", &[2])],
            generation_id: 7,
            ..Subscription::default()
        };
        let bytes = subscription.encode().unwrap();
        let expected = [
            &[0, 3][..],
            &[0, 0, 0, 1, 0, 1, b't'],
            &[0xff, 0xff, 0xff, 0xff],
            &[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 2],
            &[0, 0, 0, 7],
            &[0xff, 0xff],
        ];
        assert_eq!(bytes, expected.concat());
        assert_eq!(Subscription::decode(bytes).unwrap(), subscription);
    }

    #[test]
    fn older_and_newer_versions_are_understood() {
        // Version 0 with user data, as kafka-python writes it.
        let old = [0, 0, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 9];
        let read = Subscription::decode(Bytes::copy_from_slice(&old)).unwrap();
        assert_eq!((&*read.topics[0], read.user_data), ("t", Some(Bytes::from_static(&[9]))));
        assert_eq!(read.generation_id, -1);
        let assignment = Assignment {
            assigned_partitions: vec![held("t", &[0, 1])],
            user_data: Some(Bytes::new()),
        };
        let mut newer = assignment.encode().unwrap().to_vec();
        newer[1] = 99;
        newer.extend([1, 2, 3]);
        assert_eq!(Assignment::decode(newer.into()).unwrap(), assignment);
    }

    #[test]
    fn nonsense_is_an_error() {
        for bytes in [&[][..], &[0], &[0xff, 0xff, 0, 0, 0, 0], &[0, 0, 0x7f, 0xff, 0xff, 0xff]] {
            assert!(Subscription::decode(Bytes::copy_from_slice(bytes)).is_err(), "{bytes:?}");
            assert!(Assignment::decode(Bytes::copy_from_slice(bytes)).is_err(), "{bytes:?}");
        }
        assert!(StickyUserData::decode(Bytes::from_static(&[0, 0, 1, 0])).is_err());
    }

    #[test]
    fn both_forms_of_sticky_user_data_are_understood() {
        let data = StickyUserData { previous_assignment: vec![held("t", &[4])], generation: 6 };
        let bytes = data.encode().unwrap();
        assert_eq!(StickyUserData::decode(bytes.clone()).unwrap(), data);
        let older = StickyUserData::decode(bytes.slice(..bytes.len() - 4)).unwrap();
        assert_eq!((older.previous_assignment, older.generation), (data.previous_assignment, -1));
    }
}
