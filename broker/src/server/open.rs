//! Opening what the directory holds.

use std::sync::Arc;

use synod_log::Log;
use synod_log::data_dir::{ClaimedDir, ClusterClaim};
use synod_log::identity::ClusterId;
use synod_log::journal::JournalConfig;
use synod_log::sync::SyncPool;
use synod_paxos::{NodeId, Replica, ReplicaConfig};

use super::ServeError;
use crate::broker::Broker;
use crate::config::Config;
use crate::control::METADATA_KEY;
use crate::limits::{HEARTBEAT_TICKS, METADATA_CHECK_QUORUM_TICKS, RESEND_TICKS};
use crate::metadata::ids::random_id;
use crate::metadata::{MetadataImage, TopicConfig, TopicImage};
use crate::partition::{PartitionView, log_config};
use crate::shard::{Copies, OpenError, Past, Storage, open_partition, purge_deleted};

/// Opens the directory and everything in it that is not one partition's.
pub(super) fn open_storage(config: &Config, claimed: ClaimedDir) -> Result<Storage, ServeError> {
    let mut data_dir = claimed.open(ClusterClaim::AnyOrNew(ClusterId(random_id()?)))?;
    if let Some(reason) = data_dir.suspect() {
        tracing::warn!(
            reason,
            "an earlier write or sync failed: everything is read from the device"
        );
        data_dir.evict()?;
        data_dir.clear_suspect()?;
    }
    let data_dir = Arc::new(data_dir);
    let opened = data_dir
        .open_journal(JournalConfig::default())
        .map_err(|source| ServeError::Journal { path: config.data_dir.clone(), source })?;
    let pool = Arc::new(SyncPool::spawn(config.storage.sync_threads)?);
    purge_deleted(&pool, &data_dir);
    Ok(Storage { data_dir, journal: opened.journal, pool, recovered: Arc::new(opened.partitions) })
}

/// Opens the metadata group's log.
pub(super) fn open_metadata(
    storage: &Storage,
    broker: &Broker,
) -> Result<(Log, Replica, Arc<PartitionView>), ServeError> {
    let fail = |reason: OpenError| ServeError::MetadataLog {
        path: broker.config().data_dir.clone(),
        reason: reason.to_string(),
    };
    let image = MetadataImage::default();
    let topic = TopicImage::metadata_log();
    let config = Arc::new(TopicConfig { delete: false, ..broker.topic_config(&image, &topic) });
    let log_config = log_config(&config, broker.config());
    let journaled = storage.recovered.get(&METADATA_KEY).copied().unwrap_or_default();
    let is_alone = broker.config().voter_count() == 1;
    let copies = if is_alone { Copies::One } else { Copies::Several };
    let past = Past { journaled, corrupt: Vec::new(), copies };
    let (log, durable) = open_partition(storage, METADATA_KEY, log_config, &past).map_err(fail)?;
    if let Some(faulty) = log.faulty()
        && is_alone
    {
        return Err(ServeError::MetadataLog {
            path: broker.config().data_dir.clone(),
            reason: format!(
                "its records {}..{} are corrupt and there is no other replica",
                faulty.start, faulty.end
            ),
        });
    }
    let metrics = Arc::default();
    let view = Arc::new(PartitionView::new(METADATA_KEY, 0, log.view(), config, metrics));
    let replica_config = ReplicaConfig {
        check_quorum_ticks: METADATA_CHECK_QUORUM_TICKS,
        resend_ticks: RESEND_TICKS,
        heartbeat_ticks: HEARTBEAT_TICKS,
        ..ReplicaConfig::new(NodeId(broker.id().0))
    };
    let replica = Replica::new(replica_config, durable);
    Ok((log, replica, view))
}
