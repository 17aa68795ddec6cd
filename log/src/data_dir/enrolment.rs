//! The file that says which directory this is, and of which cluster it is a part.
//!
//! ```text
//! # Synod data directory: its id and its cluster
//! format 1
//! directory EBESExQVFhcYGRobHB0eHw
//! node 1
//! starts 5
//! formatted yes
//! cluster AAECAwQFBgcICQoLDA0ODw
//! member 1 EBESExQVFhcYGRobHB0eHw
//! member 2 ICEiIyQlJicoKSorLC0uLw
//! crc32 1c291ca3
//! ```
//!
//! The lines from `cluster` on are there once a cluster of several brokers has formed. The checksum
//! covers everything before its line. It is written anew, by rename, at each start.

use super::meta::MetaError;
use super::sheet::{self, field};
use crate::identity::{DirectoryId, Member, Membership};

const TITLE: &str = "# Synod data directory: its id and its cluster";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Enrolment {
    pub(super) directory: DirectoryId,
    pub(super) node_id: u32,
    /// How often the directory has been started.
    pub(super) starts: u64,
    /// The rest of the directory has been made: what is missing of it now was lost.
    pub(super) is_formatted: bool,
    pub(super) membership: Option<Membership>,
}

impl Enrolment {
    const FORMAT: u32 = 1;

    /// No such file is longer, in bytes.
    pub(super) const MAX_SIZE: u64 = 16 << 10;

    pub(super) fn encode(&self) -> String {
        let Self { directory, node_id, starts, is_formatted, membership } = self;
        let formatted = if *is_formatted { "yes" } else { "no" };
        let mut text = format!(
            "{TITLE}\nformat {}\ndirectory {directory}\nnode {node_id}\nstarts {starts}\n\
             formatted {formatted}\n",
            Self::FORMAT
        );
        if let Some(membership) = membership {
            text.push_str(&format!("cluster {}\n", membership.cluster_id));
            for Member { node_id, directory } in &membership.members {
                text.push_str(&format!("member {node_id} {directory}\n"));
            }
        }
        sheet::seal(&text)
    }

    pub(super) fn decode(content: &[u8]) -> Result<Self, MetaError> {
        let damaged = MetaError::Damaged;
        let other = "not the id of a data directory";
        let (text, _, mut lines) = sheet::open(content, TITLE, other, Self::FORMAT)?;
        let directory = field(lines.next(), "directory").ok_or(damaged("no directory id"))?;
        let node_id = field(lines.next(), "node").ok_or(damaged("no node"))?;
        let starts = field(lines.next(), "starts").ok_or(damaged("no starts"))?;
        let is_formatted = lines.next() == Some("formatted yes");
        let mut lines = lines.peekable();
        let membership = match field(lines.peek().copied(), "cluster") {
            Some(cluster_id) => {
                lines.next();
                let mut members = Vec::new();
                while let Some(member) = lines.peek().and_then(|line| member(line)) {
                    members.push(member);
                    lines.next();
                }
                Some(Membership { cluster_id, members })
            }
            None => None,
        };
        let enrolment = Self { directory, node_id, starts, is_formatted, membership };
        // There is one way to write it, so this compares the checksum and all else.
        if enrolment.encode() == text {
            Ok(enrolment)
        } else {
            Err(damaged("the checksum does not match"))
        }
    }
}

fn member(line: &str) -> Option<Member> {
    let (node_id, directory) = line.strip_prefix("member ")?.split_once(' ')?;
    Some(Member { node_id: node_id.parse().ok()?, directory: directory.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ClusterId;

    #[test]
    fn any_damage_is_noticed() {
        let member = |node_id| Member { node_id, directory: DirectoryId([node_id as u8; 16]) };
        let alone = Enrolment {
            directory: DirectoryId(*b"0123456789abcdef"),
            node_id: 17,
            starts: 3,
            is_formatted: false,
            membership: None,
        };
        let formed = Enrolment {
            is_formatted: true,
            membership: Some(Membership {
                cluster_id: ClusterId([9; 16]),
                members: vec![member(3), member(17)],
            }),
            ..alone.clone()
        };
        for enrolment in [alone, formed] {
            let text = enrolment.encode();
            assert_eq!(Enrolment::decode(text.as_bytes()), Ok(enrolment));
            for position in 0..text.len() {
                let cut = &text.as_bytes()[..position];
                assert!(Enrolment::decode(cut).is_err(), "cut at {position}");
                for bit in 0..8 {
                    let mut bytes = text.clone().into_bytes();
                    bytes[position] ^= 1 << bit;
                    let found = Enrolment::decode(&bytes);
                    assert!(found.is_err(), "bit {bit} of byte {position}");
                }
            }
        }
    }
}
