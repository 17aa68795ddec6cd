//! AlterConfigs, which replaces all of a resource's settings, and IncrementalAlterConfigs.

use synod_wire::messages::{alter_configs as replacing, incremental_alter_configs as incremental};
use synod_wire::{ErrorCode, RequestHeader, Str};

use super::config_entries::{BROKER, TOPIC};
use super::error_codes::of_admin_error;
use crate::context::Context;
use crate::metadata::request::{
    AlterConfigs, ConfigChange, ConfigOperation, ConfigResource, ResourceChange,
};
use crate::metadata::{AdminError, AdminErrorKind, BrokerId};

/// Operations of an incremental change.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(crate) async fn handle(
    context: &Context,
    _header: &RequestHeader,
    request: replacing::AlterConfigsRequest,
) -> replacing::AlterConfigsResponse {
    let own = context.broker().id();
    let resources = request.resources.into_iter().map(|resource| {
        let (kind, name) = (resource.resource_type, resource.resource_name);
        let changes =
            resource.configs.into_iter().map(|config| change(SET, config.name, config.value));
        let change = resource_change(own, kind, &name, true, changes.collect());
        Resource { kind, name, change }
    });
    let altered = alter(context, resources.collect(), request.validate_only).await;
    let responses = altered.into_iter().map(|done| replacing::AlterConfigsResourceResponse {
        error_code: done.error_code,
        error_message: done.error_message,
        resource_type: done.kind,
        resource_name: done.name,
    });
    replacing::AlterConfigsResponse {
        responses: responses.collect(),
        ..replacing::AlterConfigsResponse::default()
    }
}

pub(crate) async fn handle_incremental(
    context: &Context,
    _header: &RequestHeader,
    request: incremental::IncrementalAlterConfigsRequest,
) -> incremental::IncrementalAlterConfigsResponse {
    let own = context.broker().id();
    let resources = request.resources.into_iter().map(|resource| {
        let (kind, name) = (resource.resource_type, resource.resource_name);
        let changes = resource
            .configs
            .into_iter()
            .map(|config| change(config.config_operation, config.name, config.value));
        let change = resource_change(own, kind, &name, false, changes.collect());
        Resource { kind, name, change }
    });
    let altered = alter(context, resources.collect(), request.validate_only).await;
    let responses = altered.into_iter().map(|done| incremental::AlterConfigsResourceResponse {
        error_code: done.error_code,
        error_message: done.error_message,
        resource_type: done.kind,
        resource_name: done.name,
    });
    incremental::IncrementalAlterConfigsResponse {
        responses: responses.collect(),
        ..incremental::IncrementalAlterConfigsResponse::default()
    }
}

/// A resource as the client named it, and what is to be done or why it cannot be.
struct Resource {
    kind: i8,
    name: Str,
    change: Result<ResourceChange, AdminError>,
}

struct Altered {
    kind: i8,
    name: Str,
    error_code: ErrorCode,
    error_message: Option<Str>,
}

/// Hands the changes that can be to the controller; one answer per resource, in order. By then
/// this broker's partitions act on the new values.
async fn alter(context: &Context, resources: Vec<Resource>, validate_only: bool) -> Vec<Altered> {
    let changes = resources.iter().filter_map(|one| one.change.as_ref().ok()).cloned().collect();
    let request = AlterConfigs { resources: changes, validate_only };
    let altered = context.controller().alter_configs(request).await;
    context.settled().await;
    let (mut outcomes, unanswered) = match altered {
        Ok(outcomes) => (outcomes.into_iter(), None),
        Err(error) => (Vec::new().into_iter(), Some(error)),
    };
    let altered = resources.into_iter().map(|Resource { kind, name, change }| {
        let outcome = change.and_then(|_| match &unanswered {
            Some(error) => Err(error.clone()),
            None => outcomes.next().unwrap_or(Ok(())),
        });
        let error_code = outcome.as_ref().err().map_or(ErrorCode::NONE, of_admin_error);
        let error_message = outcome.err().map(|error| error.message.into());
        Altered { kind, name, error_code, error_message }
    });
    altered.collect()
}

fn invalid(message: impl std::fmt::Display) -> AdminError {
    AdminError::new(AdminErrorKind::InvalidRequest, message)
}

fn resource_change(
    own: BrokerId,
    kind: i8,
    name: &Str,
    replace: bool,
    changes: Vec<Result<ConfigChange, AdminError>>,
) -> Result<ResourceChange, AdminError> {
    let resource = match kind {
        TOPIC => ConfigResource::Topic(name.to_string()),
        BROKER if name.is_empty() => ConfigResource::AllBrokers,
        BROKER => ConfigResource::Broker(own_id(own, name)?),
        other => return Err(invalid(format!("Unknown resource type {other}"))),
    };
    let changes = changes.into_iter().collect::<Result<_, _>>()?;
    Ok(ResourceChange { resource, replace, changes })
}

/// A broker's own settings are changed at that broker.
fn own_id(own: BrokerId, name: &str) -> Result<BrokerId, AdminError> {
    match name.parse::<i32>() {
        Ok(id) if id == own.as_wire() => Ok(own),
        Ok(id) => Err(invalid(format!("Unexpected broker id, expected {own}, but received {id}"))),
        Err(_) => {
            let shown: String = name.chars().take(128).collect();
            Err(invalid(format!("Node id must be an integer, but it is: {shown}")))
        }
    }
}

fn change(operation: i8, name: Str, value: Option<Str>) -> Result<ConfigChange, AdminError> {
    let value = value.map(|value| value.to_string());
    let operation = match (operation, value) {
        (DELETE, _) => ConfigOperation::Delete,
        (SET, Some(value)) => ConfigOperation::Set(value),
        (APPEND, Some(value)) => ConfigOperation::Append(value),
        (SUBTRACT, Some(value)) => ConfigOperation::Subtract(value),
        (SET | APPEND | SUBTRACT, None) => {
            return Err(invalid(format!("Null value not supported for : {name}")));
        }
        (other, _) => return Err(invalid(format!("Unknown operation {other} for {name}"))),
    };
    Ok(ConfigChange { name: name.to_string(), operation })
}
