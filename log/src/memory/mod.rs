//! The twin of the real storage: in memory, deterministic, and as bad as a disk may be.
//!
//! [`MemoryStorage`] distinguishes what reads see (the page cache) from what the device holds.
//! [`MemoryStorage::crash`] is a power loss: each write that no sync covered is kept, lost or torn
//! at 512-byte sectors, each on its own; names created, renamed or removed since their directory
//! was synced are back to what they were, or not. [`MemoryStorage::kill`] ends the process only:
//! the page cache stays. Either way all open files fail from then on and all locks are free.
//!
//! All chance comes from the seed; the same calls in the same order give the same
//! [`MemoryStorage::state_hash`]. Time is virtual: each operation adds to
//! [`MemoryStorage::elapsed_ns`] what a device would take, times the slowness that was set.

mod content;
mod disk;
mod faults;
mod file;
mod random;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::disk::{Disk, NodeId, SECTOR_SIZE};
pub use self::faults::{Fault, FaultRates};
use self::faults::{Operation, Plan};
use self::file::MemoryFile;
use self::random::Random;
use crate::error::LockError;
use crate::storage::{Access, Entry, File, Lock, Storage, check_same_dir};

/// What an operation takes on a healthy device, in nanoseconds of virtual time.
const READ_NS: u64 = 2_000;
const WRITE_NS: u64 = 10_000;
const SYNC_NS: u64 = 80_000;
const NAMES_NS: u64 = 20_000;

/// The twin. Clones share one disk; [`MemoryStorage::fork`] makes another.
#[derive(Clone, Debug)]
pub struct MemoryStorage(Arc<Mutex<World>>);

#[derive(Clone, Debug)]
struct World {
    disk: Disk,
    plan: Plan,
    random: Random,
    /// Counts crashes and kills: handles from before are dead.
    era: u64,
    operation_count: u64,
    powered: bool,
    capacity: Option<u64>,
    read_only: bool,
    locks: BTreeSet<PathBuf>,
    resident: bool,
    slowness: u64,
    elapsed_ns: u64,
}

impl MemoryStorage {
    /// An empty, healthy disk.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(World {
            disk: Disk::default(),
            plan: Plan::default(),
            random: Random::new(seed),
            era: 0,
            operation_count: 0,
            powered: true,
            capacity: None,
            read_only: false,
            locks: BTreeSet::new(),
            resident: true,
            slowness: 1,
            elapsed_ns: 0,
        })))
    }

    /// A copy of the disk as it is, unsynced writes included, with its own future. Nothing is open
    /// or locked in the copy and no faults wait. For trying several crashes from one point.
    #[must_use]
    pub fn fork(&self, seed: u64) -> Self {
        let mut world = self.world().clone();
        world.random = Random::new(seed);
        world.plan = Plan::default();
        world.end_process();
        Self(Arc::new(Mutex::new(world)))
    }

    /// A power loss and the start of the machine after it.
    pub fn crash(&self) {
        let mut world = self.world();
        let World { disk, random, .. } = &mut *world;
        disk.lose_power(random);
        world.end_process();
    }

    /// Sudden end of the process; the page cache survives.
    pub fn kill(&self) {
        self.world().end_process();
    }

    /// Sets how often faults strike by chance.
    pub fn set_rates(&self, rates: FaultRates) {
        self.world().plan.rates = rates;
    }

    /// Lets a fault strike the first fitting operation from operation number `operation` on,
    /// counted as by [`MemoryStorage::operation_count`].
    pub fn schedule(&self, operation: u64, fault: Fault) {
        self.world().plan.schedule(operation, fault);
    }

    /// Lets a fault strike the next fitting operation on one file.
    ///
    /// # Errors
    /// `NotFound` when the path names nothing.
    pub fn aim(&self, path: &Path, fault: Fault) -> io::Result<()> {
        let mut world = self.world();
        let node = world.disk.find(path)?;
        world.plan.aim(node, fault);
        Ok(())
    }

    /// Takes back all faults that wait for an operation, and the rates.
    pub fn clear_faults(&self) {
        self.world().plan = Plan::default();
    }

    /// How many operations ran, failed ones included.
    #[must_use]
    pub fn operation_count(&self) -> u64 {
        self.world().operation_count
    }

    /// Whether it does anything at all: not between [`Fault::PowerOff`] and the end of the process.
    #[must_use]
    pub fn is_powered(&self) -> bool {
        self.world().powered
    }

    /// Limits the sum of all file lengths; `None` is no limit.
    pub fn set_capacity(&self, capacity: Option<u64>) {
        self.world().capacity = capacity;
    }

    /// Mounts the disk for reading only, or for writing again.
    pub fn set_read_only(&self, read_only: bool) {
        self.world().read_only = read_only;
    }

    /// Whether reads count as resident in memory.
    pub fn set_resident(&self, resident: bool) {
        self.world().resident = resident;
    }

    /// Makes every operation take `slowness` times its usual virtual time.
    pub fn set_slowness(&self, slowness: u64) {
        self.world().slowness = slowness;
    }

    /// Virtual time that all operations took, in nanoseconds.
    #[must_use]
    pub fn elapsed_ns(&self) -> u64 {
        self.world().elapsed_ns
    }

    /// Flips one bit of a file, in memory and on the device.
    ///
    /// # Errors
    /// `NotFound`, and `UnexpectedEof` for a position beyond the file.
    pub fn flip_bit(&self, path: &Path, position: u64, bit: u8) -> io::Result<()> {
        self.damage(path, position..position.saturating_add(1), |content| {
            content.flip_bit(position, bit);
        })
    }

    /// Overwrites bytes of a file behind everybody's back, in memory and on the device: stale or
    /// foreign sectors.
    ///
    /// # Errors
    /// As [`MemoryStorage::flip_bit`].
    pub fn overwrite(&self, path: &Path, position: u64, bytes: &[u8]) -> io::Result<()> {
        let end = position.saturating_add(bytes.len() as u64);
        self.damage(path, position..end, |content| content.write(position, bytes))
    }

    /// Makes the sectors of the range unreadable until they are overwritten.
    ///
    /// # Errors
    /// `NotFound` when the path names nothing.
    pub fn set_unreadable(&self, path: &Path, range: Range<u64>) -> io::Result<()> {
        let mut world = self.world();
        let node = world.disk.find(path)?;
        let sectors = range.start / SECTOR_SIZE..range.end.div_ceil(SECTOR_SIZE);
        world.disk.file(node)?.unreadable.extend(sectors);
        Ok(())
    }

    /// Everything that reads of the file see, without faults.
    ///
    /// # Errors
    /// `NotFound` when the path names nothing.
    pub fn content(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut world = self.world();
        let node = world.disk.find(path)?;
        Ok(world.disk.file(node)?.current.to_vec())
    }

    /// Puts a file with exactly this content at the path, durably and without faults. For building
    /// damaged directories; the parent must exist.
    ///
    /// # Errors
    /// `NotFound` when the parent is missing.
    pub fn install(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut world = self.world();
        if world.disk.find(path).is_ok() {
            world.disk.remove_file(path)?;
        }
        world.disk.create_file(path)?;
        let node = world.disk.find(path)?;
        let file = world.disk.file(node)?;
        file.current.write(0, content);
        file.durable.write(0, content);
        world.disk.sync_dir(path.parent().unwrap_or(Path::new("")))
    }

    /// A hash over all files and directories, durable and not. Equal after equal runs.
    #[must_use]
    pub fn state_hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.world().disk.hash(&mut hasher);
        hasher.finish()
    }

    fn damage(
        &self,
        path: &Path,
        range: Range<u64>,
        damage: impl Fn(&mut content::Content),
    ) -> io::Result<()> {
        let mut world = self.world();
        let node = world.disk.find(path)?;
        let file = world.disk.file(node)?;
        if range.end > file.current.size() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        damage(&mut file.current);
        if range.end <= file.durable.size() {
            damage(&mut file.durable);
        }
        Ok(())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one operation that only looks at names, with whatever fault is due.
    fn names<T>(&self, run: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        let mut world = self.world();
        world.begin(Operation::Names, None)?;
        run(&mut world.disk)
    }

    /// Runs one operation that changes names, with whatever fault is due.
    fn change<T>(&self, run: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        let mut world = self.world();
        let fault = world.begin(Operation::Change, None)?;
        if world.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        match fault {
            Some(Fault::DiskFull) => Err(io::ErrorKind::StorageFull.into()),
            _ => run(&mut world.disk),
        }
    }
}

