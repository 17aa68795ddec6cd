//! What the twin's device and page cache hold, and what a power loss leaves of it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::io;
use std::ops::Range;
use std::path::{Component, Path};

use bytes::Bytes;

use super::content::Content;
use super::random::Random;
use crate::storage::{Entry, EntryKind};

/// Unit that a device writes whole or not at all.
pub(super) const SECTOR_SIZE: u64 = 512;

/// Zeros of this length stay unwritten when an eviction reads the device.
const EVICTION_SIZE: usize = 4096;

pub(super) type NodeId = u64;
const ROOT: NodeId = 0;

/// A write that no sync has covered yet.
#[derive(Clone, Debug, Hash)]
pub(super) enum Write {
    Bytes { position: u64, bytes: Bytes },
    Zeros { range: Range<u64> },
}

impl Write {
    fn range(&self) -> Range<u64> {
        match self {
            Self::Bytes { position, bytes } => *position..*position + bytes.len() as u64,
            Self::Zeros { range } => range.clone(),
        }
    }

    fn apply(&self, content: &mut Content) {
        match self {
            Self::Bytes { position, bytes } => content.write(*position, bytes),
            Self::Zeros { range } => content.zero(range.clone()),
        }
    }

    /// Applies the part of the write that lies in `within`.
    fn apply_part(&self, content: &mut Content, within: Range<u64>) {
        let whole = self.range();
        let part = whole.start.max(within.start)..whole.end.min(within.end);
        match self {
            Self::Bytes { position, bytes } => {
                let slice = (part.start - position) as usize..(part.end - position) as usize;
                content.write(part.start, &bytes[slice]);
            }
            Self::Zeros { .. } => content.zero(part),
        }
    }

    /// The write without a sync: kept, lost, or some of its sectors.
    fn apply_by_chance(&self, content: &mut Content, random: &mut Random) {
        match random.below(3) {
            0 => {}
            1 => self.apply(content),
            _ => {
                let range = self.range();
                let sectors = range.start / SECTOR_SIZE..range.end.div_ceil(SECTOR_SIZE);
                for sector in sectors {
                    if random.below(2) == 0 {
                        let start = sector * SECTOR_SIZE;
                        self.apply_part(content, start..start + SECTOR_SIZE);
                    }
                }
            }
        }
    }
}

/// What becomes of a write below the page cache, where nobody sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Normal,
    /// The device says yes and does nothing.
    Lost,
    /// The device writes to the position that many sectors away.
    Misdirected(i64),
}

#[derive(Clone, Debug, Default)]
pub(super) struct FileNode {
    /// What reads see: the page cache.
    pub(super) current: Content,
    /// What the device holds.
    pub(super) durable: Content,
    pending: Vec<Write>,
    /// Sectors whose reads fail until they are overwritten.
    pub(super) unreadable: BTreeSet<u64>,
    handle_count: u32,
    /// No name can lead here again, not even after a crash.
    dead: bool,
}

impl FileNode {
    pub(super) fn write(&mut self, write: Write, fate: Fate) {
        let range = write.range();
        for sector in range.start / SECTOR_SIZE..range.end.div_ceil(SECTOR_SIZE) {
            if self.unreadable.is_empty() {
                break;
            }
            self.unreadable.remove(&sector);
        }
        write.apply(&mut self.current);
        match (fate, write) {
            (Fate::Normal, write) => self.pending.push(write),
            (Fate::Lost, _) => {}
            (Fate::Misdirected(sectors), Write::Bytes { position, bytes }) => {
                let shifted = position.saturating_add_signed(sectors * SECTOR_SIZE as i64);
                // Only inside the file: elsewhere would be somebody else's file.
                let last = self.durable.size().saturating_sub(bytes.len() as u64);
                self.pending.push(Write::Bytes { position: shifted.min(last), bytes });
            }
            (Fate::Misdirected(_), write @ Write::Zeros { .. }) => self.pending.push(write),
        }
    }

    pub(super) fn sync(&mut self) {
        for write in self.pending.drain(..) {
            write.apply(&mut self.durable);
        }
        // The length is metadata that a lying device does not touch.
        let size = self.current.size();
        self.durable.zero(size..size);
    }

    /// A failed sync: the kernel forgets which pages were dirty, so none of them is written later.
    pub(super) fn fail_sync(&mut self, random: &mut Random) {
        for write in std::mem::take(&mut self.pending) {
            write.apply_by_chance(&mut self.durable, random);
        }
    }

