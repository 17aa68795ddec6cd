//! One broker under the doctor's eyes.

use std::net::IpAddr;
use std::time::Duration;

use synod_wire::ErrorCode;
use synod_wire::messages::describe_cluster::DescribeClusterRequest;
use synod_wire::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use tokio::time::Instant;

use super::http;
use super::{Finding, Status};
use crate::admin::{Admin, LogDir};
use crate::cli::cluster::bytes;
use crate::cluster::Broker;
use crate::connection::Versions;
use crate::{ClientConfig, Connection, Error};

/// Clocks that differ by more are told of, and by more than the second are a problem: times of
/// records, retention and lag in seconds are wrong by as much.
const SKEW_WARNING_MS: i64 = 2_000;
const SKEW_PROBLEM_MS: i64 = 10_000;

/// Disks with less free are told of, and with less than the second are a problem; in percent.
const FREE_WARNING: u64 = 15;
const FREE_PROBLEM: u64 = 5;

/// DescribeConfigs' number for brokers.
const BROKER_RESOURCE: i8 = 4;

/// What was found about a broker.
#[derive(Debug, Default)]
pub(super) struct Examined {
    pub(super) findings: Vec<Finding>,
    /// The requests that it takes, if it answers.
    pub(super) apis: Option<Versions>,
    /// The version of its software, if it says.
    pub(super) version: Option<String>,
}

/// A broker that answers.
pub(super) struct Reached {
    connection: Connection,
    /// The cluster that it belongs to, if it says.
    pub(super) cluster_id: Option<String>,
    /// How long the greeting took.
    took: Duration,
}

impl Reached {
    pub(super) fn detail(&self) -> String {
        format!("{} answers in {:.1} ms", self.connection.address(), self.took.as_secs_f64() * 1e3)
    }
}

/// Dials an address.
pub(super) async fn dial(address: &str, config: &ClientConfig) -> Result<Reached, Error> {
    let started = Instant::now();
    let connection = Connection::open(address, config).await?;
    let took = started.elapsed();
    let described = connection.send(&DescribeClusterRequest::default()).await;
    let described = described.ok().filter(|answer| answer.error_code == ErrorCode::NONE);
    let cluster_id = described.map(|answer| answer.cluster_id.to_string());
    Ok(Reached { connection, cluster_id, took })
}

/// Looks at a broker where the cluster says that it is.
pub(super) async fn examine(
    admin: &Admin,
    broker: &Broker,
    cluster_id: Option<&str>,
    http_port: u16,
) -> Examined {
    let config = admin.cluster().config();
    let mut examined = Examined::default();
    let subject = format!("broker {}", broker.id);
    let mut note = |check, status, detail| {
        examined.findings.push(Finding { check, subject: subject.clone(), status, detail });
    };
    let address = broker.address();
    let reached = match dial(&address, config).await {
        Ok(reached) => reached,
        Err(error) => {
            let hint = hint(broker, &config.brokers);
            note("address", Status::Problem, format!("advertises {address}: {error}{hint}"));
            return examined;
        }
    };
    match identify(&reached, broker.id, cluster_id).await {
        Ok(()) => note("address", Status::Ok, reached.detail()),
        Err(reason) => note("address", Status::Problem, format!("advertises {address}: {reason}")),
    }
    match admin.log_dirs(broker.id).await {
        Ok(dirs) => dirs.iter().for_each(|dir| {
            let (status, detail) = disk(dir);
            note("disk", status, detail);
        }),
        Err(error) => note("disk", Status::Unknown, error.to_string()),
    }
    let http_address = Broker { port: http_port.into(), ..broker.clone() }.address();
    match http::get(&http_address, "/readyz", config.connect_timeout).await {
        Ok(page) => {
            match page.status {
                200 => note("state", Status::Ok, "ready".into()),
                _ => note("state", Status::Problem, page.body.trim().to_owned()),
            }
            let (status, detail) = clock(page.skew_ms);
            note("clock", status, detail);
        }
        Err(error) => {
            let detail = format!("nobody at {http_address} (--http-port): {error}");
            note("clock", Status::Unknown, detail);
        }
    }
    if let Ok(page) = http::get(&http_address, "/", config.connect_timeout).await {
        examined.version = version(&page.body).map(str::to_owned);
    }
    examined.apis = Some(reached.connection.versions().clone());
    examined
}

/// Whether who answers is the broker that should.
async fn identify(reached: &Reached, id: i32, cluster_id: Option<&str>) -> Result<(), String> {
    if let (Some(other), Some(ours)) = (reached.cluster_id.as_deref(), cluster_id)
        && other != ours
    {
        return Err(format!("there answers a broker of another cluster, {other}"));
    }
    // Only the broker itself answers this; another one tells its own id.
    let resource = DescribeConfigsResource {
        resource_type: BROKER_RESOURCE,
        resource_name: id.to_string().into(),
        configuration_keys: Some(vec!["broker.id".into()]),
        ..DescribeConfigsResource::default()
    };
    let request =
        DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
    let answer = reached.connection.send(&request).await.map_err(|error| error.to_string())?;
    match answer.results.first() {
        Some(result) if result.error_code == ErrorCode::INVALID_REQUEST => {
            let said = result.error_message.as_deref().unwrap_or_default();
            Err(format!("there answers another broker: {said}"))
        }
        // A refusal of another kind says nothing about who it is.
        _ => Ok(()),
    }
}

