//! Checks every byte of the logs in a directory, without changing anything.

use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use synod_log::check::{DirReport, Problem, check_dir};
use synod_log::{OsStorage, Storage};

/// Name of the directory, in a data directory, that holds one directory per partition.
const PARTITIONS: &str = "partitions";

/// Suffix of partitions that are being deleted.
const DELETED_SUFFIX: &str = ".deleted";

/// What was found in all partitions that were asked for.
#[derive(Debug, Default)]
pub(super) struct Checked {
    partitions: Vec<(PathBuf, Result<DirReport, String>)>,
}

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    /// The directory cannot be listed.
    #[error("cannot list {}: {source}", .path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no log in it.
    #[error(
        "{} holds no log; give a data directory, or one partition's directory in it",
        .0.display()
    )]
    NoLog(PathBuf),
}

/// Checks a data directory's partitions, or one partition's directory.
pub(super) fn check(directory: &Path) -> Result<Checked, CheckError> {
    let storage: Arc<dyn Storage> = Arc::new(OsStorage);
    let mut checked = Checked::default();
    for partition in partition_directories(directory)? {
        let report = check_dir(&storage, &partition).map_err(|error| error.to_string());
        checked.partitions.push((partition, report));
    }
    Ok(checked)
}

fn partition_directories(directory: &Path) -> Result<Vec<PathBuf>, CheckError> {
    let list = |path: &Path| -> Result<Vec<PathBuf>, CheckError> {
        let failed = |source| CheckError::List { path: path.to_owned(), source };
        let entries = std::fs::read_dir(path).map_err(failed)?;
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(failed)?.path());
        }
        paths.sort();
        Ok(paths)
    };
    let entries = list(directory)?;
    if entries.contains(&directory.join(PARTITIONS)) {
        let is_live =
            |path: &PathBuf| path.is_dir() && !path.to_string_lossy().ends_with(DELETED_SUFFIX);
        return Ok(list(&directory.join(PARTITIONS))?.into_iter().filter(is_live).collect());
    }
    if entries.iter().any(|path| path.extension().is_some_and(|extension| extension == "log")) {
        return Ok(vec![directory.to_owned()]);
    }
    Err(CheckError::NoLog(directory.to_owned()))
}

impl Checked {
    /// Partitions with lost, wrong or unreadable records.
    pub(super) fn damaged_count(&self) -> usize {
        let is_damaged =
            |report: &Result<DirReport, String>| !report.as_ref().is_ok_and(DirReport::is_sound);
        self.partitions.iter().filter(|(_, report)| is_damaged(report)).count()
    }

    /// How many partitions were looked at.
    pub(super) fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// One line per partition, and one per problem below it.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        for (path, report) in &self.partitions {
            let path = path.display();
            let _ = match report {
                Err(error) => writeln!(text, "{path}: cannot be read: {error}"),
                Ok(report) => {
                    let count = |of: fn(&_) -> u64| -> u64 { report.segments.iter().map(of).sum() };
                    let verdict = if report.is_sound() { "sound" } else { "DAMAGED" };
                    writeln!(
                        text,
                        "{path}: {verdict} offsets={}..{} segments={} batches={} size={}",
                        report.start,
                        report.end,
                        report.segments.len(),
                        count(|segment| segment.batch_count),
                        count(|segment| segment.size),
                    )
                }
            };
            for problem in report.iter().flat_map(|report| &report.problems) {
                let kind = kind_of(problem);
                let (file, position) = (problem.path.display(), problem.position);
                let _ = writeln!(text, "  {file}:{position}: {kind}: {}", problem.what);
            }
        }
        text
    }

    /// The same as one JSON object.
    pub(super) fn to_json(&self) -> Value {
        let partitions: Vec<Value> = self
            .partitions
            .iter()
            .map(|(path, report)| match report {
                Err(error) => json!({ "directory": path, "sound": false, "error": error }),
                Ok(report) => json_report(path, report),
            })
            .collect();
        json!({ "damaged_count": self.damaged_count(), "partitions": partitions })
    }
}

/// What a problem means. The files of a log do not say how far it was acknowledged, so damage at
/// its very end may or may not be a loss; the journal knows, and the next start asks it.
fn kind_of(problem: &Problem) -> &'static str {
    let is_data = problem.path.extension().is_some_and(|extension| extension == "log");
    match (problem.is_serious, is_data) {
        (true, _) => "damage",
        (false, true) => "damage at the end, perhaps never acknowledged",
        (false, false) => "harmless",
    }
}

