//! One broker's machine: a disk that stays, and a process that comes and goes.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use synod_log::carrier;
use synod_log::data_dir::{ClusterClaim, DataDir};
use synod_log::identity::DirectoryId;
use synod_log::key::PartitionKey;
use synod_log::memory::Fault;
use synod_log::{ClusterId, Identity, Log, MemoryStorage, Storage};
use synod_paxos::{Durable, NodeId, Replica, ReplicaSet};

use super::agenda::Micros;
use super::carrying::Carrying;
use super::control::Control;
use super::entry::Entry;
use super::follow::Begun;
use super::invariants::s03_vows::ballot;
use super::invariants::s04_decided_end::Held;
use super::journal::Journal;
use super::process::{Input, Process, node};
use super::setting::Setting;
use crate::control::{METADATA_KEY, OpenedMetadata};
use crate::partition::{Ended, Marks, Partition, PartitionView};
use crate::peers::{Incarnation, Introduction};
use crate::shard::{Copies, OpenError, Past, recover};

/// Where a broker's data is on its disk.
pub(crate) const DATA: &str = "/data";

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
    /// A process that waits for its cluster.
    pub(crate) entry: Option<Entry>,
    /// Whose data the disk holds, as the last start found.
    pub(crate) identity: Option<Identity>,
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
            entry: None,
            identity: None,
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

    /// Starts the process with the real recovery.
    ///
    /// # Errors
    /// The data directory, the journal or a log cannot be used (now).
    pub(crate) fn start(
        &mut self,
        life: u64,
        keys: impl IntoIterator<Item = PartitionKey>,
        setting: &Setting,
    ) -> Result<(), StartError> {
        let device: Arc<dyn Storage> = self.storage.clone();
        let claim = ClusterClaim::AnyOrNew(CLUSTER);
        let data_dir = DataDir::open(device.clone(), Path::new(DATA), claim, node(self.broker).0)?;
        let mut process = self.begin(life, data_dir, device, setting)?;
        let copies = if setting.replica_count == 1 { Copies::One } else { Copies::Several };
        for key in keys {
            process.open(key, node(self.broker), None, copies, setting)?;
        }
        self.process = Some(process);
        Ok(())
    }

    /// A process on an open data directory.
    fn begin(
        &mut self,
        life: u64,
        mut data_dir: DataDir,
        device: Arc<dyn Storage>,
        setting: &Setting,
    ) -> Result<Process, StartError> {
        if data_dir.suspect().is_some() {
            data_dir.evict()?;
            data_dir.clear_suspect()?;
        }
        self.identity = Some(data_dir.identity());
        let path = data_dir.journal_path();
        let mut journal = Journal::open(device.clone(), &path, data_dir.identity())?;
        let mut known = journal.partitions();
        let config = |key| setting.log_config(key);
        let write = |records: Vec<_>| journal.write_all_now(&records);
        carrier::replay(&data_dir, &mut known, config, write)?;
        let carrying = Carrying::new(device, &data_dir.carrier_path(), life, &self.storage);
        Ok(Process::new(life, data_dir, journal, carrying))
    }

    /// The first part of a start with the real controller: takes the disk. `fresh` is what a new
    /// directory and this start are called.
    ///
    /// # Errors
    /// The data directory cannot be used (now).
    pub(crate) fn claim(&mut self, life: u64, fresh: [[u8; 16]; 2]) -> Result<(), StartError> {
        let device: Arc<dyn Storage> = self.storage.clone();
        let id = node(self.broker).0;
        let claimed = DataDir::claim(device, Path::new(DATA), id, DirectoryId(fresh[0]))?;
        let incarnation = Incarnation { start: claimed.start(), random: fresh[1] };
        let (directory, membership) = (claimed.directory(), claimed.membership());
        let list = "all brokers of the run".to_owned();
        let introduction = Introduction::new(id, directory, incarnation, list, membership);
        self.entry = Some(Entry { life, claimed, introduction });
        Ok(())
    }

    /// The second part: opens what the disk holds and takes part in the cluster.
    ///
    /// # Errors
    /// The data directory, the journal or the metadata log cannot be used (now).
    pub(crate) fn enter(&mut self, setting: &Setting) -> Result<(), StartError> {
        let Some(Entry { life, claimed, mut introduction }) = self.entry.take() else {
            return Err("nothing was claimed".into());
        };
        if let Some(membership) = claimed.membership() {
            introduction.join(membership);
        }
        let device: Arc<dyn Storage> = self.storage.clone();
        let data_dir = claimed.open(ClusterClaim::AnyOrNew(CLUSTER))?;
        let mut process = self.begin(life, data_dir, device, setting)?;
        let mut leftovers = process.data_dir.partitions()?;
        leftovers.retain(|key| *key != METADATA_KEY);
        let me = node(self.broker);
        let voters: Vec<NodeId> = (0..setting.broker_count).map(node).collect();
        let copies = if voters.len() == 1 { Copies::One } else { Copies::Several };
        let parts = process.open_metadata(me, None, copies, setting)?;
        let voters = ReplicaSet::new(&voters);
        process.control = Some(Control::new(introduction, parts, voters, leftovers, setting));
        self.process = Some(process);
        Ok(())
    }

    /// What a broker here says of itself.
    pub(crate) fn introduction(&self) -> Option<&Introduction> {
        let control = self.process.as_ref().and_then(|process| process.control.as_ref());
        control
            .map(|control| &control.introduction)
            .or(self.entry.as_ref().map(|e| &e.introduction))
    }

    /// What the disk holds of a partition for sure, whether or not the process runs.
    pub(crate) fn held(&self, key: PartitionKey) -> Held {
        let live = self.process.as_ref().and_then(|process| held(process, key));
        live.or_else(|| self.held.get(&key).copied()).unwrap_or_default()
    }

    /// Notes what the disk holds of replicas whose incarnation ended while the process goes on.
    pub(crate) fn note_ended(&mut self) {
        let Some(process) = &self.process else { return };
        let is_over = |key: &&PartitionKey| {
            process.partitions.get(key).is_some_and(|partition| partition.poll_ended().is_some())
        };
        let over = process.touched.iter().filter(is_over);
        self.held.extend(over.filter_map(|key| Some((*key, held(process, *key)?))));
    }

    /// The process is over; its disk lost power, or not. Returns the process that was.
    pub(crate) fn end(&mut self, power_lost: bool, chance: u64) -> Option<Process> {
        self.entry = None;
        let mut process = self.process.take()?;
        if self.put_aside.is_none() {
            let keys = process.partitions.keys().copied().chain([METADATA_KEY]);
            self.held.extend(keys.filter_map(|key| Some((key, held(&process, key)?))));
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

fn held(process: &Process, key: PartitionKey) -> Option<Held> {
    let partition = process.replica(key)?;
    let journaled = process.journal.partition(key);
    let vow = journaled.vow.unwrap_or_default();
    // What a disk held and has lost to damage still counts: up to the mark its replica says that it
    // is faulty, also after a crash in the middle of the repair, and denies nothing.
    let durable_end = partition.log().durable_end().max(journaled.mark);
    let durable_end = durable_end.max(partition.replica().faulty_end().unwrap_or(0));
    Some(Held { accepted: ballot(vow.accepted), durable_end })
}

impl Process {
    /// Opens a partition's files with the real recovery.
    fn recover(
        &mut self,
        key: PartitionKey,
        ended: Option<&Ended>,
        copies: Copies,
        setting: &Setting,
    ) -> Result<(Log, Durable), OpenError> {
        let (journaled, corrupt) = match ended {
            Some(ended) => (ended.journaled, ended.corrupt.clone()),
            None => (self.journal.partition(key), Vec::new()),
        };
        let past = Past { journaled, corrupt, copies };
        let journal = &mut self.journal;
        let (log, durable) =
            recover(&self.data_dir, key, setting.log_config(key), &past, |mark| {
                journal.write_now(mark)
            })?;
        self.begun.push(Begun { key, durable: durable.clone() });
        self.touched.insert(key);
        Ok((log, durable))
    }

    /// Opens the metadata log for its group.
    pub(crate) fn open_metadata(
        &mut self,
        node: NodeId,
        ended: Option<&Ended>,
        copies: Copies,
        setting: &Setting,
    ) -> Result<OpenedMetadata, OpenError> {
        let (log, durable) = self.recover(METADATA_KEY, ended, copies, setting)?;
        let config = setting.metadata_config.clone();
        let view = PartitionView::new(METADATA_KEY, 0, log.view(), config, Arc::default());
        let replica = Replica::new(setting.metadata_replica_config(node), durable);
        Ok(OpenedMetadata { log, replica, view: Arc::new(view) })
    }

    /// Opens a partition and begins a replica's incarnation.
    pub(crate) fn open(
        &mut self,
        key: PartitionKey,
        node: NodeId,
        ended: Option<&Ended>,
        copies: Copies,
        setting: &Setting,
    ) -> Result<(), OpenError> {
        let (log, durable) = self.recover(key, ended, copies, setting)?;
        let config = setting.topic_config.clone();
        let view = Arc::new(PartitionView::new(key, 0, log.view(), config, Arc::default()));
        let replica = Replica::new(setting.replica_config(node), durable);
        let marks = if copies == Copies::One { Marks::BeforeAnswers } else { Marks::Lazy };
        let mut partition = Partition::new(key, log, replica, view, marks);
        partition.set_may_be_carried(self.carrying.carrier.holds(key));
        self.partitions.insert(key, partition);
        Ok(())
    }
}
