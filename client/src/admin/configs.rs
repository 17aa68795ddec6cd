//! Settings of topics and brokers.

use std::fmt;

use synod_wire::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
};
use synod_wire::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use synod_wire::{ErrorCode, Str};

use super::topics::moved;
use super::{Admin, only};
use crate::Error;

/// What has settings.
///
/// ```
/// use synod_client::admin::ConfigResource;
/// assert_eq!(ConfigResource::Topic("orders".into()).to_string(), "topic orders");
/// assert_eq!(ConfigResource::Broker(1).to_string(), "broker 1");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigResource {
    /// A topic, by name.
    Topic(String),
    /// A broker, by id.
    Broker(i32),
}

impl ConfigResource {
    fn kind(&self) -> i8 {
        match self {
            Self::Topic(_) => 2,
            Self::Broker(_) => 4,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Topic(name) => name.clone(),
            Self::Broker(id) => id.to_string(),
        }
    }
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Broker(id) => write!(f, "broker {id}"),
        }
    }
}

/// Where a setting's value comes from.
///
/// ```no_run
/// use synod_client::admin::{ConfigResource, ConfigSource};
/// # async fn example(admin: synod_client::admin::Admin) -> Result<(), synod_client::Error> {
/// let all = admin.describe_config(&ConfigResource::Topic("orders".into())).await?;
/// let own = all.iter().filter(|entry| entry.source == ConfigSource::Topic);
/// println!("{} settings of its own", own.count());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set on the broker while it runs.
    DynamicBroker,
    /// Set for all brokers while they run.
    DynamicDefault,
    /// Set in the broker's own configuration.
    StaticBroker,
    /// Not set at all.
    Default,
    /// Something this client does not know.
    Unknown,
}

impl ConfigSource {
    fn from_code(code: i8) -> Self {
        match code {
            1 => Self::Topic,
            2 => Self::DynamicBroker,
            3 => Self::DynamicDefault,
            4 => Self::StaticBroker,
            5 => Self::Default,
            _ => Self::Unknown,
        }
    }
}

/// A setting and its value.
///
/// ```no_run
/// use synod_client::admin::ConfigResource;
/// # async fn example(admin: synod_client::admin::Admin) -> Result<(), synod_client::Error> {
/// for entry in admin.describe_config(&ConfigResource::Broker(1)).await? {
///     println!("{} = {:?}", entry.name, entry.value);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value; `None` when it is unset or secret.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it cannot be changed.
    pub is_read_only: bool,
    /// Whether its value is kept secret.
    pub is_sensitive: bool,
}

/// A change of one setting.
///
/// ```
/// use synod_client::admin::ConfigChange;
/// let changes = [
///     ConfigChange::Set("retention.ms".into(), "86400000".into()),
///     ConfigChange::Append("cleanup.policy".into(), "compact".into()),
///     ConfigChange::Unset("segment.bytes".into()),
/// ];
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChange {
    /// Give it this value.
    Set(String, String),
    /// Put it back to its default.
    Unset(String),
    /// Add to a list.
    Append(String, String),
    /// Take from a list.
    Subtract(String, String),
}

impl Admin {
    /// The settings of a topic or broker, in the broker's order.
    ///
    /// ```no_run
    /// use synod_client::admin::ConfigResource;
    /// # async fn example(admin: synod_client::admin::Admin)
    /// # -> Result<(), synod_client::Error> {
    /// for entry in admin.describe_config(&ConfigResource::Topic("orders".into())).await? {
    ///     println!("{} = {:?}", entry.name, entry.value);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Broker`], for example `UNKNOWN_TOPIC_OR_PARTITION`.
    pub async fn describe_config(
        &self,
        resource: &ConfigResource,
    ) -> Result<Vec<ConfigEntry>, Error> {
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: resource.kind(),
                resource_name: resource.name().into(),
                configuration_keys: None,
                ..DescribeConfigsResource::default()
            }],
            ..DescribeConfigsRequest::default()
        };
        let attempt = || async {
            // A broker is asked itself; topics are known to every broker.
            let response = match resource {
                ConfigResource::Topic(_) => self.cluster.ask_any(&request).await?,
                ConfigResource::Broker(id) => {
                    self.cluster.broker(*id).await?.send(&request).await?
                }
            };
            let answer = only(response.results, &resource.to_string())?;
            let context = || resource.to_string();
            Error::check(answer.error_code, context, answer.error_message.as_deref())?;
            Ok(answer.configs.into_iter().map(entry).collect())
        };
        self.cluster.retry(attempt).await
    }

    /// Changes settings, all or none of them. `validate_only` checks and changes nothing.
    ///
    /// ```no_run
    /// use synod_client::admin::{ConfigChange, ConfigResource};
    /// # async fn example(admin: synod_client::admin::Admin)
    /// # -> Result<(), synod_client::Error> {
    /// let orders = ConfigResource::Topic("orders".into());
    /// let change = ConfigChange::Set("retention.ms".into(), "3600000".into());
    /// admin.alter_config(&orders, &[change], false).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Broker`], for example `INVALID_CONFIG`.
    pub async fn alter_config(
        &self,
        resource: &ConfigResource,
        changes: &[ConfigChange],
        validate_only: bool,
    ) -> Result<(), Error> {
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: resource.kind(),
                resource_name: resource.name().into(),
                configs: changes.iter().map(alterable).collect(),
                ..AlterConfigsResource::default()
            }],
            validate_only,
            ..IncrementalAlterConfigsRequest::default()
        };
        let context = || resource.to_string();
        let response = self
            .change(&request, |response| {
                let answer = response.responses.first();
                moved(answer.map_or(ErrorCode::NONE, |answer| answer.error_code), context)
            })
            .await?;
        let answer = only(response.responses, &context())?;
        Error::check(answer.error_code, context, answer.error_message.as_deref())
    }
}

fn entry(answer: DescribeConfigsResourceResult) -> ConfigEntry {
    ConfigEntry {
        name: answer.name.to_string(),
        value: answer.value.map(|value| value.to_string()),
        source: ConfigSource::from_code(answer.config_source),
        is_read_only: answer.read_only,
        is_sensitive: answer.is_sensitive,
    }
}

fn alterable(change: &ConfigChange) -> AlterableConfig {
    let (name, operation, value) = match change {
        ConfigChange::Set(name, value) => (name, 0, Some(value)),
        ConfigChange::Unset(name) => (name, 1, None),
        ConfigChange::Append(name, value) => (name, 2, Some(value)),
        ConfigChange::Subtract(name, value) => (name, 3, Some(value)),
    };
    AlterableConfig {
        name: Str::from(name.as_str()),
        config_operation: operation,
        value: value.map(|value| Str::from(value.as_str())),
        ..AlterableConfig::default()
    }
}
