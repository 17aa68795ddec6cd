//! `synod serve`, and the flags that it shares with `synod config check`.

use super::output;
use crate::config::{Layers, Loaded, Problem};
use crate::logging;
use crate::server::{self, ServeError};
use clap::Args;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  synod serve
  synod serve --data-dir /var/lib/synod --listen '[::]:9092' --advertise mq1.lan:9092
  synod serve --config /etc/synod.toml --set limits.connections=500
  SYNOD_LOGGING_FORMAT=json synod serve

When clients can connect, one line on stdout says where:
  synod ready node=1 kafka=127.0.0.1:9092 peer=127.0.0.1:9192 http=127.0.0.1:9644";

/// Arguments of `serve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    flags: Box<ConfigArgs>,
}

/// Flags that set the configuration. Values are judged by the configuration, not by clap, so that
/// they fail with the same words as in a file.
#[derive(Debug, Default, Args)]
pub(super) struct ConfigArgs {
    /// Configuration file (TOML); also SYNOD_CONFIG
    #[arg(long, short, value_name = "FILE")]
    config: Option<String>,
    /// This broker's id, from 1
    #[arg(long, value_name = "N")]
    node_id: Option<String>,
    /// Directory of the logs and the journal; created when absent
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Where Kafka clients connect; port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// The address clients are told; unset: the one they connected to
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Where other brokers connect
    #[arg(long, value_name = "HOST:PORT")]
    peer_listen: Option<String>,
    /// Where /metrics, /healthz and /readyz are served
    #[arg(long, value_name = "HOST:PORT")]
    http_listen: Option<String>,
    /// The cluster's voters, the same list on every broker
    #[arg(long, value_name = "ID@HOST:PORT,...")]
    cluster: Option<String>,
    /// Failure domain of this broker
    #[arg(long, value_name = "NAME")]
    rack: Option<String>,
    /// Event loops that own partitions; unset: one per core
    #[arg(long, value_name = "N")]
    shards: Option<String>,
    /// Whether asking for a topic may create it
    #[arg(long, value_name = "true|false")]
    auto_create_topics: Option<String>,
    /// error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// text or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Any setting by its key in the file; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_set)]
    set: Vec<(String, String)>,
}

fn parse_set(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_owned(), value.to_owned())),
        None => Err("write it as KEY=VALUE, such as limits.connections=500".into()),
    }
}

impl ServeArgs {
    pub(super) fn run(self) -> ExitCode {
        let loaded = match self.flags.load() {
            Ok(loaded) => loaded,
            Err(problems) => return output::refuse_all(&problems),
        };
        let filter = std::env::var("SYNOD_LOG").ok();
        if let Err(error) = logging::start(&loaded.config.logging, filter.as_deref()) {
            return output::refuse_all(&[error]);
        }
        match server::run(loaded.config) {
            Ok(()) => ExitCode::SUCCESS,
            // What the operator wrote is wrong: a supervisor need not try again.
            Err(error @ ServeError::TopicDefaults(_)) => output::refuse_all(&[error]),
            Err(error) => output::fail(format_args!("{error}")),
        }
    }
}

impl ConfigArgs {
    /// Merges flags, environment, file and defaults.
    pub(super) fn load(self) -> Result<Loaded, Vec<Problem>> {
        let mut env = Vec::new();
        let mut problems = Vec::new();
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|name| name.starts_with("SYNOD_")) else {
                continue;
            };
            match value.into_string() {
                Ok(value) => env.push((name.to_owned(), value)),
                Err(_) => problems.push(Problem::Unreadable {
                    what: format!("the environment variable {name}"),
                    reason: "it is not UTF-8".into(),
                }),
            }
        }
        let from_env = env.iter().find(|(name, _)| name == "SYNOD_CONFIG").map(|(_, v)| v.clone());
        let file = match self.config.clone().or(from_env) {
            None => None,
            Some(path) => match std::fs::read_to_string(&path) {
                Ok(text) => Some((path, text)),
                Err(error) => {
                    let what = format!("the configuration file {path:?}");
                    problems.push(Problem::Unreadable { what, reason: error.to_string() });
                    None
                }
            },
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        Layers { file, env, flags: self.settings() }.load().map_err(|error| error.problems)
    }

    /// What the flags set: flag, key, value. `--set` comes first so that a plain flag wins.
    fn settings(self) -> Vec<(String, String, String)> {
        let set = self.set.into_iter().map(|(key, value)| ("--set".to_owned(), key, value));
        let plain = [
            ("--node-id", "node_id", self.node_id),
            ("--data-dir", "data_dir", self.data_dir),
            ("--listen", "listen", self.listen),
            ("--advertise", "advertise", self.advertise),
            ("--peer-listen", "peer_listen", self.peer_listen),
            ("--http-listen", "http_listen", self.http_listen),
            ("--cluster", "cluster", self.cluster),
            ("--rack", "rack", self.rack),
            ("--shards", "shards", self.shards),
            ("--auto-create-topics", "auto_create_topics", self.auto_create_topics),
            ("--log-level", "logging.level", self.log_level),
            ("--log-format", "logging.format", self.log_format),
        ];
        let plain = plain
            .into_iter()
            .filter_map(|(flag, key, value)| Some((flag.to_owned(), key.to_owned(), value?)));
        set.chain(plain).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_reaches_its_setting() {
        let args = ConfigArgs {
            node_id: Some("2".into()),
            data_dir: Some("d".into()),
            listen: Some("a:1".into()),
            advertise: Some("b:2".into()),
            peer_listen: Some("c:3".into()),
            http_listen: Some("d:4".into()),
            cluster: Some("2@a:1".into()),
            rack: Some("r".into()),
            shards: Some("3".into()),
            auto_create_topics: Some("false".into()),
            log_level: Some("warn".into()),
            log_format: Some("json".into()),
            set: vec![("shards".into(), "9".into()), ("limits.connections".into(), "7".into())],
            config: None,
        };
        let layers = Layers { flags: args.settings(), ..Layers::default() };
        let config = layers.load().expect("good values").config;
        assert_eq!((config.node_id, config.shards, config.limits.connections), (2, 3, 7));
        assert_eq!(config.data_dir.to_str(), Some("d"));
        let addresses =
            [&config.listen, &config.peer_listen, &config.http_listen].map(|a| a.to_string());
        assert_eq!(addresses, ["a:1", "c:3", "d:4"]);
        assert_eq!(config.advertise.map(|a| a.to_string()).as_deref(), Some("b:2"));
        assert_eq!(config.cluster.map(|c| c.to_string()).as_deref(), Some("2@a:1"));
        assert_eq!((config.rack.as_deref(), config.auto_create_topics), (Some("r"), false));
        assert_eq!(config.logging.level.to_string(), "warn");
        assert_eq!(config.logging.format.to_string(), "json");
    }
}
