//! How a command finds its cluster.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::output::{Failure, print_json};
use crate::admin::Admin;
use crate::{ClientConfig, Cluster};

/// Options of every command that looks at the cluster or changes it.
#[derive(Debug, Clone, Args)]
pub struct AdminArgs {
    /// Print JSON
    #[arg(short = 'J', long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) connect: Connect,
}

impl AdminArgs {
    /// Finds the cluster.
    pub(super) async fn admin(&self) -> Result<Admin, Failure> {
        Ok(Admin::new(self.connect.cluster().await?))
    }

    /// Prints a result: as JSON if that is asked for, else as `plain` does.
    pub(super) fn show<T: Serialize>(
        &self,
        result: &T,
        plain: impl FnOnce(&T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.json { print_json(result) } else { plain(result) }
    }
}

/// Options for reaching the cluster; every command has them.
#[derive(Debug, Clone, Args)]
pub struct Connect {
    /// Brokers to ask first, as HOST:PORT, separated by commas
    #[arg(
        short = 'b',
        long = "brokers",
        visible_alias = "bootstrap-server",
        value_name = "HOST:PORT",
        env = "SYNOD_BROKERS",
        default_value = "127.0.0.1:9092",
        value_delimiter = ',',
        help_heading = "Connection"
    )]
    pub brokers: Vec<String>,

    /// Seconds to wait for an answer before giving up
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "10",
        value_parser = parse_timeout,
        help_heading = "Connection"
    )]
    pub timeout: Duration,
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.001..=86_400.0).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err("give a number of seconds from 0.001 to 86400".into()),
    }
}

impl Connect {
    /// Finds the cluster.
    pub(super) async fn cluster(&self) -> Result<Cluster, Failure> {
        Ok(Cluster::connect(self.client_config()).await?)
    }

    /// Settings of a client that reaches the cluster.
    pub fn client_config(&self) -> ClientConfig {
        let brokers = self.brokers.iter().map(|address| address.trim()).map(with_port);
        ClientConfig::new(brokers)
            .client_id("synod-cli")
            .connect_timeout(self.timeout)
            .request_timeout(self.timeout)
            .operation_timeout(self.timeout)
    }
}

/// A bare host gets the usual port.
fn with_port(address: &str) -> String {
    let bare_ipv6 = address.starts_with('[') && address.ends_with(']');
    if !address.is_empty() && (bare_ipv6 || !address.contains(':')) {
        format!("{address}:9092")
    } else {
        address.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_may_be_left_out() {
        assert_eq!(with_port("kafka"), "kafka:9092");
        assert_eq!(with_port("kafka:1"), "kafka:1");
        assert_eq!(with_port("[::1]"), "[::1]:9092");
        assert_eq!(with_port("[::1]:1"), "[::1]:1");
        assert_eq!(with_port(""), "");
    }
}
