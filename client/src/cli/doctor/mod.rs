//! `synod doctor`

mod http;
mod probe;

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use futures_util::future::join_all;
use serde::Serialize;

use super::connect::AdminArgs;
use super::health::partition_problems;
use super::output::{Failure, print_table};
use crate::Error;
use crate::admin::{Admin, ClusterDescription, RegisteredBroker};
use probe::{Examined, Reached};

/// Where brokers serve HTTP unless they are told otherwise.
const USUAL_HTTP_PORT: u16 = 9644;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit code 0: nothing is wrong (there may be warnings); 1: something is. What a broker does not tell,
such as the time when its HTTP port cannot be reached, is unknown and no mistake.")]
pub struct DoctorArgs {
    /// The brokers' HTTP port, which tells their state, version and clock; if not given, the one
    /// that each broker has told the cluster, or 9644
    #[arg(long, value_name = "PORT")]
    pub http_port: Option<u16>,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warning,
    Problem,
    /// It could not be found out.
    Unknown,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    subject: String,
    status: Status,
    detail: String,
}

#[derive(Serialize)]
struct Diagnosis {
    healthy: bool,
    findings: Vec<Finding>,
}

pub(super) async fn run(args: DoctorArgs) -> Result<(), Failure> {
    let mut findings = Vec::new();
    let reached = dial_given(&args, &mut findings).await?;
    if let Some(first) = reached.first() {
        let cluster_id = first.cluster_id.as_deref();
        match args.admin.admin().await {
            Ok(admin) => examine(&args, &admin, cluster_id, &mut findings).await,
            Err(Failure::Failed(reason)) => {
                let subject = "cluster".into();
                let status = Status::Problem;
                findings.push(Finding { check: "metadata", subject, status, detail: reason });
            }
            Err(other) => return Err(other),
        }
    }
    let problems = findings.iter().filter(|found| found.status == Status::Problem).count();
    let diagnosis = Diagnosis { healthy: problems == 0, findings };
    args.admin.show(&diagnosis, print_diagnosis)?;
    match problems {
        0 => Ok(()),
        1 => Err(Failure::failed("1 problem")),
        count => Err(Failure::failed(format!("{count} problems"))),
    }
}

