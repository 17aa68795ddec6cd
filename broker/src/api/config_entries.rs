//! Settings as tools see them: the numbers that the wire has for types, sources and resources.

use synod_wire::Str;
use synod_wire::messages::describe_configs::{
    DescribeConfigsResourceResult, DescribeConfigsSynonym,
};

use crate::metadata::config_key::ConfigType;
use crate::metadata::config_view::{ConfigSource, ConfigSynonym, Effective};

/// Resource types of the configuration requests.
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const BROKER_LOGGER: i8 = 8;

/// The source of a broker's log levels.
pub(super) const LOGGER_SOURCE: i8 = 6;

/// The wire's number of a type of settings.
pub(super) fn type_code(kind: ConfigType) -> i8 {
    match kind {
        ConfigType::Boolean => 1,
        ConfigType::String => 2,
        ConfigType::Int => 3,
        ConfigType::Short => 4,
        ConfigType::Long => 5,
        ConfigType::Double => 6,
        ConfigType::List => 7,
    }
}

/// The wire's number of a place where settings are set.
pub(super) fn source_code(source: ConfigSource) -> i8 {
    match source {
        ConfigSource::Topic => 1,
        ConfigSource::Broker => 2,
        ConfigSource::AllBrokers => 3,
        ConfigSource::Static => 4,
        ConfigSource::Default => 5,
    }
}

/// One described setting.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) kind: ConfigType,
    pub(super) doc: &'static str,
    pub(super) read_only: bool,
    pub(super) effective: Effective,
}

impl Entry {
    /// The setting with as much as the client wants to know.
    pub(super) fn result(self, synonyms: bool, doc: bool) -> DescribeConfigsResourceResult {
        let Effective { value, source, synonyms: places } = self.effective;
        let places = if synonyms { places } else { Vec::new() };
        DescribeConfigsResourceResult {
            name: Str::from_static(self.name),
            value: value.map(Str::from),
            read_only: self.read_only,
            config_source: source_code(source),
            is_sensitive: false,
            synonyms: places.into_iter().map(synonym).collect(),
            config_type: type_code(self.kind),
            documentation: doc.then(|| Str::from_static(self.doc)),
        }
    }
}

fn synonym(synonym: ConfigSynonym) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym {
        name: Str::from_static(synonym.name),
        value: Some(synonym.value.into()),
        source: source_code(synonym.source),
    }
}
