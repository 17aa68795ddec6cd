//! How two brokers get to know each other before anything else is said.
//!
//! The dialer introduces itself, the other side answers with its own introduction and, if it
//! refuses the connection, with the reason. Both compare the introductions with what they know of
//! themselves, by the same rules, so both notice what does not fit and say so in their own logs.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use synod_log::identity::{ClusterId, DirectoryId, Member, Membership};

use super::frame::{EncodeError, Frame, FrameError, Kind, encode_head};
use super::message::{Channel, Incarnation};
use crate::planted::{PlantedBug, is_planted};

/// What a broker says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Introduction {
    pub(crate) node: u32,
    /// Its data directory's id.
    pub(crate) directory: [u8; 16],
    pub(crate) incarnation: Incarnation,
    /// Its `cluster` setting in canonical form; empty without one.
    pub(crate) voters: String,
    /// The cluster it belongs to, once that has formed.
    pub(crate) cluster: Option<[u8; 16]>,
    /// The voters with their data directories: of the formed cluster, or as far as this broker has
    /// found them by dialing, itself included.
    pub(crate) members: Vec<(u32, [u8; 16])>,
}

/// The dialer's first frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) from: Introduction,
    /// Who should be at this address.
    pub(crate) to: u32,
    pub(crate) channel: Channel,
}

/// The answer to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HelloReply {
    pub(crate) from: Introduction,
    pub(crate) outcome: Result<Session, Refusal>,
}

/// What the frames of a connection carry, drawn anew for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session(pub(crate) u64);

/// Why a connection is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// The two do not fit together.
    Mismatch(Mismatch),
    /// At the dialer's address in the cluster list somebody else answers.
    Impostor,
    /// Nobody answers at the dialer's address, so it cannot be verified now.
    Unverified,
    /// The cluster is not formed here yet.
    Forming,
    /// This broker is starting or stopping.
    NotServing,
}

/// What does not fit, in the words of the side that says it: `other` is the one it talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mismatch {
    /// The address leads to another node than the dialer means.
    WrongNode { meant: u32 },
    /// Both are the same process.
    Oneself,
    /// Both have one node id.
    SameNode,
    /// The cluster lists differ.
    Lists,
    /// They belong to different clusters.
    Clusters,
    /// The other's data directory is not the one that its node had when the cluster formed.
    OtherDirectory,
    /// This side's data directory is not the one that its node had when the other's cluster formed.
    OwnDirectory,
}

impl Mismatch {
    /// The same, as the other side sees it.
    pub(crate) fn reversed(self) -> Mismatch {
        match self {
            Mismatch::OtherDirectory => Mismatch::OwnDirectory,
            Mismatch::OwnDirectory => Mismatch::OtherDirectory,
            same => same,
        }
    }

    /// Tells the operator of the broker `own` about `other`, and what to do.
    pub(crate) fn describe(self, own: &Introduction, other: &Introduction) -> String {
        let (me, it) = (own.node, other.node);
        let list = |voters: &str| match voters {
            "" => "no cluster list".to_owned(),
            voters => format!("the cluster list {voters}"),
        };
        match self {
            Mismatch::WrongNode { meant } => format!(
                "node {it} answers where node {meant} should; correct the cluster list or start \
                 the brokers where it says"
            ),
            Mismatch::Oneself => {
                "the address leads back to this broker; correct the cluster list".to_owned()
            }
            Mismatch::SameNode => format!(
                "another broker runs as node {me}, too; give each broker a node id of its own"
            ),
            Mismatch::Lists => format!(
                "node {it} was started with {}, this broker with {}; start all brokers with one \
                 list",
                list(&other.voters),
                list(&own.voters)
            ),
            Mismatch::Clusters => format!(
                "node {it} belongs to cluster {}, this broker to cluster {}; one of them has the \
                 wrong address or data directory",
                show_cluster(other.cluster),
                show_cluster(own.cluster)
            ),
            Mismatch::OtherDirectory => format!(
                "node {it} comes with data directory {} instead of {}: it lost its data or runs \
                 twice. It must not vote; give it back its data directory",
                DirectoryId(other.directory),
                show_directory(own.member(it)),
            ),
            Mismatch::OwnDirectory => format!(
                "cluster {} knows node {me} with data directory {}, not {}: the data was lost or \
                 the node id is taken. This broker must not vote; give it back its data directory",
                show_cluster(other.cluster),
                show_directory(other.member(me)),
                DirectoryId(own.directory),
            ),
        }
    }
}

