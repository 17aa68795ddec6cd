//! Letting faults happen, and taking them back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use synod_log::MemoryStorage;
use synod_log::check::{Found, SegmentDump};
use synod_log::key::PartitionKey;
use synod_log::memory::Fault as DeviceFault;
use synod_log::storage::Storage;

use super::agenda::{MS, Micros, SECOND};
use super::fault::{Damage, Fault, StorageFault, around};
use super::invariants::s03_vows::ballot;
use super::process::{Input, node};
use super::violation::Checked;
use super::world::{Event, World};
use crate::partition::Ended;
use crate::shard::Copies;

/// A supervisor starts a process that ended by itself after about this long.
const RESTART: Micros = 200 * MS;

/// What ends a fault.
#[derive(Clone, Debug)]
pub(crate) enum Undo {
    Mend(Vec<(usize, usize)>),
    /// There is space again.
    Space(usize),
    /// The disk with the data is back.
    Disk(usize),
    /// A power failure that waited for an operation strikes now at the latest.
    Power {
        broker: usize,
        life: u64,
    },
}

/// A batch on some disk, by its file and place.
#[derive(Clone, Debug)]
struct Stored {
    path: std::path::PathBuf,
    position: u64,
    size: u64,
    base: u64,
}

impl World {
    pub(crate) fn strike(&mut self, fault: Fault) {
        let now = self.now;
        self.trace.say(now, format_args!("fault: {fault:?}"));
        self.fault_count += 1;
        match fault {
            Fault::Cut { links, lasts } => {
                self.network.cut(&links);
                self.agenda.add(now + lasts, Event::Undo(Undo::Mend(links)));
            }
            Fault::Clog { links, lasts } => self.network.clog(&links, now + lasts),
            Fault::Kill { broker, down } => self.end(broker, false, Some(down)),
            Fault::PowerLoss { broker, down } => self.end(broker, true, Some(down)),
            Fault::PowerOff { broker, operations, down } => {
                self.arm_power_off(broker, operations, down);
            }
            Fault::Blackout { down } => {
                for broker in 0..self.machines.len() {
                    let down = down + self.random.below(200 * MS);
                    self.end(broker, true, Some(down));
                }
            }
            Fault::Pause { broker, lasts } => {
                let machine = &mut self.machines[broker];
                machine.paused_until = machine.paused_until.max(now + lasts);
            }
            Fault::Slow { broker, factor, lasts } => {
                self.machines[broker].slow = (factor, now + lasts);
            }
            Fault::SlowDisk { broker, factor, lasts } => {
                self.machines[broker].slow_disk = (factor, now + lasts);
            }
            Fault::Storage { broker, fault } => {
                let fault = match fault {
                    StorageFault::Sync => DeviceFault::SyncError,
                    StorageFault::Write => DeviceFault::WriteError,
                    StorageFault::Read => {
                        self.invariants.corruption.note_refused(node(broker));
                        DeviceFault::ReadError
                    }
                };
                let storage = &self.machines[broker].storage;
                storage.schedule(storage.operation_count(), fault);
            }
            Fault::DiskFull { broker, lasts } => {
                // Not a byte more than there is.
                self.machines[broker].storage.set_capacity(Some(0));
                self.agenda.add(now + lasts, Event::Undo(Undo::Space(broker)));
            }
            Fault::Damage { broker, damage, place, down } => {
                self.end(broker, true, Some(down));
                self.damage(broker, damage, place);
            }
            Fault::EmptyDisk { broker, lasts } => self.empty_disk(broker, lasts),
            Fault::Clock { broker, by_ms } => {
                let clock = &mut self.machines[broker].clock_ms;
                *clock = clock.saturating_add(by_ms);
            }
            Fault::Appoint { partition, voter, repeats } => {
                if self.options.scripted && self.options.errs && self.healed_at.is_none() {
                    self.appoint_for_nothing(partition, voter, repeats);
                }
            }
            Fault::OldLeader { partition, lasts } => self.cut_leader_off(partition, lasts),
        }
    }

