//! Opening the metadata group's replica: when the broker starts, and anew when it had to stop.

use std::sync::Arc;

use synod_log::Log;
use synod_paxos::{NodeId, Replica, ReplicaConfig};

use super::METADATA_KEY;
use crate::broker::Broker;
use crate::limits::{HEARTBEAT_TICKS, METADATA_CHECK_QUORUM_TICKS, RESEND_TICKS};
use crate::metadata::{MetadataImage, TopicConfig, TopicImage};
use crate::partition::{PartitionView, log_config};
use crate::shard::{OpenError, Past, Storage, open_partition};

/// The metadata group's replica with its log, ready to be taken into service.
#[derive(Debug)]
pub(crate) struct OpenedMetadata {
    pub(crate) log: Log,
    pub(crate) replica: Replica,
    pub(crate) view: Arc<PartitionView>,
}

/// Opens the metadata log. Blocks.
///
/// # Errors
/// See [`OpenError`].
pub(crate) fn open_metadata(
    storage: &Storage,
    broker: &Broker,
    past: &Past,
) -> Result<OpenedMetadata, OpenError> {
    let topic = TopicImage::metadata_log();
    let config = broker.topic_config(&MetadataImage::default(), &topic);
    let config = Arc::new(TopicConfig { delete: false, ..config });
    let log_config = log_config(&config, broker.config());
    let (log, durable) = open_partition(storage, METADATA_KEY, log_config, past)?;
    let view = PartitionView::new(METADATA_KEY, 0, log.view(), config, Arc::default());
    let replica = Replica::new(replica_config(NodeId(broker.id().0)), durable);
    Ok(OpenedMetadata { log, replica, view: Arc::new(view) })
}

/// How a replica of the metadata group behaves: its heartbeats measure contact.
pub(crate) fn replica_config(node: NodeId) -> ReplicaConfig {
    ReplicaConfig {
        check_quorum_ticks: METADATA_CHECK_QUORUM_TICKS,
        resend_ticks: RESEND_TICKS,
        heartbeat_ticks: HEARTBEAT_TICKS,
        ..ReplicaConfig::new(node)
    }
}
