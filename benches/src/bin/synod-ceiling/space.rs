//! The directory of the run, and zero-filled files in it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of zeros written at once.
const STEP: usize = 1 << 20;

/// A directory that is removed at the end.
#[derive(Debug)]
pub(crate) struct Space {
    path: PathBuf,
}

impl Space {
    /// A new directory in `parent`, or where the system keeps temporary files.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn make(parent: Option<&Path>) -> io::Result<Self> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let path = parent.join(format!("synod-ceiling-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self { path })
    }

    /// Where a replica's file is.
    pub(crate) fn file(&self, index: u32) -> PathBuf {
        self.path.join(format!("replica-{index}"))
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // What stays behind is in a directory for temporary things.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A file whose blocks exist and are synced: writing into it changes no metadata.
#[derive(Debug)]
pub(crate) struct ZeroFilled {
    file: File,
    size: u64,
    position: u64,
}

impl ZeroFilled {
    /// Makes it, or takes one that is there with the same size.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn open(path: &Path, size: u64) -> io::Result<Self> {
        let file =
            File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        if file.metadata()?.len() != size {
            let zeros = vec![0; STEP];
            let mut at = 0;
            while at < size {
                let step = (size - at).min(STEP as u64);
                file.write_all_at(&zeros[..step as usize], at)?;
                at += step;
            }
            file.sync_all()?;
        }
        Ok(Self { file, size, position: 0 })
    }

    /// Writes bytes behind those written before, from the front again when the end is reached, and
    /// syncs them.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = (self.size - self.position).min(bytes.len() as u64);
            let (now, later) = bytes.split_at(room as usize);
            self.file.write_all_at(now, self.position)?;
            self.position = (self.position + room) % self.size;
            bytes = later;
        }
        self.file.sync_data()
    }
}