/// What may be behind an address that cannot be reached.
fn hint(broker: &Broker, asked: &[Box<str>]) -> &'static str {
    let host = &*broker.host;
    let ip = host.parse::<IpAddr>().ok();
    let is_loopback =
        |host: &str| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let asked_afar = asked.iter().any(|address| {
        let host = address.rsplit_once(':').map_or(&**address, |(host, _)| host);
        !is_loopback(host.trim_matches(['[', ']']))
    });
    if ip.is_some_and(|ip| ip.is_unspecified()) {
        "; nobody can connect to this address: set --advertise on the broker"
    } else if is_loopback(host) && asked_afar {
        "; that leads each client to its own machine: set --advertise on the broker"
    } else if ip.is_none() {
        "; clients must be able to resolve this name: see --advertise on the broker"
    } else {
        ""
    }
}

fn disk(dir: &LogDir) -> (Status, String) {
    let (Some(free), Some(total)) = (dir.usable_size, dir.total_size.filter(|&total| total > 0))
    else {
        return (Status::Unknown, format!("{}: it does not tell the free space", dir.path));
    };
    let percent = u128::from(free) * 100 / u128::from(total);
    let status = match percent {
        _ if percent < u128::from(FREE_PROBLEM) => Status::Problem,
        _ if percent < u128::from(FREE_WARNING) => Status::Warning,
        _ => Status::Ok,
    };
    let (free, total) = (bytes(Some(free)), bytes(Some(total)));
    (status, format!("{}: {free} free of {total} ({percent} %)", dir.path))
}

fn clock(skew_ms: Option<(i64, i64)>) -> (Status, String) {
    let Some((least, most)) = skew_ms else {
        return (Status::Unknown, "it does not tell the time".into());
    };
    // What is sure: nothing, when zero is within.
    let sure = if least > 0 { least } else { most.min(0) };
    let seconds = sure as f64 / 1000.0;
    match sure.abs() {
        off if off > SKEW_PROBLEM_MS => (Status::Problem, format!("{seconds:+.1} s from here")),
        off if off > SKEW_WARNING_MS => (Status::Warning, format!("{seconds:+.1} s from here")),
        _ => (Status::Ok, "as here, to a second or two".into()),
    }
}

/// The version on a broker's index page.
fn version(page: &str) -> Option<&str> {
    Some(page.split_once("<h1>Synod ")?.1.split_once("</h1>")?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_space_is_told_and_less_is_a_problem() {
        let dir = |free, total| LogDir {
            path: "/d".into(),
            total_size: total,
            usable_size: free,
            replicas: Vec::new(),
        };
        let status = |free, total| disk(&dir(free, total)).0;
        assert_eq!(status(Some(15), Some(100)), Status::Ok);
        assert_eq!(status(Some(14), Some(100)), Status::Warning);
        assert_eq!(status(Some(4), Some(100)), Status::Problem);
        assert_eq!(status(Some(u64::MAX), Some(u64::MAX)), Status::Ok);
        assert_eq!(status(None, Some(100)), Status::Unknown);
        assert_eq!(status(Some(0), Some(0)), Status::Unknown);
    }

    #[test]
    fn a_clock_is_blamed_only_for_what_is_sure() {
        assert_eq!(clock(None).0, Status::Unknown);
        assert_eq!(clock(Some((-900, 100))).0, Status::Ok);
        assert_eq!(clock(Some((-9_000, 20_000))).0, Status::Ok, "a slow answer proves nothing");
        assert_eq!(clock(Some((3_000, 4_000))).0, Status::Warning);
        assert_eq!(clock(Some((-4_000, -3_000))).1, "-3.0 s from here");
        assert_eq!(clock(Some((i64::MIN, i64::MIN + 1))).0, Status::Problem);
    }

    #[test]
    fn hints_fit_the_address() {
        let broker = |host: &str| Broker { id: 1, host: host.into(), port: 1, rack: None };
        let afar = ["kafka.lan:9092".into()];
        assert!(hint(&broker("0.0.0.0"), &afar).contains("nobody can connect"));
        assert!(hint(&broker("127.0.0.1"), &afar).contains("its own machine"));
        assert!(hint(&broker("localhost"), &afar).contains("its own machine"));
        assert_eq!(hint(&broker("127.0.0.1"), &["[::1]:9092".into()]), "");
        assert!(hint(&broker("mq1"), &afar).contains("resolve"));
        assert_eq!(hint(&broker("10.0.0.1"), &afar), "");
    }

    #[test]
    fn the_index_page_has_the_version() {
        assert_eq!(version("<title>Synod</title>\n<h1>Synod 1.2.3</h1>"), Some("1.2.3"));
        assert_eq!(version("<h1>Apache</h1>"), None);
    }
}
