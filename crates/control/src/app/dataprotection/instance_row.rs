//! Reading and changing the row of a backup instance.

use coffer_azure::ResourceId;
use serde_json::{Value, json};

use super::protection_state::ProtectionState;
use super::{DELETED_INSTANCES, errors};
use crate::db::{self, Executor, Resource};
use crate::error::Error;

/// `{vault}/deletedBackupInstances/{name}` of an instance's id.
///
/// # Errors
/// An internal error when the id is not one of an instance.
pub fn deleted_id(instance: &ResourceId) -> Result<ResourceId, Error> {
    let vault =
        instance.parent().ok_or_else(|| Error::internal(format!("{instance} is in no vault")))?;
    Ok(vault.child(DELETED_INSTANCES, instance.name()))
}

/// An instance that clients can see: one that is being deleted is absent for them from the moment of its request.
///
/// # Errors
/// The provider's 404, or the database fails.
pub async fn require<'e>(
    executor: impl Executor<'e>,
    instance: &ResourceId,
) -> Result<Resource, Error> {
    match db::resource_get(executor, instance).await? {
        Some(resource) if is_visible(&resource) => Ok(resource),
        _ => Err(errors::resource_not_found()),
    }
}

/// False for an instance that is being deleted.
#[must_use]
pub fn is_visible(instance: &Resource) -> bool {
    state_of(instance) != ProtectionState::SoftDeleting
}

/// The state in an instance's row. Unreadable ones count as [`ProtectionState::ProtectionError`], from which there is a way out.
#[must_use]
pub fn state_of(instance: &Resource) -> ProtectionState {
    instance.body["properties"]["currentProtectionState"]
        .as_str()
        .and_then(ProtectionState::parse)
        .unwrap_or(ProtectionState::ProtectionError)
}

/// Writes a state into an instance's body, in both places where the wire has it. Errors of an earlier state go.
pub fn set_state(body: &mut Value, state: ProtectionState) {
    let Some(properties) = body.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    properties.insert("currentProtectionState".into(), json!(state.as_str()));
    properties.insert("protectionStatus".into(), json!({ "status": state.status() }));
    properties.shift_remove("protectionErrorDetails");
}

/// The name for people.
#[must_use]
pub fn friendly_name_of(instance: &Resource) -> String {
    let name = instance.body["properties"]["friendlyName"].as_str().filter(|name| !name.is_empty());
    name.unwrap_or(instance.id.name()).to_owned()
}

/// The ARM id of what the instance protects.
///
/// # Errors
/// An internal error: rows are checked before they are written.
pub fn datasource_of(instance: &Resource) -> Result<ResourceId, Error> {
    parse(&instance.body["properties"]["dataSourceInfo"]["resourceID"])
}

/// The ARM id of its policy.
///
/// # Errors
/// An internal error: rows are checked before they are written.
pub fn policy_of(instance: &Resource) -> Result<ResourceId, Error> {
    parse(&instance.body["properties"]["policyInfo"]["policyId"])
}

fn parse(value: &Value) -> Result<ResourceId, Error> {
    ResourceId::parse(value.as_str().unwrap_or_default()).map_err(Error::internal)
}
