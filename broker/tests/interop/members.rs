//! Members of a group that read until they are told to stop: of the own client and of others.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::json;
use synod_client::consumer::{Assignor, Consumer, ConsumerConfig, GroupConfig};
use synod_client::{ClientConfig, Cluster};

use crate::client::Client;
use crate::world::World;

/// Which library a member is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Library {
    Own,
    Other(Client),
}

/// What a group's members have in common.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) assignor: Assignor,
    /// They stop when this file is there.
    pub(crate) stop: PathBuf,
}

/// How often members commit, and give signs of life.
const COMMIT_INTERVAL: Duration = Duration::from_millis(500);

/// After how much silence a member is out.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// A member at work.
#[derive(Debug)]
pub(crate) struct Member {
    library: Library,
    running: thread::JoinHandle<Vec<(i32, i64)>>,
}

impl Member {
    /// Lets one join. It is to go on whatever happens to brokers; if it ends early, the test fails.
    pub(crate) fn start(library: Library, job: &Job, world: &World) -> Member {
        let (job, bootstrap) = (job.clone(), world.bootstrap());
        let running = match library {
            Library::Own => {
                let runtime = world.runtime.handle().clone();
                let brokers = world.brokers.bootstrap();
                thread::spawn(move || runtime.block_on(own(&job, brokers)))
            }
            Library::Other(client) => thread::spawn(move || other(client, &job, &bootstrap)),
        };
        Member { library, running }
    }

    /// Whether it stopped although nobody told it to.
    pub(crate) fn has_ended(&self) -> bool {
        self.running.is_finished()
    }

    /// What it processed, in order, as partition and offset.
    pub(crate) fn join(self) -> Vec<(i32, i64)> {
        let library = self.library;
        self.running.join().unwrap_or_else(|_| panic!("{library:?}: a member failed"))
    }
}

async fn own(job: &Job, brokers: Vec<String>) -> Vec<(i32, i64)> {
    let group = GroupConfig::new(job.group.as_str())
        .assignors([job.assignor])
        .heartbeat_interval(COMMIT_INTERVAL)
        .session_timeout(SESSION_TIMEOUT)
        .auto_commit(Some(COMMIT_INTERVAL));
    let config = ConsumerConfig::default().group(group);
    let cluster = Cluster::connect(ClientConfig::new(brokers)).await.expect("a broker answers");
    let mut consumer = Consumer::new(cluster, config).expect("a consumer");
    consumer.subscribe([job.topic.as_str()]).expect("subscribed");
    let mut places = Vec::new();
    while !job.stop.exists() {
        let records = consumer.poll(Duration::from_millis(100)).await.expect("it goes on");
        places.extend(records.iter().map(|record| (record.partition, record.offset)));
    }
    consumer.close().await;
    places
}

fn other(client: Client, job: &Job, bootstrap: &str) -> Vec<(i32, i64)> {
    let job = json!({
        "do": "follow",
        "topic": job.topic,
        "group": job.group,
        "assignor": job.assignor.name(),
        "commit_ms": COMMIT_INTERVAL.as_millis() as u64,
        "session_ms": SESSION_TIMEOUT.as_millis() as u64,
        "stop": path(&job.stop),
    });
    let places = client.run(bootstrap, &[job]).remove(0);
    serde_json::from_value(places).expect("places from a driver")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
