//! DescribeConfigs of topics, brokers and the broker's log levels.

use synod_wire::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult,
};
use synod_wire::{ErrorCode, RequestHeader, Str};

use super::config_entries::{BROKER, BROKER_LOGGER, Entry, LOGGER_SOURCE, TOPIC, type_code};
use super::error_codes::of_admin_error;
use crate::config::Config;
use crate::context::Context;
use crate::metadata::broker_config_table::BrokerKey;
use crate::metadata::config_key::ConfigType;
use crate::metadata::config_view::ConfigSource;
use crate::metadata::topic_config_table::TOPIC_KEYS;
use crate::metadata::{AdminError, AdminErrorKind, ConfigView, validate_topic_name};

pub(crate) async fn handle(
    context: &Context,
    _header: &RequestHeader,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let image = context.image();
    let view = context.config_view(&image);
    DescribeConfigsResponse {
        results: describe(&view, context.config(), request),
        ..DescribeConfigsResponse::default()
    }
}

fn describe(
    view: &ConfigView<'_>,
    config: &Config,
    request: DescribeConfigsRequest,
) -> Vec<DescribeConfigsResult> {
    let (synonyms, doc) = (request.include_synonyms, request.include_documentation);
    let results = request.resources.into_iter().map(|resource| {
        let described = match resource.resource_type {
            TOPIC => topic(view, &resource, synonyms, doc),
            BROKER => broker(view, config, &resource, synonyms, doc),
            BROKER_LOGGER => logger(view, config, &resource),
            other => Err(invalid(format!("Unknown resource type {other}"))),
        };
        result(resource, described)
    });
    results.collect()
}

fn result(
    resource: DescribeConfigsResource,
    described: Result<Vec<DescribeConfigsResourceResult>, AdminError>,
) -> DescribeConfigsResult {
    let (error_code, message, configs) = match described {
        Ok(configs) => (ErrorCode::NONE, Str::EMPTY, configs),
        Err(error) => (of_admin_error(&error), error.message.into(), Vec::new()),
    };
    DescribeConfigsResult {
        error_code,
        error_message: Some(message),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        configs,
    }
}

fn invalid(message: impl std::fmt::Display) -> AdminError {
    AdminError::new(AdminErrorKind::InvalidRequest, message)
}

/// Whether a client that names settings wants this one; one that names none wants all.
fn is_wanted(resource: &DescribeConfigsResource, name: &str) -> bool {
    let keys = resource.configuration_keys.as_deref().unwrap_or_default();
    keys.is_empty() || keys.iter().any(|key| key.as_str() == name)
}

fn topic(
    view: &ConfigView<'_>,
    resource: &DescribeConfigsResource,
    synonyms: bool,
    doc: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, AdminError> {
    let name = resource.resource_name.as_str();
    validate_topic_name(name)?;
    let unknown = || AdminError::new(AdminErrorKind::UnknownTopic, "");
    let topic = view.image.topic(name).ok_or_else(unknown)?;
    let wanted = TOPIC_KEYS.iter().filter(|key| is_wanted(resource, key.name));
    let entries = wanted.map(|key| Entry {
        name: key.name,
        kind: key.kind,
        doc: key.doc,
        read_only: false,
        effective: view.topic_setting(key, topic),
    });
    Ok(entries.map(|entry| entry.result(synonyms, doc)).collect())
}

fn broker(
    view: &ConfigView<'_>,
    config: &Config,
    resource: &DescribeConfigsResource,
    synonyms: bool,
    doc: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, AdminError> {
    let all_brokers = resource.resource_name.is_empty();
    if !all_brokers {
        check_own(view, &resource.resource_name, " or empty string")?;
    }
    let mut entries = Vec::new();
    for key in BrokerKey::all() {
        if !is_wanted(resource, key.name()) {
            continue;
        }
        let mut effective = key.effective(view, config);
        if all_brokers {
            // What is set for all brokers, and nothing of this one's own.
            effective.synonyms.retain(|place| place.source == ConfigSource::AllBrokers);
            let Some(place) = effective.synonyms.first() else { continue };
            (effective.value, effective.source) = (Some(place.value.clone()), place.source);
        }
        let read_only = key.dynamic().is_none();
        let (name, kind, doc_text) = (key.name(), key.kind(), key.doc());
        let entry = Entry { name, kind, doc: doc_text, read_only, effective };
        entries.push(entry.result(synonyms, doc));
    }
    Ok(entries)
}

/// Checks that a broker is asked about itself: nobody else knows its configuration.
fn check_own(view: &ConfigView<'_>, name: &str, or: &str) -> Result<(), AdminError> {
    let own = view.broker;
    match name.parse::<i32>() {
        Ok(id) if id == own.as_wire() => Ok(()),
        Ok(id) => {
            Err(invalid(format!("Unexpected broker id, expected {own}{or}, but received {id}")))
        }
        Err(_) => {
            let shown: String = name.chars().take(128).collect();
            Err(invalid(format!("Broker id must be an integer, but it is: {shown}")))
        }
    }
}

/// The one log level there is, as that of the root logger.
fn logger(
    view: &ConfigView<'_>,
    config: &Config,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, AdminError> {
    const ROOT: &str = "root";
    check_own(view, &resource.resource_name, "")?;
    let root = DescribeConfigsResourceResult {
        name: Str::from_static(ROOT),
        value: Some(config.logging.level.to_string().to_uppercase().into()),
        read_only: true,
        config_source: LOGGER_SOURCE,
        config_type: type_code(ConfigType::String),
        ..DescribeConfigsResourceResult::default()
    };
    Ok(if is_wanted(resource, ROOT) { vec![root] } else { Vec::new() })
}
