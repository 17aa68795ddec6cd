//! An open file of the twin.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::MutexGuard;

use bytes::Bytes;

use super::disk::{NodeId, SECTOR_SIZE, Write};
use super::faults::{self, Fault, Operation};
use super::{MemoryStorage, World};
use crate::storage::{Access, File, invalid};

#[derive(Debug)]
pub(super) struct MemoryFile {
    pub(super) storage: MemoryStorage,
    pub(super) node: NodeId,
    pub(super) era: u64,
    pub(super) access: Access,
}

impl MemoryFile {
    /// Begins an operation on the file, if the process that opened it still runs.
    fn begin(&self, operation: Operation) -> io::Result<(MutexGuard<'_, World>, Option<Fault>)> {
        let mut world = self.storage.world();
        if world.era != self.era {
            return Err(io::Error::other("opened before the crash"));
        }
        let fault = world.begin(operation, Some(self.node))?;
        Ok((world, fault))
    }

    fn apply(&self, write: Write, end: u64) -> io::Result<()> {
        if self.access == Access::ReadOnly {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let (mut world, fault) = self.begin(Operation::Write)?;
        let free = world.free_size();
        let World { disk, random, .. } = &mut *world;
        let file = disk.file(self.node)?;
        let growth = end.saturating_sub(file.current.size());
        if growth > free || fault == Some(Fault::DiskFull) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write(write, faults::fate(fault, random));
        match fault {
            Some(Fault::WriteError) => Err(io::Error::other("injected: write failed")),
            Some(Fault::PowerOff) => Err(io::Error::other("the power went off")),
            _ => Ok(()),
        }
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        let mut world = self.storage.world();
        if world.era == self.era {
            world.disk.close(self.node);
        }
    }
}

impl File for MemoryFile {
    fn size(&self) -> u64 {
        let mut world = self.storage.world();
        if world.era != self.era {
            return 0;
        }
        world.disk.file(self.node).map_or(0, |file| file.current.size())
    }

    fn write_at(&self, parts: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let end = position.checked_add(bytes.len() as u64).ok_or(io::ErrorKind::InvalidInput)?;
        self.apply(Write::Bytes { position, bytes: bytes.into() }, end)
    }

    fn zero(&self, range: Range<u64>) -> io::Result<()> {
        if range.start > range.end {
            return Err(invalid("a range that ends before it starts"));
        }
        let end = range.end;
        self.apply(Write::Zeros { range }, end)
    }

    fn sync(&self) -> io::Result<()> {
        let (mut world, fault) = self.begin(Operation::Sync)?;
        let World { disk, random, .. } = &mut *world;
        let file = disk.file(self.node)?;
        if fault == Some(Fault::SyncError) {
            file.fail_sync(random);
            return Err(io::Error::other("injected: sync failed"));
        }
        file.sync();
        Ok(())
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let size = range.end.checked_sub(range.start).ok_or(io::ErrorKind::InvalidInput)?;
        if range.end > self.size() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut copy = vec![0; usize::try_from(size).map_err(invalid)?];
        self.read_at(&mut copy, range.start)?;
        Ok(copy.into())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let (mut world, fault) = self.begin(Operation::Read)?;
        let file = world.disk.file(self.node)?;
        let end = position.saturating_add(buffer.len() as u64);
        if end > file.current.size() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let sectors = position / SECTOR_SIZE..end.div_ceil(SECTOR_SIZE);
        if fault == Some(Fault::ReadError) || file.unreadable.range(sectors).next().is_some() {
            return Err(io::Error::other("injected: read failed"));
        }
        file.current.read(position, buffer);
        Ok(())
    }

    fn is_resident(&self, _range: Range<u64>) -> bool {
        self.storage.world().resident
    }

    fn prefetch(&self, _range: Range<u64>) {}

    fn evict(&self, range: Range<u64>) {
        let mut world = self.storage.world();
        if world.era == self.era
            && let Ok(file) = world.disk.file(self.node)
        {
            file.evict(range);
        }
    }

    fn release(&self, _range: Range<u64>) {}
}
