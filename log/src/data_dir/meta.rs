//! The file that says whose a data directory is.
//!
//! ```text
//! # Synod data directory
//! format 2
//! cluster AAECAwQFBgcICQoLDA0ODw
//! node 1
//! crc32 1c291ca3
//! ```
//!
//! The checksum covers everything before its line. Format 1 had no enrolment beside it.

use super::sheet::{self, field};
use crate::identity::{ClusterId, Identity};

const TITLE: &str = "# Synod data directory";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) identity: Identity,
    format: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetaError {
    Newer(u32),
    Damaged(&'static str),
}

impl Meta {
    /// The format of the whole directory that this build writes, and the newest that it knows.
    pub(super) const FORMAT: u32 = 2;

    /// No such file is longer, in bytes.
    pub(super) const MAX_SIZE: u64 = 4096;

    /// For a directory that is made now.
    pub(super) fn new(identity: Identity) -> Self {
        Self { identity, format: Self::FORMAT }
    }

    /// Whether an enrolment stood beside it from the beginning.
    pub(super) fn has_enrolment(&self) -> bool {
        self.format >= 2
    }

    pub(super) fn encode(&self) -> String {
        let Identity { cluster_id, node_id } = self.identity;
        let format = self.format;
        let text = format!("{TITLE}\nformat {format}\ncluster {cluster_id}\nnode {node_id}\n");
        sheet::seal(&text)
    }

    pub(super) fn decode(content: &[u8]) -> Result<Self, MetaError> {
        let damaged = MetaError::Damaged;
        let other = "not the description of a data directory";
        let (text, format, mut lines) = sheet::open(content, TITLE, other, Self::FORMAT)?;
        let cluster_id: ClusterId = field(lines.next(), "cluster").ok_or(damaged("no cluster"))?;
        let node_id = field(lines.next(), "node").ok_or(damaged("no node"))?;
        let meta = Self { identity: Identity { cluster_id, node_id }, format };
        // There is one way to write it, so this compares the checksum and all else.
        if meta.encode() == text { Ok(meta) } else { Err(damaged("the checksum does not match")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_1_is_still_read() {
        let identity = Identity { cluster_id: ClusterId(*b"0123456789abcdef"), node_id: 17 };
        let old = Meta { identity, format: 1 };
        assert_eq!(Meta::decode(old.encode().as_bytes()), Ok(old));
        assert!(!old.has_enrolment() && Meta::new(identity).has_enrolment());
    }

    #[test]
    fn any_damage_is_noticed() {
        let identity = Identity { cluster_id: ClusterId(*b"0123456789abcdef"), node_id: 17 };
        let text = Meta::new(identity).encode();
        assert_eq!(Meta::decode(text.as_bytes()), Ok(Meta::new(identity)));
        for position in 0..text.len() {
            assert!(Meta::decode(&text.as_bytes()[..position]).is_err(), "cut at {position}");
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[position] ^= 1 << bit;
                assert!(Meta::decode(&bytes).is_err(), "bit {bit} of byte {position}");
            }
        }
    }
}
