//! A backup instance: one source under one policy in one vault; and the requests about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::datasource::{AuthCredentials, Datasource, DatasourceSet};
use crate::identity::IdentityDetails;
use crate::tagged::{object_type, text_enum, text_or_absent};
use crate::user_facing_error::UserFacingError;

/// A backup instance, as requests and answers have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupInstanceResource {
    /// The user's labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// What it is.
    pub properties: BackupInstance,
    /// Its id; ignored in requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name; ignored in requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `Microsoft.DataProtection/backupVaults/backupInstances`; ignored in requests.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// The properties of a backup instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupInstance {
    /// The name that people read: `server/database`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub friendly_name: Option<String>,
    /// What is protected.
    #[serde(alias = "datasourceInfo")]
    pub data_source_info: Datasource,
    /// What that lies in.
    #[serde(alias = "datasourceSetInfo", default, skip_serializing_if = "Option::is_none")]
    pub data_source_set_info: Option<DatasourceSet>,
    /// The policy.
    pub policy_info: PolicyInfo,
    /// Requests to the resource guard that allow this change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_guard_operation_requests: Option<Vec<String>>,
    /// How the protection is; written by the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection_status: Option<ProtectionStatusDetails>,
    /// The same in one word; written by the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_protection_state: Option<CurrentProtectionState>,
    /// Why it is not protected; written by the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection_error_details: Option<UserFacingError>,
    /// `Provisioning`, `Updating`, `Succeeded` or `Failed`; written by the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning_state: Option<String>,
    /// The credentials for the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datasource_auth_credentials: Option<AuthCredentials>,
    /// How thoroughly a request to make it is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_type: Option<ValidationType>,
    /// Which of the vault's identities reads the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_details: Option<IdentityDetails>,
    /// The discriminator.
    #[serde(default)]
    pub object_type: BackupInstanceObjectType,
}

object_type! {
    /// The discriminator of a [`BackupInstance`].
    BackupInstanceObjectType = "BackupInstance"
}

/// The policy of a backup instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyInfo {
    /// Its id.
    pub policy_id: String,
    /// Its version; written by the service.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "text_or_absent")]
    pub policy_version: Option<String>,
    /// What this instance adds to the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_parameters: Option<PolicyParameters>,
}

/// What an instance adds to its policy; PostgreSQL has nothing to add.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyParameters {
    /// Parameters for data stores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_store_parameters_list: Option<Vec<Value>>,
    /// Parameters for the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_datasource_parameters_list: Option<Vec<Value>>,
}

/// How the protection of an instance is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProtectionStatusDetails {
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_details: Option<UserFacingError>,
    /// The state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<CurrentProtectionState>,
}

text_enum! {
    /// The states of a backup instance.
    pub enum CurrentProtectionState {
        /// Not known.
        Invalid = "Invalid",
        /// Not protected.
        NotProtected = "NotProtected",
        /// Being set up.
        ConfiguringProtection = "ConfiguringProtection",
        /// Protected.
        ProtectionConfigured = "ProtectionConfigured",
        /// No backups are made; retention goes on. In no specification, but what the service writes.
        BackupsSuspended = "BackupsSuspended",
        /// The specification's name for the same.
        BackupSchedulesSuspended = "BackupSchedulesSuspended",
        /// Nothing is deleted.
        RetentionSchedulesSuspended = "RetentionSchedulesSuspended",
        /// No backups are made and nothing is deleted.
        ProtectionStopped = "ProtectionStopped",
        /// Set up, but it doesn't work.
        ProtectionError = "ProtectionError",
        /// Setting up failed.
        ConfiguringProtectionFailed = "ConfiguringProtectionFailed",
        /// Being deleted, with the data kept.
        SoftDeleting = "SoftDeleting",
        /// Deleted, with the data kept.
        SoftDeleted = "SoftDeleted",
        /// The policy is being changed.
        UpdatingProtection = "UpdatingProtection",
    }
}

text_enum! {
    /// How thoroughly a request to make an instance is checked.
    pub enum ValidationType {
        /// Its form only; the default.
        ShallowValidation = "ShallowValidation",
        /// All that `validateForBackup` checks.
        DeepValidation = "DeepValidation",
    }
}

/// Asks whether a source could be protected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidateForBackupRequest {
    /// As it would be made.
    pub backup_instance: BackupInstance,
}

/// Asks whether an instance could be changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidateForModifyBackupRequest {
    /// As it would be then.
    pub backup_instance: BackupInstance,
}

/// Asks for a backup now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TriggerBackupRequest {
    /// By which rule.
    pub backup_rule_options: AdHocBackupRuleOptions,
}

/// By which rule of the policy a backup is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdHocBackupRuleOptions {
    /// The name of an [`AzureBackupRule`](crate::AzureBackupRule).
    pub rule_name: String,
    /// What differs from the rule.
    #[serde(default)]
    pub trigger_option: AdhocBackupTriggerOption,
}

/// What differs from the rule in a backup that was asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdhocBackupTriggerOption {
    /// The tag that the recovery point gets.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "text_or_absent")]
    pub retention_tag_override: Option<String>,
}

/// Asks to make no more backups and to keep everything. The body may be absent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopProtectionRequest {
    /// Requests to the resource guard that allow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_guard_operation_requests: Option<Vec<String>>,
}

/// Asks to make no more backups. The body may be absent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SuspendBackupRequest {
    /// Requests to the resource guard that allow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_guard_operation_requests: Option<Vec<String>>,
}

/// Asks to try again to set up the protection. The body may be absent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncBackupInstanceRequest {
    /// Whether even if nothing failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_type: Option<SyncType>,
}

text_enum! {
    /// Whether to set up the protection again even if nothing failed.
    pub enum SyncType {
        /// Only after a failure.
        Default = "Default",
        /// In any case.
        ForceResync = "ForceResync",
    }
}
