//! The value a setting has, and where it comes from.
//!
//! A topic's own value comes first, then what the topic setting follows on broker level: set
//! dynamically for one broker, set dynamically for all brokers, set in the broker's configuration;
//! then the built-in default.

use std::collections::BTreeMap;

use super::{
    BrokerId, MetadataImage, TopicImage,
    config_key::{ConfigKey, Synonym},
    error::AdminError,
    image::ConfigMap,
    record::ConfigScope,
    topic_config_table::{TOPIC_KEYS, topic_key},
};
use crate::config::Config;

/// Where a value was set, widest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigSource {
    /// On the topic.
    Topic,
    /// Dynamically, for one broker.
    Broker,
    /// Dynamically, for all brokers.
    AllBrokers,
    /// In the broker's configuration.
    Static,
    /// Nowhere: the built-in value.
    Default,
}

/// A setting's value with all places that have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The value in force; `None` if the setting has none.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
    /// Every place that has a value, the one in force first.
    pub synonyms: Vec<ConfigSynonym>,
}

/// A value that some place gives a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The name under which the place knows it.
    pub name: &'static str,
    /// The value there, in that name's unit.
    pub value: String,
    /// The place.
    pub source: ConfigSource,
}

/// The broker-level defaults of topic settings that stand in the broker's configuration, by
/// broker-level name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaticConfigs(BTreeMap<&'static str, String>);

impl StaticConfigs {
    /// Takes the defaults of topic settings from the configuration.
    ///
    /// # Errors
    /// A value that the topic setting does not take; the message names the setting.
    pub fn new(config: &Config) -> Result<Self, AdminError> {
        let mut values = BTreeMap::new();
        for (name, value) in &config.topic_defaults {
            // The configuration takes known names only.
            if let Some(key) = topic_key(name)
                && let Some(nearest) = key.follows.first()
            {
                values.insert(nearest.name, key.canonical(value)?);
            }
        }
        Ok(Self(values))
    }
}

/// Everything that decides the value of a setting on one broker.
#[derive(Clone, Copy, Debug)]
pub struct ConfigView<'a> {
    /// What is set dynamically.
    pub image: &'a MetadataImage,
    /// What is set in the broker's configuration.
    pub statics: &'a StaticConfigs,
    /// The broker.
    pub broker: BrokerId,
}

impl ConfigView<'_> {
    /// The value of a topic setting on `topic`.
    #[must_use]
    pub fn topic_setting(&self, key: &ConfigKey, topic: &TopicImage) -> Effective {
        let own = topic.configs.get(key.name).map(|value| {
            let value = value.clone();
            (ConfigSynonym { name: key.name, value, source: ConfigSource::Topic }, 1)
        });
        Effective::of(key, own.into_iter().chain(self.followed(key, key.follows)))
    }

    /// The value of a topic setting on a topic that does not set it.
    #[must_use]
    pub fn topic_default(&self, key: &ConfigKey) -> Effective {
        Effective::of(key, self.followed(key, key.follows))
    }

    /// The value of the broker-level setting `synonym`, which topics follow for `key`.
    #[must_use]
    pub fn broker_setting(&self, key: &ConfigKey, synonym: &'static Synonym) -> Effective {
        let values = self.followed(key, std::slice::from_ref(synonym));
        let mut effective = Effective::of(key, values.map(|(value, _)| (value, 1)));
        if effective.synonyms.is_empty() {
            effective.value = None;
        }
        effective
    }

    /// The value of a broker-level setting that no topic follows and no configuration sets.
    #[must_use]
    pub fn dynamic_setting(&self, key: &ConfigKey) -> Effective {
        let name = key.name;
        let built_in = (ConfigSource::Default, key.default.to_owned());
        let values = self.dynamic(name).chain([built_in]);
        Effective::of(key, values.map(|(source, value)| (ConfigSynonym { name, value, source }, 1)))
    }

    fn dynamic(&self, name: &'static str) -> impl Iterator<Item = (ConfigSource, String)> {
        let scopes = [
            (ConfigSource::Broker, self.image.configs(ConfigScope::Broker(self.broker))),
            (ConfigSource::AllBrokers, self.image.configs(ConfigScope::AllBrokers)),
        ];
        let value = move |values: &ConfigMap| values.get(name).cloned();
        scopes.into_iter().filter_map(move |(source, values)| Some((source, value(values)?)))
    }

    /// The values of broker-level settings, each with the factor to the topic-level unit.
    fn followed(
        &self,
        key: &ConfigKey,
        synonyms: &'static [Synonym],
    ) -> impl Iterator<Item = (ConfigSynonym, i64)> {
        let last = key.follows.last().copied();
        let default = key.default;
        synonyms.iter().flat_map(move |synonym| {
            let name = synonym.name;
            let dynamic = self.dynamic(name);
            let fixed = self.statics.0.get(name).map(|v| (ConfigSource::Static, v.clone()));
            // Of several names for one thing only the last has a built-in value, which is told
            // when that name itself is asked about, and left out of a topic's list, as in Kafka.
            let is_told = synonyms.len() == 1 && last == Some(*synonym);
            let built_in =
                is_told.then(|| (ConfigSource::Default, divided(default, synonym.factor)));
            dynamic
                .chain(fixed)
                .chain(built_in)
                .map(move |(source, value)| (ConfigSynonym { name, value, source }, synonym.factor))
        })
    }
}