/// Dials every address that was given. Returns those that answer.
async fn dial_given(
    args: &DoctorArgs,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Reached>, Failure> {
    let config = args.admin.connect.client_config();
    config.validate()?;
    let dialed = join_all(config.brokers.iter().map(|address| probe::dial(address, &config))).await;
    let mut reached: Vec<Reached> = Vec::new();
    for (address, result) in config.brokers.iter().zip(dialed) {
        let first = reached.first().and_then(|first| first.cluster_id.clone());
        let (status, detail) = match &result {
            Ok(it) if first.is_some() && it.cluster_id != first => {
                let other = it.cluster_id.as_deref().unwrap_or("unknown");
                (Status::Problem, format!("it belongs to another cluster, {other}"))
            }
            Ok(it) => (Status::Ok, it.detail()),
            Err(error) => (Status::Problem, error.to_string()),
        };
        findings.push(Finding { check: "given", subject: address.to_string(), status, detail });
        reached.extend(result.ok());
    }
    Ok(reached)
}

async fn examine(
    args: &DoctorArgs,
    admin: &Admin,
    cluster_id: Option<&str>,
    findings: &mut Vec<Finding>,
) {
    let described = match admin.describe_cluster().await {
        Ok(described) => described,
        Err(error) => return findings.push(failed("controller", &error)),
    };
    findings.push(match described.controller {
        Some(id) => cluster_finding("controller", Status::Ok, format!("broker {id}")),
        None => cluster_finding("controller", Status::Problem, "there is none".into()),
    });
    findings.extend(shared_addresses(&described));
    // Only Synod's brokers tell; the others are all there is.
    let registered = admin.registered_brokers().await.unwrap_or_default();
    let lost = registered.iter().filter(|broker| broker.lost);
    findings.extend(lost.map(|broker| Finding {
        check: "state",
        subject: format!("broker {}", broker.id),
        status: Status::Problem,
        detail: "the controller hears nothing from it".into(),
    }));
    let looks = described.brokers.iter().map(|broker| {
        let http_port = args.http_port.or_else(|| http_port(&registered, broker.id));
        let http_port = http_port.unwrap_or(USUAL_HTTP_PORT);
        probe::examine(admin, broker, cluster_id, http_port)
    });
    let mut examined = join_all(looks).await;
    for one in &mut examined {
        findings.append(&mut one.findings);
    }
    findings.push(versions(&described, &examined));
    match admin.topics().await {
        Err(error) => findings.push(failed("partitions", &error)),
        Ok(topics) => {
            let count: usize = topics.iter().map(|topic| topic.partitions.len()).sum();
            let problems = partition_problems(&described, &topics);
            if problems.is_empty() {
                let detail = format!("{count} whole");
                findings.push(cluster_finding("partitions", Status::Ok, detail));
            }
            let problem = |detail| cluster_finding("partitions", Status::Problem, detail);
            findings.extend(problems.into_iter().map(problem));
        }
    }
}

/// The port on which a broker has told the cluster that it serves HTTP.
fn http_port(registered: &[RegisteredBroker], id: i32) -> Option<u16> {
    let http = registered.iter().find(|broker| broker.id == id)?.http.as_deref()?;
    http.rsplit_once(':')?.1.parse().ok()
}

fn cluster_finding(check: &'static str, status: Status, detail: String) -> Finding {
    Finding { check, subject: "cluster".into(), status, detail }
}

fn failed(check: &'static str, error: &Error) -> Finding {
    cluster_finding(check, Status::Problem, error.to_string())
}

/// Brokers that advertise one address: a client of the one would reach the other.
fn shared_addresses(cluster: &ClusterDescription) -> Vec<Finding> {
    let mut by_address: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for broker in &cluster.brokers {
        by_address.entry(broker.address()).or_default().push(broker.id.to_string());
    }
    let shared = by_address.into_iter().filter(|(_, ids)| ids.len() > 1);
    let finding = |(address, ids): (String, Vec<String>)| {
        let detail = format!("brokers {} all advertise {address}", ids.join(", "));
        cluster_finding("address", Status::Problem, detail)
    };
    shared.map(finding).collect()
}

/// Whether all brokers run the same software.
fn versions(cluster: &ClusterDescription, examined: &[Examined]) -> Finding {
    let told: Vec<_> = cluster
        .brokers
        .iter()
        .zip(examined)
        .filter_map(|(broker, one)| Some((broker.id, one.version.as_deref()?)))
        .collect();
    let versions: BTreeSet<_> = told.iter().map(|(_, version)| *version).collect();
    let mut apis = examined.iter().filter_map(|one| one.apis.as_ref());
    let first = apis.next();
    let differ = apis.any(|apis| Some(apis) != first);
    let (status, detail) = match versions.len() {
        _ if first.is_none() => (Status::Unknown, "no broker tells what it speaks".into()),
        2.. => {
            let each = told.iter().map(|(id, version)| format!("broker {id}: {version}"));
            (Status::Warning, each.collect::<Vec<_>>().join(", "))
        }
        _ if differ => (Status::Warning, "brokers differ in the requests they take".into()),
        1 => (Status::Ok, versions.into_iter().collect()),
        _ => (Status::Ok, "all take the same requests".into()),
    };
    cluster_finding("version", status, detail)
}

fn print_diagnosis(diagnosis: &Diagnosis) -> Result<(), Failure> {
    let row = |found: &Finding| {
        let status = match found.status {
            Status::Ok => "ok",
            Status::Warning => "warning",
            Status::Problem => "PROBLEM",
            Status::Unknown => "unknown",
        };
        [status.into(), found.check.into(), found.subject.clone(), found.detail.clone()]
    };
    let rows: Vec<_> = diagnosis.findings.iter().map(row).collect();
    print_table(["STATUS", "CHECK", "OF", "DETAIL"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Broker;
    use crate::connection::Versions;

    fn cluster(ports: &[i32]) -> ClusterDescription {
        let broker = |(id, &port): (usize, &i32)| Broker {
            id: id as i32,
            host: "h".into(),
            port,
            rack: None,
        };
        ClusterDescription {
            cluster_id: "c".into(),
            controller: None,
            brokers: ports.iter().enumerate().map(broker).collect(),
        }
    }

    #[test]
    fn two_brokers_at_one_address_are_named() {
        assert!(shared_addresses(&cluster(&[1, 2, 3])).is_empty());
        let findings = shared_addresses(&cluster(&[1, 2, 1]));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].detail, "brokers 0, 2 all advertise h:1");
    }

    #[test]
    fn versions_that_differ_are_told_by_broker() {
        let examined = |version: Option<&str>, api| Examined {
            findings: Vec::new(),
            apis: Some(Versions::of([(0, 0..=api)])),
            version: version.map(str::to_owned),
        };
        let status = |all: &[Examined]| versions(&cluster(&[1, 2]), all).status;
        assert_eq!(status(&[examined(Some("1"), 3), examined(Some("1"), 3)]), Status::Ok);
        assert_eq!(status(&[examined(Some("1"), 3), examined(Some("2"), 3)]), Status::Warning);
        assert_eq!(status(&[examined(None, 3), examined(None, 4)]), Status::Warning);
        assert_eq!(status(&[examined(None, 3), examined(None, 3)]), Status::Ok);
        assert_eq!(status(&[Examined::default(), Examined::default()]), Status::Unknown);
    }
}
