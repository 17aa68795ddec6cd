//! Three brokers as processes, and somebody who looks at them.

use std::time::Duration;

use synod_broker::demo::brokers::Brokers;
use synod_client::admin::{Admin, NewTopic};
use synod_client::cluster::{Isolation, OffsetSpec, TopicPartition};
use synod_client::{ClientConfig, Cluster};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::cluster::start_three;

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster and a client that changes it.
pub(crate) struct World {
    pub(crate) brokers: Brokers,
    pub(crate) runtime: Runtime,
    pub(crate) admin: Admin,
    pub(crate) directory: TempDir,
}

impl World {
    pub(crate) fn start() -> World {
        World::start_with(&[])
    }

    /// As [`World::start`], with more arguments for every broker.
    pub(crate) fn start_with(args: &[&str]) -> World {
        let (brokers, directory) = start_three(args, PATIENCE);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let config = ClientConfig::new(brokers.bootstrap());
        let cluster = runtime.block_on(Cluster::connect(config)).expect("a broker answers");
        World { brokers, runtime, admin: Admin::new(cluster), directory }
    }

    pub(crate) fn bootstrap(&self) -> String {
        self.brokers.bootstrap().join(",")
    }

    pub(crate) fn create(&self, topic: &str, partitions: i32) {
        let topic = NewTopic::new(topic).partitions(partitions).replicas(3);
        self.runtime.block_on(self.admin.create_topic(topic)).expect("a topic");
    }

    /// The end of a partition; 0 while nobody can tell.
    pub(crate) fn end(&self, topic: &str, partition: i32) -> i64 {
        let asked = [TopicPartition::new(topic, partition)];
        let cluster = self.admin.cluster();
        let answer = cluster.list_offsets(asked, OffsetSpec::End, Isolation::ReadUncommitted);
        let answer = self.runtime.block_on(answer).into_values().next().expect("an answer");
        answer.ok().flatten().map_or(0, |found| found.offset)
    }

    pub(crate) fn kill(&mut self, node: i32) {
        self.brokers.kill(id(node));
    }

    pub(crate) fn restart(&mut self, node: i32) {
        self.brokers.start(id(node)).expect("a broker starts");
        self.brokers.wait_ready(id(node), PATIENCE).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// A node's number as the test's cluster counts.
pub(crate) fn id(node: i32) -> u32 {
    u32::try_from(node).expect("a node id")
}
