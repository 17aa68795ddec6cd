//! What a broker tells of itself: its metrics and its log.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cluster::{PATIENCE, TestCluster};

/// The pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// The sum of all samples of a family whose labels contain `label`.
pub(crate) fn metric(cluster: &TestCluster, node: u32, family: &str, label: &str) -> u64 {
    let address = cluster.http(node).expect("a broker that is ready");
    let mut socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    let request = "GET /metrics HTTP/1.1\r\nHost: synod\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).expect("sent");
    let mut text = String::new();
    socket.read_to_string(&mut text).expect("an answer");
    let samples = text.lines().filter_map(|line| line.strip_prefix(family)?.rsplit_once(' '));
    // Behind the name come labels or nothing, never more of a name.
    let own = samples.filter(|(labels, _)| labels.is_empty() || labels.starts_with('{'));
    let values = own.filter(|(labels, _)| labels.contains(label)).map(|(_, value)| value);
    values.map(|value| value.parse::<f64>().expect("a number") as u64).sum()
}

/// Waits for what a broker brings about by itself.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        sleep(LOOK_PAUSE).await;
    }
}

/// Whether a broker's log has these words in one line.
pub(crate) fn has_said(cluster: &TestCluster, node: u32, words: &[&str]) -> bool {
    let text = fs::read(cluster.log(node)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().any(|line| words.iter().all(|word| line.contains(word)))
}

/// Waits until it has.
pub(crate) async fn says(cluster: &TestCluster, node: u32, words: &[&str]) {
    let what = format!("{words:?} in the log of broker {node}");
    until(&what, || has_said(cluster, node, words)).await;
}
