//! Every byte of the last 64 KiB flipped, and the file cut at every byte: below the mark nothing
//! acknowledged is lost or invented without being reported, beyond it the sound prefix is kept.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use support::{BatchSpec, Random, read_all, split, sync};
use synod_log::batch::Batch;
use synod_log::memory::MemoryStorage;
use synod_log::storage::Storage;
use synod_log::{Log, LogConfig, LogError, RecoveryReport};

const DIR: &str = "/p";
const CHECKED_SIZE: usize = 64 << 10;

struct Victim {
    memory: MemoryStorage,
    storage: Arc<dyn Storage>,
    path: PathBuf,
    epochs: (PathBuf, Vec<u8>),
    batches: Vec<Batch>,
    image: Vec<u8>,
    /// Bytes of batches in the image; zeros follow.
    size: usize,
    end: u64,
}

impl Victim {
    fn new() -> Self {
        let memory = MemoryStorage::new(7);
        memory.create_dir(DIR.as_ref()).expect("created");
        let storage: Arc<dyn Storage> = Arc::new(memory.clone());
        let config = LogConfig::default();
        let mut log = Log::create(storage.clone(), DIR.as_ref(), config).expect("created");
        let mut random = Random::new(3);
        let mut batches = Vec::new();
        while log.view().size() < CHECKED_SIZE as u64 + 3000 {
            let count = 1 + random.below(20) as u32;
            let body = (0..random.below(3000)).map(|_| random.next() as u8).collect();
            let epoch = 1 + (batches.len() / 12) as i32;
            let spec = BatchSpec::new(log.end(), count).leader_epoch(epoch).body(body);
            batches.push(spec.batch());
            log.append(&batches[batches.len() - 1..]).expect("appended");
        }
        let size = log.view().size() as usize;
        let end = sync(&mut log);
        drop(log);
        let path = Path::new(DIR).join("00000000000000000000.log");
        let epochs = Path::new(DIR).join("leader-epochs");
        let image = memory.content(&path).expect("read");
        let epochs = (epochs.clone(), memory.content(&epochs).expect("read"));
        Self { memory, storage, path, epochs, batches, image, size, end }
    }

    fn open(&self, mark: u64) -> (Log, RecoveryReport) {
        let config = LogConfig::default();
        Log::open(self.storage.clone(), DIR.as_ref(), config, mark).expect("opened")
    }

    fn restore(&self) {
        self.memory.install(&self.path, &self.image).expect("installed");
        self.memory.install(&self.epochs.0, &self.epochs.1).expect("installed");
    }

    /// Every batch is either as it was appended, or below a faulty range and an error.
    fn check_below_the_mark(&self, what: &str) {
        let (log, report) = self.open(self.end);
        assert!(!report.faulty.is_empty(), "{what}: not noticed");
        assert_eq!(report.cut_size, 0, "{what}: acknowledged bytes cut");
        assert!(log.end() <= self.end && log.durable_end() <= self.end, "{what}");
        let view = log.view();
        for batch in &self.batches {
            let faulty = report
                .faulty
                .iter()
                .any(|r| r.start < batch.end_offset() && batch.base_offset() < r.end);
            if batch.base_offset() >= log.end() {
                assert!(faulty, "{what}: {} is lost", batch.base_offset());
                continue;
            }
            match view.read(batch.base_offset(), 0, true, log.end()) {
                Ok(slice) => {
                    let intact = split(&slice.batches).first() == Some(&batch.to_bytes());
                    assert!(intact || slice.is_empty() && faulty, "{what}: {slice:?}");
                }
                Err(LogError::Corrupt { .. }) => {
                    assert!(faulty, "{what}: {} unreadable, unreported", batch.base_offset());
                }
                Err(error) => panic!("{what}: {error}"),
            }
        }
    }

    /// The sound prefix stays, and nothing else.
    fn check_beyond_the_mark(&self, damaged_at: usize, what: &str) {
        let (log, report) = self.open(0);
        assert!(report.faulty.is_empty(), "{what}: {report:?}");
        let mut position = 0;
        let sound: Vec<Bytes> = self
            .batches
            .iter()
            .take_while(|b| {
                position += b.size();
                position <= damaged_at
            })
            .map(Batch::to_bytes)
            .collect();
        assert_eq!(read_all(&log.view(), 0, log.end()), sound, "{what}");
        let size = log.view().size() as usize;
        drop(log);
        let content = self.memory.content(&self.path).expect("read");
        assert!(content[size..].iter().all(|b| *b == 0), "{what}: cut bytes are not wiped");
    }
}

/// Runs every `stride`th case only; the whole takes longer than a usual run should.
fn stride() -> usize {
    std::env::var("SYNOD_LOG_STRIDE").ok().and_then(|s| s.parse().ok()).unwrap_or(1)
}

#[test]
fn every_flipped_byte_below_the_mark_is_reported() {
    let victim = Victim::new();
    for at in (victim.size - CHECKED_SIZE..victim.size).step_by(stride()) {
        let flipped = victim.image[at] ^ (1 << (at % 8));
        victim.memory.overwrite(&victim.path, at as u64, &[flipped]).expect("flipped");
        victim.check_below_the_mark(&format!("byte {at} flipped"));
        victim.memory.overwrite(&victim.path, at as u64, &victim.image[at..=at]).expect("restored");
    }
}

#[test]
fn a_cut_below_the_mark_is_reported_wherever_it_is() {
    let victim = Victim::new();
    for at in (victim.size - CHECKED_SIZE..victim.size).step_by(stride()) {
        victim.memory.install(&victim.path, &victim.image[..at]).expect("cut");
        victim.check_below_the_mark(&format!("cut at {at}"));
        victim.restore();
    }
}

#[test]
fn beyond_the_mark_the_sound_prefix_is_kept() {
    let victim = Victim::new();
    for at in (victim.size - CHECKED_SIZE..victim.size).step_by(stride()) {
        let flipped = victim.image[at] ^ (1 << (at % 8));
        victim.memory.overwrite(&victim.path, at as u64, &[flipped]).expect("flipped");
        victim.check_beyond_the_mark(at, &format!("byte {at} flipped"));
        victim.restore();
        victim.memory.install(&victim.path, &victim.image[..at]).expect("cut");
        victim.check_beyond_the_mark(at, &format!("cut at {at}"));
        victim.restore();
    }
}

#[test]
fn an_unreadable_sector_below_the_mark_is_reported() {
    let victim = Victim::new();
    for at in (victim.size - CHECKED_SIZE..victim.size - 512).step_by(512) {
        let sector = (at / 512 * 512) as u64;
        victim.memory.set_unreadable(&victim.path, sector..sector + 512).expect("set");
        let (log, report) = victim.open(victim.end);
        assert!(!report.faulty.is_empty(), "sector {sector}");
        assert_eq!(report.cut_size, 0);
        drop(log);
        victim.restore();
    }
}
