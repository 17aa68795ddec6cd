//! How a command finds its cluster.

use std::time::Duration;

use clap::Args;

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
