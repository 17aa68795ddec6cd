//! Merges the layers: defaults, file, environment, flags; each later one wins.

use super::error::nearest;
use super::settings::{self, SETTINGS, TOPIC_DEFAULTS};
use super::{Config, ConfigError, Problem};
use crate::metadata::topic_config_table::{TOPIC_KEYS, topic_key};
use std::collections::BTreeMap;
use std::fmt;
use synod_client::cli::text_of_toml;
use toml::de::{DeTable, DeValue};

/// Where a setting's value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Nowhere: the built-in value.
    Default,
    /// A configuration file.
    File {
        /// The file as the operator named it.
        path: String,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Env(String),
    /// A command-line flag, with its dashes.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File { path, line } => write!(f, "{path}:{line}"),
            Source::Env(name) => write!(f, "environment variable {name}"),
            Source::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// What was written in each layer, as text and not yet judged.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The configuration file: its path as the operator named it, and its text.
    pub file: Option<(String, String)>,
    /// The environment. Only variables that begin with `SYNOD_` are looked at.
    pub env: Vec<(String, String)>,
    /// Flags: the flag with its dashes, the setting's key, the value.
    pub flags: Vec<(String, String, String)>,
}

/// A configuration with the origin of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The merged and checked configuration.
    pub config: Config,
    /// Origin of each key that does not have its default.
    pub sources: BTreeMap<String, Source>,
}

/// Variables that are not settings: the file's name, and what the client commands read.
const OTHER_VARIABLES: [&str; 3] = ["SYNOD_CONFIG", "SYNOD_BROKERS", "SYNOD_LOG"];

/// Prefix of the broker's environment variables.
const PREFIX: &str = "SYNOD_";

/// Longest value that a problem quotes, in characters.
const QUOTED_LENGTH: usize = 80;

impl Layers {
    /// Merges and checks all layers.
    ///
    /// # Errors
    /// Every unknown key, bad value and broken relation between values, not only the first.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let mut merge = Merge::default();
        if let Some((path, text)) = &self.file {
            merge.file(path, text);
        }
        merge.env(&self.env);
        for (flag, key, value) in &self.flags {
            merge.set(key, value, Source::Flag(flag.clone()));
        }
        merge.finish()
    }
}

#[derive(Default)]
struct Merge {
    config: Config,
    sources: BTreeMap<String, Source>,
    problems: Vec<Problem>,
}

impl Merge {
    fn set(&mut self, key: &str, value: &str, at: Source) {
        if let Some(row) = key.strip_prefix(TOPIC_DEFAULTS).and_then(topic_key) {
            match row.canonical(value) {
                Ok(value) => {
                    self.config.topic_defaults.insert(row.name.to_owned(), value);
                    self.sources.insert(key.to_owned(), at);
                }
                Err(error) => {
                    let reason = error.to_string().escape_debug().to_string();
                    self.problems.push(Problem::BadTopicDefault { at, reason });
                }
            }
            return;
        }
        let Some(setting) = settings::find(key) else {
            let known = known_keys();
            let nearest = nearest(key, known.iter().map(String::as_str)).map(str::to_owned);
            self.problems.push(Problem::UnknownKey { at, key: quoted(key), nearest });
            return;
        };
        match (setting.set)(&mut self.config, value) {
            Ok(()) => {
                self.sources.insert(key.to_owned(), at);
            }
            Err(_) => self.bad_value(key, value, (setting.expected)(), at),
        }
    }

    fn bad_value(&mut self, key: &str, value: &str, expected: String, at: Source) {
        let (key, value) = (key.to_owned(), quoted(value));
        self.problems.push(Problem::BadValue { at, key, value, expected });
    }

    fn file(&mut self, path: &str, text: &str) {
        let at = |position: usize| Source::File {
            path: path.to_owned(),
            line: 1 + text.bytes().take(position).filter(|byte| *byte == b'\n').count(),
        };
        match DeTable::parse(text) {
            Ok(table) => self.table("", table.get_ref(), &at),
            Err(error) => {
                let position = error.span().map_or(0, |span| span.start);
                let reason = error.message().replace('\n', ", ");
                self.problems.push(Problem::Syntax { at: at(position), reason });
            }
        }
    }