    fn cut_leader_off(&mut self, partition: u64, lasts: Micros) {
        let place = partition as usize % self.options.partition_count.max(1);
        let Some((_, assignment)) = self.controller.assignments().nth(place) else { return };
        let broker = assignment.ballot.node.0 as usize - 1;
        let links = around(self.machines.len(), broker);
        self.network.cut(&links);
        self.network.spoil(&links, self.now + lasts + SECOND);
        self.agenda.add(self.now + lasts, Event::Undo(Undo::Mend(links)));
    }

    fn arm_power_off(&mut self, broker: usize, operations: u64, down: Micros) {
        let Some(life) = self.life(broker) else { return };
        let machine = &mut self.machines[broker];
        let operation = machine.storage.operation_count() + operations;
        machine.storage.schedule(operation, DeviceFault::PowerOff);
        machine.power_off = true;
        let latest = self.now + down.min(100 * MS);
        self.agenda.add(latest, Event::Undo(Undo::Power { broker, life }));
    }

    fn appoint_for_nothing(&mut self, partition: u64, voter: u64, repeats: super::fault::Repeat) {
        let Some((key, told)) = self.controller.err(partition, voter, repeats, self.now) else {
            return;
        };
        let Some(assignment) = self.controller.get(key).cloned() else { return };
        let input = Input::Appoint(key, told, assignment.set());
        let broker = told.node.0 as usize - 1;
        let at = self.now + self.random.below(10 * MS);
        self.agenda.add(at, Event::Input { broker, life: None, input });
        let rival = assignment.ballot.node.0 as usize - 1;
        if rival != broker && told.round == assignment.ballot.round {
            // They do not hear of each other for a while.
            let links = vec![(broker, rival), (rival, broker)];
            self.network.cut(&links);
            self.agenda.add(self.now + 300 * MS, Event::Undo(Undo::Mend(links)));
        }
        self.tell_of(key);
    }