    /// Reads see the device again, but for writes that are still on their way to it.
    pub(super) fn evict(&mut self, range: Range<u64>) {
        let range = range.start..range.end.min(self.current.size());
        if range.is_empty() {
            return;
        }
        let mut bytes = vec![0; (range.end - range.start) as usize];
        self.durable.read(range.start, &mut bytes);
        self.current.zero(range.clone());
        for (index, page) in bytes.chunks(EVICTION_SIZE).enumerate() {
            if page.iter().any(|byte| *byte != 0) {
                self.current.write(range.start + (index * EVICTION_SIZE) as u64, page);
            }
        }
        for write in &self.pending {
            let written = write.range();
            let part = written.start.max(range.start)..written.end.min(range.end);
            if !part.is_empty() {
                write.apply_part(&mut self.current, part);
            }
        }
    }

    fn lose_power(&mut self, random: &mut Random) {
        self.fail_sync(random);
        self.current = self.durable.clone();
        self.handle_count = 0;
    }
}

#[derive(Clone, Debug, Hash)]
enum DirChange {
    Link { name: String, node: NodeId },
    Unlink { name: String, node: NodeId },
    Rename { to: String, node: NodeId, replaced: Option<NodeId> },
}

type Names = BTreeMap<String, NodeId>;

impl DirChange {
    /// The node that loses a name by this change, if one does.
    fn loser(&self) -> Option<NodeId> {
        match self {
            Self::Link { .. } => None,
            Self::Unlink { node, .. } => Some(*node),
            Self::Rename { replaced, .. } => *replaced,
        }
    }

