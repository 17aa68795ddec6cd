//! One shard's carrier: what waits to be carried, which file it goes to, and when a file is free
//! again.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::{
    FRAMES_START, Header, Kind, Line, Link, MAX_BATCHES_SIZE, MAX_ENTRY_COUNT, Seal, encode_frame,
    most_size,
};
use super::round::{CarrierDone, CarrierPreparation, CarrierPrepared, CarrierRound};
use super::settling::Settling;
use crate::jobs::{SyncDone, SyncJob};
use crate::key::PartitionKey;
use crate::log_error::{LogError, LogResult};
use crate::planted::{PlantedBug, is_planted};
use crate::storage::{File, Storage};

/// Space is prepared in steps of at most this many bytes.
const PREPARE_STEP: u64 = 1 << 20;

/// Most bytes of a file that are kept for voids.
const MOST_VOID_ROOM: u64 = 64 << 10;

/// The smallest size that a carrier works with, in bytes per file.
pub const MIN_FILE_SIZE: u64 = 16 << 10;

/// Ticks after which what lies in a carrier is settled although there is room.
const QUIET_TICKS: u64 = 5;

/// What is durable now.
#[derive(Debug)]
pub enum Carried {
    /// A log's sync is done.
    Synced(PartitionKey, SyncDone),
    /// Nothing that was carried of the partition before comes back any more.
    Voided(PartitionKey),
}

/// What waits, or is under way.
#[derive(Debug)]
enum Item {
    Append(PartitionKey, SyncJob),
    Void(PartitionKey),
}

/// One of the two files.
#[derive(Debug, Default)]
struct Slot {
    file: Option<Arc<dyn File>>,
    prepared_end: u64,
    generation: u64,
    held: BTreeMap<PartitionKey, Held>,
}

/// What a file holds of a partition.
#[derive(Clone, Copy, Debug)]
struct Held {
    end: u64,
    /// When the last of it came.
    tick: u64,
    /// No durable mark covers it. What a mark covers does no harm, until the mark is lowered.
    is_needed: bool,
}

/// A round that has not come back.
#[derive(Debug)]
struct UnderWay {
    items: Vec<Item>,
    /// Where its frame goes.
    place: Place,
}

/// Where the next frame goes.
#[derive(Clone, Copy, Debug)]
struct Place {
    position: u64,
    previous: u32,
    sequence: u64,
}

/// Carries the small appends of many logs in one file, so that one sync makes all of them durable.
/// The caller
///
/// 1. gives it the jobs of logs whose [`SyncJob::is_carriable`] says so, with [`Carrier::add`];
/// 2. polls [`Carrier::poll_round`], runs it, hands the result to [`Carrier::handle_done`] and what
///    that gives to the logs; one round is out at a time, and what comes meanwhile waits for the
///    next one;
/// 3. runs the jobs of [`Carrier::take_refused`], for which there is no room, as ever;
/// 4. does the same with [`Carrier::poll_preparation`] in the background;
/// 5. settles the logs of [`Carrier::poll_settle`], and tells of it with
///    [`Carrier::handle_settled`]; then gives the marks of [`Carrier::poll_marks`] to the journal,
///    and tells of every mark that is durable there with [`Carrier::note_mark`];
/// 6. before it cuts a log, makes the log settled, its mark durable, and then what was carried of
///    it void, with [`Carrier::void`]; the same when a partition is forgotten;
/// 7. calls [`Carrier::tick`] about once a second.
#[derive(Debug)]
pub struct Carrier {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    shard: usize,
    salt: u64,
    file_size: u64,
    slots: [Slot; 2],
    current: usize,
    place: Place,
    waiting: VecDeque<Item>,
    under_way: Option<UnderWay>,
    refused: Vec<(PartitionKey, SyncJob)>,
    settling: Settling,
    /// The slot that is being prepared.
    preparing: Option<usize>,
    /// Somebody had to be refused for want of space that can be prepared.
    wanted: bool,
    disk_full: bool,
    ticks: u64,
}

impl Slot {
    fn needed(&self) -> impl Iterator<Item = (PartitionKey, &Held)> {
        self.held.iter().filter(|(_, held)| held.is_needed).map(|(key, held)| (*key, held))
    }
}

