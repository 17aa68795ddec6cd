//! One broker's machine: a disk that stays, and a process that comes and goes.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use synod_log::data_dir::{ClusterClaim, DataDir};
use synod_log::key::PartitionKey;
use synod_log::memory::Fault;
use synod_log::{ClusterId, MemoryStorage, Storage};
use synod_paxos::{Durable, Replica};

use super::agenda::Micros;
use super::invariants::s03_vows::ballot;
use super::invariants::s04_decided_end::Held;
use super::journal::Journal;
use super::process::{Input, Process, node};
use super::setting::Setting;
use crate::partition::{Ended, Marks, Partition, PartitionView};
use crate::shard::{Copies, Past, recover};

/// Where a broker's data is on its disk.
const DATA: &str = "/data";

/// The cluster that all disks belong to.
const CLUSTER: ClusterId = ClusterId(*b"simulatedcluster");

/// Storage operations of dying processes that may still reach the device.
const LAST_OPERATIONS: u64 = 8;

#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) broker: usize,
    pub(crate) storage: Arc<MemoryStorage>,
    /// The disk with the data, while an empty one is in its place.
    pub(crate) put_aside: Option<Arc<MemoryStorage>>,
    pub(crate) process: Option<Process>,
    /// What arrived while the process was paused or busy.
    pub(crate) inbox: VecDeque<Input>,
    pub(crate) paused_until: Micros,
    pub(crate) busy_until: Micros,
    /// A wake-up is on the agenda.
    pub(crate) will_wake: bool,
    /// How many times as long as usual everything takes, and until when.
    pub(crate) slow: (u64, Micros),
    pub(crate) slow_disk: (u64, Micros),
    pub(crate) clock_ms: i64,
    /// The power goes off at some operation.
    pub(crate) power_off: bool,
    /// What the disk held for sure when the last process ended.
    held: BTreeMap<PartitionKey, Held>,
}

/// Why a process did not start.
pub(crate) type StartError = Box<dyn std::error::Error + Send + Sync>;

impl Machine {
    pub(crate) fn new(broker: usize, seed: u64) -> Machine {
        Machine {
            broker,
            storage: Arc::new(MemoryStorage::new(seed)),
            put_aside: None,
            process: None,
            inbox: VecDeque::new(),
            paused_until: 0,
            busy_until: 0,
            will_wake: false,
            slow: (1, 0),
            slow_disk: (1, 0),
            clock_ms: super::history::FIRST_TIMESTAMP,
            power_off: false,
            held: BTreeMap::new(),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process.is_some()
    }

    pub(crate) fn wall_ms(&self, now: Micros) -> i64 {
        self.clock_ms.saturating_add(now as i64 / 1_000)
    }

    /// How many times as long as usual the device takes.
    pub(crate) fn disk_factor(&self, now: Micros) -> u64 {
        if now < self.slow_disk.1 { self.slow_disk.0 } else { 1 }
    }

    pub(crate) fn slowness(&self, now: Micros) -> u64 {
        if now < self.slow.1 { self.slow.0 } else { 1 }
    }

    /// Starts the process with the real recovery. Returns what each replica begins with.
    ///
    /// # Errors
    /// The data directory, the journal or a log cannot be used (now).
    pub(crate) fn start(
        &mut self,
        life: u64,
        keys: impl IntoIterator<Item = PartitionKey>,
        setting: &Setting,
    ) -> Result<Vec<(PartitionKey, Durable)>, StartError> {
        let device: Arc<dyn Storage> = self.storage.clone();
        let claim = ClusterClaim::AnyOrNew(CLUSTER);
        let mut data_dir =
            DataDir::open(device.clone(), Path::new(DATA), claim, node(self.broker).0)?;
        if data_dir.suspect().is_some() {
            data_dir.evict()?;
            data_dir.clear_suspect()?;
        }
        let journal = Journal::open(device, &data_dir.journal_path(), data_dir.identity())?;
        let mut process = Process::new(life, data_dir, journal, BTreeMap::new());
        let mut found = Vec::new();
        for key in keys {
            let durable = process.open(key, self.broker, None, setting)?;
            found.push((key, durable));
        }
        self.process = Some(process);
        Ok(found)
    }

    /// What the disk holds of a partition for sure, whether or not the process runs.
    pub(crate) fn held(&self, key: PartitionKey) -> Held {
        match &self.process {
            Some(process) if process.partitions.contains_key(&key) => held(process, key),
            _ => self.held.get(&key).copied().unwrap_or_default(),
        }
    }

    /// A replica's incarnation ended while the process goes on.
    pub(crate) fn note_ended(&mut self, key: PartitionKey, ended: &Ended) {
        let accepted = ballot(ended.journaled.vow.unwrap_or_default().accepted);
        self.held.insert(key, Held { accepted, durable_end: ended.journaled.mark });
    }

    /// The process is over; its disk lost power, or not. Returns the process that was.
    pub(crate) fn end(&mut self, power_lost: bool, chance: u64) -> Option<Process> {
        let mut process = self.process.take()?;
        if self.put_aside.is_none() {
            let held = process.partitions.keys().map(|key| (*key, held(&process, *key)));
            self.held.extend(held);
        }
        if !chance.is_multiple_of(4) && !self.power_off {
            let operation = self.storage.operation_count() + chance / 8 % LAST_OPERATIONS;
            self.storage.schedule(operation, Fault::PowerOff);
            process.abandon_jobs(chance / 64);
        }
        self.lose(power_lost);
        self.inbox.clear();
        Some(process)
    }

    /// What memory held is gone; what the device did not get, too, if it lost power.
    pub(crate) fn lose(&mut self, power_lost: bool) {
        // What was to strike later must not strike the next process.
        self.storage.clear_faults();
        if power_lost || self.power_off {
            self.storage.crash()
        } else {
            self.storage.kill()
        }
        self.power_off = false;
    }
}

fn held(process: &Process, key: PartitionKey) -> Held {
    let vow = process.journal.partition(key).vow.unwrap_or_default();
    // What a disk held and has lost to damage still counts: its replica says that it is faulty up
    // to there, and denies nothing.
    let end = |p: &Partition| p.log().durable_end().max(p.replica().faulty_end().unwrap_or(0));
    let durable_end = process.partitions.get(&key).map_or(0, end);
    Held { accepted: ballot(vow.accepted), durable_end }
}

impl Process {
    /// Opens a partition's files with the real recovery and begins a replica's incarnation.
    pub(crate) fn open(
        &mut self,
        key: PartitionKey,
        broker: usize,
        ended: Option<&Ended>,
        setting: &Setting,
    ) -> Result<Durable, StartError> {
        let alone = setting.replica_count == 1;
        let copies = if alone { Copies::One } else { Copies::Several };
        let (journaled, corrupt) = match ended {
            Some(ended) => (ended.journaled, ended.corrupt.clone()),
            None => (self.journal.partition(key), Vec::new()),
        };
        let past = Past { journaled, corrupt, copies };
        let journal = &mut self.journal;
        let (log, durable) = recover(&self.data_dir, key, setting.log_config(), &past, |mark| {
            journal.write_now(mark)
        })?;
        let config = setting.topic_config.clone();
        let view = Arc::new(PartitionView::new(key, 0, log.view(), config, Arc::default()));
        let replica = Replica::new(setting.replica_config(node(broker)), durable.clone());
        let marks = if alone { Marks::BeforeAnswers } else { Marks::Lazy };
        let partition = Partition::new(key, log, replica, view, marks);
        self.partitions.insert(key, partition);
        self.touched.insert(key);
        Ok(durable)
    }
}