    fn apply(&self, names: &mut Names) {
        match self {
            Self::Link { name, node } => {
                names.insert(name.clone(), *node);
            }
            Self::Unlink { name, node } => {
                if names.get(name) == Some(node) {
                    names.remove(name);
                }
            }
            Self::Rename { to, node, .. } => {
                names.retain(|_, other| other != node);
                names.insert(to.clone(), *node);
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
struct DirNode {
    current: Names,
    durable: Names,
    pending: Vec<DirChange>,
}

impl DirNode {
    fn change(&mut self, change: DirChange) {
        change.apply(&mut self.current);
        self.pending.push(change);
    }

    /// Nothing, everything, what came first, or any of it: file systems differ.
    fn lose_power(&mut self, random: &mut Random) {
        let pending = std::mem::take(&mut self.pending);
        let first = match random.below(4) {
            0 => 0,
            1 => pending.len(),
            2 => random.below(pending.len() as u64 + 1) as usize,
            _ => usize::MAX,
        };
        for (index, change) in pending.iter().enumerate() {
            let kept = if first == usize::MAX { random.below(2) == 0 } else { index < first };
            if kept {
                change.apply(&mut self.durable);
            }
        }
        self.current = self.durable.clone();
    }
}

#[derive(Clone, Debug)]
enum Node {
    File(FileNode),
    Dir(DirNode),
}

/// All files and directories, by number.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    nodes: BTreeMap<NodeId, Node>,
    next: NodeId,
}

impl Default for Disk {
    fn default() -> Self {
        Self { nodes: BTreeMap::from([(ROOT, Node::Dir(DirNode::default()))]), next: ROOT + 1 }
    }
}

impl Disk {
    pub(super) fn lose_power(&mut self, random: &mut Random) {
        for node in self.nodes.values_mut() {
            match node {
                Node::File(file) => file.lose_power(random),
                Node::Dir(dir) => dir.lose_power(random),
            }
        }
        let mut reachable = BTreeSet::new();
        let mut next = vec![ROOT];
        while let Some(id) = next.pop() {
            reachable.insert(id);
            if let Some(Node::Dir(dir)) = self.nodes.get(&id) {
                next.extend(dir.durable.values());
            }
        }
        self.nodes.retain(|id, _| reachable.contains(id));
    }

    /// The process died, the machine did not.
    pub(super) fn close_handles(&mut self) {
        self.nodes.retain(|_, node| match node {
            Node::File(file) => {
                file.handle_count = 0;
                !file.dead
            }
            Node::Dir(_) => true,
        });
    }

    pub(super) fn used_size(&self) -> u64 {
        self.nodes
            .values()
            .map(|node| if let Node::File(file) = node { file.current.size() } else { 0 })
            .sum()
    }

    pub(super) fn file(&mut self, id: NodeId) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(&id) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<NodeId> {
        let mut id = ROOT;
        for component in path.components() {
            match component {
                Component::RootDir | Component::CurDir => {}
                Component::Normal(name) => {
                    let name = name.to_str().ok_or(io::ErrorKind::InvalidInput)?;
                    let names = &self.dir(id)?.current;
                    id = *names.get(name).ok_or(io::ErrorKind::NotFound)?;
                }
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
            }
        }
        Ok(id)
    }

    pub(super) fn open(&mut self, path: &Path) -> io::Result<NodeId> {
        let id = self.find(path)?;
        self.file(id)?.handle_count += 1;
        Ok(id)
    }

    pub(super) fn close(&mut self, id: NodeId) {
        if let Ok(file) = self.file(id) {
            file.handle_count = file.handle_count.saturating_sub(1);
            if file.dead && file.handle_count == 0 {
                self.nodes.remove(&id);
            }
        }
    }

    pub(super) fn create_file(&mut self, path: &Path) -> io::Result<()> {
        self.create(path, Node::File(FileNode::default()))
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        self.create(path, Node::Dir(DirNode::default()))
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find(from)?;
        let (dir, name) = self.split(to)?;
        let replaced = self.find(to).ok().filter(|target| *target != node);
        if let Some(target) = replaced
            && !matches!((&self.nodes[&node], &self.nodes[&target]), (Node::File(_), Node::File(_)))
        {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.dir_mut(dir)?.change(DirChange::Rename { to: name, node, replaced });
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let node = self.find(path)?;
        self.file(node)?;
        let (dir, name) = self.split(path)?;
        self.dir_mut(dir)?.change(DirChange::Unlink { name, node });
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        let node = self.find(path)?;
        if !self.dir(node)?.current.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (dir, name) = self.split(path)?;
        self.dir_mut(dir)?.change(DirChange::Unlink { name, node });
        Ok(())
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let dir = self.dir(self.find(path)?)?;
        let entry = |(name, id): (&String, &NodeId)| {
            let (kind, size) = match &self.nodes[id] {
                Node::File(file) => (EntryKind::File, file.current.size()),
                Node::Dir(_) => (EntryKind::Directory, 0),
            };
            Entry { name: name.clone(), kind, size }
        };
        Ok(dir.current.iter().map(entry).collect())
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let id = self.find(path)?;
        let dir = self.dir_mut(id)?;
        let changes = std::mem::take(&mut dir.pending);
        for change in &changes {
            change.apply(&mut dir.durable);
        }
        // Entries never move between directories, so this one is the only place to look for names.
        let named: BTreeSet<NodeId> = dir.current.values().copied().collect();
        let gone: BTreeSet<NodeId> = changes.iter().filter_map(DirChange::loser).collect();
        for id in gone.difference(&named) {
            match self.nodes.get_mut(id) {
                Some(Node::File(file)) if file.handle_count > 0 => file.dead = true,
                Some(_) => drop(self.nodes.remove(id)),
                None => {}
            }
        }
        Ok(())
    }

    fn create(&mut self, path: &Path, node: Node) -> io::Result<()> {
        let (dir, name) = self.split(path)?;
        if self.dir(dir)?.current.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = self.next;
        self.next += 1;
        self.nodes.insert(id, node);
        self.dir_mut(dir)?.change(DirChange::Link { name, node: id });
        Ok(())
    }

    fn split(&self, path: &Path) -> io::Result<(NodeId, String)> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let dir = self.find(path.parent().unwrap_or(Path::new("")))?;
        Ok((dir, name))
    }

    fn dir(&self, id: NodeId) -> io::Result<&DirNode> {
        match self.nodes.get(&id) {
            Some(Node::Dir(dir)) => Ok(dir),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn dir_mut(&mut self, id: NodeId) -> io::Result<&mut DirNode> {
        match self.nodes.get_mut(&id) {
            Some(Node::Dir(dir)) => Ok(dir),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }
}

/// Everything that can matter after a crash, and nothing of who has what open.
impl Hash for Disk {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for (id, node) in &self.nodes {
            id.hash(state);
            match node {
                Node::File(file) => {
                    file.current.hash(state);
                    file.durable.hash(state);
                    file.pending.hash(state);
                }
                Node::Dir(dir) => {
                    dir.current.hash(state);
                    dir.durable.hash(state);
                    dir.pending.hash(state);
                }
            }
        }
    }
}