impl Carrier {
    /// A carrier without files: those of an earlier process were replayed and removed. `salt` is
    /// random; files get `file_size` bytes, less than [`MIN_FILE_SIZE`] means that nothing is
    /// carried.
    #[must_use]
    pub fn new(
        storage: Arc<dyn Storage>,
        dir: &Path,
        shard: usize,
        salt: u64,
        file_size: u64,
    ) -> Self {
        Self {
            storage,
            dir: dir.to_owned(),
            shard,
            salt,
            file_size,
            slots: Default::default(),
            current: 0,
            place: Place { position: FRAMES_START, previous: 0, sequence: 1 },
            waiting: VecDeque::new(),
            under_way: None,
            refused: Vec::new(),
            settling: Settling::default(),
            preparing: None,
            wanted: false,
            disk_full: false,
            ticks: 0,
        }
    }

    /// Whether anything is carried at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.file_size >= MIN_FILE_SIZE
    }

    /// Takes a carriable job, to be carried with the next round.
    ///
    /// # Panics
    /// If the job is not carriable.
    pub fn add(&mut self, key: PartitionKey, job: SyncJob) {
        assert!(job.is_carriable(), "only small appends are carried");
        self.waiting.push_back(Item::Append(key, job));
    }

    /// Asks for what was carried of a partition to be void. `false` if nothing was: then there is
    /// nothing to wait for, else [`Carried::Voided`] tells when it is.
    pub fn void(&mut self, key: PartitionKey) -> bool {
        let holds = self.holds(key);
        if holds && !is_planted(PlantedBug::VoidNotWritten) {
            self.waiting.push_back(Item::Void(key));
            return true;
        }
        false
    }

    /// Whether a file may hold something of a partition, now or soon, that would count if the
    /// partition's mark were lowered.
    #[must_use]
    pub fn holds(&self, key: PartitionKey) -> bool {
        let is_of = |item: &Item| matches!(item, Item::Append(of, _) if *of == key);
        self.slots.iter().any(|slot| slot.held.contains_key(&key))
            || self.waiting.iter().any(is_of)
            || self.under_way.iter().flat_map(|round| &round.items).any(is_of)
    }

    /// How many jobs and voids wait for a round.
    #[must_use]
    pub fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// The next round, unless one is out or nothing waits that has room.
    pub fn poll_round(&mut self) -> Option<CarrierRound> {
        if self.under_way.is_some() || self.waiting.is_empty() {
            return None;
        }
        let room = match self.find_room() {
            Some(room) => room,
            None => {
                self.refuse_appends();
                self.find_room().filter(|_| !self.waiting.is_empty())?
            }
        };
        let (items, lines, batches_size) = self.take_items(room);
        assert!(!items.is_empty(), "there is room for one");
        Some(self.encode(items, &lines, batches_size))
    }

    /// Jobs that found no room; they are to be run as if there were no carrier.
    pub fn take_refused(&mut self) -> Vec<(PartitionKey, SyncJob)> {
        std::mem::take(&mut self.refused)
    }

    /// Takes in what a round did. Returns what is durable by it.
    ///
    /// # Errors
    /// What it failed with. The process has to end then.
    ///
    /// # Panics
    /// If no round is out.
    pub fn handle_done(&mut self, done: CarrierDone) -> LogResult<Vec<Carried>> {
        let round = self.under_way.take();
        assert!(round.is_some(), "only the round that is out comes back");
        let Some(UnderWay { items, place }) = round else { return Ok(Vec::new()) };
        match done.result {
            // Some file systems never overwrite in place. The next frame goes where this one would
            // have gone.
            Err(LogError::DiskFull { .. }) => {
                self.place = place;
                self.waiting.extend(items);
                self.refuse_appends();
                return Ok(Vec::new());
            }
            result => result?,
        }
        let mut carried = Vec::new();
        for item in items {
            carried.push(match item {
                Item::Append(key, job) => Carried::Synced(key, job.carried()),
                Item::Void(key) => {
                    self.forget(key);
                    Carried::Voided(key)
                }
            });
        }
        Ok(carried)
    }

    fn forget(&mut self, key: PartitionKey) {
        for slot in &mut self.slots {
            slot.held.remove(&key);
        }
    }

    // ---- room --------------------------------------------------------------------------------

    /// Bytes of each file that only voids may use: cuts must not wait for what they hinder.
    fn void_room(&self) -> u64 {
        (self.file_size / 8).min(MOST_VOID_ROOM)
    }

    /// Turns to the other file if this one is full. Bytes that the next frame may take.
    fn find_room(&mut self) -> Option<u64> {
        let voids_only = self.waiting.iter().all(|item| matches!(item, Item::Void(_)));
        let reserve = if voids_only { 0 } else { self.void_room() };
        let need = self.waiting.front().map_or(0, |item| {
            let size = if let Item::Append(_, job) = item { job.carried_size() } else { 0 };
            reserve + most_size(1, size, 2)
        });
        if self.place.position + need > self.file_size && self.may_turn(need) {
            self.turn();
        }
        let room = self.slots[self.current].prepared_end.saturating_sub(self.place.position);
        self.wanted |= room < need;
        (room >= need).then(|| room - reserve)
    }

    /// Whether nothing in the other file is needed any more.
    fn may_turn(&self, need: u64) -> bool {
        let other = &self.slots[1 - self.current];
        let is_free = other.needed().next().is_none() || is_planted(PlantedBug::CarrierReusedEarly);
        is_free && other.prepared_end >= FRAMES_START + need
    }

    fn turn(&mut self) {
        let before = self.slots[self.current].generation;
        self.current = 1 - self.current;
        let slot = &mut self.slots[self.current];
        slot.held.clear();
        slot.generation = before + 1;
        self.place.position = FRAMES_START;
        if !is_planted(PlantedBug::CarrierReusedEarly) {
            let full = &self.slots[1 - self.current];
            self.settling.begin(full.needed().map(|(key, _)| key));
        }
    }

    fn refuse_appends(&mut self) {
        for item in std::mem::take(&mut self.waiting) {
            match item {
                Item::Append(key, job) => self.refused.push((key, job)),
                void @ Item::Void(_) => self.waiting.push_back(void),
            }
        }
    }

    /// What waits, in order, as much as fits one frame and the room.
    fn take_items(&mut self, room: u64) -> (Vec<Item>, Vec<Line>, usize) {
        let (mut items, mut lines, mut size) = (Vec::new(), Vec::new(), 0);
        while let Some(item) = self.waiting.front() {
            let (key, kind) = match item {
                Item::Void(key) => (*key, Kind::Void),
                Item::Append(key, job) => (*key, job.carried_kind()),
            };
            let more = if let Kind::Batches { size, .. } = kind { size as usize } else { 0 };
            let fits = lines.len() < MAX_ENTRY_COUNT
                && size + more <= MAX_BATCHES_SIZE
                && most_size(lines.len() + 1, size + more, 2) <= room;
            if !fits {
                break;
            }
            size += more;
            lines.push(Line { key, kind });
            items.extend(self.waiting.pop_front());
        }
        (items, lines, size)
    }

    fn encode(&mut self, items: Vec<Item>, lines: &[Line], batches_size: usize) -> CarrierRound {
        let is_precious = |item: &Item| match item {
            Item::Append(_, job) => job.is_sole_copy(),
            Item::Void(_) => true,
        };
        let copies = if items.iter().any(is_precious) { 2 } else { 1 };
        let slot = &mut self.slots[self.current];
        slot.generation = slot.generation.max(1);
        let seal = Seal { salt: self.salt, generation: slot.generation };
        let place = self.place;
        let Place { position, previous, sequence } = place;
        let mut bytes = Vec::with_capacity(most_size(lines.len(), batches_size, copies) as usize);
        let begins = position == FRAMES_START;
        if begins {
            bytes.extend_from_slice(&Header { seal, sequence, previous }.encode());
        }
        let link = Link { previous, sequence, copies };
        let crc = encode_frame(&mut bytes, position, seal, link, lines, |out| {
            for item in &items {
                if let Item::Append(_, job) = item {
                    job.carry_into(out);
                }
            }
        });
        let position = if begins { 0 } else { position };
        let end = position + bytes.len() as u64;
        assert!(end <= slot.prepared_end, "a frame lies in prepared space");
        self.place = Place { position: end, previous: crc, sequence: sequence + 1 };
        for line in lines {
            if let Kind::Batches { end, .. } = line.kind {
                slot.held.insert(line.key, Held { end, tick: self.ticks, is_needed: true });
            }
        }
        self.under_way = Some(UnderWay { items, place });
        let path = file_path(&self.dir, self.shard, self.current);
        let file = slot.file.clone();
        let Some(file) = file else { unreachable!("a prepared slot has a file") };
        CarrierRound { file, path, bytes, position }
    }

    /// Space to prepare, if there soon is need of it and none is being prepared.
    pub fn poll_preparation(&mut self) -> Option<CarrierPreparation> {
        let begun = self.wanted || self.slots[0].file.is_some();
        if self.preparing.is_some() || self.disk_full || !begun || !self.is_on() {
            return None;
        }
        let step = PREPARE_STEP.min(self.file_size);
        let left = self.slots[self.current].prepared_end.saturating_sub(self.place.position);
        let is_half_full = self.place.position >= self.file_size / 2;
        let lacks = |slot: usize| self.slots[slot].prepared_end < self.file_size;
        let at = if lacks(self.current) && left < self.void_room() + step / 2 {
            self.current
        } else if is_half_full && self.slots[1 - self.current].prepared_end == 0 {
            1 - self.current
        } else {
            return None;
        };
        let slot = &self.slots[at];
        let end = (slot.prepared_end + step + self.void_room()).min(self.file_size);
        self.wanted = false;
        self.preparing = Some(at);
        Some(CarrierPreparation {
            storage: self.storage.clone(),
            path: file_path(&self.dir, self.shard, at),
            file: slot.file.clone(),
            range: slot.prepared_end..end,
        })
    }

    /// Takes in what a preparation did. A full disk is no error: nothing is carried that has no
    /// room.
    ///
    /// # Errors
    /// What it failed with otherwise. The process has to end then.
    ///
    /// # Panics
    /// If no preparation is out.
    pub fn handle_prepared(&mut self, prepared: CarrierPrepared) -> LogResult<()> {
        let at = self.preparing.take();
        assert!(at.is_some(), "only the preparation that is out comes back");
        let file = match prepared.result {
            Err(LogError::DiskFull { .. }) => {
                self.disk_full = true;
                return Ok(());
            }
            result => result?,
        };
        let at = at.unwrap_or_default();
        self.slots[at].file = Some(file);
        self.slots[at].prepared_end = prepared.end;
        Ok(())
    }

    // ---- settling ----------------------------------------------------------------------------

    /// Lets time pass: a full disk is tried again, and what has been quiet for long is settled.
    pub fn tick(&mut self) {
        self.ticks += 1;
        self.disk_full = false;
        if self.settling.is_idle() {
            let ticks = self.ticks;
            let is_due =
                |slot: usize, held: &Held| slot != self.current || ticks - held.tick >= QUIET_TICKS;
            let slots = self.slots.iter().enumerate();
            let due = slots.flat_map(|(slot, it)| it.needed().map(move |held| (slot, held)));
            let due = due.filter(|(slot, (_, held))| is_due(*slot, held));
            self.settling.begin(due.map(|(_, (key, _))| key));
        }
    }

    /// A partition to be settled, with the end up to which it has to be. Few at a time.
    pub fn poll_settle(&mut self) -> Option<(PartitionKey, u64)> {
        while let Some(key) = self.settling.poll() {
            let held = self.slots.iter().filter_map(|slot| slot.held.get(&key));
            match held.filter(|held| held.is_needed).map(|held| held.end).max() {
                Some(end) => return Some((key, end)),
                // A mark came, or a void.
                None => self.settling.handle_settled(key),
            }
        }
        None
    }

    /// A partition is settled, or is not here any more.
    pub fn handle_settled(&mut self, key: PartitionKey) {
        self.settling.handle_settled(key);
    }

    /// The partitions whose marks are to be durable now, once all that were to be settled are.
    pub fn poll_marks(&mut self) -> Vec<PartitionKey> {
        self.settling.poll_marks()
    }

    /// A partition's mark is durable in the journal: up to there no carrier is needed.
    pub fn note_mark(&mut self, key: PartitionKey, durable_mark: u64) {
        for slot in &mut self.slots {
            if let Some(held) = slot.held.get_mut(&key).filter(|held| held.end <= durable_mark) {
                held.is_needed = false;
            }
        }
    }

    /// How many partitions the files are needed for.
    #[must_use]
    pub fn needed_count(&self) -> usize {
        self.slots.iter().map(|slot| slot.needed().count()).sum()
    }
}

/// Where a file of a carrier lies.
pub(super) fn file_path(dir: &Path, shard: usize, slot: usize) -> PathBuf {
    dir.join(format!("{shard}-{slot}"))
}

impl SyncJob {
    fn carried_size(&self) -> usize {
        self.small.as_ref().map_or(0, |small| small.size)
    }

    fn carried_kind(&self) -> Kind {
        let base = self.small.as_ref().map_or(self.end, |small| small.base);
        Kind::Batches { base, end: self.end, size: self.carried_size() as u32 }
    }

    fn carry_into(&self, out: &mut Vec<u8>) {
        for batch in self.small.iter().flat_map(|small| &small.batches) {
            batch.parts().iter().for_each(|part| out.extend_from_slice(part));
        }
    }
}
