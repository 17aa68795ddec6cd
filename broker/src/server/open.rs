//! Opening what the directory holds.

use std::sync::Arc;

use synod_log::LogConfig;
use synod_log::carrier;
use synod_log::data_dir::{ClaimedDir, ClusterClaim};
use synod_log::identity::ClusterId;
use synod_log::journal::JournalConfig;
use synod_log::sync::SyncPool;

use super::ServeError;
use crate::broker::Broker;
use crate::config::Config;
use crate::control::{self, METADATA_KEY, OpenedMetadata};
use crate::metadata::ids::random_id;
use crate::metrics::Metrics;
use crate::shard::{Copies, Past, Storage, purge_deleted};

/// Opens the directory and everything in it that is not one partition's.
pub(super) fn open_storage(
    config: &Config,
    claimed: ClaimedDir,
    metrics: &Arc<Metrics>,
) -> Result<Storage, ServeError> {
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
    let metrics = metrics.clone();
    let counted = Box::new(move |took| metrics.journal_syncs.record(took));
    let mut opened = data_dir
        .open_journal(JournalConfig { on_sync: Some(counted), ..JournalConfig::default() })
        .map_err(|source| ServeError::Journal { path: config.data_dir.clone(), source })?;
    let journal = |records| opened.journal.submit_and_wait(records);
    let report =
        carrier::replay(&data_dir, &mut opened.partitions, |_| LogConfig::default(), journal)
            .map_err(|source| ServeError::Carrier { path: config.data_dir.clone(), source })?;
    if report.replayed_count > 0 || report.lost_count > 0 {
        tracing::info!(?report, "carried appends are back in their logs");
    }
    let pool = Arc::new(SyncPool::spawn(config.storage.sync_threads)?);
    purge_deleted(&pool, &data_dir);
    Ok(Storage {
        data_dir,
        journal: opened.journal,
        pool,
        recovered: Arc::new(opened.partitions),
        carrier_salt: u128::from_be_bytes(random_id()?) as u64,
    })
}

/// Opens the metadata group's replica.
pub(super) fn open_metadata(
    storage: &Storage,
    broker: &Broker,
) -> Result<OpenedMetadata, ServeError> {
    let fail = |reason| ServeError::MetadataLog { path: broker.config().data_dir.clone(), reason };
    let journaled = storage.recovered.get(&METADATA_KEY).copied().unwrap_or_default();
    let is_alone = broker.config().voter_count() == 1;
    let copies = if is_alone { Copies::One } else { Copies::Several };
    let past = Past { journaled, corrupt: Vec::new(), copies };
    let opened = control::open_metadata(storage, broker, &past);
    let opened = opened.map_err(|error| fail(error.to_string()))?;
    match opened.log.faulty() {
        Some(faulty) if is_alone => Err(fail(format!(
            "its records {}..{} are corrupt and there is no other replica",
            faulty.start, faulty.end
        ))),
        _ => Ok(opened),
    }
}
