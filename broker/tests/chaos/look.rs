//! What single brokers say of a topic, asked one by one: a client that asks any broker may hear
//! from one that is cut off from the news.

use std::collections::BTreeMap;
use std::time::Duration;

use synod_client::{ClientConfig, Connection, Error};
use synod_wire::Str;
use synod_wire::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use tokio::time::timeout;

use crate::cluster::TestCluster;

/// How long a broker may think about its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Who leads a partition in which round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lead {
    /// The leader epoch.
    pub(crate) round: i32,
    /// The leader; 0 if there is none.
    pub(crate) leader: u32,
}

/// Connections to all brokers of a cluster, each asked by itself.
#[derive(Debug)]
pub(crate) struct Watcher {
    addresses: Vec<String>,
    topic: String,
    open: BTreeMap<usize, Connection>,
}

impl Watcher {
    pub(crate) fn new(cluster: &TestCluster, topic: &str) -> Watcher {
        Watcher { addresses: cluster.bootstrap(), topic: topic.into(), open: BTreeMap::new() }
    }

    /// The newest that any broker knows of partition 0: rounds only grow, and each has one leader.
    pub(crate) async fn newest(&mut self) -> Option<Lead> {
        let mut newest = None;
        for broker in 0..self.addresses.len() {
            match timeout(ANSWER_TIMEOUT, self.ask(broker)).await {
                Ok(Ok(lead)) => newest = newest.max(lead),
                // It is down, paused, or on its way; another connection may find it.
                Ok(Err(_)) | Err(_) => drop(self.open.remove(&broker)),
            }
        }
        newest
    }

    async fn ask(&mut self, broker: usize) -> Result<Option<Lead>, Error> {
        let config = ClientConfig::new(self.addresses.clone()).client_id("watcher");
        if !self.open.contains_key(&broker) {
            let connection = Connection::open(&self.addresses[broker], &config).await?;
            self.open.insert(broker, connection);
        }
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(Str::from(self.topic.as_str())),
                ..MetadataRequestTopic::default()
            }]),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let response: MetadataResponse = self.open[&broker].send(&request).await?;
        let first = response.topics.first().and_then(|topic| topic.partitions.first());
        Ok(first.map(|partition| Lead {
            round: partition.leader_epoch,
            leader: u32::try_from(partition.leader_id).unwrap_or(0),
        }))
    }
}