impl Effective {
    fn of(key: &ConfigKey, values: impl Iterator<Item = (ConfigSynonym, i64)>) -> Self {
        let mut first = None;
        let mut synonyms = Vec::new();
        for (synonym, factor) in values {
            first.get_or_insert_with(|| (multiplied(&synonym.value, factor), synonym.source));
            synonyms.push(synonym);
        }
        let (value, source) =
            first.unwrap_or_else(|| (key.default.to_owned(), ConfigSource::Default));
        Self { value: Some(value), source, synonyms }
    }
}

/// A number in a unit that is `factor` times smaller; negative numbers mean "none" in any unit.
fn multiplied(value: &str, factor: i64) -> String {
    match value.parse::<i64>() {
        Ok(number) if factor != 1 && number > 0 => number.saturating_mul(factor).to_string(),
        _ => value.to_owned(),
    }
}

fn divided(value: &str, factor: i64) -> String {
    match value.parse::<i64>() {
        Ok(number) if factor != 1 && number > 0 => (number / factor).to_string(),
        _ => value.to_owned(),
    }
}

/// The topic setting that follows the broker-level one of that name, with the link between them.
#[must_use]
pub fn followed_by(broker_name: &str) -> Option<(&'static ConfigKey, &'static Synonym)> {
    TOPIC_KEYS.iter().find_map(|key| {
        let synonym = key.follows.iter().find(|synonym| synonym.name == broker_name)?;
        Some((key, synonym))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metadata::{MetadataRecord, TopicConfig, TopicId};

    /// A cluster with topic "t" and the given settings.
    fn image(settings: &[(ConfigScope, &str, &str)]) -> MetadataImage {
        let mut image = MetadataImage::default();
        let fixed = [
            MetadataRecord::ClusterFormed { cluster_id: "c".into() },
            MetadataRecord::TopicCreated { topic: id(), name: "t".into() },
        ];
        let set = settings.iter().map(|(resource, name, value)| MetadataRecord::ConfigSet {
            resource: *resource,
            name: (*name).into(),
            value: (*value).into(),
        });
        for record in fixed.into_iter().chain(set) {
            image.apply(image.end(), &record).unwrap();
        }
        image
    }

    fn id() -> TopicId {
        TopicId::from_bytes([1; 16])
    }

    const ONE: ConfigScope = ConfigScope::Broker(BrokerId(1));
    const OTHER: ConfigScope = ConfigScope::Broker(BrokerId(2));
    const ALL: ConfigScope = ConfigScope::AllBrokers;

    fn statics(values: &[(&str, &str)]) -> Result<StaticConfigs, AdminError> {
        let topic_defaults =
            values.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        StaticConfigs::new(&Config { topic_defaults, ..Config::default() })
    }

    #[test]
    fn the_nearest_place_wins_and_all_are_told() {
        let topic = ConfigScope::Topic(id());
        let image = image(&[
            (topic, "retention.ms", "1"),
            (ONE, "log.retention.ms", "2"),
            (OTHER, "log.retention.ms", "99"),
            (ALL, "log.retention.ms", "3"),
        ]);
        let statics = statics(&[("retention.ms", "4")]).unwrap();
        let view = ConfigView { image: &image, statics: &statics, broker: BrokerId(1) };
        let key = topic_key("retention.ms").unwrap();
        let effective = view.topic_setting(key, image.topic("t").unwrap());
        assert_eq!(
            (effective.value.as_deref(), effective.source),
            (Some("1"), ConfigSource::Topic)
        );
        let told: Vec<_> =
            effective.synonyms.iter().map(|s| (s.name, s.value.as_str(), s.source)).collect();
        assert_eq!(
            told,
            [
                ("retention.ms", "1", ConfigSource::Topic),
                ("log.retention.ms", "2", ConfigSource::Broker),
                ("log.retention.ms", "3", ConfigSource::AllBrokers),
                ("log.retention.ms", "4", ConfigSource::Static),
            ]
        );
        let default = view.topic_default(key);
        assert_eq!((default.value.as_deref(), default.source), (Some("2"), ConfigSource::Broker));
    }

    #[test]
    fn units_are_converted_and_built_in_values_are_exact() {
        let (image, statics) = (image(&[(ONE, "log.retention.hours", "2")]), statics(&[]).unwrap());
        let view = ConfigView { image: &image, statics: &statics, broker: BrokerId(1) };
        let value = |name| view.topic_default(topic_key(name).unwrap()).value.unwrap();
        assert_eq!(value("retention.ms"), "7200000");
        for key in TOPIC_KEYS.iter().filter(|key| key.name != "retention.ms") {
            assert_eq!(value(key.name), key.default, "{}", key.name);
        }
        assert_eq!(multiplied("9223372036854775807", 3_600_000), i64::MAX.to_string());
        assert_eq!(multiplied("-1", 3_600_000), "-1");
    }

    #[test]
    fn defaults_in_the_configuration_are_checked() {
        let error = statics(&[("segment.bytes", "1")]).unwrap_err();
        assert!(error.message.contains("segment.bytes"), "{error}");
    }

    #[test]
    fn settings_come_in_the_brokers_types() {
        let topic = ConfigScope::Topic(id());
        let image = image(&[
            (topic, "cleanup.policy", "compact,delete"),
            (topic, "retention.ms", "-1"),
            (topic, "retention.bytes", "12"),
            (topic, "message.timestamp.type", "LogAppendTime"),
            (topic, "segment.ms", "60000"),
            (topic, "compression.type", "zstd"),
            // As a version with other rules might have stored it.
            (topic, "max.message.bytes", "plenty"),
        ]);
        let statics = statics(&[]).unwrap();
        let view = ConfigView { image: &image, statics: &statics, broker: BrokerId(1) };
        let config = TopicConfig::new(image.topic("t").unwrap(), &view);
        let expected = TopicConfig {
            delete: true,
            compact: true,
            compression: Some(synod_wire::batch::Compression::Zstd),
            retention: None,
            retention_size: Some(12),
            segment_size: 1 << 30,
            segment_age: Duration::from_secs(60),
            index_interval_size: 4096,
            max_batch_size: 1_048_588,
            min_in_sync_replicas: 1,
            timestamp_type: crate::metadata::TimestampType::LogAppendTime,
            timestamp_before_max: Duration::from_millis(i64::MAX as u64),
            timestamp_after_max: Duration::from_secs(3600),
        };
        assert_eq!(config, expected);
    }
}
