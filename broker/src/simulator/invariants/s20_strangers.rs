//! S20: an unknown incarnation never votes: whoever promises or accepts does so from the data
//! directory that its node had when the cluster formed; and there is one cluster only.

use synod_log::identity::Membership;
use synod_paxos::{Message, NodeId};

use crate::peers::Introduction;
use crate::simulator::violation::{Checked, demand};

pub(crate) const NAME: &str = "S20 no unknown incarnation votes";

/// The cluster as it formed.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    formed: Option<Membership>,
}

impl Strangers {
    /// A broker joins a cluster.
    pub(crate) fn formed(&mut self, node: NodeId, membership: &Membership) -> Checked {
        let first = self.formed.get_or_insert_with(|| membership.clone());
        demand(NAME, first.cluster_id == membership.cluster_id, || {
            format!("{node} joins {membership:?}, others are in {first:?}")
        })
    }

    /// A broker says something about a partition.
    pub(crate) fn sent(&self, node: NodeId, from: &Introduction, message: &Message) -> Checked {
        let votes = matches!(message, Message::Promise(_) | Message::Accepted(_));
        let Some(formed) = self.formed.as_ref().filter(|_| votes) else { return Ok(()) };
        let known = formed.directory(node.0).map(|directory| directory.0);
        demand(NAME, known == Some(from.directory), || {
            format!("{node} votes from another directory than it had: {message:?}")
        })
    }
}
