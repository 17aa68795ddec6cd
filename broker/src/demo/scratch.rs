//! A temporary directory that goes when the demonstration does.

use std::path::{Path, PathBuf};
use std::{env, fs, io, process};

/// Removed with everything in it when dropped, unless it is kept.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    is_kept: bool,
}

impl Scratch {
    pub(super) fn new() -> io::Result<Scratch> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name = format!("synod-demo-{}-{:016x}", process::id(), u64::from_ne_bytes(random));
        let path = env::temp_dir().join(name);
        // Not "if it is absent": nobody else's directory is ever removed.
        fs::create_dir(&path)?;
        Ok(Scratch { path, is_kept: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the directory behind as evidence.
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed stays; there is nothing better to do.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_its_content_unless_kept() {
        let mut kept = Scratch::new().expect("a directory");
        let other = Scratch::new().expect("a directory");
        let paths = [kept.path().to_owned(), other.path().to_owned()];
        assert_ne!(paths[0], paths[1]);
        for path in &paths {
            fs::write(path.join("file"), "content").expect("a file");
        }
        kept.keep();
        drop((kept, other));
        assert!(paths[0].exists() && !paths[1].exists());
        fs::remove_dir_all(&paths[0]).expect("it was kept");
    }
}