fn json_report(path: &Path, report: &DirReport) -> Value {
    let segments: Vec<Value> = report
        .segments
        .iter()
        .map(|segment| {
            json!({
                "file": segment.path,
                "base_offset": segment.base_offset,
                "end_offset": segment.end_offset,
                "batch_count": segment.batch_count,
                "record_count": segment.record_count,
                "size": segment.size,
                "file_size": segment.file_size,
                "max_timestamp": segment.max_timestamp,
                "sealed": segment.is_sealed,
            })
        })
        .collect();
    let problems: Vec<Value> = report
        .problems
        .iter()
        .map(|problem| {
            json!({
                "file": problem.path,
                "position": problem.position,
                "what": problem.what,
                "kind": kind_of(problem),
                "serious": problem.is_serious,
            })
        })
        .collect();
    json!({
        "directory": path,
        "sound": report.is_sound(),
        "start_offset": report.start,
        "end_offset": report.end,
        "segments": segments,
        "problems": problems,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use synod_log::{Batch, Log, LogConfig};
    use synod_wire::batch::{BatchBuilder, Compression, NewRecord, ProducerStamp};

    /// Size of each batch below in bytes: a header, and one record of 12.
    const BATCH_SIZE: usize = 73;

    /// A data directory with one partition that holds two batches of one record.
    fn data_directory() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let partitions = directory.path().join(PARTITIONS);
        std::fs::create_dir(&partitions).expect("created");
        std::fs::create_dir(partitions.join("x.deleted")).expect("created");
        let partition = partitions.join("p");
        let storage: Arc<dyn Storage> = Arc::new(OsStorage);
        std::fs::create_dir(&partition).expect("created");
        let mut log = Log::create(storage, &partition, LogConfig::default()).expect("created");
        for offset in 0..2 {
            let mut builder = BatchBuilder::new();
            let record = NewRecord { value: Some(b"value"), ..NewRecord::default() };
            builder.append(&record).expect("room");
            let bytes = builder.build(Compression::None, ProducerStamp::NONE).expect("built");
            let (mut batch, _) = Batch::parse(Bytes::from(bytes.to_vec())).expect("a batch");
            batch.stamp(offset, 1);
            log.append(&[batch]).expect("appended");
        }
        (directory, partition)
    }

    fn flip(partition: &Path, position: usize) {
        let segment = partition.join(format!("{:020}.log", 0));
        let mut bytes = std::fs::read(&segment).expect("read");
        bytes[position] ^= 1;
        std::fs::write(&segment, bytes).expect("written");
    }

    #[test]
    fn a_data_directory_and_a_partition_are_checked() {
        let (directory, partition) = data_directory();
        for path in [directory.path(), &partition] {
            let checked = check(path).expect("checked");
            assert_eq!((checked.partition_count(), checked.damaged_count()), (1, 0));
            let text = checked.to_text();
            assert!(text.contains(": sound offsets=0..2 segments=1 batches=2 "), "{text}");
            let json = checked.to_json();
            assert_eq!(json["partitions"][0]["segments"][0]["record_count"], 2);
            assert_eq!(json["partitions"][0]["segments"][0]["size"], 2 * BATCH_SIZE);
        }
    }

    #[test]
    fn a_flipped_byte_before_sound_batches_is_damage() {
        let (directory, partition) = data_directory();
        flip(&partition, BATCH_SIZE - 3);
        let checked = check(directory.path()).expect("checked");
        assert_eq!(checked.damaged_count(), 1, "{}", checked.to_text());
        assert!(checked.to_text().contains(":0: damage: "), "{}", checked.to_text());
        assert_eq!(checked.to_json()["damaged_count"], 1);
    }

    #[test]
    fn a_flipped_byte_at_the_very_end_is_told_as_what_it_is() {
        let (directory, partition) = data_directory();
        flip(&partition, 2 * BATCH_SIZE - 3);
        let checked = check(directory.path()).expect("checked");
        assert_eq!(checked.damaged_count(), 0, "{}", checked.to_text());
        let expected = format!(":{BATCH_SIZE}: damage at the end, perhaps never acknowledged: ");
        assert!(checked.to_text().contains(&expected), "{}", checked.to_text());
    }

    #[test]
    fn other_directories_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let error = check(directory.path()).expect_err("empty").to_string();
        assert!(error.contains("holds no log; give a data directory"), "{error}");
        let error = check(&directory.path().join("none")).expect_err("missing").to_string();
        assert!(error.starts_with("cannot list "), "{error}");
    }
}
