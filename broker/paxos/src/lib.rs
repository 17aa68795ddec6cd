//! Sans-IO multi-Paxos over a prefix log.

mod acceptor;
mod ballot;
mod batch;
mod config;
mod core;
mod election;
mod error;
mod history;
mod message;
mod output;
mod planted;
mod prefix_log;
mod proposer;
mod replica;
mod replica_set;
mod write_stream;

pub use ballot::{Ballot, NodeId};
pub use batch::{Batch, Proposal};
pub use config::{Durable, MAX_VOTERS, ReplicaConfig};
pub use election::{Election, ElectionConfig, ElectionOutput, Heartbeat};
pub use error::{AppointError, InputError, ProposeError};
pub use history::RoundStart;
pub use message::{
    Accept, Accepted, Adopt, Copied, Decide, Entries, Message, Nack, Prepare, Promise, Read,
};
pub use output::{Output, ReadId, Role, WriteId};
#[cfg(feature = "planted-bugs")]
pub use planted::PlantedBug;
pub use proposer::FollowerStatus;
pub use replica::Replica;
pub use replica_set::ReplicaSet;