fn show_cluster(id: Option<[u8; 16]>) -> String {
    id.map_or_else(|| "(none)".to_owned(), |id| ClusterId(id).to_string())
}

fn show_directory(id: Option<[u8; 16]>) -> String {
    id.map_or_else(|| "(none)".to_owned(), |id| DirectoryId(id).to_string())
}

impl Introduction {
    /// What a broker says that may have joined a cluster; `voters` is its cluster list.
    pub(crate) fn new(
        node: u32,
        directory: DirectoryId,
        incarnation: Incarnation,
        voters: String,
        membership: Option<&Membership>,
    ) -> Introduction {
        let members = vec![(node, directory.0)];
        let directory = directory.0;
        let mut introduction =
            Introduction { node, directory, incarnation, voters, cluster: None, members };
        if let Some(membership) = membership {
            introduction.join(membership);
        }
        introduction
    }

    /// The data directory of a node, as far as this side knows.
    pub(crate) fn member(&self, node: u32) -> Option<[u8; 16]> {
        self.members.iter().find(|(member, _)| *member == node).map(|(_, directory)| *directory)
    }

    /// Tells of the cluster that was formed.
    pub(crate) fn join(&mut self, membership: &Membership) {
        self.cluster = Some(membership.cluster_id.0);
        let members = membership.members.iter();
        self.members = members.map(|member| (member.node_id, member.directory.0)).collect();
    }

    /// Tells whom this side has found where, itself included, while no cluster is formed.
    pub(crate) fn tell_found(&mut self, mut members: Vec<(u32, [u8; 16])>) {
        assert!(self.cluster.is_none(), "the members of a formed cluster are settled");
        members.push((self.node, self.directory));
        members.sort_unstable();
        self.members = members;
    }

    /// The formed cluster that this side belongs to.
    pub(crate) fn membership(&self) -> Option<Membership> {
        let members = self.members.iter().map(|(node_id, directory)| Member {
            node_id: *node_id,
            directory: DirectoryId(*directory),
        });
        Some(Membership { cluster_id: ClusterId(self.cluster?), members: members.collect() })
    }

    /// Whether both can be of one cluster. `meant` is the node that the dialer means to reach,
    /// where `other` is the one that was reached.
    pub(crate) fn fits(&self, other: &Introduction, meant: Option<u32>) -> Result<(), Mismatch> {
        if (other.directory, other.incarnation) == (self.directory, self.incarnation) {
            return Err(Mismatch::Oneself);
        }
        if other.voters != self.voters {
            return Err(Mismatch::Lists);
        }
        if other.node == self.node {
            return Err(Mismatch::SameNode);
        }
        if let Some(meant) = meant.filter(|meant| *meant != other.node) {
            return Err(Mismatch::WrongNode { meant });
        }
        if self.cluster.is_some() && other.cluster.is_some() && self.cluster != other.cluster {
            return Err(Mismatch::Clusters);
        }
        if is_planted(PlantedBug::UnknownIncarnationVotes) {
            return Ok(());
        }
        if self.cluster.is_some() && self.member(other.node) != Some(other.directory) {
            return Err(Mismatch::OtherDirectory);
        }
        if other.cluster.is_some() && other.member(self.node) != Some(self.directory) {
            return Err(Mismatch::OwnDirectory);
        }
        Ok(())
    }
}

impl Hello {
    pub(super) fn encode(&self) -> Result<Bytes, EncodeError> {
        encode_head(Kind::Hello, 0, |head| postcard::to_extend(self, head))
    }

    pub(super) fn decode(frame: &Frame) -> Result<Hello, FrameError> {
        decode(frame, Kind::Hello)
    }
}

