//! Looking into a log's files from outside, for tools: nothing is opened for writing or repaired.
//!
//! The log may be in use by a running broker; then the end of the last segment may be caught in the
//! middle of an append.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::batch::BatchHeader;
use crate::epochs::EpochHistory;
use crate::epochs_file::EpochsFile;
use crate::index::Index;
use crate::log_error::{Damage, LogError, LogResult};
use crate::producers::ProducerStates;
use crate::segment::{INDEX_SUFFIX, LOG_SUFFIX, file_name, parse_file_name};
use crate::snapshots::SNAPSHOT_SUFFIX;
use crate::start::StartFile;
use crate::storage::{Access, File, Storage, find_nonzero, read_file};
use crate::walk::{Frame, Walker};

/// One thing found in a segment file, in order of position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A batch whose header is in order.
    Batch {
        /// Where it begins, bytes.
        position: u64,
        /// Its header.
        header: BatchHeader,
        /// What is wrong with its records, if anything.
        damage: Option<Damage>,
    },
    /// Bytes that are no batch; nothing behind them can be found.
    Bad {
        /// Where they begin, bytes.
        position: u64,
        /// The offset that was expected there.
        offset: u64,
        /// What is wrong.
        damage: Damage,
    },
    /// Zeros up to the end of the file: space that is prepared and not used.
    Unused {
        /// Where they begin, bytes.
        position: u64,
        /// How many there are.
        size: u64,
    },
}

/// The content of one segment file, found step by step with every checksum checked.
#[derive(Debug)]
pub struct SegmentDump {
    file: Arc<dyn File>,
    path: PathBuf,
    position: u64,
    offset: u64,
    ended: bool,
}

impl SegmentDump {
    /// Begins at the first batch of a file named by its base offset.
    ///
    /// # Errors
    /// [`LogError::Io`], with `InvalidInput` if the name is not a segment's.
    pub fn open(storage: &dyn Storage, path: &Path) -> LogResult<Self> {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let Some(base) = parse_file_name(name, LOG_SUFFIX) else {
            let source = crate::storage::invalid("not named like a segment: 20 digits and .log");
            return Err(LogError::Io { path: path.to_owned(), source });
        };
        let file = storage.open_file(path, Access::ReadOnly).map_err(LogError::io(path))?;
        Ok(Self { file, path: path.to_owned(), position: 0, offset: base, ended: false })
    }

    /// The next thing in the file; `None` at its end.
    ///
    /// # Errors
    /// [`LogError::Io`] when the file cannot be read at all.
    pub fn step(&mut self) -> LogResult<Option<Found>> {
        let size = self.file.size();
        if self.ended || self.position >= size {
            return Ok(None);
        }
        let position = self.position;
        let mut walker = Walker::new(&*self.file, position, self.offset, size);
        match walker.peek().map_err(LogError::io(&self.path))? {
            Frame::Batch(header) => {
                let damage = walker.check(&header).err();
                walker.advance(&header);
                (self.position, self.offset) = (walker.position(), walker.offset());
                Ok(Some(Found::Batch { position, header, damage }))
            }
            Frame::Bad(damage) => {
                self.ended = true;
                Ok(Some(Found::Bad { position, offset: self.offset, damage }))
            }
            Frame::End => {
                self.ended = true;
                let rest = find_nonzero(&*self.file, position..size);
                match rest.map_err(LogError::io(&self.path))? {
                    None => Ok(Some(Found::Unused { position, size: size - position })),
                    Some(position) => {
                        let damage = Damage::Missing;
                        Ok(Some(Found::Bad { position, offset: self.offset, damage }))
                    }
                }
            }
        }
    }
}

/// What was found about one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReport {
    /// The data file.
    pub path: PathBuf,
    /// Offset in its name.
    pub base_offset: u64,
    /// Offset behind its last sound batch.
    pub end_offset: u64,
    /// How many sound batches there are.
    pub batch_count: u64,
    /// How many records they say to have.
    pub record_count: u64,
    /// Bytes of batches.
    pub size: u64,
    /// Bytes of the file.
    pub file_size: u64,
    /// Greatest timestamp, milliseconds.
    pub max_timestamp: Option<i64>,
    /// Whether the index file has a footer that fits.
    pub is_sealed: bool,
}

/// Something wrong in a log's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// Where in it, bytes.
    pub position: u64,
    /// What is wrong.
    pub what: String,
    /// True if records may be lost or wrong; false for a hint that the next start makes anew, and
    /// for bytes at the log's end that may never have been acknowledged.
    pub is_serious: bool,
}

/// What [`check_dir`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DirReport {
    /// The durable log start.
    pub start: u64,
    /// Offset behind the last sound batch of the last segment.
    pub end: u64,
    /// All segments, ascending.
    pub segments: Vec<SegmentReport>,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

impl DirReport {
    /// Whether no record is lost or wrong, as far as the files tell.
    pub fn is_sound(&self) -> bool {
        self.problems.iter().all(|p| !p.is_serious)
    }

