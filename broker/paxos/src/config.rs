//! A replica's limits and what it finds on its disk.

use crate::planted::PlantedBug;
use crate::{Ballot, NodeId, RoundStart};

/// Most voters a replica set may have, old and new each.
pub const MAX_VOTERS: usize = 15;

/// Fixed settings of one replica. All times are in ticks, whose length the runtime chooses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReplicaConfig {
    /// This replica's node.
    pub node: NodeId,
    /// A leader that has not heard from a quorum for this long stops taking proposals; ≥ 2.
    pub check_quorum_ticks: u32,
    /// How often an unanswered message is repeated; ≥ 1.
    pub resend_ticks: u32,
    /// How often a leader probes followers even when there is nothing to tell. 0 = never: then the
    /// runtime has to report contact itself, by [`Replica::handle_contact`].
    ///
    /// [`Replica::handle_contact`]: crate::Replica::handle_contact
    pub heartbeat_ticks: u32,
    /// Most batches sent to one follower and not accepted by it; ≥ 1.
    pub window_batch_count: u32,
    /// Most bytes sent to one follower and not accepted by it, exceeded by at most one batch.
    pub window_size: u64,
    /// Most bytes in one message, exceeded by at most one batch.
    pub message_size: u64,
    /// Most batches a leader keeps undecided; ≥ 1.
    pub undecided_batch_count: u32,
    /// Most bytes a leader keeps undecided, exceeded by at most one proposal.
    pub undecided_size: u64,
    /// Most decided batch descriptors a leader remembers for followers that lag a little. Others
    /// are served by reads of the log.
    pub cached_batch_count: u32,
    /// A bug to plant. Only the simulators' builds have this.
    #[cfg(feature = "planted-bugs")]
    pub bug: Option<PlantedBug>,
}

impl ReplicaConfig {
    /// Sensible settings for `node`: a tick of 50–100 ms, 64 MiB windows.
    pub fn new(node: NodeId) -> ReplicaConfig {
        ReplicaConfig {
            node,
            check_quorum_ticks: 20,
            resend_ticks: 2,
            heartbeat_ticks: 5,
            window_batch_count: 4096,
            window_size: 64 << 20,
            message_size: 4 << 20,
            undecided_batch_count: 65_536,
            undecided_size: 256 << 20,
            cached_batch_count: 4096,
            #[cfg(feature = "planted-bugs")]
            bug: None,
        }
    }

    #[cfg(feature = "planted-bugs")]
    pub(crate) fn planted(&self, bug: PlantedBug) -> bool {
        self.bug == Some(bug)
    }

    #[cfg(feature = "planted-bugs")]
    pub(crate) fn has_planted(&self) -> bool {
        self.bug.is_some()
    }

    #[cfg(not(feature = "planted-bugs"))]
    pub(crate) fn has_planted(&self) -> bool {
        false
    }

    #[cfg(not(feature = "planted-bugs"))]
    pub(crate) fn planted(&self, _bug: PlantedBug) -> bool {
        false
    }
}

/// What a replica finds on its disk at the start of an incarnation: the result of recovery.
///
/// The default is a replica that never ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Durable {
    /// From the journal.
    pub promised: Ballot,
    /// From the journal.
    pub accepted_ballot: Ballot,
    /// First offset of the log.
    pub log_start: u64,
    /// First offset not readable in an unbroken run from `log_start`; all before it is synced.
    pub log_end: u64,
    /// The durability mark, if it lies beyond `log_end`: what is between the two was durable once
    /// and is corrupt now.
    pub faulty_end: Option<u64>,
    /// An end known to be decided, if the runtime kept one (0 if not). Taken as no less than
    /// `log_start` and no more than `log_end`.
    pub decided_end: u64,
    /// Round history of the log, oldest first: at which offset each round begins. The first entry
    /// covers `log_start`, or the offset before it if that is still known.
    pub rounds: Vec<RoundStart>,
}
