//! Whose data this is: the cluster and the node that wrote it.

use std::fmt;
use std::str::FromStr;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Characters that 16 bytes take.
const TEXT_SIZE: usize = 22;

/// A cluster's id, made once when the cluster forms. Shown as Kafka shows ids: 22 characters of
/// URL-safe base64 without padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub [u8; 16]);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_id(self.0, f)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a cluster id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cluster id: 22 characters of URL-safe base64 expected")]
pub struct ParseClusterIdError;

impl FromStr for ClusterId {
    type Err = ParseClusterIdError;

    /// Takes exactly what `Display` writes.
    fn from_str(text: &str) -> Result<Self, ParseClusterIdError> {
        parse_id(text).map(Self).ok_or(ParseClusterIdError)
    }
}

/// A data directory's id, drawn when it is made: a broker that lost its data comes back with
/// another one. Shown as cluster ids are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirectoryId(pub [u8; 16]);

impl fmt::Display for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_id(self.0, f)
    }
}

impl fmt::Debug for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a directory id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a directory id: 22 characters of URL-safe base64 expected")]
pub struct ParseDirectoryIdError;

impl FromStr for DirectoryId {
    type Err = ParseDirectoryIdError;

    /// Takes exactly what `Display` writes.
    fn from_str(text: &str) -> Result<Self, ParseDirectoryIdError> {
        parse_id(text).map(Self).ok_or(ParseDirectoryIdError)
    }
}

fn show_id(id: [u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // 128 bits in digits of 6: 21 whole ones, and the last has 2 bits on its left.
    let value = u128::from_be_bytes(id);
    for index in 0..TEXT_SIZE {
        let digit = match 122_usize.checked_sub(6 * index) {
            Some(shift) => value >> shift,
            None => value << 4,
        };
        write!(f, "{}", char::from(ALPHABET[(digit & 63) as usize]))?;
    }
    Ok(())
}

fn parse_id(text: &str) -> Option<[u8; 16]> {
    if text.len() != TEXT_SIZE {
        return None;
    }
    let mut value = 0u128;
    for (index, byte) in text.bytes().enumerate() {
        let digit = ALPHABET.iter().position(|digit| *digit == byte)? as u128;
        value = if index + 1 < TEXT_SIZE {
            value << 6 | digit
        } else if digit & 15 == 0 {
            value << 2 | digit >> 4
        } else {
            return None;
        };
    }
    Some(value.to_be_bytes())
}

/// A voter of a cluster, and the data directory that holds what it promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// The voter.
    pub node_id: u32,
    /// Its data directory. A node that comes with another one is not this member.
    pub directory: DirectoryId,
}

/// A cluster of several brokers, as it formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// Its voters in order of node id.
    pub members: Vec<Member>,
}

impl Membership {
    /// The directory of a node, if it is a voter.
    #[must_use]
    pub fn directory(&self, node_id: u32) -> Option<DirectoryId> {
        let member = self.members.iter().find(|member| member.node_id == node_id)?;
        Some(member.directory)
    }
}

/// The cluster and the node in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The node's number in the cluster.
    pub node_id: u32,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} of cluster {}", self.node_id, self.cluster_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_ids_are_written_as_kafka_writes_them() {
        // As `java.util.Base64.getUrlEncoder().withoutPadding()` gives.
        let id = ClusterId(*b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f");
        assert_eq!(id.to_string(), "AAECAwQFBgcICQoLDA0ODw");
        assert_eq!(ClusterId([0xff; 16]).to_string(), "_____________________w");
        for byte in 0..=255 {
            let id = ClusterId([byte; 16]);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for wrong in
            ["", "AAECAwQFBgcICQoLDA0OD", "AAECAwQFBgcICQoLDA0ODx", "AAECAwQFBgcICQoLDA0O+w"]
        {
            assert_eq!(wrong.parse::<ClusterId>(), Err(ParseClusterIdError), "{wrong}");
        }
    }
}
