//! `synod cluster …`

use clap::{Args, Subcommand};
use serde::Serialize;

use super::cluster_quorum;
use super::connect::AdminArgs;
use super::health;
use super::output::{Failure, print, print_table, shown};
use crate::admin::LogDir;

/// What to ask the cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show the cluster's id, controller, brokers and disk use
    Info(InfoArgs),
    /// Show every broker that was ever registered: addresses, starts, what it holds and leads
    Brokers(BrokersArgs),
    /// Show each replica's role, ballots, ends and lag
    Paxos(PaxosArgs),
    /// Say whether every broker answers and every partition is whole; the exit code says it too
    Health(HealthArgs),
}

/// Arguments of `cluster health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    #[command(flatten)]
    pub(super) admin: AdminArgs,
}

/// Arguments of `cluster brokers`.
#[derive(Debug, Args)]
pub struct BrokersArgs {
    #[command(flatten)]
    pub(super) admin: AdminArgs,
}

/// Arguments of `cluster paxos`.
#[derive(Debug, Args)]
pub struct PaxosArgs {
    /// Show this topic only; the metadata group's own is __cluster_metadata
    pub topic: Option<String>,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
}

/// Arguments of `cluster info`.
#[derive(Debug, Args)]
pub struct InfoArgs {
    #[command(flatten)]
    pub(super) admin: AdminArgs,
}

pub(super) async fn run(command: ClusterCommand) -> Result<(), Failure> {
    match command {
        ClusterCommand::Info(args) => info(args).await,
        ClusterCommand::Brokers(args) => cluster_quorum::brokers(args).await,
        ClusterCommand::Paxos(args) => cluster_quorum::paxos(args).await,
        ClusterCommand::Health(args) => health::run(args).await,
    }
}

#[derive(Serialize)]
struct Info {
    cluster_id: String,
    controller: Option<i32>,
    topics: usize,
    partitions: usize,
    brokers: Vec<BrokerInfo>,
}

#[derive(Serialize)]
struct BrokerInfo {
    id: i32,
    address: String,
    rack: Option<String>,
    replicas: usize,
    /// Bytes of all replicas.
    size: u64,
    /// Free bytes, where the broker says.
    free: Option<u64>,
    error: Option<String>,
}

async fn info(args: InfoArgs) -> Result<(), Failure> {
    let admin = args.admin.admin().await?;
    let description = admin.describe_cluster().await?;
    let topics = admin.topics().await?;
    let mut brokers = Vec::new();
    for broker in &description.brokers {
        // A broker that is down is part of the picture, not an end of it.
        let (dirs, error) = match admin.log_dirs(broker.id).await {
            Ok(dirs) => (dirs, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let replicas = || dirs.iter().flat_map(|dir| &dir.replicas);
        let free =
            dirs.iter().filter_map(|dir: &LogDir| dir.usable_size).reduce(u64::saturating_add);
        brokers.push(BrokerInfo {
            id: broker.id,
            address: broker.address(),
            rack: broker.rack.as_deref().map(str::to_owned),
            replicas: replicas().count(),
            size: replicas().map(|replica| replica.size).sum(),
            free,
            error,
        });
    }
    let info = Info {
        cluster_id: description.cluster_id,
        controller: description.controller,
        topics: topics.len(),
        partitions: topics.iter().map(|topic| topic.partitions.len()).sum(),
        brokers,
    };
    args.admin.show(&info, print_info)
}

fn print_info(info: &Info) -> Result<(), Failure> {
    let controller = shown(info.controller);
    print(&format!(
        "cluster {}  controller {controller}  topics {}  partitions {}\n",
        info.cluster_id, info.topics, info.partitions
    ))?;
    let row = |broker: &BrokerInfo| {
        [
            broker.id.to_string(),
            broker.address.clone(),
            shown(broker.rack.as_ref()),
            broker.replicas.to_string(),
            bytes(Some(broker.size)),
            bytes(broker.free),
            broker.error.clone().unwrap_or_else(|| "up".into()),
        ]
    };
    let heading = ["BROKER", "ADDRESS", "RACK", "REPLICAS", "SIZE", "FREE", "STATE"];
    print_table(heading, &info.brokers.iter().map(row).collect::<Vec<_>>())
}

/// A size for people.
pub(super) fn bytes(size: Option<u64>) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let Some(size) = size else { return "-".into() };
    let mut unit = 0;
    let mut rest = size as f64;
    while rest >= 1024.0 && unit + 1 < UNITS.len() {
        rest /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{size} B") } else { format!("{rest:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        assert_eq!(bytes(None), "-");
        assert_eq!(bytes(Some(1023)), "1023 B");
        assert_eq!(bytes(Some(1536)), "1.5 KiB");
        assert_eq!(bytes(Some(u64::MAX)), "16384.0 PiB");
    }
}
