//! What must hold for any bytes. Used by the fuzz targets and by `cargo test`, which replays the
//! corpus.

use std::path::Path;
use std::sync::Arc;

use synod_log::batch::Batch;
use synod_log::identity::{ClusterId, Identity};
use synod_log::journal::JournalStore;
use synod_log::memory::MemoryStorage;

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
