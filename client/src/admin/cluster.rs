//! The cluster itself: brokers and their disks.

use synod_wire::messages::describe_cluster::DescribeClusterRequest;
use synod_wire::messages::describe_log_dirs::DescribeLogDirsRequest;

use super::Admin;
use crate::Error;
use crate::cluster::{Broker, TopicPartition};

/// A cluster and its brokers.
///
/// ```no_run
/// # async fn example(admin: synod_client::admin::Admin) -> Result<(), synod_client::Error> {
/// let cluster = admin.describe_cluster().await?;
/// println!("{} brokers, controller {:?}", cluster.brokers.len(), cluster.controller);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    /// The cluster's id.
    pub cluster_id: String,
    /// The broker that takes administrative requests, if there is one now.
    pub controller: Option<i32>,
    /// All live brokers in order of their ids.
    pub brokers: Vec<Broker>,
}

/// A directory in which a broker keeps partitions.
///
/// ```no_run
/// # async fn example(admin: synod_client::admin::Admin) -> Result<(), synod_client::Error> {
/// for dir in admin.log_dirs(1).await? {
///     println!("{}: {:?} of {:?} bytes free", dir.path, dir.usable_size, dir.total_size);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDir {
    /// Its path on the broker.
    pub path: String,
    /// Size of the file system in bytes, if the broker says.
    pub total_size: Option<u64>,
    /// Free bytes of the file system, if the broker says.
    pub usable_size: Option<u64>,
    /// The partitions in it.
    pub replicas: Vec<ReplicaSize>,
}

/// A partition's size on a broker's disk.
///
/// ```no_run
/// # async fn example(admin: synod_client::admin::Admin) -> Result<(), synod_client::Error> {
/// for replica in admin.log_dirs(1).await?.iter().flat_map(|dir| &dir.replicas) {
///     println!("{}: {} bytes", replica.partition, replica.size);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaSize {
    /// The partition.
    pub partition: TopicPartition,
    /// Bytes of its records.
    pub size: u64,
}

impl Admin {
    /// The cluster's id, controller and live brokers.
    ///
    /// ```no_run
    /// # async fn example(admin: synod_client::admin::Admin)
    /// # -> Result<(), synod_client::Error> {
    /// for broker in admin.describe_cluster().await?.brokers {
    ///     println!("{}: {}", broker.id, broker.address());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What kept the cluster from answering.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, Error> {
        let request =
            DescribeClusterRequest { endpoint_type: 1, ..DescribeClusterRequest::default() };
        let response = self
            .ask(&request, |response| {
                let message = response.error_message.as_deref();
                Error::check(response.error_code, || "cluster".into(), message)
            })
            .await?;
        let mut brokers: Vec<_> = response
            .brokers
            .into_iter()
            .map(|broker| Broker {
                id: broker.broker_id,
                host: (&*broker.host).into(),
                port: broker.port,
                rack: broker.rack.map(|rack| (&*rack).into()),
            })
            .collect();
        brokers.sort_by_key(|broker| broker.id);
        Ok(ClusterDescription {
            cluster_id: response.cluster_id.to_string(),
            controller: Some(response.controller_id).filter(|&id| id >= 0),
            brokers,
        })
    }

    /// The log directories of one broker, with all partitions in them.
    ///
    /// ```no_run
    /// # async fn example(admin: synod_client::admin::Admin)
    /// # -> Result<(), synod_client::Error> {
    /// for dir in admin.log_dirs(1).await? {
    ///     println!("{}: {:?} bytes free", dir.path, dir.usable_size);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What kept the broker from answering.
    pub async fn log_dirs(&self, broker: i32) -> Result<Vec<LogDir>, Error> {
        let request = DescribeLogDirsRequest { topics: None, ..DescribeLogDirsRequest::default() };
        let attempt = || async {
            let response = self.cluster.broker(broker).await?.send(&request).await?;
            Error::check(response.error_code, || format!("broker {broker}"), None)?;
            let mut dirs = Vec::new();
            for answer in response.results {
                let context = || format!("broker {broker}, directory {}", &*answer.log_dir);
                Error::check(answer.error_code, context, None)?;
                let mut replicas = Vec::new();
                for topic in &answer.topics {
                    for found in &topic.partitions {
                        replicas.push(ReplicaSize {
                            partition: TopicPartition::new(&*topic.name, found.partition_index),
                            size: u64::try_from(found.partition_size).unwrap_or(0),
                        });
                    }
                }
                dirs.push(LogDir {
                    path: answer.log_dir.to_string(),
                    total_size: u64::try_from(answer.total_bytes).ok(),
                    usable_size: u64::try_from(answer.usable_bytes).ok(),
                    replicas,
                });
            }
            Ok(dirs)
        };
        self.cluster.retry(attempt).await
    }
}
