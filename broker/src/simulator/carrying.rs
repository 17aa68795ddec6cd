//! Which small appends a simulated broker carries: less orderly than a shard does it, so that more
//! comes to pass, with files so small that they are used again and again.

use std::path::Path;
use std::sync::Arc;

use synod_log::carrier::{Carrier, MIN_FILE_SIZE};
use synod_log::jobs::SyncJob;
use synod_log::key::PartitionKey;
use synod_log::{MemoryStorage, Storage};

use super::random::Random;

/// A process's carrier, and the chance of what it gets.
#[derive(Debug)]
pub(crate) struct Carrying {
    pub(crate) carrier: Carrier,
    random: Random,
    /// How many of all small appends are carried.
    percent: u64,
}

impl Carrying {
    pub(crate) fn new(
        device: Arc<dyn Storage>,
        dir: &Path,
        life: u64,
        disk: &MemoryStorage,
    ) -> Carrying {
        let mut random = Random::of(disk.operation_count(), life);
        let file_size = MIN_FILE_SIZE << random.below(4);
        let percent = random.pick(&[30, 80, 100]);
        let carrier = Carrier::new(device, dir, 0, random.next(), file_size);
        Carrying { carrier, random, percent }
    }

    /// Gives some of the jobs to the carrier; the others are returned.
    pub(crate) fn carry(
        &mut self,
        jobs: Vec<(PartitionKey, SyncJob)>,
    ) -> Vec<(PartitionKey, SyncJob)> {
        let mut others = Vec::new();
        for (key, job) in jobs {
            if job.is_carriable() && self.random.chance(self.percent) {
                self.carrier.add(key, job);
            } else {
                others.push((key, job));
            }
        }
        others
    }
}
