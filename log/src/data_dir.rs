//! A broker's directory on disk: whose it is, what is in it, and that nobody else uses it.
//!
//! ```text
//! lock                 locked while a broker runs; holds its process id
//! enrolment            the directory's id, its starts, its cluster's members; written first
//! meta                 format, cluster id, node id, checksum; written last on a first start
//! journal              vows and durability marks
//! carrier/             small appends that are durable and not yet synced in their segments
//! partitions/          one directory per partition, named by its key
//!   ….deleted          on the way out, whole or in parts
//!   ….corrupt          was not readable from its first record on; its peers were asked instead
//! suspect              there after a failed write or sync: do not trust the page cache
//! ```
//!
//! `meta` is what makes a directory a data directory. Until it is there, a first start that was cut
//! short is simply done again, provided that nothing in the directory could be data. Once it is
//! there, everything else must be there too: a missing journal is lost promises, never "none made".

mod claim;
mod enrolment;
mod meta;
mod sheet;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::claim::ClaimedDir;
use self::claim::directory_of;
use self::meta::{Meta, MetaError};
use crate::error::LockError;
use crate::identity::{ClusterId, Identity};
use crate::journal::{Journal, JournalConfig, JournalOpenError, JournalStore, OpenedJournal};
use crate::key::PartitionKey;
use crate::storage::{Access, EntryKind, Lock, Storage, read_file, remove_tree, replace_file};

const LOCK: &str = "lock";
const META: &str = "meta";
const ENROLMENT: &str = "enrolment";
const JOURNAL: &str = "journal";
const CARRIER: &str = "carrier";
const PARTITIONS: &str = "partitions";
const SUSPECT: &str = "suspect";
const DELETED_SUFFIX: &str = ".deleted";
const ASIDE_SUFFIX: &str = ".corrupt";

/// Longest note about a failure that is kept, in bytes.
const SUSPECT_NOTE_SIZE: usize = 4096;

/// The cluster id that a directory must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterClaim {
    /// This one.
    Expect(ClusterId),
    /// Whatever it has; a new directory gets this one.
    AnyOrNew(ClusterId),
}

