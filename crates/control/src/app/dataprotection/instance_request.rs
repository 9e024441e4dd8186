//! What a request says of a backup instance: checked, and brought into the form that is kept.

use std::collections::BTreeMap;

use coffer_azure::{BackupInstance, ResourceId, ValidationType};
use serde_json::json;

use super::{POLICIES, datasource, errors};
use crate::db::Resource;
use crate::error::Error;

/// What a request says of an instance, checked.
#[derive(Debug)]
pub(super) struct Requested {
    /// Without anything that only the service writes.
    pub(super) properties: BackupInstance,
    pub(super) datasource: ResourceId,
    pub(super) policy: ResourceId,
    /// The checks of `validateForBackup` are wanted again.
    pub(super) deep_validation: bool,
    /// Requests to the vault's resource guard.
    pub(super) requests: Option<Vec<String>>,
}

impl Requested {
    /// Whether a PUT asks for another policy, or for other parameters of it.
    pub(super) fn changes_policy(&self, existing: &Resource) -> Result<bool, Error> {
        let own: BackupInstance =
            serde_json::from_value(existing.body["properties"].clone()).map_err(Error::internal)?;
        let own_policy = ResourceId::parse(&own.policy_info.policy_id).map_err(Error::internal)?;
        Ok(own_policy != self.policy
            || own.policy_info.policy_parameters != self.properties.policy_info.policy_parameters)
    }

    /// Whether a PUT asks for what the instance is already. A PUT without tags leaves them.
    pub(super) fn is_already(
        &self,
        existing: &Resource,
        tags: Option<&BTreeMap<String, String>>,
    ) -> Result<bool, Error> {
        let properties: BackupInstance =
            serde_json::from_value(existing.body["properties"].clone()).map_err(Error::internal)?;
        let vault =
            existing.id.parent().ok_or_else(|| Error::internal("an instance without a vault"))?;
        let own = check(properties, &vault)?;
        let same_policy = own.policy == self.policy;
        let mut properties = self.properties.clone();
        // Ids are compared without regard to case.
        properties.policy_info.policy_id.clone_from(&own.properties.policy_info.policy_id);
        properties
            .data_source_info
            .resource_id
            .clone_from(&own.properties.data_source_info.resource_id);
        let same_tags = match tags {
            Some(tags) => existing.body["tags"] == json!(tags),
            None => true,
        };
        Ok(same_policy && same_tags && properties == own.properties)
    }
}

/// Checks what a request says of an instance in `vault`, and takes out what only the service writes.
pub(super) fn check(
    mut properties: BackupInstance,
    vault: &ResourceId,
) -> Result<Requested, Error> {
    let datasource = datasource::check_protected(
        &properties.data_source_info,
        properties.data_source_set_info.as_ref(),
    )
    .map_err(errors::invalid_input)?;
    if let Some(credentials) = &mut properties.datasource_auth_credentials {
        datasource::check_credentials(credentials).map_err(errors::invalid_input)?;
    }
    let policy = check_policy_id(&properties.policy_info.policy_id, vault)?;
    if let Some(identity) = &properties.identity_details
        && (identity.use_system_assigned_identity == Some(false)
            || identity
                .user_assigned_identity_arm_url
                .as_deref()
                .is_some_and(|url| !url.is_empty()))
    {
        return Err(errors::invalid_input(
            "identityDetails asks for a user-assigned identity, which is not supported by this version; the vault's own is used.",
        ));
    }
    let deep_validation = match &properties.validation_type {
        None | Some(ValidationType::ShallowValidation) => false,
        Some(ValidationType::DeepValidation) => true,
        Some(ValidationType::Unknown(text)) => {
            return Err(errors::invalid_input(format!(
                "The validationType '{text}' does not exist; ShallowValidation and DeepValidation do."
            )));
        }
    };
    properties.friendly_name = properties.friendly_name.filter(|name| !name.trim().is_empty());
    properties.validation_type = None;
    let requests = properties.resource_guard_operation_requests.take();
    properties.protection_status = None;
    properties.current_protection_state = None;
    properties.protection_error_details = None;
    properties.provisioning_state = None;
    properties.policy_info.policy_version = None;
    Ok(Requested { properties, datasource, policy, deep_validation, requests })
}

fn check_policy_id(text: &str, vault: &ResourceId) -> Result<ResourceId, Error> {
    let policy = ResourceId::parse(text).map_err(|reason| {
        errors::invalid_input(format!("The policyId '{text}' is not an ARM id: {reason}."))
    })?;
    let expected = vault.child(POLICIES, policy.name());
    if policy == expected {
        Ok(policy)
    } else {
        Err(errors::invalid_input(format!(
            "The policyId '{policy}' is not a backup policy of the Backup vault {vault}."
        )))
    }
}
