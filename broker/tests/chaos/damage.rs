//! Records that rot on a broker's disk: never served, and repaired from the others.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use synod_broker::demo::clients::Load;
use synod_client::cluster::Topic;
use synod_client::history::Guarantee;
use synod_client::producer::ProducerConfig;

use crate::cluster::{PATIENCE, TestCluster};
use crate::scrape::{says, until};

/// Records of a thousand bytes: several segments.
const RECORDS: u64 = 4000;

/// In the middle of the first segment, which is sealed.
const DAMAGED_AT: u64 = 300_000;
const SEGMENT: &str = "00000000000000000000.log";

/// The directory of the one partition with a sealed segment.
fn partition_dir(data_dir: &Path) -> PathBuf {
    let dirs = fs::read_dir(data_dir.join("partitions")).expect("partitions");
    let dirs = dirs.map(|entry| entry.expect("an entry").path());
    let segments = |dir: &PathBuf| {
        let names = fs::read_dir(dir).expect("a directory");
        names
            .filter(|it| it.as_ref().is_ok_and(|it| it.path().extension() == Some("log".as_ref())))
            .count()
    };
    dirs.max_by_key(segments).filter(|dir| segments(dir) > 1).expect("a sealed segment")
}

/// What stands in the first segment where it is damaged. A repair puts the same batches to the same
/// places.
fn bytes_of(dir: &Path) -> [u8; 8] {
    let mut bytes = [0; 8];
    let file = File::open(dir.join(SEGMENT)).expect("the segment");
    file.read_exact_at(&mut bytes, DAMAGED_AT).expect("it is long enough");
    bytes
}

/// Flips bits of a record's value; returns what was there.
fn damage(dir: &Path) -> [u8; 8] {
    let before = bytes_of(dir);
    let file = OpenOptions::new().write(true).open(dir.join(SEGMENT)).expect("the segment");
    file.write_all_at(&before.map(|byte| byte ^ 0x55), DAMAGED_AT).expect("written");
    before
}

/// Damages what the leader holds, while it runs or is stopped, and reads everything.
async fn damage_of_the_leader_heals(stopped: bool) {
    let mut cluster = TestCluster::start(3).await;
    let configs = [("segment.bytes", "1048576")];
    let partitions = cluster.create_with(&[("damaged", 1)], 3, &configs).await;
    let admin = cluster.admin().await;
    let mut workload = cluster.workload(&partitions);
    let pace = Some(Duration::from_micros(500));
    let load = Load { targets: vec![0], value_size: 1000, in_flight: 100, pace };
    let config = ProducerConfig::default().delivery_timeout(Duration::from_secs(60));
    workload.add_sender(Guarantee::Exact, config, load).await.expect("a sender");
    let counters = workload.counters();
    until("enough is written", || counters.written() >= RECORDS).await;
    let topic = admin.cluster().refresh_topic("damaged").await.expect("the topic");
    let leader = topic.partitions[0].replicas[0];
    let leads = |topic: &Topic| topic.partitions[0].leader == Some(leader);
    cluster.wait_for(admin.cluster(), "damaged", "the preferred leader", leads).await;
    let node = leader as u32;
    let dir = partition_dir(&cluster.data_dir(node));
    let sound = if stopped {
        cluster.stop(node, PATIENCE).expect("it stops by itself");
        let sound = damage(&dir);
        cluster.restart(node);
        cluster.wait_for(admin.cluster(), "damaged", "its return", leads).await;
        sound
    } else {
        damage(&dir)
    };
    assert_ne!(bytes_of(&dir), sound, "it is damaged");
    let written = counters.written();
    workload.add_reader().await.expect("a reader");
    says(&cluster, node, &["cannot read", "corrupt"]).await;
    until("everything is read", || counters.read() >= written).await;
    until("it is repaired", || bytes_of(&dir) == sound).await;
    cluster.wait_whole(admin.cluster(), "damaged").await;
    cluster.judge(workload).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_under_a_running_leader_is_found_by_readers_and_repaired() {
    damage_of_the_leader_heals(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_done_to_a_stopped_broker_is_found_by_readers_and_repaired() {
    damage_of_the_leader_heals(true).await;
}
