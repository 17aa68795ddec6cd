//! Taking a directory before it is known of which cluster it will be.
//!
//! A cluster of several brokers forms from the ids of their data directories. So a directory gets
//! its id, and the start is counted, before anything else is made or opened; then the cluster that
//! formed is noted; and only then the rest is made, under that cluster's id.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::enrolment::Enrolment;
use super::meta::{Meta, MetaError};
use super::{
    ClusterClaim, DataDir, DataDirError, ENROLMENT, META, check_owner, check_unformatted,
    create_dirs, format, io_error, read_meta, sync_parents, take_lock,
};
use crate::identity::{ClusterId, DirectoryId, Identity, Membership};
use crate::storage::{Lock, Storage, read_file, replace_file};

/// A locked directory that has an id. Nothing in it may be used before it is
/// [opened](ClaimedDir::open).
#[derive(Debug)]
pub struct ClaimedDir {
    storage: Arc<dyn Storage>,
    path: std::path::PathBuf,
    lock: Box<dyn Lock>,
    enrolment: Enrolment,
    meta: Option<Meta>,
}

impl DataDir {
    /// Takes the directory for one start of a node: created with its parents when missing, locked,
    /// and counted. A directory without an id gets `new_directory`.
    ///
    /// # Errors
    /// See [`DataDirError`].
    pub fn claim(
        storage: Arc<dyn Storage>,
        path: &Path,
        node_id: u32,
        new_directory: DirectoryId,
    ) -> Result<ClaimedDir, DataDirError> {
        let fail = |source| io_error(path, source);
        create_dirs(&*storage, path).map_err(fail)?;
        let lock = take_lock(&*storage, path)?;
        let is_formatted = storage.exists(&path.join(META)).map_err(fail)?;
        let meta = if is_formatted { Some(read_meta(&*storage, path)?) } else { None };
        let found = read_enrolment(&*storage, path)?;
        let incomplete = |missing| DataDirError::Incomplete { path: path.to_owned(), missing };
        match (&meta, &found) {
            (None, Some(enrolment)) if enrolment.is_formatted => return Err(incomplete(META)),
            (None, _) => check_unformatted(&*storage, path)?,
            // Directories made before there were clusters have no id; newer ones do.
            (Some(meta), None) if meta.has_enrolment() => return Err(incomplete(ENROLMENT)),
            (Some(meta), _) => check_node(path, meta.identity.node_id, node_id)?,
        }
        let is_new = found.is_none();
        let mut enrolment = found.unwrap_or(Enrolment {
            directory: new_directory,
            node_id,
            starts: 0,
            is_formatted,
            membership: None,
        });
        check_node(path, enrolment.node_id, node_id)?;
        enrolment.starts += 1;
        enrolment.is_formatted = is_formatted;
        if is_new {
            sync_parents(&*storage, path).map_err(fail)?;
        }
        let claimed = ClaimedDir { storage, path: path.to_owned(), lock, enrolment, meta };
        match claimed.write() {
            // A full disk must not keep a broker from serving what it has. The number is used
            // twice then; what else tells two starts apart is drawn at random.
            Err(error) if error.kind() == io::ErrorKind::StorageFull && !is_new => {}
            written => written.map_err(|source| io_error(path, source))?,
        }
        Ok(claimed)
    }
}

impl ClaimedDir {
    /// The directory's id.
    #[must_use]
    pub fn directory(&self) -> DirectoryId {
        self.enrolment.directory
    }

    /// How often the directory has been started, this time included.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.enrolment.starts
    }

    /// The cluster of several brokers that the directory is part of, if there is one.
    #[must_use]
    pub fn membership(&self) -> Option<&Membership> {
        self.enrolment.membership.as_ref()
    }

    /// Whether it holds the data of a broker that is its own cluster.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.meta.is_some() && self.enrolment.membership.is_none()
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory, durably, a part of a cluster that has formed. It must hold no data yet
    /// and be one of the members.
    ///
    /// # Errors
    /// Whatever the storage reports.
    pub fn join(&mut self, membership: Membership) -> Result<(), DataDirError> {
        assert!(self.meta.is_none(), "what holds data is of its cluster already");
        let own = membership.directory(self.enrolment.node_id);
        assert_eq!(own, Some(self.enrolment.directory), "a member of the cluster");
        self.enrolment.membership = Some(membership);
        self.write().map_err(|source| io_error(&self.path, source))
    }

    /// Opens the directory, or makes it a data directory: of the cluster that it has joined, and
    /// else of the one that `cluster` says.
    ///
    /// # Errors
    /// See [`DataDirError`].
    pub fn open(mut self, cluster: ClusterClaim) -> Result<DataDir, DataDirError> {
        let cluster = match &self.enrolment.membership {
            Some(membership) => ClusterClaim::Expect(membership.cluster_id),
            None => cluster,
        };
        let is_new = self.meta.is_none();
        let identity = match self.meta {
            Some(meta) => meta.identity,
            None => {
                let cluster_id = match cluster {
                    ClusterClaim::Expect(id) | ClusterClaim::AnyOrNew(id) => id,
                };
                let identity = Identity { cluster_id, node_id: self.enrolment.node_id };
                format(&*self.storage, &self.path, identity)?;
                self.enrolment.is_formatted = true;
                self.write().map_err(|source| io_error(&self.path, source))?;
                identity
            }
        };
        check_owner(&self.path, identity, cluster, self.enrolment.node_id)?;
        DataDir::complete(self.storage, self.path, identity, is_new, self.lock)
    }

    fn write(&self) -> io::Result<()> {
        let text = self.enrolment.encode();
        replace_file(&*self.storage, &self.path.join(ENROLMENT), text.as_bytes())
    }
}

/// The id of the directory of a broker that is its own cluster, made with the cluster.
pub(super) fn directory_of(cluster: ClusterId) -> DirectoryId {
    DirectoryId(cluster.0)
}

fn check_node(path: &Path, found: u32, expected: u32) -> Result<(), DataDirError> {
    if found == expected {
        return Ok(());
    }
    Err(DataDirError::WrongNode { path: path.to_owned(), found, expected })
}

fn read_enrolment(storage: &dyn Storage, path: &Path) -> Result<Option<Enrolment>, DataDirError> {
    let file = path.join(ENROLMENT);
    if !storage.exists(&file).map_err(|error| io_error(path, error))? {
        return Ok(None);
    }
    let content = read_file(storage, &file, Enrolment::MAX_SIZE).map_err(|e| io_error(path, e))?;
    Enrolment::decode(&content).map(Some).map_err(|error| match error {
        MetaError::Newer(found) => {
            DataDirError::NewerFormat { path: path.to_owned(), found, supported: Meta::FORMAT }
        }
        MetaError::Damaged(reason) => DataDirError::DamagedMeta { path: file, reason },
    })
}

#[cfg(test)]
mod tests;
