//! Identities in cluster metadata. Sentinels (`-1`, the zero id) exist only at the wire edge.

use std::{fmt, io, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use synod_wire::Uuid;

/// A broker's number, unique in its cluster and chosen by the operator; never negative.
///
/// It is Kafka's broker id; the same number names the broker in replica sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BrokerId(pub u32);

impl BrokerId {
    /// The number as Kafka's requests and responses carry it.
    ///
    /// Broker numbers are checked against `i32::MAX` where they enter (configuration and wire).
    #[must_use]
    pub fn as_wire(self) -> i32 {
        i32::try_from(self.0).unwrap_or(i32::MAX)
    }

    /// The broker that a client's request names, or `None` for a negative number.
    #[must_use]
    pub fn from_wire(id: i32) -> Option<Self> {
        u32::try_from(id).ok().map(Self)
    }
}

impl fmt::Display for BrokerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A topic's identity for ever: a topic created again under an old name has another id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId([u8; 16]);

impl TopicId {
    /// The bytes of [`TopicId::METADATA`].
    pub const METADATA_BYTES: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

    /// The id of the metadata group's own log; never a user's topic.
    pub const METADATA: Self = Self(Self::METADATA_BYTES);

    /// Takes the id's bytes; `None` for the two ids that no topic may have (all zero, and
    /// [`TopicId::METADATA`]).
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Option<Self> {
        let id = Self(bytes);
        (bytes != [0; 16] && id != Self::METADATA).then_some(id)
    }

    /// An id that nothing has had: practically unique.
    ///
    /// # Errors
    /// The operating system's random source failed.
    pub fn random() -> io::Result<Self> {
        loop {
            if let Some(id) = Self::new(random_id()?) {
                return Ok(id);
            }
        }
    }

    /// An id from bytes that were a topic's id before, without [`TopicId::new`]'s check.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id's bytes, as in `synod_log::PartitionKey` and on the wire.
    #[must_use]
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }
}

/// One random id from the operating system, for topics, clusters and incarnations.
///
/// # Errors
/// The operating system's random source failed.
pub fn random_id() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

impl fmt::Display for TopicId {
    /// Kafka's text form: url-safe base64 without padding, 22 characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Uuid(self.0), f)
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a topic id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a topic id: want 22 characters of url-safe base64")]
pub struct TopicIdError(String);

impl FromStr for TopicId {
    type Err = TopicIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = text.parse::<Uuid>();
        id.map(|id| Self(id.0)).map_err(|_| TopicIdError(text.chars().take(64).collect()))
    }
}

impl Serialize for TopicId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TopicId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_kafkas() {
        // Base64 of these bytes as any base64 tool prints it, without its padding.
        let cases = [
            ([0; 16], "AAAAAAAAAAAAAAAAAAAAAA"),
            ([0xff; 16], "_____________________w"),
            (*b"0123456789abcdef", "MDEyMzQ1Njc4OWFiY2RlZg"),
        ];
        for (bytes, text) in cases {
            assert_eq!(TopicId::from_bytes(bytes).to_string(), text);
            assert_eq!(text.parse::<TopicId>().unwrap().bytes(), bytes);
        }
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        for text in ["", "short", "_____________________x", "MDEyMzQ1Njc4OWFiY2RlZ+", "é"] {
            assert!(text.parse::<TopicId>().is_err(), "{text}");
        }
        assert!("AAAAAAAAAAAAAAAAAAAAAAA".parse::<TopicId>().is_err());
    }

    #[test]
    fn reserved_ids_are_no_topics() {
        assert_eq!(TopicId::new([0; 16]), None);
        assert_eq!(TopicId::new(TopicId::METADATA.bytes()), None);
        assert!(TopicId::new([7; 16]).is_some());
    }

    #[test]
    fn random_ids_differ() {
        assert_ne!(random_id().unwrap(), random_id().unwrap());
    }
}
