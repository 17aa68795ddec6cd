//! The real [`Storage`]: a file system of the operating system.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, IoSlice, Read as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use rustix::fs::{Advice, FallocateFlags};

use crate::error::{LockError, is_disk_full};
use crate::mmap;
use crate::storage::{Access, Entry, EntryKind, File, Lock, Storage, check_same_dir, invalid};

/// Zeros are written in pieces of this size.
const ZERO_SIZE: usize = 256 * 1024;
static ZEROS: [u8; ZERO_SIZE] = [0; ZERO_SIZE];

/// Parts that the system takes in one vectored write (`IOV_MAX`).
const PARTS_PER_WRITE: usize = 1024;

/// The operating system's file systems. Paths are taken as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsStorage;

impl Storage for OsStorage {
    fn create_file(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Arc::new(OsFile::new(file)?))
    }

    fn open_file(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        let write = access == Access::ReadWrite;
        let file = fs::OpenOptions::new().read(true).write(write).open(path)?;
        Ok(Arc::new(OsFile::new(file)?))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        check_same_dir(from, to)?;
        if fs::symlink_metadata(from)?.is_dir() && self.exists(to)? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for found in fs::read_dir(path)? {
            let found = found?;
            let metadata = match found.metadata() {
                Ok(metadata) => metadata,
                // Removed by somebody else since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let (kind, size) = match metadata.file_type() {
                kind if kind.is_file() => (EntryKind::File, metadata.len()),
                kind if kind.is_dir() => (EntryKind::Directory, 0),
                _ => (EntryKind::Other, 0),
            };
            entries.push(Entry { name: lossy(&found.file_name()), kind, size });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        match fs::symlink_metadata(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, LockError> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(LockError::Held { holder: read_holder(&file) });
            }
            Err(fs::TryLockError::Error(error)) => return Err(error.into()),
        }
        // The number only helps a reader of the error message, so a full disk does not matter.
        let holder = file
            .set_len(0)
            .and_then(|()| file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0));
        if let Err(error) = holder {
            tracing::debug!(path = %path.display(), %error, "process id not noted in lock file");
        }
        Ok(Box::new(OsLock { _file: file }))
    }

    fn free_size(&self, path: &Path) -> io::Result<u64> {
        let device = rustix::fs::statvfs(path)?;
        Ok(device.f_bavail.saturating_mul(device.f_frsize))
    }
}

fn lossy(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}

/// Reads the process id that the lock's holder noted.
fn read_holder(file: &fs::File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// `flock` belongs to the open file: closing it, also by dying, gives the lock back.
#[derive(Debug)]
struct OsLock {
    _file: fs::File,
}

impl Lock for OsLock {}

/// An open file with a mapping of it that grows as the file does.
#[derive(Debug)]
struct OsFile {
    file: fs::File,
    /// Length as far as this handle wrote or found it. Never beyond the real one, never shrinks.
    size: AtomicU64,
    /// One writer changes the length at a time.
    growth: Mutex<()>,
    /// Mapping of a prefix of the file; made by the first read, made anew when a read passes its
    /// end. Old mappings live until the last slice of them is dropped.
    map: RwLock<Bytes>,
    /// Set by the first final failure; every later write and sync is refused.
    failed: AtomicBool,
}

impl OsFile {
    fn new(file: fs::File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(invalid("not a regular file"));
        }
        Ok(Self {
            file,
            size: AtomicU64::new(metadata.len()),
            growth: Mutex::new(()),
            map: RwLock::new(Bytes::new()),
            failed: AtomicBool::new(false),
        })
    }

    fn refuse_if_failed(&self) -> io::Result<()> {
        if self.failed.load(Ordering::Acquire) {
            return Err(io::Error::other("an earlier write or sync of this file failed"));
        }
        Ok(())
    }

    /// Notes a failure as final unless the disk is merely full.
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && !is_disk_full(error)
        {
            self.failed.store(true, Ordering::Release);
        }
        result
    }

    /// Runs a write that ends at `end`. One that passes the file's end holds the growth lock, and
    /// gives back what it took from the device when that turns out to be full.
    fn write_up_to(&self, end: u64, write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.refuse_if_failed()?;
        if end <= self.size() {
            return self.note(write());
        }
        let _growing: MutexGuard<'_, ()> =
            self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        let result = write();
        let size = self.size();
        match &result {
            Ok(()) => self.size.store(size.max(end), Ordering::Release),
            // No mapping passes `size`, so nobody can touch what goes away here.
            Err(error) if is_disk_full(error) => self.note(self.file.set_len(size))?,
            Err(_) => {}
        }
        self.note(result)
    }

    fn check_range(&self, range: &Range<u64>) -> io::Result<()> {
        if range.start > range.end {
            return Err(invalid("a range that ends before it starts"));
        }
        if range.end > self.size() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// The mapping, if it covers the range.
    fn mapped(&self, range: &Range<u64>) -> Option<Bytes> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(range.start).ok()?;
        let end = usize::try_from(range.end).ok()?;
        (end <= map.len()).then(|| map.slice(start..end))
    }

    /// Makes the mapping cover the whole file as it is now.
    fn remap(&self) -> io::Result<()> {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let size = usize::try_from(self.size()).map_err(invalid)?;
        if map.len() < size {
            *map = mmap::map(&self.file, size)?;
        }
        Ok(())
    }

    fn advise(&self, range: Range<u64>, advice: Advice) {
        let Some(size) = std::num::NonZeroU64::new(range.end.saturating_sub(range.start)) else {
            return;
        };
        if let Err(error) = rustix::fs::fadvise(&self.file, range.start, Some(size), advice) {
            tracing::trace!(%error, "advice about a file refused");
        }
    }
}

