//! The topic that a measurement writes to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use synod_client::Cluster;
use synod_client::admin::{Admin, NewTopic};
use synod_client::wire::Uuid;
use tokio::time::sleep;

use crate::check::{Offsets, ends};
use crate::error::BenchError;
use crate::options::Target;

/// How long a new topic may take to get all its leaders.
const LEADER_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause between two looks for leaders.
const LEADER_POLL: Duration = Duration::from_millis(50);

/// A topic in use by a measurement.
#[derive(Debug)]
pub(crate) struct BenchTopic {
    pub(crate) name: Arc<str>,
    /// Zero on brokers that know no ids.
    pub(crate) id: Uuid,
    pub(crate) partitions: u32,
    /// Of each partition.
    pub(crate) replica_count: u32,
    /// Where each partition ended before the measurement.
    pub(crate) starts: Offsets,
    admin: Admin,
    /// It was made here and nobody wants to keep it.
    is_temporary: bool,
}

impl BenchTopic {
    /// The topic that the command line names, or a new one of `partitions` partitions.
    ///
    /// # Errors
    /// What keeps the cluster from making it or from giving its partitions leaders.
    pub(crate) async fn open(
        cluster: &Cluster,
        target: &Target,
        partitions: u32,
    ) -> Result<Self, BenchError> {
        let name = match &target.topic {
            Some(name) => name.clone(),
            None => format!("synod-bench-{:08x}", run_number()),
        };
        let mut topic = NewTopic::new(&name).partitions(partitions as i32);
        if let Some(replicas) = target.replicas {
            topic = topic.replicas(replicas);
        }
        for (key, value) in &target.topic_config {
            topic = topic.config(key, value);
        }
        let known = Admin::new(cluster.clone()).topics().await?;
        let is_known = known.iter().any(|topic| *topic.name == *name);
        let mut opened = Self::make(cluster, &name, (!is_known).then_some(topic)).await?;
        opened.is_temporary = !is_known && !target.keep;
        Ok(opened)
    }

    /// The topic of this name, made if it is `new`, and kept.
    ///
    /// # Errors
    /// As [`BenchTopic::open`].
    pub(crate) async fn make(
        cluster: &Cluster,
        name: &str,
        new: Option<NewTopic>,
    ) -> Result<Self, BenchError> {
        let admin = Admin::new(cluster.clone());
        if let Some(topic) = new {
            admin.create_topic(topic).await?;
        }
        let partitions = led_partitions(cluster, name).await?;
        let starts = ends(cluster, name, partitions).await?;
        let topic = cluster.topic(name, false).await?;
        let replica_count = topic.partitions.first().map_or(0, |p| p.replicas.len() as u32);
        let name = name.into();
        Ok(Self {
            name,
            id: topic.id,
            partitions,
            replica_count,
            starts,
            admin,
            is_temporary: false,
        })
    }

    /// Deletes it, if it was made for this measurement. Space that stays taken is told and harms no
    /// figure.
    pub(crate) async fn close(self) {
        if self.is_temporary
            && let Err(error) = self.admin.delete_topic(&self.name).await
        {
            eprintln!("synod: topic {} stays: {error}", self.name);
        }
    }
}

/// The topic's number of partitions, once this client knows a leader for each.
///
/// # Errors
/// [`BenchError::Process`] when that does not come to pass.
pub(crate) async fn led_partitions(cluster: &Cluster, name: &str) -> Result<u32, BenchError> {
    let deadline = Instant::now() + LEADER_TIMEOUT;
    loop {
        // Asked in this way the topic belongs to what the client keeps up to date. The broker that
        // answers may not have heard of a new topic yet.
        let known = cluster.topic(name, false).await;
        let state = match known.and(cluster.refresh_topic(name).await) {
            Ok(topic) => {
                let led = topic.partitions.iter().filter(|partition| partition.leader.is_some());
                match (led.count(), topic.partitions.len()) {
                    (led, all) if led == all && all > 0 => return Ok(all as u32),
                    (led, all) => format!("{led} of {all} partitions have a leader"),
                }
            }
            Err(error) => error.to_string(),
        };
        if Instant::now() >= deadline {
            let seconds = LEADER_TIMEOUT.as_secs();
            return Err(BenchError::Process(format!("topic {name} after {seconds} s: {state}")));
        }
        sleep(LEADER_POLL).await;
    }
}

/// A number that no other run is likely to have.
pub(crate) fn run_number() -> u32 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = since.map_or(0, |since| since.as_nanos() as u64);
    let mixed = (nanos ^ u64::from(std::process::id()) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}
