//! Much data that takes hardly any room: batches of zeros, written into the segment files of a
//! broker that is down. Only a batch's head is written; the zeros are a hole in the file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use synod_client::Compression;
use synod_client::wire::batch::{
    BatchBuilder, BatchError, BatchHeader, HEADER_SIZE, NewRecord, ProducerStamp,
};

/// Bytes of the value in each batch: about as much as brokers take by default.
const VALUE_SIZE: usize = 1_000_000;

/// Whether a value is what [`ZeroBatch`] holds.
pub(crate) fn is_zeros(value: &[u8]) -> bool {
    value.len() == VALUE_SIZE && value.iter().all(|&byte| byte == 0)
}

/// A batch of one record whose value is zeros.
#[derive(Debug)]
pub(crate) struct ZeroBatch {
    header: BatchHeader,
    /// What follows the header up to the last byte that is not zero.
    head: Vec<u8>,
}

impl ZeroBatch {
    /// With the present time as its timestamp.
    ///
    /// # Errors
    /// None that this batch could meet.
    pub(crate) fn new() -> Result<Self, BatchError> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut builder = BatchBuilder::with_capacity(VALUE_SIZE);
        let value = vec![0; VALUE_SIZE];
        let timestamp = since.as_millis() as i64;
        builder.append(&NewRecord { timestamp, value: Some(&value), ..NewRecord::default() })?;
        let bytes = builder.build(Compression::None, ProducerStamp::NONE)?;
        let header = BatchHeader::parse(&bytes)?;
        let zeros = bytes.iter().rev().take_while(|&&byte| byte == 0).count();
        Ok(Self { header, head: bytes[HEADER_SIZE..bytes.len() - zeros].to_vec() })
    }

    pub(crate) fn size(&self) -> u64 {
        self.header.size() as u64
    }

    /// What is to be written where the batch begins.
    fn head_at(&self, base_offset: i64, partition_leader_epoch: i32) -> Vec<u8> {
        // Neither is covered by the checksum.
        let header = BatchHeader { base_offset, partition_leader_epoch, ..self.header };
        [&header.to_bytes(), &self.head[..]].concat()
    }

    /// Lets a partition go on with `count` of these batches, of the leader epoch of its last one.
    /// Another segment begins where one would grow beyond `segment_size` bytes.
    ///
    /// # Errors
    /// There is no batch to go on from, and what the system reports.
    pub(crate) fn extend(&self, dir: &Path, count: u64, segment_size: u64) -> io::Result<()> {
        let mut tail = Tail::find(dir)?;
        for _ in 0..count {
            if tail.position + self.size() > segment_size {
                tail.roll(dir)?;
            }
            let head = self.head_at(tail.offset, tail.leader_epoch);
            tail.file.write_all_at(&head, tail.position)?;
            tail.position += self.size();
            tail.offset += 1;
            if tail.file.metadata()?.len() < tail.position {
                tail.file.set_len(tail.position)?;
            }
        }
        Ok(())
    }
}

/// Where a partition's files go on.
#[derive(Debug)]
struct Tail {
    file: File,
    position: u64,
    offset: i64,
    leader_epoch: i32,
}

impl Tail {
    fn find(dir: &Path) -> io::Result<Self> {
        let none = || io::Error::other(format!("{} has no batch to go on from", dir.display()));
        let path = segments(dir)?.pop().ok_or_else(none)?;
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut tail = Self { file, position: 0, offset: 0, leader_epoch: -1 };
        let mut bytes = [0; HEADER_SIZE];
        while tail.file.read_exact_at(&mut bytes, tail.position).is_ok()
            && let Ok(header) = BatchHeader::parse(&bytes)
        {
            tail.position += header.size() as u64;
            tail.offset = header.end_offset();
            tail.leader_epoch = header.partition_leader_epoch;
        }
        if tail.position == 0 { Err(none()) } else { Ok(tail) }
    }

    fn roll(&mut self, dir: &Path) -> io::Result<()> {
        let path = dir.join(format!("{:020}.log", self.offset));
        self.file = OpenOptions::new().write(true).create_new(true).open(path)?;
        self.position = 0;
        Ok(())
    }
}

/// A partition's segment files, oldest first.
fn segments(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Whether all of a partition's segments but the last have their indices, which vouch for them.
///
/// # Errors
/// What the system reports.
pub(crate) fn is_sealed(dir: &Path) -> io::Result<bool> {
    let mut sealed = segments(dir)?;
    sealed.pop();
    Ok(sealed.iter().all(|path| path.with_extension("index").exists()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use synod_client::wire::batch::{Batch, Batches};

    use super::*;

    /// The batches of a segment file, all sound.
    fn read(path: &Path) -> Vec<Batch> {
        let bytes = Bytes::from(fs::read(path).unwrap());
        let batches: Vec<_> = Batches::new(bytes).map(|batch| batch.unwrap()).collect();
        batches.iter().for_each(|batch| batch.verify_crc().unwrap());
        batches
    }

    #[test]
    fn a_partition_goes_on_with_sound_batches_in_segments_of_their_size() {
        let dir = tempfile::tempdir().unwrap();
        let zeros = ZeroBatch::new().unwrap();
        assert!(zeros.extend(dir.path(), 1, 1).is_err(), "nothing to go on from");
        let name = |offset: i64| dir.path().join(format!("{offset:020}.log"));
        fs::write(name(40), zeros.head_at(40, 7)).unwrap();
        File::options().write(true).open(name(40)).unwrap().set_len(zeros.size()).unwrap();
        zeros.extend(dir.path(), 4, 2 * zeros.size()).unwrap();
        let mut offset = 40;
        for (first, count) in [(40, 2), (42, 2), (44, 1)] {
            let batches = read(&name(first));
            assert_eq!(batches.len(), count);
            for batch in batches {
                let header = batch.header();
                assert_eq!((header.base_offset, header.partition_leader_epoch), (offset, 7));
                let record = batch.records(VALUE_SIZE).unwrap().next().unwrap().unwrap();
                assert!(record.offset == offset && is_zeros(&record.value.unwrap()));
                offset += 1;
            }
        }
        assert_eq!(segments(dir.path()).unwrap(), [name(40), name(42), name(44)]);
        assert!(!is_sealed(dir.path()).unwrap());
        for sealed in [40, 42] {
            fs::write(name(sealed).with_extension("index"), "").unwrap();
        }
        assert!(is_sealed(dir.path()).unwrap());
    }

    #[test]
    fn only_a_whole_value_of_zeros_is_one() {
        let mut value = vec![0; VALUE_SIZE];
        assert!(is_zeros(&value) && !is_zeros(&value[1..]) && !is_zeros(b""));
        value[7] = 1;
        assert!(!is_zeros(&value));
    }
}