impl File for OsFile {
    fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        let size: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let end = position.checked_add(size).ok_or_else(|| invalid("write beyond 2^64"))?;
        self.write_up_to(end, || {
            let mut position = position;
            for some in parts.chunks(PARTS_PER_WRITE) {
                write_all_parts(&self.file, some, position)?;
                position += some.iter().map(|part| part.len() as u64).sum::<u64>();
            }
            Ok(())
        })
    }

    fn zero(&self, range: Range<u64>) -> io::Result<()> {
        if range.start > range.end {
            return Err(invalid("a range that ends before it starts"));
        }
        self.write_up_to(range.end, || {
            let mut position = range.start;
            while position < range.end {
                let size = (range.end - position).min(ZERO_SIZE as u64);
                self.file.write_all_at(&ZEROS[..size as usize], position)?;
                position += size;
            }
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.refuse_if_failed()?;
        // A full disk that shows only now has lost pages that were taken as written: final too.
        self.file.sync_data().inspect_err(|_| self.failed.store(true, Ordering::Release))
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.check_range(&range)?;
        if let Some(bytes) = self.mapped(&range) {
            return Ok(bytes);
        }
        match self.remap() {
            Ok(()) => self.mapped(&range).ok_or_else(|| io::ErrorKind::UnexpectedEof.into()),
            Err(error) => {
                // A process has a limited number of mappings; a copy serves as well.
                tracing::debug!(%error, "file not mapped, reading a copy");
                let size = usize::try_from(range.end - range.start).map_err(invalid)?;
                let mut copy = vec![0; size];
                self.read_at(&mut copy, range.start)?;
                Ok(copy.into())
            }
        }
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.check_range(&(position..position.saturating_add(buffer.len() as u64)))?;
        self.file.read_exact_at(buffer, position)
    }

    fn is_resident(&self, range: Range<u64>) -> bool {
        if self.check_range(&range).is_err() {
            return false;
        }
        if self.mapped(&range).is_none() && self.remap().is_err() {
            return false;
        }
        self.mapped(&range).is_some_and(|bytes| mmap::is_resident(&bytes))
    }

    fn prefetch(&self, range: Range<u64>) {
        self.advise(range, Advice::WillNeed);
    }

    fn evict(&self, range: Range<u64>) {
        self.advise(range, Advice::DontNeed);
    }

    fn release(&self, range: Range<u64>) {
        if range.start >= range.end || range.end > self.size() {
            return;
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let size = range.end - range.start;
        if let Err(error) = rustix::fs::fallocate(&self.file, flags, range.start, size) {
            tracing::trace!(%error, "space of a file not given back");
        }
    }
}

/// Writes at most [`PARTS_PER_WRITE`] parts completely, in one call wherever the system lets it.
fn write_all_parts(file: &fs::File, parts: &[IoSlice<'_>], mut position: u64) -> io::Result<()> {
    let total: usize = parts.iter().map(|part| part.len()).sum();
    let mut written = 0;
    while written < total {
        let result = if written == 0 {
            rustix::io::pwritev(file, parts, position)
        } else {
            rustix::io::pwritev(file, &parts_from(parts, written), position)
        };
        match result {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(size) => {
                written += size;
                position += size as u64;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The parts without their first `skip` bytes.
fn parts_from<'a>(parts: &'a [IoSlice<'_>], mut skip: usize) -> Vec<IoSlice<'a>> {
    let mut rest = Vec::with_capacity(parts.len());
    for part in parts {
        let from = skip.min(part.len());
        skip -= from;
        if from < part.len() {
            rest.push(IoSlice::new(&part[from..]));
        }
    }
    rest
}
