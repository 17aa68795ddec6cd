//! What brokers say to each other: a framed, checksummed, versioned protocol on a port of its own.
//!
//! Each broker dials every other: one connection for control (heartbeats, the metadata group,
//! requests to the controller, lag of groups) and one for each of its shards. Connections are
//! one-directional; answers travel on the other side's own. Messages may be lost, never damaged,
//! and within one connection never repeated or reordered; Paxos needs no more.
//!
//! | file | owns |
//! |---|---|
//! | `frame`, `pack`, `form` | bytes of frames; messages in frames; serde forms |
//! | `hello`, `dial`, `circle` | introductions; making a connection; what is known of whom |
//! | `queue`, `link`, `links` | what waits; one connection out; those of one channel |
//! | `pulse` | signs of life of whoever reads a connection |
//! | `listener`, `reader` | connections in; what they carry |

mod backoff;
mod circle;
mod complaints;
mod contacts;
mod dial;
mod dialer;
mod form;
mod formation;
mod frame;
mod hello;
mod link;
mod links;
mod listener;
mod message;
mod pack;
mod pulse;
mod queue;
mod reader;
mod share;
mod socket;

pub(crate) use contacts::Contacts;
pub(crate) use dialer::{Dialer, dialer_of};
pub(crate) use formation::FormationError;
#[cfg(any(test, feature = "simulator"))]
pub(crate) use formation::Round;
pub(crate) use hello::Introduction;
pub(crate) use links::{ControlLinks, Links};
pub(crate) use listener::{Inbound, Received};
pub(crate) use message::{
    BrokerHeartbeat, Channel, ControlMessage, Incarnation, LagAsked, LagTold, LinkedPeer,
    PartitionMessage,
};
pub(crate) use reader::Introduced;
pub(crate) use share::InboundShare;

use std::sync::Arc;

use synod_log::identity::{DirectoryId, Membership};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::circle::Circle;
use self::formation::Formation;
use self::link::Link;
use self::listener::Door;
use crate::config::Cluster;
use crate::metrics::Metrics;

/// This broker's part in the peers' protocol. Clones speak of the same.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    circle: Arc<Circle>,
    door: Arc<Door>,
    stop: CancellationToken,
}

/// Who this broker is.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) node: u32,
    pub(crate) directory: DirectoryId,
    pub(crate) incarnation: Incarnation,
    /// `None`: this broker is its own cluster and has no peers.
    pub(crate) cluster: Option<Cluster>,
    /// The cluster that it belongs to, if that has formed.
    pub(crate) membership: Option<Membership>,
}

impl Peers {
    pub(crate) fn new(own: Own, metrics: Arc<Metrics>) -> Peers {
        let voters = own.cluster.as_ref().map_or(&[][..], Cluster::voters);
        let others = voters.iter().filter(|voter| voter.node_id != own.node).cloned().collect();
        let list = own.cluster.as_ref().map_or_else(String::new, Cluster::to_string);
        let Own { node, directory, incarnation, .. } = own;
        let membership = own.membership.as_ref();
        let introduction = Introduction::new(node, directory, incarnation, list, membership);
        let circle = Arc::new(Circle::new(introduction, others, metrics));
        let stop = CancellationToken::new();
        let door = Arc::new(Door::new(circle.clone(), stop.clone()));
        Peers { circle, door, stop }
    }

    /// Answers other brokers on `listener`, on this runtime. Messages are taken after
    /// [`Peers::serve`].
    pub(crate) fn listen(&self, listener: TcpListener) {
        tokio::spawn(self.door.clone().accept(listener));
    }

    /// Finds the cluster that this broker is to be a part of, or forms it with the others; `report`
    /// is told now and then what is missing. The caller makes the membership durable and then calls
    /// [`Peers::join`]. May be cancelled.
    ///
    /// # Errors
    /// Something is wrong that only the operator can mend.
    pub(crate) async fn form(
        &self,
        report: &(dyn Fn(String) + Sync),
    ) -> Result<Membership, FormationError> {
        Formation::new(self.circle.clone()).run(report).await
    }

    /// From now on this broker introduces itself as a member of a formed cluster, which is durable.
    pub(crate) fn join(&self, membership: &Membership) {
        self.circle.join(membership);
    }

    /// From now on connections are led to `inbound`.
    pub(crate) fn serve(&self, inbound: Inbound) {
        let first = self.door.inbound.set(inbound);
        assert!(first.is_ok(), "a broker begins to serve once");
    }

    /// The links of one of this broker's shards, on this runtime.
    pub(crate) fn shard_links(&self, shard: usize) -> Links {
        let channel = Channel::Shard(u16::try_from(shard).unwrap_or(u16::MAX));
        let (links, stop) = self.links(channel);
        Links::new(links, stop.drop_guard())
    }

    /// The control links, on this runtime.
    pub(crate) fn control_links(&self) -> ControlLinks {
        let (links, stop) = self.links(Channel::Control);
        ControlLinks::new(links, stop.drop_guard())
    }

    fn links(&self, channel: Channel) -> (Vec<Link>, CancellationToken) {
        let stop = self.stop.child_token();
        let start = |voter| Link::start(&self.circle, voter, channel, &stop);
        (self.circle.others().iter().map(start).collect(), stop)
    }

    /// When each peer was heard last.
    pub(crate) fn contacts(&self) -> Arc<Contacts> {
        self.circle.contacts.clone()
    }

    /// Becomes the reason as soon as something keeps this broker from taking part that only its
    /// operator can mend.
    pub(crate) fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.circle.trouble()
    }

    /// Ends all connections, and the listener.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests;
