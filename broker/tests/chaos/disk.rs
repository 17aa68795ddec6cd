//! A file system whose power can be cut: ext4 on a loop device, with its shutdown ioctl.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Size of the file system in bytes; the image is sparse.
const SIZE: u64 = 8 << 30;

/// Stops the file system where it stands: nothing more is written, not even its journal. Rust's
/// ioctls are unsafe, and this one is not worth an exception.
const SHUTDOWN: &str = "
import fcntl, os, struct, sys
EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), EXT4_IOC_SHUTDOWN, struct.pack('I', NO_LOG_FLUSH))
";

/// How long a file system may stay busy after the last process that used it has gone.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A mounted file system; unmounted and removed when dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    directory: TempDir,
}

impl Disk {
    /// Makes and mounts one.
    pub(crate) fn new() -> Disk {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let disk = Disk { directory };
        let image = File::create(disk.image()).expect("an image");
        image.set_len(SIZE).expect("a sparse file");
        fs::create_dir(disk.path()).expect("a mount point");
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(disk.image()));
        disk.mount();
        disk
    }

    fn image(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    fn mount(&self) {
        run(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.path()));
    }

    fn unmount(&self) -> bool {
        let deadline = Instant::now() + BUSY_TIMEOUT;
        while Instant::now() < deadline {
            let ended = Command::new("umount").arg(self.path()).output();
            if ended.is_ok_and(|output| output.status.success()) {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// Cuts the power: what was not synced is lost. Nothing can be written any more.
    pub(crate) fn cut(&self) {
        run(Command::new("python3").args(["-c", SHUTDOWN]).arg(self.path()));
    }

    /// Brings the power back, after everybody who used the file system has ended.
    pub(crate) fn restore(&self) {
        assert!(self.unmount(), "{} stays busy", self.path().display());
        self.mount();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if is_mounted(&self.path()) && !self.unmount() {
            println!("{} could not be unmounted", self.path().display());
        }
    }
}

fn is_mounted(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let path = path.display().to_string();
    mounts.lines().any(|line| line.split(' ').nth(1) == Some(&path))
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors} (is this root, with loop devices?)");
}

#[test]
#[ignore = "needs root, loop devices and python3"]
fn what_is_not_synced_is_lost_and_what_is_synced_is_not() {
    let disk = Disk::new();
    let [synced, unsynced] = ["synced", "unsynced"].map(|name| disk.path().join(name));
    fs::write(&synced, [1; 4096]).expect("a file");
    File::open(&synced).expect("the file").sync_all().expect("a sync");
    fs::write(&unsynced, [1; 4096]).expect("a file");
    disk.cut();
    fs::write(&synced, [2; 4096]).expect_err("the power is cut");
    disk.restore();
    assert_eq!(fs::read(&synced).expect("the file"), [1; 4096]);
    assert!(fs::read(&unsynced).unwrap_or_default().is_empty(), "lost, or never there");
}