    /// Sections and dotted keys come out the same: `a.b = 1` and `[a]` with `b = 1`. So Kafka's
    /// names need no quotes under `[topic_defaults]`.
    fn table(&mut self, prefix: &str, table: &DeTable<'_>, at: &dyn Fn(usize) -> Source) {
        // In the order of the file, so that problems are too.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (name, value) in entries {
            let key = format!("{prefix}{}", name.get_ref());
            let at_key = at(name.span().start);
            match value.get_ref() {
                DeValue::Table(inner) => {
                    let section = format!("{key}.");
                    if inner.is_empty() && !known_keys().iter().any(|k| k.starts_with(&section)) {
                        self.set(&key, "", at_key);
                    }
                    self.table(&section, inner, at);
                }
                value => match text_of_toml(value) {
                    Some(text) => self.set(&key, &text, at_key),
                    None => {
                        let expected = match settings::find(&key) {
                            Some(setting) => (setting.expected)(),
                            None => "a string, number or boolean".to_owned(),
                        };
                        self.bad_value(&key, "(a value of another type)", expected, at_key);
                    }
                },
            }
        }
    }

    fn env(&mut self, variables: &[(String, String)]) {
        let keys = known_keys();
        let by_name: BTreeMap<String, &String> =
            keys.iter().map(|key| (settings::env_name(key), key)).collect();
        let mut ours: Vec<_> = variables
            .iter()
            .filter(|(name, _)| name.starts_with(PREFIX) && !is_foreign(name))
            .collect();
        ours.sort();
        for (name, value) in ours {
            let at = Source::Env(name.clone());
            match by_name.get(name) {
                Some(key) => self.set(key, value, at),
                None => {
                    // Compared as keys, so that the prefix they share makes nothing look near.
                    let wrong = name.trim_start_matches(PREFIX);
                    let known: Vec<_> =
                        by_name.keys().map(|n| n[PREFIX.len()..].to_ascii_lowercase()).collect();
                    let nearest = nearest(wrong, known.iter().map(String::as_str));
                    let nearest = nearest.map(settings::env_name);
                    self.problems.push(Problem::UnknownKey { at, key: quoted(name), nearest });
                }
            }
        }
    }

    fn finish(mut self) -> Result<Loaded, ConfigError> {
        let sources = &self.sources;
        self.config.derive_defaults(|key| sources.contains_key(key));
        for (key, expected) in self.config.cross_check() {
            let at = self.sources.get(key).cloned().unwrap_or(Source::Default);
            let value = settings::find(key).and_then(|setting| (setting.show)(&self.config));
            let value = value.map_or(String::new(), |value| match value {
                toml::Value::String(text) => text,
                other => other.to_string(),
            });
            self.bad_value(key, &value, expected, at);
        }
        if self.problems.is_empty() {
            Ok(Loaded { config: self.config, sources: self.sources })
        } else {
            Err(ConfigError { problems: self.problems })
        }
    }
}

/// Every key that may be written.
fn known_keys() -> Vec<String> {
    let plain = SETTINGS.iter().map(|setting| setting.key.to_owned());
    plain.chain(TOPIC_KEYS.iter().map(|row| format!("{TOPIC_DEFAULTS}{}", row.name))).collect()
}

/// Variables with our prefix that others set: the client commands', and those that Kubernetes
/// gives to every container beside a service called `synod`.
fn is_foreign(name: &str) -> bool {
    OTHER_VARIABLES.contains(&name)
        || name == "SYNOD_PORT"
        || name.starts_with("SYNOD_PORT_")
        || name.starts_with("SYNOD_SERVICE_")
}

/// A value as a problem shows it: of bounded length; `{:?}` escapes it.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
