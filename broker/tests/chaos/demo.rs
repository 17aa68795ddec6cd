//! `synod demo`, as whoever runs it sees it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::MACHINE;
use crate::promised;

/// It ends by itself within this time.
const LIMIT: Duration = Duration::from_secs(30);

/// Whether a process was started with this path.
fn is_in_use(path: &Path) -> bool {
    let path = path.as_os_str().as_encoded_bytes();
    let processes = fs::read_dir("/proc").expect("processes").flatten();
    let commands = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    commands.into_iter().any(|it| it.windows(path.len()).any(|part| part == path))
}

#[tokio::test]
async fn the_demo_shows_a_failover_and_leaves_nothing_behind() {
    let _machine = MACHINE.lock().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let started = Instant::now();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_synod"));
    let output = demo.arg("demo").env("TMPDIR", directory.path()).output().expect("it runs");
    let took = started.elapsed();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {text}\n{errors}", output.status);
    for words in [
        "starting 3 brokers",
        "kill -9 of broker",
        "is started again",
        "is cut",
        "the link is up again",
        "failover after kill -9",
        "no anomaly",
    ] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
    println!("FIGURE the demo took {took:?}");
    assert!(took <= promised(LIMIT), "{took:?}");
    assert!(!is_in_use(directory.path()), "brokers are left");
    let left: Vec<_> = fs::read_dir(directory.path()).expect("a directory").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}
