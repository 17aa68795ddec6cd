//! The seam between everything durable and the device below it.
//!
//! [`Storage`] names files and directories, [`File`] is one open file. Two implementations exist:
//! [`OsStorage`](crate::os::OsStorage) on a real file system, and its twin
//! [`MemoryStorage`](crate::memory::MemoryStorage), which loses, tears and damages what a real disk
//! may lose, tear and damage, from a seed.
//!
//! The seam is narrow on purpose: it has exactly the operations that a log needs, and each one says
//! what survives a power loss. Nothing is durable before the sync that names it returned `Ok`:
//! bytes need [`File::sync`], names need [`Storage::sync_dir`] on the directory that holds them.
//!
//! # Failures
//!
//! * A full disk ([`is_disk_full`](crate::error::is_disk_full)) is an ordinary error: the file is
//!   as long as before, and the caller may go on with everything that needs no new space.
//! * Any other failed write and every failed sync is final. The kernel reports such a failure once
//!   and forgets it, so a retry that "succeeds" proves nothing. The caller stops using the file,
//!   marks the data directory suspect and ends the process.

use std::fmt;
use std::io::{self, IoSlice, Read as _};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::LockError;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads only; every write is refused. For tools that look at a running broker's files.
    ReadOnly,
    /// Reads and writes.
    ReadWrite,
}

/// What a directory entry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else: links, sockets, devices. Nothing of ours.
    Other,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The last component of the path. Bytes that are not UTF-8 are replaced, so a foreign name
    /// never equals one of ours.
    pub name: String,
    /// What the name stands for.
    pub kind: EntryKind,
    /// Length in bytes of a file; 0 for everything else.
    pub size: u64,
}

/// Holds a lock until it is dropped.
pub trait Lock: fmt::Debug + Send + Sync {}