/// Why a data directory could not be opened. Each message ends where a sentence of the caller that
/// names the directory can go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// Another broker uses it.
    #[error("{} is in use by {}; one broker per data directory", .path.display(), match .holder {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    })]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// The process, if it is known.
        holder: Option<u32>,
    },
    /// It cannot be written to.
    #[error("{} is not writable: {source}", .path.display())]
    NotWritable {
        /// The data directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The directory holds something else.
    #[error(
        "{} is not empty and not a data directory (it holds {found:?}); name an empty one",
        .path.display()
    )]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// A name found in it.
        found: String,
    },
    /// A newer build wrote it.
    #[error(
        "{} has format {found}, this build knows up to {supported}; use a newer build",
        .path.display()
    )]
    NewerFormat {
        /// The data directory.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known format.
        supported: u32,
    },
    /// It is of another cluster.
    #[error("{} belongs to cluster {found}, not to {expected}", .path.display())]
    WrongCluster {
        /// The data directory.
        path: PathBuf,
        /// Its cluster.
        found: ClusterId,
        /// The cluster of the broker that opens it.
        expected: ClusterId,
    },
    /// It is of another node.
    #[error("{} belongs to node {found}, not to node {expected}", .path.display())]
    WrongNode {
        /// The data directory.
        path: PathBuf,
        /// Its node.
        found: u32,
        /// The node that opens it.
        expected: u32,
    },
    /// Something that must be there is not.
    #[error(
        "{} has lost its {missing}; restore it, or move the directory away and start with an \
         empty one",
        .path.display()
    )]
    Incomplete {
        /// The data directory.
        path: PathBuf,
        /// What is missing.
        missing: &'static str,
    },
    /// The file that says whose it is is damaged.
    #[error("{}: {reason}; restore the file", .path.display())]
    DamagedMeta {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The storage reported an error.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The data directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// An open and locked data directory. The lock goes with it.
#[derive(Debug)]
pub struct DataDir {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    identity: Identity,
    is_new: bool,
    suspect: Option<String>,
    _lock: Box<dyn Lock>,
}

impl DataDir {
    /// Opens the directory, or makes it one: created with its parents when missing, formatted when
    /// empty, completed when a first start was cut short.
    ///
    /// # Errors
    /// See [`DataDirError`].
    pub fn open(
        storage: Arc<dyn Storage>,
        path: &Path,
        cluster: ClusterClaim,
        node_id: u32,
    ) -> Result<Self, DataDirError> {
        let new = match cluster {
            ClusterClaim::Expect(id) | ClusterClaim::AnyOrNew(id) => id,
        };
        DataDir::claim(storage, path, node_id, directory_of(new))?.open(cluster)
    }

    /// The last step of an opening: nothing is missing.
    fn complete(
        storage: Arc<dyn Storage>,
        path: PathBuf,
        identity: Identity,
        is_new: bool,
        lock: Box<dyn Lock>,
    ) -> Result<Self, DataDirError> {
        let fail = |source| io_error(&path, source);
        for missing in [JOURNAL, PARTITIONS] {
            if !storage.exists(&path.join(missing)).map_err(fail)? {
                return Err(DataDirError::Incomplete { path, missing });
            }
        }
        let suspect = read_suspect(&*storage, &path).map_err(fail)?;
        Ok(Self { storage, path, identity, is_new, suspect, _lock: lock })
    }

    /// Whose directory it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether it was formatted just now: this node remembers nothing, not even that it forgot.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The storage that holds it.
    #[must_use]
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// Where the journal is.
    #[must_use]
    pub fn journal_path(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    /// The directory of the carriers' files. It exists only once something was carried.
    #[must_use]
    pub fn carrier_path(&self) -> PathBuf {
        self.path.join(CARRIER)
    }

    /// Opens the journal on its own thread.
    ///
    /// # Errors
    /// See [`JournalOpenError`].
    pub fn open_journal(&self, config: JournalConfig) -> Result<OpenedJournal, JournalOpenError> {
        Journal::open(Arc::clone(&self.storage), &self.journal_path(), self.identity, config)
    }

    /// The directory of one partition, whether it exists or not.
    #[must_use]
    pub fn partition_path(&self, key: PartitionKey) -> PathBuf {
        self.path.join(PARTITIONS).join(key.to_string())
    }

    /// All partitions that have a directory, in order. Names that are no keys are left alone: what
    /// is not understood is not deleted.
    ///
    /// # Errors
    /// Whatever the storage reports.
    pub fn partitions(&self) -> io::Result<Vec<PartitionKey>> {
        let entries = self.storage.list(&self.path.join(PARTITIONS))?;
        let mut keys: Vec<PartitionKey> = entries
            .iter()
            .filter(|entry| entry.kind == EntryKind::Directory)
            .filter_map(|entry| entry.name.parse().ok())
            .collect();
        keys.sort_unstable();
        Ok(keys)
    }

    /// Creates the empty directory of a partition, durably; one that exists is left as it is.
    ///
    /// # Errors
    /// Whatever the storage reports.
    pub fn create_partition(&self, key: PartitionKey) -> io::Result<PathBuf> {
        let path = self.partition_path(key);
        match self.storage.create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            // Also when it exists: an earlier attempt may have failed to sync the name.
            _ => self.storage.sync_dir(&self.path.join(PARTITIONS))?,
        }
        Ok(path)
    }

    /// Takes a partition out of sight, durably; its space comes back with
    /// [`DataDir::purge_deleted`]. Only a decided record may lead here. One that does not exist is
    /// fine: the deletion was cut short before.
    ///
    /// # Errors
    /// Whatever the storage reports.
    pub fn delete_partition(&self, key: PartitionKey) -> io::Result<()> {
        self.rename_partition(key, DELETED_SUFFIX)
    }

    /// Takes a partition that cannot be read out of sight, durably, in the place of what was set
    /// aside of it before. Its peers have what it held; nobody looks at it again but people.
    ///
    /// # Errors
    /// Whatever the storage reports.
    pub fn set_partition_aside(&self, key: PartitionKey) -> io::Result<()> {
        self.rename_partition(key, ASIDE_SUFFIX)
    }

    fn rename_partition(&self, key: PartitionKey, suffix: &str) -> io::Result<()> {
        let path = self.partition_path(key);
        if self.storage.exists(&path)? {
            let mut name = key.to_string();
            name.push_str(suffix);
            let renamed = path.with_file_name(name);
            if self.storage.exists(&renamed)? {
                remove_tree(&*self.storage, &renamed)?;
            }
            self.storage.rename(&path, &renamed)?;
        }
        self.storage.sync_dir(&self.path.join(PARTITIONS))
    }

    /// Removes the files of deleted partitions and says of how many. May take long.
    ///
    /// # Errors
    /// Whatever the storage reports; the rest is removed next time.
    pub fn purge_deleted(&self) -> io::Result<usize> {
        purge(&*self.storage, &self.path.join(PARTITIONS))
    }

    /// As [`DataDir::purge_deleted`], for another thread.
    pub fn purge_job(&self) -> impl FnOnce() -> io::Result<usize> + Send + 'static {
        let (storage, path) = (Arc::clone(&self.storage), self.path.join(PARTITIONS));
        move || purge(&*storage, &path)
    }

    /// Bytes that are free on the device.
    ///
    /// # Errors
    /// Whatever the storage reports.
    pub fn free_size(&self) -> io::Result<u64> {
        self.storage.free_size(&self.path)
    }

    /// Why the last run ended with a failed write or sync, if it did: then what memory holds of the
    /// files may not be on the device, and has to be evicted before it is trusted.
    #[must_use]
    pub fn suspect(&self) -> Option<&str> {
        self.suspect.as_deref()
    }

    /// Notes that a write or sync failed, for the next start. The process must end after this. The
    /// device may well refuse the note too.
    ///
    /// # Errors
    /// Whatever the storage reports.
    pub fn mark_suspect(&self, reason: &str) -> io::Result<()> {
        let note = &reason.as_bytes()[..reason.len().min(SUSPECT_NOTE_SIZE)];
        replace_file(&*self.storage, &self.path.join(SUSPECT), note)
    }

    /// Drops what memory holds of every file, so that all is read from the device again. To be done
    /// on a [suspect](DataDir::suspect) directory before anything of it is opened.
    ///
    /// # Errors
    /// Whatever the storage reports.
    pub fn evict(&self) -> io::Result<()> {
        evict_tree(&*self.storage, &self.path)
    }

    /// Takes the note back, once nothing that memory held is trusted any more.
    ///
    /// # Errors
    /// Whatever the storage reports.
    pub fn clear_suspect(&mut self) -> io::Result<()> {
        let path = self.path.join(SUSPECT);
        if self.storage.exists(&path)? {
            self.storage.remove_file(&path)?;
            self.storage.sync_dir(&self.path)?;
        }
        self.suspect = None;
        Ok(())
    }
}