    pub(crate) fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Mend(links) => self.network.mend(&links),
            Undo::Space(broker) => {
                let machine = &self.machines[broker];
                for disk in
                    [Some(&machine.storage), machine.put_aside.as_ref()].into_iter().flatten()
                {
                    disk.set_capacity(None);
                }
            }
            Undo::Disk(broker) => self.return_disk(broker),
            Undo::Power { broker, life } => {
                if self.life(broker) == Some(life) && self.machines[broker].power_off {
                    self.end(broker, true, Some(RESTART));
                }
            }
        }
    }

    // ---- processes ---------------------------------------------------------------------------

    /// Ends a process, if it runs, and starts another one after `down`.
    pub(crate) fn end(&mut self, broker: usize, power_lost: bool, down: Option<Micros>) {
        let chance = self.random.next();
        let machine = &mut self.machines[broker];
        let inbox = std::mem::take(&mut machine.inbox);
        let was_entering = machine.entry.is_some();
        let Some(process) = machine.end(power_lost, chance) else {
            if power_lost || was_entering {
                machine.lose(power_lost);
            }
            if let Some(down) = down.filter(|_| was_entering) {
                self.agenda.add(self.now + down, Event::Start { broker });
            }
            return;
        };
        let mut unanswered = process.into_unanswered();
        for input in inbox {
            if let Input::Produce(produce) = input {
                unanswered.push(produce);
            }
        }
        self.break_connections(unanswered);
        if let Some(down) = down {
            self.agenda.add(self.now + down, Event::Start { broker });
        }
    }

    /// A process ends itself because its disk failed.
    pub(crate) fn abort(&mut self, broker: usize, reason: &str) {
        let machine = &mut self.machines[broker];
        if let Some(process) = &machine.process {
            // The device may refuse this, too.
            drop(process.data_dir.mark_suspect(reason));
        }
        let down = RESTART + self.random.below(RESTART);
        // The failed process does nothing more, not even with what was under way.
        let power_off = machine.power_off;
        self.end(broker, power_off, Some(down));
    }

    /// Starts a process, or tries it again later.
    pub(crate) fn start(&mut self, broker: usize) -> Checked {
        let machine = &mut self.machines[broker];
        if machine.is_up() || machine.entry.is_some() {
            return Ok(());
        }
        self.lives += 1;
        let life = self.lives;
        if !self.options.scripted {
            return self.claim(broker, life);
        }
        let id = node(broker);
        let is_known = machine.put_aside.is_none();
        // A broker with an empty disk is nobody's replica: its peers refuse its identity.
        let keys = if is_known { self.controller.hosted(id) } else { Vec::new() };
        if let Err(error) = machine.start(life, keys, &self.setting) {
            self.not_started(broker, &error);
            return Ok(());
        }
        self.started(broker, life)
    }

    /// A start failed; it is tried again later.
    pub(crate) fn not_started(&mut self, broker: usize, error: &dyn std::fmt::Display) {
        self.trace.say(self.now, format_args!("{} does not start: {error}", node(broker)));
        let machine = &mut self.machines[broker];
        machine.entry = None;
        machine.lose(false);
        let at = self.now + RESTART + self.random.below(RESTART);
        self.agenda.add(at, Event::Start { broker });
    }

    /// A process has just started.
    pub(crate) fn started(&mut self, broker: usize, life: u64) -> Checked {
        self.turn(broker, Vec::new())?;
        let first = self.now + self.random.range(MS, 100 * MS);
        self.agenda.add(first, Event::Tick { broker, life });
        if self.options.scripted {
            let first = self.now + self.random.range(0, 20 * MS);
            self.agenda.add(first, Event::Heartbeat { broker, life });
        }
        self.agenda.add(self.now + SECOND, Event::Upkeep { broker, life });
        Ok(())
    }

    /// Begins new incarnations of replicas whose last one ended while the process goes on.
    pub(crate) fn reopen(
        &mut self,
        broker: usize,
        ended: BTreeMap<PartitionKey, Ended>,
    ) -> Checked {
        let id = node(broker);
        for (key, ended) in ended {
            let setting = &self.setting;
            let Some(process) = &mut self.machines[broker].process else { return Ok(()) };
            self.trace.say(self.now, format_args!("{id} reopens {key}: {ended:?}"));
            // Whoever stops because of its disk has peers to go on with, or a reason to ask them.
            let alone = self.options.scripted && setting.replica_count == 1;
            let copies = if alone { Copies::One } else { Copies::Several };
            match process.open(key, id, Some(&ended), copies, setting) {
                Ok(()) => {
                    if let Err(error) = process.reappoint(key) {
                        self.abort(broker, &error.to_string());
                        return Ok(());
                    }
                    self.observe_all_begun(broker)?;
                }
                // Perhaps there is space later.
                Err(_) => drop(process.ended.insert(key, ended)),
            }
        }
        self.note_ends(broker, false);
        Ok(())
    }

    // ---- disks -------------------------------------------------------------------------------

    /// The disk is lost: the machine starts with an empty one. Later the old one is found again.
    fn empty_disk(&mut self, broker: usize, lasts: Micros) {
        let machine = &self.machines[broker];
        // A disk that is exchanged while the cluster forms is simply another one, and where all are
        // new, so is the cluster.
        let mut others = self.machines.iter().filter(|other| other.broker != broker);
        let is_new = machine.identity.is_none() || others.all(|it| it.put_aside.is_some());
        if machine.put_aside.is_some() || !self.options.scripted && is_new {
            return;
        }
        self.end(broker, true, None);
        let seed = self.random.next();
        let machine = &mut self.machines[broker];
        let empty = Arc::new(MemoryStorage::new(seed));
        machine.put_aside = Some(std::mem::replace(&mut machine.storage, empty));
        self.agenda.add(self.now + 50 * MS, Event::Start { broker });
        self.agenda.add(self.now + lasts, Event::Undo(Undo::Disk(broker)));
    }

    pub(crate) fn return_disk(&mut self, broker: usize) {
        if self.machines[broker].put_aside.is_none() {
            return;
        }
        self.end(broker, true, None);
        let machine = &mut self.machines[broker];
        if let Some(disk) = machine.put_aside.take() {
            machine.storage = disk;
        }
        self.agenda.add(self.now + 50 * MS, Event::Start { broker });
    }

    /// Damages something below a durability mark on the disk of a broker that is down. One good
    /// copy of everything chosen stays: at most a minority of a partition's replicas is damaged.
    fn damage(&mut self, broker: usize, damage: Damage, place: u64) {
        let machine = &self.machines[broker];
        if machine.is_up() || machine.put_aside.is_some() {
            return;
        }
        let id = node(broker);
        let most = (self.options.replica_count - 1) / 2;
        let hosted = self.controller.hosted(id);
        let Some(key) = hosted.get(place as usize % hosted.len().max(1)).copied() else { return };
        let corruption = &self.invariants.corruption;
        if !corruption.is_damaged(id, key) && corruption.count(key) >= most {
            return;
        }
        let Some((mark, accepted)) = machine.journaled(key) else { return };
        let Some(stored) = pick_stored(&machine.storage, key, mark, place >> 8) else { return };
        let at = stored.position + (place >> 24) % stored.size;
        let done = match damage {
            Damage::BitFlip => machine.storage.flip_bit(&stored.path, at, (place & 7) as u8),
            Damage::Zeros | Damage::Stale => {
                let sector = at / 512 * 512;
                let from = sector.max(stored.position);
                let end = (sector + 512).min(stored.position + stored.size);
                let bytes = match damage {
                    Damage::Zeros => vec![0; (end - from) as usize],
                    _ => neighbour(&machine.storage, &stored.path, from..end),
                };
                machine.storage.overwrite(&stored.path, from, &bytes)
            }
            Damage::Unreadable => machine.storage.set_unreadable(&stored.path, at..at + 1),
        };
        if done.is_ok() {
            self.trace.say(self.now, format_args!("{id} damaged {key}: {stored:?} at {at}"));
            self.invariants.corruption.note(id, key, stored.base, mark, accepted);
        }
    }
}