impl HelloReply {
    pub(super) fn encode(&self) -> Result<Bytes, EncodeError> {
        encode_head(Kind::Reply, 0, |head| postcard::to_extend(self, head))
    }

    pub(super) fn decode(frame: &Frame) -> Result<HelloReply, FrameError> {
        decode(frame, Kind::Reply)
    }
}

fn decode<'de, T: Deserialize<'de>>(frame: &'de Frame, kind: Kind) -> Result<T, FrameError> {
    if frame.kind != kind {
        return Err(FrameError::Kind(frame.kind as u8));
    }
    match postcard::take_from_bytes(&frame.header) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(FrameError::Header("bytes are left over")),
        Err(_) => Err(FrameError::Header("it does not decode")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use tokio_util::codec::Decoder;

    use super::super::frame::FrameDecoder;

    fn formed(node: u32) -> Introduction {
        Introduction {
            node,
            directory: [node as u8; 16],
            incarnation: Incarnation { start: 1, random: [node as u8; 16] },
            voters: "1@a:1,2@b:1,3@c:1".into(),
            cluster: Some([9; 16]),
            members: (1..=3).map(|node| (node, [node as u8; 16])).collect(),
        }
    }

    fn unformed(node: u32) -> Introduction {
        Introduction { cluster: None, members: vec![(node, [node as u8; 16])], ..formed(node) }
    }

    #[test]
    fn members_fit_and_so_do_voters_that_have_no_cluster_yet() {
        for (own, other) in [
            (formed(1), formed(2)),
            (formed(1), unformed(2)),
            (unformed(1), formed(2)),
            (unformed(1), unformed(2)),
        ] {
            assert_eq!(own.fits(&other, Some(2)), Ok(()));
        }
    }

    #[test]
    fn what_does_not_fit_is_named_alike_on_both_sides() {
        let other_list = Introduction { voters: "1@a:1".into(), ..formed(2) };
        let other_cluster = Introduction { cluster: Some([8; 16]), ..formed(2) };
        let lost = Introduction { directory: [77; 16], ..unformed(2) };
        let same_node = Introduction { directory: [77; 16], ..formed(1) };
        for (other, expected) in [
            (other_list, Mismatch::Lists),
            (other_cluster, Mismatch::Clusters),
            (lost, Mismatch::OtherDirectory),
            (same_node, Mismatch::SameNode),
            (formed(1), Mismatch::Oneself),
        ] {
            let own = formed(1);
            assert_eq!(own.fits(&other, None), Err(expected));
            assert_eq!(other.fits(&own, None), Err(expected.reversed()));
            let text = expected.describe(&own, &other);
            assert!(!text.is_empty() && !text.contains("(none)"), "{text}");
        }
        let wrong = formed(1).fits(&formed(3), Some(2));
        assert_eq!(wrong, Err(Mismatch::WrongNode { meant: 2 }));
    }

    #[test]
    fn introductions_survive_the_way_and_fit_their_limit() {
        let list: Vec<String> = (0..7)
            .map(|index| format!("{}{index}@{}:65535", 214_748_364_u32, "h".repeat(255)))
            .collect();
        let from = Introduction {
            voters: list.join(","),
            members: vec![(u32::MAX, [255; 16]); 7],
            ..formed(1)
        };
        let hello = Hello { from: from.clone(), to: 2, channel: Channel::Shard(u16::MAX) };
        let refusal = Refusal::Mismatch(Mismatch::WrongNode { meant: u32::MAX });
        let reply = HelloReply { from, outcome: Err(refusal) };
        let frame = |bytes: Bytes| {
            let mut buffer = BytesMut::from(&bytes[..]);
            FrameDecoder::for_hello().decode(&mut buffer).expect("within limits").expect("whole")
        };
        let hello_frame = frame(hello.encode().expect("small"));
        assert_eq!(Hello::decode(&hello_frame).expect("sound"), hello);
        assert!(HelloReply::decode(&hello_frame).is_err(), "another kind");
        let reply_frame = frame(reply.encode().expect("small"));
        assert_eq!(HelloReply::decode(&reply_frame).expect("sound"), reply);
    }
}
