//! `synod cluster health`

use std::sync::Arc;

use serde::Serialize;
use synod_wire::messages::api_versions::ApiVersionsRequest;

use super::cluster::HealthArgs;
use super::output::{Failure, print};
use crate::admin::ClusterDescription;
use crate::cluster::Topic;

/// What is wrong, if anything.
#[derive(Serialize)]
struct Health {
    healthy: bool,
    brokers: usize,
    partitions: usize,
    /// One sentence each.
    problems: Vec<String>,
}

/// Succeeds only when every broker answers where it says it is, every partition has a leader, and
/// no replica is missing.
pub(super) async fn run(args: HealthArgs) -> Result<(), Failure> {
    let admin = args.admin.admin().await?;
    let cluster = admin.describe_cluster().await?;
    let mut problems = Vec::new();
    if cluster.controller.is_none() {
        problems.push("the cluster has no controller".to_owned());
    }
    for broker in &cluster.brokers {
        let greeting = async {
            let connection = admin.cluster().broker(broker.id).await?;
            connection.send(&ApiVersionsRequest::default()).await
        };
        if let Err(error) = greeting.await {
            problems.push(format!("broker {}: {error}", broker.id));
        }
    }
    // Only Synod's brokers tell; a broker of others that is down shows by what it leaves behind.
    let registered = admin.registered_brokers().await.unwrap_or_default();
    for lost in registered.iter().filter(|broker| broker.lost) {
        problems.push(format!("broker {}: the controller hears nothing from it", lost.id));
    }
    let topics = admin.topics().await?;
    problems.extend(partition_problems(&cluster, &topics));
    let health = Health {
        healthy: problems.is_empty(),
        brokers: cluster.brokers.len(),
        partitions: topics.iter().map(|topic| topic.partitions.len()).sum(),
        problems,
    };
    args.admin.show(&health, |health| match health.healthy {
        true => {
            let count =
                |count, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
            let (brokers, partitions) =
                (count(health.brokers, "broker"), count(health.partitions, "partition"));
            print(&format!("healthy: {brokers}, {partitions}\n"))
        }
        false => print(&(health.problems.join("\n") + "\n")),
    })?;
    match health.problems.len() {
        0 => Ok(()),
        1 => Err(Failure::failed("unhealthy: 1 problem")),
        count => Err(Failure::failed(format!("unhealthy: {count} problems"))),
    }
}

/// One sentence for each partition without a leader or with replicas missing.
pub(super) fn partition_problems(
    cluster: &ClusterDescription,
    topics: &[Arc<Topic>],
) -> Vec<String> {
    let is_live = |id: &&i32| cluster.brokers.iter().any(|broker| broker.id == **id);
    let mut problems = Vec::new();
    for topic in topics {
        for partition in &topic.partitions {
            let at = format!("topic {}, partition {}", topic.name, partition.index);
            if partition.leader.is_none() {
                problems.push(format!("{at}: no leader"));
            }
            let live = partition.replicas.iter().filter(is_live);
            let live = live.filter(|id| !partition.offline.contains(id)).count();
            if live < partition.replicas.len() {
                problems.push(format!("{at}: {live} of {} replicas", partition.replicas.len()));
            }
        }
    }
    problems
}