impl World {
    fn end_process(&mut self) {
        self.era += 1;
        self.powered = true;
        self.locks.clear();
        self.disk.close_handles();
    }

    /// Counts an operation and finds the fault that strikes it.
    fn begin(&mut self, operation: Operation, node: Option<NodeId>) -> io::Result<Option<Fault>> {
        if !self.powered {
            return Err(io::Error::other("the power is off"));
        }
        let number = self.operation_count;
        self.operation_count += 1;
        let cost_ns = match operation {
            Operation::Read => READ_NS,
            Operation::Write => WRITE_NS,
            Operation::Sync => SYNC_NS,
            Operation::Names | Operation::Change => NAMES_NS,
        };
        self.elapsed_ns = self.elapsed_ns.saturating_add(cost_ns.saturating_mul(self.slowness));
        let fault = self.plan.strike(number, operation, node, &mut self.random);
        if fault == Some(Fault::PowerOff) {
            self.powered = false;
            // The last write may have been under way.
            if operation != Operation::Write {
                return Err(io::Error::other("the power went off"));
            }
        }
        Ok(fault)
    }

    fn free_size(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |all| all.saturating_sub(self.disk.used_size()))
    }
}

impl Storage for MemoryStorage {
    fn create_file(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.change(|disk| disk.create_file(path))?;
        self.open_file(path, Access::ReadWrite)
    }

    fn open_file(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        if access == Access::ReadWrite && self.world().read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let node = self.names(|disk| disk.open(path))?;
        let era = self.world().era;
        Ok(Arc::new(MemoryFile { storage: self.clone(), node, era, access }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.change(|disk| disk.create_dir(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        check_same_dir(from, to)?;
        self.change(|disk| disk.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change(|disk| disk.remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.change(|disk| disk.remove_dir(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.names(|disk| disk.list(path))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.names(|disk| match disk.find(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        match world.begin(Operation::Sync, None)? {
            Some(Fault::SyncError) => Err(io::Error::other("injected: directory sync failed")),
            _ => world.disk.sync_dir(path),
        }
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, LockError> {
        if self.world().read_only {
            return Err(LockError::Io(io::ErrorKind::ReadOnlyFilesystem.into()));
        }
        if self.world().locks.contains(path) {
            return Err(LockError::Held { holder: None });
        }
        if !self.exists(path)? {
            self.change(|disk| disk.create_file(path))?;
        }
        let mut world = self.world();
        world.locks.insert(path.to_owned());
        let era = world.era;
        Ok(Box::new(MemoryLock { storage: self.clone(), path: path.to_owned(), era }))
    }

    fn free_size(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.world().free_size())
    }
}

#[derive(Debug)]
struct MemoryLock {
    storage: MemoryStorage,
    path: PathBuf,
    era: u64,
}

impl Lock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        let mut world = self.storage.world();
        if world.era == self.era {
            world.locks.remove(&self.path);
        }
    }
}
