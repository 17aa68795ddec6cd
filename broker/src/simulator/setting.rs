//! The settings that all brokers of a run share.

use std::sync::Arc;
use std::time::Duration;

use synod_log::LogConfig;
use synod_log::key::PartitionKey;
use synod_paxos::{NodeId, ReplicaConfig};

use super::bug::Bug;
use super::options::Options;
use crate::config::Config;
use crate::control::{METADATA_KEY, replica_config as group_config};
use crate::metadata::{
    BrokerId, ConfigView, ControllerContext, MetadataImage, StaticConfigs, TopicConfig, TopicImage,
};
use crate::partition::{log_config, replica_config};

/// What replicas and logs are configured with.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) config: Arc<Config>,
    pub(crate) topic_config: Arc<TopicConfig>,
    pub(crate) metadata_config: Arc<TopicConfig>,
    pub(crate) replica_count: usize,
    pub(crate) broker_count: usize,
    tight: bool,
    bug: Option<Bug>,
}

impl Setting {
    pub(crate) fn new(options: &Options, bug: Option<Bug>) -> Setting {
        // The longer one is nothing next to how far wall clocks jump.
        let producer_id_expiration =
            Duration::from_secs(if options.forgets_producers { 5 } else { 120 });
        let mut config = Config { producer_id_expiration, ..Config::default() };
        config.storage.carrier_size.0 = u64::from(options.carries);
        let config = Arc::new(config);
        let topic_config = Arc::new(topic_config(&config, options));
        Setting {
            metadata_config: Arc::new(metadata_config(&config)),
            config,
            topic_config,
            replica_count: options.replica_count,
            broker_count: options.broker_count,
            tight: options.tuning.tight,
            bug,
        }
    }

    pub(crate) fn log_config(&self, key: PartitionKey) -> LogConfig {
        let is_metadata = key == METADATA_KEY;
        let topic = if is_metadata { &self.metadata_config } else { &self.topic_config };
        log_config(topic, &self.config)
    }

    /// What the controller on a broker knows besides the metadata.
    pub(crate) fn context(&self, broker: BrokerId) -> Arc<ControllerContext> {
        let config = Config { node_id: broker.0, ..Config::clone(&self.config) };
        let context = ControllerContext::new(&config);
        Arc::new(context.unwrap_or_else(|error| unreachable!("the defaults are valid: {error}")))
    }

    /// What the broker itself uses for the metadata group.
    pub(crate) fn metadata_replica_config(&self, node: NodeId) -> ReplicaConfig {
        ReplicaConfig { bug: self.bug.and_then(Bug::in_core), ..group_config(node) }
    }

    /// What the broker itself uses, with the limits of tight runs.
    pub(crate) fn replica_config(&self, node: NodeId) -> ReplicaConfig {
        let mut config = replica_config(node);
        config.bug = self.bug.and_then(Bug::in_core);
        if self.tight {
            config.window_batch_count = 3;
            config.window_size = 4_000;
            config.message_size = 2_000;
            config.undecided_batch_count = 6;
            config.cached_batch_count = 2;
        }
        config
    }
}

fn metadata_config(config: &Config) -> TopicConfig {
    let topic = TopicImage::metadata_log();
    let statics = StaticConfigs::new(config)
        .unwrap_or_else(|error| unreachable!("the defaults are valid: {error}"));
    let image = MetadataImage::default();
    let view = ConfigView { image: &image, statics: &statics, broker: BrokerId(1) };
    TopicConfig { delete: false, ..TopicConfig::new(&topic, &view) }
}

fn topic_config(config: &Config, options: &Options) -> TopicConfig {
    let mut topic = metadata_config(config);
    topic.delete = true;
    topic.compact = false;
    // Only clients delete, so that what is missing is missed.
    topic.retention = None;
    topic.retention_size = None;
    topic.segment_age = Duration::from_secs(1 << 40);
    topic.segment_size = options.tuning.segment_size;
    topic.index_interval_size = options.tuning.index_interval_size;
    topic.min_in_sync_replicas = options.tuning.min_in_sync;
    topic
}
