//! The controller's handlers: pure functions from the image and a request to records and an answer.
//!
//! A handler sees the image with everything decided or in flight before it, and its records are
//! decided together or not at all. Items of one request succeed or fail by themselves; each sees
//! what the items before it made.

mod configs;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod draft;
mod failover;
mod handover;
mod leadership;
mod lifecycle;
mod yielding;

use super::{
    BrokerId,
    config_view::{ConfigView, StaticConfigs},
    error::AdminError,
    image::MetadataImage,
};
use crate::config::Config;

pub use configs::alter_configs;
pub use create_partitions::create_partitions;
pub use create_topics::{create_topics, validate_topic_name};
pub use delete_topics::delete_topics;
pub use failover::{APPOINTMENTS_PER_BATCH, Resignations, failover};
pub use handover::{elect_leaders, return_leadership, shut_down};
pub use lifecycle::{allocate_producer_ids, begin_control, register_broker};
pub use yielding::should_yield;

/// Round of a partition's first appointment; 0 means "none yet" to the core.
pub const FIRST_ROUND: u32 = 1;

/// Partitions that one request may create, as in Kafka.
pub const PARTITIONS_PER_REQUEST: usize = 10_000;

/// What handlers need to know besides the image: the controller's own configuration.
#[derive(Clone, Debug)]
pub struct ControllerContext {
    /// This broker.
    pub broker: BrokerId,
    /// Partitions of a topic whose creator names no number.
    pub partition_count: u32,
    /// Replicas of a partition whose creator names no number.
    pub replication_factor: u16,
    /// Partitions that the cluster may have in all.
    pub partition_limit: usize,
    /// Defaults of topic settings in the broker's configuration.
    pub statics: StaticConfigs,
}

impl ControllerContext {
    /// Takes what concerns the controller from the configuration.
    ///
    /// # Errors
    /// A default of a topic setting is not valid.
    pub fn new(config: &Config) -> Result<Self, AdminError> {
        Ok(Self {
            broker: BrokerId(config.node_id),
            partition_count: config.num_partitions,
            replication_factor: config.default_replication_factor,
            partition_limit: config.limits.partitions,
            statics: StaticConfigs::new(config)?,
        })
    }

    /// The values of settings on this broker.
    #[must_use]
    pub fn configs<'a>(&'a self, image: &'a MetadataImage) -> ConfigView<'a> {
        ConfigView { image, statics: &self.statics, broker: self.broker }
    }
}

#[cfg(test)]
mod tests;
