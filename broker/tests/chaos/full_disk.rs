//! A broker whose disk is full: the others go on, and it follows again by itself when there is
//! space.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use synod_client::admin::Admin;
use synod_client::{ClientConfig, Connection};
use synod_wire::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreateTopicsRequest,
};
use synod_wire::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use synod_wire::{ErrorCode, Str};
use tokio::time::{Instant, sleep};

use crate::cluster::{PATIENCE, TestCluster};
use crate::scrape::{has_said, says};

/// Size of the file system in bytes: enough for a broker that holds no records.
const SIZE: usize = 64 << 20;

/// Partitions of a topic: its records take a good part of what is prepared of the metadata log.
const PARTITIONS: i32 = 200;

/// So many topics surely outgrow that.
const TOPIC_LIMIT: usize = 50;

/// The pause between two attempts or looks.
const PAUSE: Duration = Duration::from_millis(50);

/// A small file system in memory; unmounted when dropped.
#[derive(Debug)]
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf) -> SmallDisk {
        fs::create_dir_all(&path).expect("a mount point");
        let size = format!("size={SIZE}");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path));
        SmallDisk(path)
    }

    /// Takes all space that is left.
    fn fill(&self) {
        let mut file = File::create(self.ballast()).expect("a file");
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        fs::remove_file(self.ballast()).expect("removed");
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run(Command::new("umount").arg(&self.0));
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors} (is this root?)");
}

/// Creates a topic whose partitions lie on these brokers only, whoever has to be asked.
async fn create_on(admin: &Admin, name: &str, replicas: [u32; 2]) {
    let ids = replicas.map(|node| node as i32).to_vec();
    let assignments = (0..PARTITIONS).map(|partition_index| CreatableReplicaAssignment {
        partition_index,
        broker_ids: ids.clone(),
    });
    let topic = CreatableTopic {
        name: Str::from(name),
        num_partitions: -1,
        replication_factor: -1,
        assignments: assignments.collect(),
        ..Default::default()
    };
    let timeout_ms = PATIENCE.as_millis() as i32;
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms, ..Default::default() };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let broker = admin.cluster().any_broker().await.expect("a broker");
        let answer = broker.send(&request).await;
        let code = answer.as_ref().ok().and_then(|it| Some(it.topics.first()?.error_code));
        // The controller may be the one without space at first, or end before it answers.
        if matches!(code, Some(ErrorCode::NONE | ErrorCode::TOPIC_ALREADY_EXISTS)) {
            return;
        }
        assert!(Instant::now() < deadline, "{name}: {answer:?}");
        sleep(PAUSE).await;
    }
}

/// What one broker by itself knows of a topic.
async fn knows(cluster: &TestCluster, node: u32, topic: &str) -> bool {
    let config = ClientConfig::new([cluster.kafka(node).to_string()]).client_id("asks-one");
    let connection = Connection::open(&cluster.kafka(node).to_string(), &config).await;
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(Str::from(topic)),
            ..MetadataRequestTopic::default()
        }]),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let response: MetadataResponse =
        connection.expect("a connection").send(&request).await.expect("an answer");
    response.topics.first().is_some_and(|topic| topic.error_code == ErrorCode::NONE)
}

async fn endure(controls: bool) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let place = |node| directory.path().join(format!("brokers/broker-{node}"));
    let disks: Vec<SmallDisk> = (1..=3).map(|node| SmallDisk::mount(place(node))).collect();
    let mut cluster = TestCluster::start_in(directory.path(), 3).await;
    let admin = cluster.admin().await;
    let controller = cluster.wait_all_there(admin.cluster()).await;
    let full = if controls { controller } else { 1 + controller % 3 };
    let others = [1 + full % 3, 1 + (full + 1) % 3];
    let disk = &disks[full as usize - 1];
    disk.fill();
    let stopped = ["the replica stops until it is reopened", "DiskFull"];
    let mut count = 0;
    while !has_said(&cluster, full, &stopped) {
        assert!(count < TOPIC_LIMIT, "{count} topics still fit");
        create_on(&admin, &format!("topic-{count}"), others).await;
        count += 1;
    }
    // The other two decide without it.
    create_on(&admin, "last", others).await;
    assert!(knows(&cluster, others[0], "last").await || knows(&cluster, others[1], "last").await);
    assert!(!knows(&cluster, full, "last").await, "it cannot have heard of it");
    disk.empty();
    says(&cluster, full, &["the metadata log is open again"]).await;
    let deadline = Instant::now() + PATIENCE;
    while !knows(&cluster, full, "last").await {
        assert!(Instant::now() < deadline, "broker {full} does not follow");
        sleep(PAUSE).await;
    }
    assert!(cluster.nodes().all(|node| cluster.is_running(node)), "without a restart");
    // Its vote counts again: with one other alone the group decides.
    cluster.kill(others[0]);
    create_on(&admin, "with-it", [full, others[1]]).await;
    // The brokers end before their file systems do.
    drop(cluster);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root, to mount small file systems"]
async fn a_follower_without_space_follows_again_when_there_is_some() {
    endure(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root, to mount small file systems"]
async fn a_controller_without_space_is_replaced() {
    endure(true).await;
}
