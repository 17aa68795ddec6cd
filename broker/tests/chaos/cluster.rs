//! A cluster under test: started, looked at, and told about when a test fails.

use std::ffi::OsString;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::thread;
use std::time::Duration;

use synod_broker::demo::brokers::{Brokers, Setup};
use synod_broker::demo::clients::Partitions;
use synod_broker::demo::workload::{Judgement, Workload};
use synod_client::ClientConfig;
use synod_client::admin::{Admin, NewTopic};
use synod_client::cluster::{Cluster, Partition, Topic};
use synod_wire::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreateTopicsRequest,
};
use synod_wire::{ErrorCode, Str};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep};

/// How long a cluster may take to start, heal or be read before the test fails. It catches one that
/// never does; how long it took is printed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The pause between two looks at a cluster.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Clusters run one at a time: each wants the whole machine.
pub(crate) static MACHINE: Mutex<()> = Mutex::const_new(());

/// Brokers as child processes in a temporary directory.
#[derive(Debug)]
pub(crate) struct TestCluster {
    brokers: Brokers,
    directory: Option<TempDir>,
    _machine: MutexGuard<'static, ()>,
}

impl TestCluster {
    /// Starts a cluster and waits until it is ready.
    pub(crate) async fn start(broker_count: u32) -> TestCluster {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut cluster = TestCluster::start_in(directory.path(), broker_count).await;
        cluster.directory = Some(directory);
        cluster
    }

    /// As [`TestCluster::start`], with data and logs below this directory.
    pub(crate) async fn start_in(directory: &Path, broker_count: u32) -> TestCluster {
        let machine = MACHINE.lock().await;
        let setup = Setup {
            binary: env!("CARGO_BIN_EXE_synod").into(),
            directory: directory.join("brokers"),
            broker_count,
            args: log_args(),
        };
        let brokers = Brokers::prepare(setup).expect("free ports");
        let mut cluster = TestCluster { brokers, directory: None, _machine: machine };
        let started = Instant::now();
        cluster.start_all(PATIENCE).unwrap_or_else(|error| panic!("{error}"));
        println!("{broker_count} brokers are ready after {:?}", started.elapsed());
        cluster
    }

    /// A client that looks at the cluster and changes it.
    pub(crate) async fn admin(&self) -> Admin {
        // Thousands of partitions are not made in a moment.
        let config = ClientConfig::new(self.bootstrap()).client_id("admin");
        Admin::new(Cluster::connect(config).await.expect("a broker answers"))
    }

    /// Creates topics, each given by its name and number of partitions, and waits until every
    /// partition is led.
    pub(crate) async fn create(&self, topics: &[(&str, i32)], replicas: i16) -> Partitions {
        self.create_with(topics, replicas, &[]).await
    }

    /// As [`TestCluster::create`], with settings for all of them.
    pub(crate) async fn create_with(
        &self,
        topics: &[(&str, i32)],
        replicas: i16,
        configs: &[(&str, &str)],
    ) -> Partitions {
        let admin = self.admin().await;
        for (name, count) in topics {
            let mut topic = NewTopic::new(*name).partitions(*count).replicas(replicas);
            for (key, value) in configs {
                topic = topic.config(*key, *value);
            }
            admin.create_topic(topic).await.expect("a topic");
            self.wait_led(admin.cluster(), name).await;
        }
        Partitions::of(topics.iter().copied())
    }

