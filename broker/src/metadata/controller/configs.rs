//! Changing settings of topics and brokers.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ControllerContext,
    create_topics::{unknown_topic_config, validate_topic_name},
    draft::Draft,
};
use crate::metadata::{
    MetadataImage, MetadataRecord,
    broker_config_table::BrokerKey,
    config_key::{ConfigKey, ConfigType, list_items, nearest},
    config_view::ConfigView,
    error::{AdminError, AdminErrorKind as Kind},
    image::ConfigMap,
    record::ConfigScope,
    request::{
        AlterConfigs, ConfigChange, ConfigOperation, ConfigResource, Outcomes, ResourceChange,
    },
    topic_config_table::topic_key,
};

/// Makes the records that change settings.
#[must_use]
pub fn alter_configs(
    image: &MetadataImage,
    request: &AlterConfigs,
    context: &ControllerContext,
) -> (Vec<MetadataRecord>, Outcomes<()>) {
    let mut named: BTreeMap<&ConfigResource, usize> = BTreeMap::new();
    for change in &request.resources {
        *named.entry(&change.resource).or_default() += 1;
    }
    let mut draft = Draft::new(image);
    let outcomes = request
        .resources
        .iter()
        .map(|change| {
            if named[&change.resource] > 1 {
                return Err(invalid_request("Each resource must appear at most once."));
            }
            draft.add(resource_records(image, change, context)?)
        })
        .collect();
    (draft.finish(request.validate_only), outcomes)
}

fn invalid_request(message: impl std::fmt::Display) -> AdminError {
    AdminError::new(Kind::InvalidRequest, message)
}

/// The records that turn a resource's own settings into what the change asks for.
fn resource_records(
    image: &MetadataImage,
    change: &ResourceChange,
    context: &ControllerContext,
) -> Result<Vec<MetadataRecord>, AdminError> {
    let scope = scope_of(image, &change.resource)?;
    let mut names = BTreeSet::new();
    if !change.changes.iter().all(|change| names.insert(change.name.as_str())) {
        return Err(invalid_request("Error due to duplicate config keys"));
    }
    let before = image.configs(scope);
    let mut after = if change.replace { ConfigMap::new() } else { before.clone() };
    let view = context.configs(image);
    for change in &change.changes {
        apply(&mut after, scope, change, &view)?;
    }
    let removed = before.keys().filter(|name| !after.contains_key(*name));
    let removed =
        removed.map(|name| MetadataRecord::ConfigRemoved { resource: scope, name: name.clone() });
    let set = after.iter().filter(|(name, value)| before.get(*name) != Some(*value));
    let set = set.map(|(name, value)| MetadataRecord::ConfigSet {
        resource: scope,
        name: name.clone(),
        value: value.clone(),
    });
    Ok(removed.chain(set).collect())
}

fn scope_of(image: &MetadataImage, resource: &ConfigResource) -> Result<ConfigScope, AdminError> {
    match resource {
        ConfigResource::AllBrokers => Ok(ConfigScope::AllBrokers),
        ConfigResource::Broker(id) if image.broker(*id).is_some() => Ok(ConfigScope::Broker(*id)),
        ConfigResource::Broker(id) => {
            Err(invalid_request(format!("No broker {id} is registered.")))
        }
        ConfigResource::Topic(name) if name.is_empty() => {
            Err(invalid_request("Default topic resources are not allowed."))
        }
        ConfigResource::Topic(name) => {
            validate_topic_name(name)?;
            let unknown = || {
                AdminError::new(Kind::UnknownTopic, format!("The topic '{name}' does not exist."))
            };
            image.topic_id(name).map(ConfigScope::Topic).ok_or_else(unknown)
        }
    }
}

fn apply(
    configs: &mut ConfigMap,
    scope: ConfigScope,
    change: &ConfigChange,
    view: &ConfigView<'_>,
) -> Result<(), AdminError> {
    let name = change.name.as_str();
    if change.operation == ConfigOperation::Delete {
        // Taking away what is unknown or not set is no mistake: the result is what was asked for.
        if !matches!(scope, ConfigScope::Topic(_)) {
            refuse_fixed(name)?;
        }
        configs.remove(name);
        return Ok(());
    }
    let key = match scope {
        ConfigScope::Topic(_) => topic_key(name).ok_or_else(|| unknown_topic_config(name))?,
        ConfigScope::Broker(_) | ConfigScope::AllBrokers => {
            refuse_fixed(name)?;
            BrokerKey::find(name)
                .and_then(|key| key.dynamic())
                .ok_or_else(|| unknown_broker_config(name))?
        }
    };
    let value = match &change.operation {
        ConfigOperation::Set(value) => value.clone(),
        ConfigOperation::Append(items) => {
            let mut list = current_list(configs, scope, name, key, view, "APPEND")?;
            for item in list_items(items) {
                if !list.iter().any(|known| known == item) {
                    list.push(item.to_owned());
                }
            }
            list.join(",")
        }
        ConfigOperation::Subtract(items) => {
            let mut list = current_list(configs, scope, name, key, view, "SUBTRACT")?;
            list.retain(|known| list_items(items).all(|item| item != known));
            list.join(",")
        }
        ConfigOperation::Delete => return Ok(()),
    };
    configs.insert(name.to_owned(), key.canonical_as(name, &value)?);
    Ok(())
}

/// The items of a list setting: its own value, or what it follows.
fn current_list(
    configs: &ConfigMap,
    scope: ConfigScope,
    name: &str,
    key: &'static ConfigKey,
    view: &ConfigView<'_>,
    operation: &str,
) -> Result<Vec<String>, AdminError> {
    if key.kind != ConfigType::List {
        let message = format!("Can't {operation} to key {name} because its type is not LIST.");
        return Err(AdminError::new(Kind::InvalidConfig, message));
    }
    let inherited = || match scope {
        ConfigScope::Topic(_) => view.topic_default(key).value,
        ConfigScope::Broker(_) | ConfigScope::AllBrokers => {
            view.image.default_configs().get(name).cloned().or_else(|| Some(key.default.to_owned()))
        }
    };
    let value = configs.get(name).cloned().or_else(inherited).unwrap_or_default();
    Ok(list_items(&value).map(ToOwned::to_owned).collect())
}

fn refuse_fixed(name: &str) -> Result<(), AdminError> {
    match BrokerKey::find(name) {
        Some(key) if key.dynamic().is_none() => {
            Err(invalid_request(format!("Cannot update these configs dynamically: [{name}]")))
        }
        _ => Ok(()),
    }
}

fn unknown_broker_config(name: &str) -> AdminError {
    let keys = BrokerKey::all();
    let known = keys.iter().filter(|key| key.dynamic().is_some()).map(BrokerKey::name);
    let hint = nearest(name, known).map(|near| format!("; did you mean {near}?"));
    let shown: String = name.chars().take(128).collect();
    let message = format!("Unknown broker config name: {shown}{}", hint.unwrap_or_default());
    AdminError::new(Kind::InvalidConfig, message)
}
