//! Recovery on arbitrary bytes: what the fuzz target and its deterministic replay both do.

#![allow(unreachable_pub, reason = "shared with the fuzz target")]

use std::path::Path;
use std::sync::Arc;

use synod_log::batch::Batch;
use synod_log::memory::MemoryStorage;
use synod_log::storage::Storage;
use synod_log::{Log, LogConfig, LogError};

const DIR: &str = "/p";

/// The files that the input is split into, in this order; each is preceded by its size, u16 little
/// endian, and the first by the mark, one byte.
const NAMES: [&str; 7] = [
    "00000000000000000000.log",
    "00000000000000000000.index",
    "leader-epochs",
    "00000000000000000008.snapshot",
    "log-start",
    "00000000000000000008.log",
    "00000000000000000008.index",
];

/// Joins files to an input for [`recover`].
pub fn join(mark: u8, files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut input = vec![mark];
    for name in NAMES {
        let content = files.iter().find(|(n, _)| *n == name).map_or(&[][..], |(_, c)| c);
        let size = content.len().min(usize::from(u16::MAX));
        input.extend_from_slice(&(size as u16).to_le_bytes());
        input.extend_from_slice(&content[..size]);
    }
    input
}

/// Opens a log made of the input and uses it. Panics if the log breaks a promise.
pub fn recover(input: &[u8]) {
    let Some((mark, mut rest)) = input.split_first() else { return };
    let memory = MemoryStorage::new(0);
    memory.create_dir(DIR.as_ref()).expect("created");
    for name in NAMES {
        let Some((size, after)) = rest.split_first_chunk::<2>() else { break };
        let size = usize::from(u16::from_le_bytes(*size)).min(after.len());
        let (content, after) = after.split_at(size);
        rest = after;
        if size > 0 {
            memory.install(&Path::new(DIR).join(name), content).expect("installed");
        }
    }
    let mark = u64::from(*mark);
    let storage: Arc<dyn Storage> = Arc::new(memory);
    let Some((start, end)) = open_and_use(&storage, mark) else { return };
    let again = open_and_use(&storage, end.min(mark).max(start));
    assert!(again.is_some_and(|(s, e)| s >= start && e >= end), "a second start keeps it all");
}

fn open_and_use(storage: &Arc<dyn Storage>, mark: u64) -> Option<(u64, u64)> {
    let config = LogConfig {
        segment_size: 4096.try_into().expect("not zero"),
        index_interval_size: 64.try_into().expect("not zero"),
        ..LogConfig::default()
    };
    let opened = Log::open(storage.clone(), DIR.as_ref(), config, mark);
    let (mut log, report) = match opened {
        Ok(opened) => opened,
        Err(LogError::StartUnknown { .. }) => return None,
        Err(error) => panic!("an intact device, and yet: {error}"),
    };
    assert!(log.start() <= log.durable_end() && log.durable_end() <= log.end());
    let missing = log.end() < mark && log.start() < mark;
    assert!(!missing || !report.faulty.is_empty(), "what is missing below the mark is reported");
    let (view, end) = (log.view(), log.end());
    let mut next = view.start();
    while next < end {
        match view.read(next, 1000, true, end) {
            Ok(slice) if !slice.is_empty() => {
                for run in &slice.batches {
                    let mut rest = run.clone();
                    while !rest.is_empty() {
                        let (batch, after) = Batch::parse(rest).expect("whole batches");
                        batch.verify_crc().expect("only what is sound is read");
                        rest = after;
                    }
                }
                next = slice.next_offset;
            }
            Ok(_) => break,
            Err(LogError::Corrupt { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    for timestamp in [i64::MIN, 0, i64::MAX] {
        match view.batch_for_timestamp(timestamp, end) {
            Ok(_) | Err(LogError::Corrupt { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    while let Some(job) = log.poll_background() {
        log.handle_background(job.run()).expect("an intact device");
    }
    if let Some(job) = log.poll_sync() {
        log.handle_synced(job.run()).expect("synced");
    }
    Some((log.start(), log.end()))
}