    /// Creates a topic of one partition on these brokers, and waits until the first of them leads
    /// and the others have what it has.
    pub(crate) async fn create_on(&self, name: &str, replicas: &[u32]) -> Partitions {
        let admin = self.admin().await;
        let ids: Vec<i32> = replicas.iter().map(|node| *node as i32).collect();
        let assignment = CreatableReplicaAssignment { partition_index: 0, broker_ids: ids.clone() };
        let topic = CreatableTopic {
            name: Str::from(name),
            num_partitions: -1,
            replication_factor: -1,
            assignments: vec![assignment],
            ..Default::default()
        };
        let timeout_ms = PATIENCE.as_millis() as i32;
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms, ..Default::default() };
        let broker = admin.cluster().any_broker().await.expect("a broker");
        let response = broker.send(&request).await.expect("an answer");
        let error = response.topics.first().map(|topic| (topic.error_code, &topic.error_message));
        assert_eq!(error, Some((ErrorCode::NONE, &None)), "{name} on {replicas:?}");
        let is_so = |topic: &Topic| {
            let partition = &topic.partitions[0];
            partition.leader == Some(ids[0]) && partition.in_sync.len() == ids.len()
        };
        self.wait_for(admin.cluster(), name, "its first leader", is_so).await;
        Partitions::of([(name, 1)])
    }

    /// Waits until every broker counts as there, and returns the controller.
    pub(crate) async fn wait_all_there(&self, client: &Cluster) -> u32 {
        let started = Instant::now();
        loop {
            let known = client.refresh_metadata().await;
            if let Ok(known) = &known
                && known.brokers().len() == self.nodes().count()
                && let Some(controller) = known.controller()
            {
                return controller as u32;
            }
            assert!(started.elapsed() < PATIENCE, "not all brokers are there: {known:?}");
            sleep(LOOK_PAUSE).await;
        }
    }

    /// A workload on this cluster.
    pub(crate) fn workload(&self, partitions: &Partitions) -> Workload {
        Workload::new(self.bootstrap(), partitions.clone())
    }

    /// Waits until the metadata of a topic is as wanted; returns it and how long that took.
    pub(crate) async fn wait_for(
        &self,
        client: &Cluster,
        topic: &str,
        what: &str,
        is_so: impl Fn(&Topic) -> bool,
    ) -> Duration {
        let started = Instant::now();
        let mut last = String::new();
        while started.elapsed() < PATIENCE {
            match client.refresh_topic(topic).await {
                Ok(topic) if is_so(&topic) => return started.elapsed(),
                Ok(topic) => last = format!("{:?}", topic.partitions.first()),
                Err(error) => last = error.to_string(),
            }
            sleep(LOOK_PAUSE).await;
        }
        panic!("{topic}: {what} did not come within {PATIENCE:?}; last: {last}");
    }

    /// Waits until every partition of a topic has a leader.
    pub(crate) async fn wait_led(&self, client: &Cluster, topic: &str) -> Duration {
        let is_led = |partition: &Partition| partition.leader.is_some();
        self.wait_for(client, topic, "leaders", |topic| topic.partitions.iter().all(is_led)).await
    }

    /// Waits until every partition of a topic has a leader and all its replicas.
    pub(crate) async fn wait_whole(&self, client: &Cluster, topic: &str) -> Duration {
        let is_whole = |partition: &Partition| {
            partition.leader.is_some() && partition.in_sync.len() == partition.replicas.len()
        };
        self.wait_for(client, topic, "replicas", |topic| topic.partitions.iter().all(is_whole))
            .await
    }

    /// Starts a broker again and waits until it is ready.
    pub(crate) fn restart(&mut self, node: u32) {
        self.start(node).unwrap_or_else(|error| panic!("{error}"));
        self.wait_ready(node, PATIENCE).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Ends a workload and fails the test if the cluster broke a promise.
    pub(crate) async fn judge(&self, workload: Workload) -> Judgement {
        let judged = workload.judge(PATIENCE).await;
        let judgement = judged.unwrap_or_else(|error| panic!("no judgement: {error}"));
        println!("{}", judgement.report);
        assert!(judgement.report.is_clean(), "{}", judgement.report);
        assert!(judgement.report.written > 0, "nothing was written");
        judgement
    }
}

/// `SYNOD_CHAOS_LOG` makes brokers tell more.
fn log_args() -> Vec<OsString> {
    let level = std::env::var_os("SYNOD_CHAOS_LOG");
    level.map_or_else(Vec::new, |level| vec!["--log-level".into(), level])
}

impl Deref for TestCluster {
    type Target = Brokers;

    fn deref(&self) -> &Brokers {
        &self.brokers
    }
}

impl DerefMut for TestCluster {
    fn deref_mut(&mut self) -> &mut Brokers {
        &mut self.brokers
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        self.brokers.kill_all();
        if thread::panicking() {
            for node in self.brokers.nodes() {
                println!("--- broker {node}'s last words:\n{}", self.brokers.log_tail(node));
            }
            if std::env::var_os("SYNOD_CHAOS_KEEP").is_some()
                && let Some(directory) = self.directory.take()
            {
                println!("--- kept: {}", directory.keep().display());
            }
        }
    }
}
