//! Where a log starts, when that is not simply the first segment's base offset.
//!
//! # File `log-start`
//!
//! The same 16 bytes twice, the second time at 512, so that one bad sector does not lose them.
//! Little-endian: offset u64, its complement's low half u32, crc32 of the 12 bytes before.
//! Replaced as a whole, so a crash leaves the old file or the new one. No file means 0.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::log_error::{LogError, LogResult};
use crate::segment::lock;
use crate::storage::{Storage, read_file, replace_file};

const NAME: &str = "log-start";
const COPY_SIZE: usize = 16;
const SECOND_AT: usize = 512;

/// The durable log start. Only moves forward.
#[derive(Debug)]
pub(crate) struct StartFile {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    durable: Mutex<u64>,
}

impl StartFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`LogError::StartUnknown`] if both copies are damaged, and what the storage reports.
    pub(crate) fn open(storage: &Arc<dyn Storage>, dir: &Path) -> LogResult<Self> {
        let path = dir.join(NAME);
        let start = match storage.exists(&path).map_err(LogError::io(&path))? {
            false => 0,
            true => {
                let image = read_file(&**storage, &path, 4096).map_err(LogError::io(&path))?;
                match decode(&image) {
                    Some(start) => start,
                    None => return Err(LogError::StartUnknown { path }),
                }
            }
        };
        Ok(Self { storage: storage.clone(), path, durable: Mutex::new(start) })
    }

    /// The durable start.
    pub(crate) fn get(&self) -> u64 {
        *lock(&self.durable)
    }

    /// Makes `start` durable unless a later one is.
    pub(crate) fn raise(&self, start: u64) -> LogResult<()> {
        let mut durable = lock(&self.durable);
        if start > *durable {
            self.write(start)?;
            *durable = start;
        }
        Ok(())
    }

    fn write(&self, start: u64) -> LogResult<()> {
        replace_file(&*self.storage, &self.path, &encode(start)).map_err(|error| {
            if crate::error::is_disk_full(&error) {
                LogError::DiskFull { path: self.path.clone() }
            } else {
                LogError::Io { path: self.path.clone(), source: error }
            }
        })
    }
}

fn encode(start: u64) -> Vec<u8> {
    let mut copy = [0; COPY_SIZE];
    copy[..8].copy_from_slice(&start.to_le_bytes());
    copy[8..12].copy_from_slice(&(!start as u32).to_le_bytes());
    let checksum = crc32fast::hash(&copy[..12]);
    copy[12..].copy_from_slice(&checksum.to_le_bytes());
    let mut image = vec![0; SECOND_AT + COPY_SIZE];
    image[..COPY_SIZE].copy_from_slice(&copy);
    image[SECOND_AT..].copy_from_slice(&copy);
    image
}

fn decode(image: &[u8]) -> Option<u64> {
    [0, SECOND_AT].into_iter().find_map(|at| {
        let copy = image.get(at..at + COPY_SIZE)?;
        let (fields, checksum) = copy.split_last_chunk::<4>()?;
        let start = u64::from_le_bytes(*fields.first_chunk()?);
        let complement = fields.last_chunk()?;
        (crc32fast::hash(fields) == u32::from_le_bytes(*checksum)
            && !start as u32 == u32::from_le_bytes(*complement))
        .then_some(start)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_copy_is_enough() {
        let image = encode(123_456_789_012);
        assert_eq!(decode(&image), Some(123_456_789_012));
        for at in [0, 9, 15, SECOND_AT, SECOND_AT + 15] {
            let mut flipped = image.clone();
            flipped[at] ^= 1;
            assert_eq!(decode(&flipped), Some(123_456_789_012), "byte {at}");
        }
        let mut both = image;
        both[1] ^= 1;
        both[SECOND_AT + 1] ^= 1;
        assert_eq!(decode(&both), None);
        assert_eq!(decode(&[0; 600]), None, "zeros are no start");
        assert_eq!(decode(&[]), None);
    }
}