    fn note(&mut self, path: &Path, position: u64, what: impl ToString, is_serious: bool) {
        let what = what.to_string();
        self.problems.push(Problem { path: path.to_owned(), position, what, is_serious });
    }
}

/// Checks every byte of a partition's directory.
///
/// # Errors
/// [`LogError::Io`] when the directory or a file cannot be read at all.
pub fn check_dir(storage: &Arc<dyn Storage>, dir: &Path) -> LogResult<DirReport> {
    let mut report = DirReport::default();
    let entries = storage.list(dir).map_err(LogError::io(dir))?;
    match StartFile::open(storage, dir) {
        Ok(start) => report.start = start.get(),
        Err(LogError::StartUnknown { path }) => report.note(&path, 0, "both copies damaged", true),
        Err(error) => return Err(error),
    }
    let epochs_file = EpochsFile::at(storage, dir);
    let epochs = epochs_file.load()?.filter(|decoded| {
        if !decoded.sound {
            report.note(epochs_file.path(), 0, "damaged; found again at the next start", false);
        }
        decoded.sound
    });
    let epochs = epochs.map(|d| d.history);
    let bases: Vec<u64> =
        entries.iter().filter_map(|e| parse_file_name(&e.name, LOG_SUFFIX)).collect();
    for (i, base) in bases.iter().enumerate() {
        let next = bases.get(i + 1).copied();
        check_segment(storage, dir, *base, next, epochs.as_ref(), &mut report)?;
    }
    for entry in &entries {
        let path = dir.join(&entry.name);
        if let Some(base) = parse_file_name(&entry.name, INDEX_SUFFIX)
            && !bases.contains(&base)
        {
            report.note(&path, 0, "index of a segment that is not there", false);
        }
        if parse_file_name(&entry.name, SNAPSHOT_SUFFIX).is_some() {
            let image = read_file(&**storage, &path, 1 << 30).map_err(LogError::io(&path))?;
            if ProducerStates::decode(&image).is_none() {
                report.note(&path, 0, "damaged producer snapshot", false);
            }
        }
    }
    if let (Some(first), Some(last)) = (report.segments.first(), report.segments.last()) {
        let (first, path, end) = (first.base_offset, first.path.clone(), last.end_offset);
        report.end = end;
        if first > report.start && report.start > 0 {
            report.note(&path, 0, format!("segments from {} on are missing", report.start), true);
        }
        report.start = report.start.max(first);
    }
    Ok(report)
}

fn check_segment(
    storage: &Arc<dyn Storage>,
    dir: &Path,
    base: u64,
    next_base: Option<u64>,
    epochs: Option<&EpochHistory>,
    report: &mut DirReport,
) -> LogResult<()> {
    let path = dir.join(file_name(base, LOG_SUFFIX));
    let mut dump = SegmentDump::open(&**storage, &path)?;
    let footer = Index::new(storage, dir, base, 1).read_footer();
    let mut segment = SegmentReport {
        path: path.clone(),
        base_offset: base,
        end_offset: base,
        batch_count: 0,
        record_count: 0,
        size: 0,
        file_size: dump.file.size(),
        max_timestamp: None,
        is_sealed: footer.is_some(),
    };
    // The end of the last segment may never have been acknowledged, however it looks.
    let is_open_ended = next_base.is_none() && footer.is_none();
    let mut damaged = Vec::new();
    let mut last_sound = None;
    while let Some(found) = dump.step()? {
        match found {
            Found::Batch { position, header, damage } => {
                segment.end_offset = header.end_offset();
                segment.size = position + header.size() as u64;
                segment.batch_count += 1;
                segment.record_count += u64::from(header.record_count().unsigned_abs());
                segment.max_timestamp =
                    segment.max_timestamp.max(Some(header.max_timestamp()).filter(|t| *t >= 0));
                match damage {
                    Some(damage) => damaged.push((position, damage)),
                    None => last_sound = Some(position),
                }
                let expected = epochs.and_then(|e| e.epoch_at(header.base_offset()));
                if let Some(expected) = expected.filter(|e| *e != header.leader_epoch()) {
                    let found = header.leader_epoch();
                    report.note(&path, position, Damage::LeaderEpoch { found, expected }, true);
                }
            }
            Found::Bad { position, damage, .. } => {
                report.note(&path, position, damage, !is_open_ended);
            }
            Found::Unused { .. } => {}
        }
    }
    for (position, damage) in damaged {
        let is_serious = !is_open_ended || Some(position) < last_sound;
        report.note(&path, position, damage, is_serious);
    }
    if let Some(next) = next_base.filter(|next| *next != segment.end_offset) {
        let what = format!("ends at {} and the next segment begins at {next}", segment.end_offset);
        report.note(&path, segment.size, what, true);
    }
    let fits =
        footer.is_none_or(|f| f.end == segment.end_offset && u64::from(f.size) == segment.size);
    if !fits {
        report.note(&path, segment.size, "differs from what was sealed", true);
    }
    report.segments.push(segment);
    Ok(())
}
