//! Sans-IO multi-Paxos over a prefix log.

mod ballot;
mod batch;
mod config;
mod error;
mod history;
mod message;
mod output;
#[cfg(feature = "planted-bugs")]
mod planted;
mod replica_set;

pub use ballot::{Ballot, NodeId};
pub use batch::{Batch, Proposal};
pub use config::{Durable, MAX_VOTERS, ReplicaConfig};
pub use error::{AppointError, InputError, ProposeError};
pub use history::RoundStart;
pub use message::{
    Accept, Accepted, Adopt, Copied, Decide, Entries, Message, Nack, Prepare, Promise, Read,
};
pub use output::{Output, ReadId, Role, WriteId};
#[cfg(feature = "planted-bugs")]
pub use planted::PlantedBug;
pub use replica_set::ReplicaSet;

/// Proposer, acceptor and learner of one partition on one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    config: ReplicaConfig,
}

impl Replica {
    // new(ReplicaConfig, Durable) -> Replica
    // handle_message(&mut self, from: NodeId, message: Message) -> Result<(), InputError>
    // handle_appointed(&mut self, Ballot, ReplicaSet) -> Result<(), AppointError>
    // handle_propose(&mut self, &[Proposal]) -> Result<Range<u64>, ProposeError>
    // handle_written(&mut self, WriteId)      every write up to this one is synced
    // handle_read(&mut self, ReadId, Vec<Batch>) -> Result<(), InputError>   empty = could not read
    // handle_trimmed(&mut self, new_start: u64)   the runtime trimmed the log (<= decided_end)
    // handle_contact(&mut self, peer: NodeId)     heard from that node by other means
    // handle_tick(&mut self)
    // poll_output(&mut self) -> Option<Output>
    // role(), ballot(), promised(), accepted_ballot(), log_start(), log_end(), durable_end(),
    // decided_end(), faulty_end(), leader_hint(), followers(), check()
    /// Starts an incarnation from what recovery found.
    pub fn new(config: ReplicaConfig, _durable: Durable) -> Replica {
        Replica { config }
    }
}