/// Files and directories, by path.
///
/// All methods block. All are safe to call from several threads, but two callers must not change
/// one directory entry at the same time.
pub trait Storage: fmt::Debug + Send + Sync {
    /// Creates an empty file for reading and writing.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken, and whatever the file system reports.
    fn create_file(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Opens an existing file.
    ///
    /// # Errors
    /// `NotFound` when there is none, and whatever the file system reports.
    fn open_file(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>>;

    /// Creates an empty directory; its parent must exist.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken, and whatever the file system reports.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Gives an entry a new name *in the same directory*, atomically. A file replaces a file of the
    /// new name; a directory replaces nothing.
    ///
    /// # Errors
    /// `InvalidInput` when the two parents differ, `NotFound`, `AlreadyExists`, and whatever the
    /// file system reports.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name. Open handles and mapped ranges stay valid.
    ///
    /// # Errors
    /// `NotFound`, and whatever the file system reports.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `NotFound`, `DirectoryNotEmpty`, and whatever the file system reports.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// The entries of a directory, ordered by name.
    ///
    /// # Errors
    /// `NotFound`, and whatever the file system reports.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;

    /// Whether the path names anything.
    ///
    /// # Errors
    /// Whatever the file system reports, except that the name is missing.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Makes all earlier creations, renames and removals in this directory durable.
    ///
    /// # Errors
    /// Final, as every failed sync.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Takes the exclusive lock on a file, created when missing, without waiting. The system gives
    /// the lock back when the process ends, however it ends.
    ///
    /// # Errors
    /// [`LockError::Held`] when another holder has it, with its process id where that is known.
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, LockError>;

    /// Bytes that an unprivileged writer may still allocate on the device that holds `path`.
    ///
    /// # Errors
    /// Whatever the file system reports.
    fn free_size(&self, path: &Path) -> io::Result<u64>;
}

/// One open file.
///
/// A file has one owner that writes; anyone may read at the same time. Its length never shrinks,
/// so a range that was readable once stays readable for as long as somebody holds it.
pub trait File: fmt::Debug + Send + Sync {
    /// Length in bytes, zero-filled space included.
    fn size(&self) -> u64;

    /// Writes the parts back to back at `position` and extends the file when they pass its end; a
    /// gap reads as zeros. Not durable before [`File::sync`].
    ///
    /// Inside space that [`File::zero`] prepared and [`File::sync`] made durable, the device has
    /// nothing to allocate, so on file systems that overwrite in place it cannot be full.
    ///
    /// # Errors
    /// A full disk leaves the length as it was; the bytes of the range are then unspecified and the
    /// owner writes or zeros them before they are read. All other errors are final.
    fn write_at(&self, parts: &[IoSlice<'_>], position: u64) -> io::Result<()>;

    /// Overwrites the range with zeros, really written, and extends the file when the range passes
    /// its end. Used to prepare space ahead of need, and to wipe what a truncation cut. Not durable
    /// before [`File::sync`].
    ///
    /// # Errors
    /// As [`File::write_at`]; on a full disk the space taken beyond the old end is given back.
    fn zero(&self, range: Range<u64>) -> io::Result<()>;

    /// Makes every write that returned before this call durable, with the length (`fdatasync`).
    ///
    /// # Errors
    /// Final, and never to be retried: see the module's page.
    fn sync(&self) -> io::Result<()>;

    /// The bytes of the range, without a copy where the storage can map files. The caller reads
    /// only ranges that were completely written: whoever holds the result sees later overwrites of
    /// the range. A page that is not in memory blocks the reading thread, and one that the device
    /// cannot read ends the process; so ask [`File::is_resident`] first on a thread that must not
    /// block, and use [`File::read_at`] on content that is not trusted yet.
    ///
    /// # Errors
    /// `UnexpectedEof` when the range passes the file's length, and device errors.
    fn read(&self, range: Range<u64>) -> io::Result<Bytes>;

    /// Copies bytes at `position` into the whole of `buffer`; a sector that cannot be read is an
    /// error, never a signal. What recovery and scrubbing use.
    ///
    /// # Errors
    /// `UnexpectedEof` when the range passes the file's length, and device errors.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()>;

    /// Whether reading the range would most likely not wait for the device. A hint.
    fn is_resident(&self, range: Range<u64>) -> bool;

    /// Asks for the range to be read ahead, without waiting. A hint.
    fn prefetch(&self, range: Range<u64>);

    /// Drops clean cached pages of the range, so that the next read asks the device. Used on a
    /// data directory that is suspect, where memory and device may disagree. A hint.
    fn evict(&self, range: Range<u64>);

    /// Gives the space of a range that holds only zeros back to the device; length and content
    /// stay. For the unused rest of a sealed segment. Later writes there may find the disk full. A
    /// hint.
    fn release(&self, range: Range<u64>);
}

/// Installs `content` under `path` so that a crash leaves the old file or the new one, whole:
/// temporary file beside it, sync, rename, sync of the directory.
///
/// # Errors
/// Whatever the storage reports. After a failed sync the caller must not try again.
pub fn replace_file(storage: &dyn Storage, path: &Path, content: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or_else(|| invalid("a file needs a parent directory"))?;
    let temporary = temporary_path(path)?;
    if storage.exists(&temporary)? {
        storage.remove_file(&temporary)?;
    }
    let file = storage.create_file(&temporary)?;
    file.write_at(&[IoSlice::new(content)], 0)?;
    file.sync()?;
    drop(file);
    storage.rename(&temporary, path)?;
    storage.sync_dir(dir)
}

/// Reads a whole small file.
///
/// # Errors
/// `FileTooLarge` when it is longer than `max_size` bytes, and whatever the storage reports.
pub fn read_file(storage: &dyn Storage, path: &Path, max_size: u64) -> io::Result<Vec<u8>> {
    let file = storage.open_file(path, Access::ReadOnly)?;
    let size = file.size();
    if size > max_size {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("{} has {size} bytes, more than {max_size}", path.display()),
        ));
    }
    let mut content = vec![0; usize::try_from(size).map_err(invalid)?];
    file.read_at(&mut content, 0)?;
    Ok(content)
}

/// Removes a directory with everything in it. Not durable before the parent is synced, and a crash
/// midway leaves some of it.
///
/// # Errors
/// Whatever the storage reports; what was removed by then stays removed.
pub fn remove_tree(storage: &dyn Storage, path: &Path) -> io::Result<()> {
    for entry in storage.list(path)? {
        let inner = path.join(&entry.name);
        match entry.kind {
            EntryKind::Directory => remove_tree(storage, &inner)?,
            EntryKind::File | EntryKind::Other => storage.remove_file(&inner)?,
        }
    }
    storage.remove_dir(path)
}

/// The name under which a file is prepared before it is renamed to `path`. Left over by a crash, it
/// is worthless and may be removed.
pub(crate) fn temporary_path(path: &Path) -> io::Result<std::path::PathBuf> {
    let mut name = path.file_name().ok_or_else(|| invalid("a path without a name"))?.to_owned();
    name.push(".tmp");
    Ok(path.with_file_name(name))
}

pub(crate) fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

/// Both names of a rename lie in one directory, so that one directory sync makes it durable.
pub(crate) fn check_same_dir(from: &Path, to: &Path) -> io::Result<()> {
    if from.parent() == to.parent() && from.file_name().is_some() && to.file_name().is_some() {
        return Ok(());
    }
    Err(invalid(format!("{} and {} are not names in one directory", from.display(), to.display())))
}

/// A reader over a range of a file, for streaming checks of content that is not trusted.
#[derive(Debug)]
pub struct RangeReader<'a> {
    file: &'a dyn File,
    range: Range<u64>,
}

impl<'a> RangeReader<'a> {
    /// Reads `range` of `file`, cut at the file's length.
    #[must_use]
    pub fn new(file: &'a dyn File, range: Range<u64>) -> Self {
        let end = range.end.min(file.size());
        Self { file, range: range.start.min(end)..end }
    }
}

impl io::Read for RangeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.range.end - self.range.start;
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        self.file.read_at(&mut buffer[..size], self.range.start)?;
        self.range.start += size as u64;
        Ok(size)
    }
}

/// Position of the first byte in `range` that is not zero, if any.
///
/// # Errors
/// Whatever the file reports.
pub fn find_nonzero(file: &dyn File, range: Range<u64>) -> io::Result<Option<u64>> {
    let mut reader = RangeReader::new(file, range);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let position = reader.range.start;
        let size = reader.read(&mut buffer)?;
        if size == 0 {
            return Ok(None);
        }
        if let Some(index) = buffer[..size].iter().position(|byte| *byte != 0) {
            return Ok(Some(position + index as u64));
        }
    }
}
