//! What only Synod's brokers tell: registered brokers, and where each replica stands.

use std::fmt;

use serde::{Deserialize, Serialize};
use synod_wire::ErrorCode;
use synod_wire::messages::describe_cluster::DescribeClusterRequest;
use synod_wire::messages::describe_log_dirs::DescribeLogDirsRequest;

use super::Admin;
use crate::Error;
use crate::cluster::TopicPartition;

/// A broker that the cluster knows, alive or not.
///
/// ```no_run
/// # async fn example(admin: synod_client::admin::Admin) -> Result<(), synod_client::Error> {
/// for broker in admin.registered_brokers().await? {
///     println!("{} at {}, lost: {}", broker.id, broker.kafka, broker.lost);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredBroker {
    /// Its number.
    pub id: i32,
    /// Where clients reach it, `host:port`.
    pub kafka: String,
    /// Where other brokers reach it.
    pub peer: Option<String>,
    /// Where its metrics are.
    pub http: Option<String>,
    /// Its failure domain.
    pub rack: Option<String>,
    /// How many times its data directory has been started.
    pub start: u64,
    /// Id of its present life.
    pub incarnation: String,
    /// The controller hears nothing from it.
    pub lost: bool,
}

/// One attempt to lead a partition.
///
/// ```
/// use synod_client::admin::Ballot;
/// let (older, newer) = (Ballot { round: 4, node: 3 }, Ballot { round: 5, node: 1 });
/// assert!(older < newer);
/// assert_eq!(newer.to_string(), "5@1");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ballot {
    /// Its number; Kafka's leader epoch.
    pub round: u32,
    /// The broker that leads it, or stands for it.
    pub node: u32,
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.round, self.node)
    }
}

/// What a replica does.
///
/// ```
/// use synod_client::admin::ReplicaRole;
/// assert_eq!(ReplicaRole::Leader.to_string(), "leader");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaRole {
    /// It follows, or has heard of no leader yet.
    Follower,
    /// It asks the others for their promises.
    Candidate,
    /// It leads and may not serve yet, or hears of no majority.
    Unready,
    /// It leads.
    Leader,
    /// It had to stop because of its disk.
    Stopped,
    /// Something that this version does not know.
    #[serde(other)]
    Other,
}

impl fmt::Display for ReplicaRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Unready => "unready",
            Self::Leader => "leader",
            Self::Stopped => "stopped",
            Self::Other => "other",
        })
    }
}

/// Where one replica stands. Ends are exclusive.
///
/// ```no_run
/// # async fn example(admin: synod_client::admin::Admin) -> Result<(), synod_client::Error> {
/// for (partition, replica) in admin.replicas(1).await? {
///     println!("{partition}: {}, decided up to {}", replica.role, replica.decided_end);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStanding {
    /// What it does.
    pub role: ReplicaRole,
    /// The ballot that it has promised.
    pub promised: Ballot,
    /// The ballot under which it accepted its log.
    pub accepted: Ballot,
    /// First offset that it holds.
    pub log_start: u64,
    /// First offset that it does not know to be decided.
    pub decided_end: u64,
    /// First offset that it does not know to be synced.
    pub durable_end: u64,
    /// First offset that it does not hold.
    pub log_end: u64,
    /// Up to here it may have accepted what it cannot read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faulty_end: Option<u64>,
}

impl Admin {
    /// All brokers that the cluster knows, the lost ones included, in order of their ids.
    ///
    /// ```no_run
    /// # async fn example(admin: synod_client::admin::Admin) -> Result<(), synod_client::Error> {
    /// let brokers = admin.registered_brokers().await?;
    /// let lost = brokers.iter().filter(|broker| broker.lost).count();
    /// println!("{} brokers, {lost} of them lost", brokers.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What kept the cluster from answering, or that it does not consist of Synod's brokers.
    pub async fn registered_brokers(&self) -> Result<Vec<RegisteredBroker>, Error> {
        let request = DescribeClusterRequest {
            endpoint_type: 1,
            synod: true,
            ..DescribeClusterRequest::default()
        };
        let response = self
            .ask(&request, |response| {
                let message = response.error_message.as_deref();
                Error::check(response.error_code, || "cluster".into(), message)
            })
            .await?;
        read(&response.synod)
    }

    /// Where the replicas of one broker stand, those of the metadata group included.
    ///
    /// ```no_run
    /// # async fn example(admin: synod_client::admin::Admin) -> Result<(), synod_client::Error> {
    /// let replicas = admin.replicas(2).await?;
    /// println!("broker 2 has {} replicas", replicas.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What kept the broker from answering, or that it is not one of Synod's.
    pub async fn replicas(
        &self,
        broker: i32,
    ) -> Result<Vec<(TopicPartition, ReplicaStanding)>, Error> {
        let request = DescribeLogDirsRequest { topics: None, synod: true };
        let response = self.cluster.broker(broker).await?.send(&request).await?;
        Error::check(response.error_code, || format!("broker {broker}"), None)?;
        let mut replicas = Vec::new();
        for topic in response.results.iter().flat_map(|dir| &dir.topics) {
            for found in &topic.partitions {
                let partition = TopicPartition::new(&*topic.name, found.partition_index);
                replicas.push((partition, read(&found.synod)?));
            }
        }
        Ok(replicas)
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|_| {
        let message = "this is no broker of Synod's, or one of another version";
        Error::broker(ErrorCode::UNSUPPORTED_VERSION, "broker", Some(message))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_newer_brokers_add_is_passed_over() {
        let text = r#"{"role":"dancer","promised":{"round":7,"node":2},"new":[1],
            "accepted":{"round":6,"node":1},"log_start":1,"decided_end":2,"durable_end":3,
            "log_end":4}"#;
        let standing: ReplicaStanding = read(text).expect("read");
        assert_eq!(standing.role, ReplicaRole::Other);
        assert_eq!(standing.promised.to_string(), "7@2");
        assert_eq!(standing.faulty_end, None);
        assert!(read::<ReplicaStanding>("").is_err());
    }
}
