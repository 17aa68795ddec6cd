//! The measurements, one file each.

mod connections;
mod consume;
mod end_to_end;
mod failover;
mod latency;
mod partitions;
mod produce;
mod recovery;

pub use connections::ConnectionsArgs;
pub use consume::ConsumeArgs;
pub use end_to_end::EndToEndArgs;
pub use failover::FailoverArgs;
pub use latency::LatencyArgs;
pub use partitions::PartitionsArgs;
pub use produce::ProduceArgs;
pub use recovery::RecoveryArgs;

pub(crate) use connections::connections;
pub(crate) use consume::consume;
pub(crate) use end_to_end::end_to_end;
pub(crate) use failover::failover;
pub(crate) use latency::latency;
pub(crate) use partitions::partitions;
pub(crate) use produce::produce;
pub(crate) use recovery::recovery;
