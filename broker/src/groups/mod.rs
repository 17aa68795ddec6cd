//! Consumer groups: the coordinator of the groups of one partition of `__consumer_offsets`.
//!
//! That topic is a replicated log like any other, and what is decided in it is the truth about
//! groups: committed offsets, and each group's generation with its members and their assignments.
//! The leader of a partition coordinates the groups that hash to it. It keeps the fold of the log
//! ([`GroupsState`]) through the one runtime for such logs, and beside it, in memory only, who is
//! waiting for what and who was heard when. A coordinator that takes over reads the log and begins
//! all sessions anew, so a move of the coordinator expires nobody.
//!
//! Nothing in here does IO or reads a clock: the owner hands in requests, ticks and what was
//! decided, and carries the proposals to the log. See [`Coordinator`] for its loop.

mod admin;
mod config;
mod consumer_protocol;
mod coordinator;
mod counters;
mod desk;
mod error;
mod group;
mod join;
mod member;
mod offsets;
mod overview;
mod rebalance;
mod record;
pub mod request;
mod retention;
mod rewrite;
mod shared_map;
mod state;
mod sync;
#[cfg(test)]
mod tests;
mod timers;

pub use config::GroupConfig;
pub use coordinator::Coordinator;
pub use counters::{GroupCounters, RebalanceCounter};
pub use desk::Now;
pub use error::GroupError;
pub use overview::{Overview, Overviews};
pub use rebalance::Cause;
pub use record::{CommittedOffset, GroupRecord, StoredGroup, StoredMember, TopicPartition};
pub use request::GroupRequest;
pub use shared_map::SharedMap;
pub use state::{GroupFacts, GroupsState};

/// The topic that the coordinators' logs are partitions of.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The partition of the offsets topic that a group belongs to, as Kafka's clients and tools reckon:
/// Java's hash of the name, without its sign.
#[must_use]
pub fn partition_of(group: &str, partition_count: u32) -> u32 {
    let hash = group
        .encode_utf16()
        .fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Kafka's `abs` of the smallest number is 0.
    hash.checked_abs().unwrap_or(0).unsigned_abs() % partition_count.max(1)
}