/// What a sector beside the range holds: a write that went to the wrong place.
fn neighbour(storage: &MemoryStorage, path: &Path, range: std::ops::Range<u64>) -> Vec<u8> {
    let size = range.end - range.start;
    let from = if range.start < 512 { range.start + 512 } else { range.start - 512 };
    let content = storage.content(path).unwrap_or_default();
    let beside = content.iter().skip(from as usize).chain(std::iter::repeat(&0x5a));
    beside.take(size as usize).copied().collect()
}

/// One of the batches below `mark` on a disk.
fn pick_stored(
    storage: &Arc<MemoryStorage>,
    key: PartitionKey,
    mark: u64,
    place: u64,
) -> Option<Stored> {
    let dir = Path::new("/data/partitions").join(key.to_string());
    let mut all = Vec::new();
    for entry in storage.list(&dir).ok()? {
        let path = dir.join(&entry.name);
        let Ok(mut dump) = SegmentDump::open(&**storage, &path) else { continue };
        while let Ok(Some(Found::Batch { position, header, damage: None })) = dump.step() {
            if header.end_offset() > mark {
                break;
            }
            let (size, base) = (header.size() as u64, header.base_offset());
            all.push(Stored { path: path.clone(), position, size, base });
        }
    }
    let count = all.len();
    (count > 0).then(|| all.swap_remove(place as usize % count))
}

impl super::machine::Machine {
    /// The durability mark and the accepted ballot that a journal held when the process ended.
    fn journaled(&self, key: PartitionKey) -> Option<(u64, synod_paxos::Ballot)> {
        let path = Path::new("/data/journal");
        let disk = self.storage.fork(1);
        let (store, _) =
            synod_log::journal::JournalStore::open(Arc::new(disk), path, self.identity?).ok()?;
        let durable = store.partitions().get(&key).copied()?;
        Some((durable.mark, ballot(durable.vow.unwrap_or_default().accepted)))
    }
}
