//! What must hold for any bytes. Used by the fuzz targets and by `cargo test`, which replays the
//! corpus.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use synod_log::batch::Batch;
use synod_log::carrier;
use synod_log::data_dir::{ClusterClaim, DataDir};
use synod_log::identity::{ClusterId, Identity};
use synod_log::journal::JournalStore;
use synod_log::memory::MemoryStorage;
use synod_log::storage::Storage;
use synod_log::{Log, LogConfig, PartitionKey};

/// A partition of the corpus.
const CARRIED: PartitionKey = PartitionKey { topic: [7; 16], partition: 0 };

/// The owner that the corpus is written for.
const OWNER: Identity = Identity { cluster_id: ClusterId([3; 16]), node_id: 1 };

/// Any file opens or is refused; what opens opens again, saying the same.
pub(crate) fn journal(content: &[u8]) -> bool {
    let disk = MemoryStorage::new(0);
    let path = Path::new("/journal");
    disk.install(path, content).expect("a healthy disk");
    let open = || JournalStore::open(Arc::new(disk.clone()), path, OWNER);
    let Ok((first, report)) = open() else { return false };
    let found = first.partitions().clone();
    drop(first);
    disk.crash();
    let (second, again) = open().expect("what opened once opens again");
    assert_eq!(second.partitions(), &found);
    assert_eq!(again.incarnation, report.incarnation + 1);
    assert_eq!((again.torn_size, again.mended_count), (0, 0), "mended the first time");
    true
}

/// Any two files are replayed or refused; what is replayed leaves no file, and a sound log.
pub(crate) fn carrier(content: &[u8]) -> bool {
    let disk: Arc<dyn Storage> = Arc::new(MemoryStorage::new(0));
    let claim = ClusterClaim::Expect(OWNER.cluster_id);
    let data_dir = DataDir::open(disk.clone(), Path::new("/data"), claim, OWNER.node_id);
    let data_dir = data_dir.expect("a healthy disk");
    let dir = data_dir.carrier_path();
    disk.create_dir(&dir).expect("a healthy disk");
    let (first, second) = content.split_at(content.len() / 2);
    for (name, part) in [("0-0", first), ("0-1", second)] {
        let file = disk.create_file(&dir.join(name)).expect("a healthy disk");
        file.write_at(&[IoSlice::new(part)], 0).expect("a healthy disk");
    }
    let path = data_dir.create_partition(CARRIED).expect("a healthy disk");
    Log::create(disk.clone(), &path, LogConfig::default()).expect("a healthy disk");
    let mut known = BTreeMap::new();
    let replayed =
        carrier::replay(&data_dir, &mut known, |_| LogConfig::default(), |_| Ok(())).is_ok();
    assert_eq!(disk.list(&dir).expect("listed").is_empty(), replayed);
    if replayed {
        let mark = known.get(&CARRIED).map_or(0, |durable| durable.mark);
        Log::open(disk, &path, LogConfig::default(), mark).expect("a log that opens");
    }
    replayed
}

/// Any bytes are batches followed by an error; what parses keeps its bytes.
pub(crate) fn batch(content: &[u8]) {
    let mut rest = bytes::Bytes::copy_from_slice(content);
    let mut position = 0;
    while let Ok((mut batch, after)) = Batch::parse(rest) {
        assert_eq!(batch.to_bytes(), content[position..position + batch.size()]);
        position += batch.size();
        assert!(batch.end_offset() > 0 && batch.end_offset() >= batch.base_offset());
        let intact = batch.verify_crc().is_ok();
        batch.stamp(7, 9);
        assert_eq!(batch.verify_crc().is_ok(), intact);
        batch.set_log_append_time(1);
        assert!(batch.verify_crc().is_ok());
        rest = after;
    }
}
