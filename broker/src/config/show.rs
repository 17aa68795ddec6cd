//! Shows configurations: the commented defaults, and the effective one with its sources.

use super::settings::{SETTINGS, TOPIC_DEFAULTS};
use super::{Config, Loaded, Source};
use std::fmt::Write;

/// A configuration file with every setting at its default, each explained by a comment.
///
/// Loading the text gives the defaults of a broker on its own.
pub fn show_default() -> String {
    let config = Config::default();
    let mut text = String::from(
        "# Synod's configuration, every setting at its default.\n\
         # Flags win over SYNOD_... environment variables, which win over this file.\n",
    );
    let mut section = "";
    for setting in SETTINGS {
        let (this_section, name) = split(setting.key);
        if this_section != section {
            section = this_section;
            let _ = write!(text, "\n[{section}]\n");
        }
        let _ = write!(text, "\n# {}\n# Takes {}.", setting.doc, (setting.expected)());
        let _ = writeln!(text, " Variable: {}", setting.env_name());
        let _ = match (setting.show)(&config) {
            // What depends on the machine or on other settings is shown, not pinned.
            Some(value) if is_derived(setting.key) => writeln!(text, "# {name} = {value}"),
            Some(value) => writeln!(text, "{name} = {value}"),
            None => writeln!(text, "# {name} = \"\""),
        };
    }
    text.push_str(
        "\n[topic_defaults]\n\n\
         # Kafka's topic settings for topics that do not set their own, for example:\n\
         # retention.ms = 604800000\n# segment.bytes = 1073741824\n",
    );
    text
}

/// The effective configuration as TOML, each value with its source in a comment.
pub fn show_effective(loaded: &Loaded) -> String {
    let mut text = String::new();
    let mut section = "";
    for setting in SETTINGS {
        let (this_section, name) = split(setting.key);
        if this_section != section {
            section = this_section;
            let _ = write!(text, "\n[{section}]\n");
        }
        let source = loaded.sources.get(setting.key).unwrap_or(&Source::Default);
        let _ = match (setting.show)(&loaded.config) {
            Some(value) => writeln!(text, "{name} = {value} # {source}"),
            None => writeln!(text, "# {name} is unset # {source}"),
        };
    }
    if !loaded.config.topic_defaults.is_empty() {
        text.push_str("\n[topic_defaults]\n");
    }
    for (name, value) in &loaded.config.topic_defaults {
        let key = format!("{TOPIC_DEFAULTS}{name}");
        let source = loaded.sources.get(&key).unwrap_or(&Source::Default);
        let _ = writeln!(text, "{name} = {} # {source}", toml::Value::from(value.as_str()));
    }
    text
}

/// The effective configuration as one JSON object: key → `{"value": …, "source": …}`.
pub fn show_json(loaded: &Loaded) -> serde_json::Value {
    let source_of = |key: &str| loaded.sources.get(key).unwrap_or(&Source::Default).to_string();
    let mut object = serde_json::Map::new();
    for setting in SETTINGS {
        let value = match (setting.show)(&loaded.config) {
            Some(toml::Value::Integer(number)) => number.into(),
            Some(toml::Value::Boolean(value)) => value.into(),
            Some(toml::Value::String(text)) => text.into(),
            _ => serde_json::Value::Null,
        };
        let entry = serde_json::json!({ "value": value, "source": source_of(setting.key) });
        object.insert(setting.key.to_owned(), entry);
    }
    for (name, value) in &loaded.config.topic_defaults {
        let key = format!("{TOPIC_DEFAULTS}{name}");
        let entry = serde_json::json!({ "value": value, "source": source_of(&key) });
        object.insert(key, entry);
    }
    object.into()
}

fn split(key: &'static str) -> (&'static str, &'static str) {
    key.split_once('.').unwrap_or(("", key))
}

fn is_derived(key: &str) -> bool {
    matches!(key, "shards" | "auto_create_topics" | "default_replication_factor")
}