fn evict_tree(storage: &dyn Storage, path: &Path) -> io::Result<()> {
    for entry in storage.list(path)? {
        let inner = path.join(&entry.name);
        match entry.kind {
            EntryKind::Directory => evict_tree(storage, &inner)?,
            EntryKind::File => {
                let file = storage.open_file(&inner, Access::ReadOnly)?;
                file.evict(0..file.size());
            }
            EntryKind::Other => {}
        }
    }
    Ok(())
}

fn purge(storage: &dyn Storage, partitions: &Path) -> io::Result<usize> {
    let mut count = 0;
    for entry in storage.list(partitions)? {
        let key = entry.name.strip_suffix(DELETED_SUFFIX);
        if key.is_some_and(|key| key.parse::<PartitionKey>().is_ok()) {
            match remove_tree(storage, &partitions.join(&entry.name)) {
                Ok(()) => count += 1,
                // Somebody else is at the same work.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    if count > 0 {
        storage.sync_dir(partitions)?;
    }
    Ok(count)
}

fn io_error(path: &Path, source: io::Error) -> DataDirError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            DataDirError::NotWritable { path, source }
        }
        _ => DataDirError::Io { path, source },
    }
}

/// Creates the directory with its parents.
fn create_dirs(storage: &dyn Storage, path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || storage.exists(path)? {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_dirs(storage, parent)?;
    }
    match storage.create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Makes the names that lead to the directory durable. Which of them an earlier attempt created
/// and did not sync nobody knows, so all are synced; those that may not even be opened are not
/// ours.
fn sync_parents(storage: &dyn Storage, path: &Path) -> io::Result<()> {
    for parent in path.ancestors().skip(1) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        match storage.sync_dir(parent) {
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn take_lock(storage: &dyn Storage, path: &Path) -> Result<Box<dyn Lock>, DataDirError> {
    storage.lock(&path.join(LOCK)).map_err(|error| match error {
        LockError::Held { holder } => DataDirError::InUse { path: path.to_owned(), holder },
        LockError::Io(source) => io_error(path, source),
    })
}

/// Checks that a directory without `meta` holds nothing, or what an earlier attempt left.
fn check_unformatted(storage: &dyn Storage, path: &Path) -> Result<(), DataDirError> {
    let fail = |source| io_error(path, source);
    for entry in storage.list(path).map_err(fail)? {
        match entry.name.as_str() {
            LOCK | PARTITIONS | JOURNAL | ENROLMENT => {}
            "journal.tmp" | "meta.tmp" | "enrolment.tmp" | "lost+found" => {}
            _ => {
                return Err(DataDirError::NotOurs { path: path.to_owned(), found: entry.name });
            }
        }
    }
    let lost_meta = || DataDirError::Incomplete { path: path.to_owned(), missing: META };
    let partitions = path.join(PARTITIONS);
    if storage.exists(&partitions).map_err(fail)?
        && !storage.list(&partitions).map_err(fail)?.is_empty()
    {
        return Err(lost_meta());
    }
    let journal = path.join(JOURNAL);
    if storage.exists(&journal).map_err(fail)?
        && !JournalStore::is_unused(storage, &journal).map_err(fail)?
    {
        return Err(lost_meta());
    }
    Ok(())
}

/// Makes a data directory of an empty one, or of what an earlier attempt left. `meta` comes last.
fn format(storage: &dyn Storage, path: &Path, identity: Identity) -> Result<(), DataDirError> {
    let fail = |source| io_error(path, source);
    let (partitions, journal) = (path.join(PARTITIONS), path.join(JOURNAL));
    if !storage.exists(&partitions).map_err(fail)? {
        storage.create_dir(&partitions).map_err(fail)?;
    }
    JournalStore::create(storage, &journal, identity).map_err(fail)?;
    sync_parents(storage, path).map_err(fail)?;
    let meta = Meta::new(identity).encode();
    replace_file(storage, &path.join(META), meta.as_bytes()).map_err(fail)
}

fn read_meta(storage: &dyn Storage, path: &Path) -> Result<Meta, DataDirError> {
    let file = path.join(META);
    let content = read_file(storage, &file, Meta::MAX_SIZE).map_err(|e| io_error(path, e))?;
    Meta::decode(&content).map_err(|error| match error {
        MetaError::Newer(found) => {
            DataDirError::NewerFormat { path: path.to_owned(), found, supported: Meta::FORMAT }
        }
        MetaError::Damaged(reason) => DataDirError::DamagedMeta { path: file, reason },
    })
}

fn check_owner(
    path: &Path,
    found: Identity,
    cluster: ClusterClaim,
    node_id: u32,
) -> Result<(), DataDirError> {
    if let ClusterClaim::Expect(expected) = cluster
        && expected != found.cluster_id
    {
        let found = found.cluster_id;
        return Err(DataDirError::WrongCluster { path: path.to_owned(), found, expected });
    }
    if node_id != found.node_id {
        let (found, expected) = (found.node_id, node_id);
        return Err(DataDirError::WrongNode { path: path.to_owned(), found, expected });
    }
    Ok(())
}

fn read_suspect(storage: &dyn Storage, path: &Path) -> io::Result<Option<String>> {
    let path = path.join(SUSPECT);
    if !storage.exists(&path)? {
        return Ok(None);
    }
    let note = read_file(storage, &path, SUSPECT_NOTE_SIZE as u64)?;
    Ok(Some(String::from_utf8_lossy(&note).into_owned()))
}
