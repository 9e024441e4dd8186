//! A backup instance that was deleted and can be had back.

use serde::{Deserialize, Serialize};

use crate::backup_instance::{
    CurrentProtectionState, PolicyInfo, ProtectionStatusDetails, ValidationType,
};
use crate::datasource::{AuthCredentials, Datasource, DatasourceSet};
use crate::identity::IdentityDetails;
use crate::tagged::object_type;
use crate::user_facing_error::UserFacingError;

/// A deleted backup instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeletedBackupInstanceResource {
    /// What it was, and when it goes.
    pub properties: DeletedBackupInstance,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `Microsoft.DataProtection/backupVaults/deletedBackupInstances`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// The properties of a [`BackupInstance`](crate::BackupInstance), and those of its deletion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletedBackupInstance {
    /// When it was deleted and goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_info: Option<DeletionInfo>,
    /// The name that people read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub friendly_name: Option<String>,
    /// What was protected.
    #[serde(alias = "datasourceInfo")]
    pub data_source_info: Datasource,
    /// What that lies in.
    #[serde(alias = "datasourceSetInfo", default, skip_serializing_if = "Option::is_none")]
    pub data_source_set_info: Option<DatasourceSet>,
    /// The policy.
    pub policy_info: PolicyInfo,
    /// `SoftDeleted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection_status: Option<ProtectionStatusDetails>,
    /// `SoftDeleted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_protection_state: Option<CurrentProtectionState>,
    /// What was wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection_error_details: Option<UserFacingError>,
    /// `Succeeded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning_state: Option<String>,
    /// The credentials for the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datasource_auth_credentials: Option<AuthCredentials>,
    /// As in the request that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_type: Option<ValidationType>,
    /// Which of the vault's identities read the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_details: Option<IdentityDetails>,
    /// The discriminator.
    #[serde(default)]
    pub object_type: DeletedBackupInstanceObjectType,
}

object_type! {
    /// The discriminator of a [`DeletedBackupInstance`].
    DeletedBackupInstanceObjectType = "DeletedBackupInstance"
}

/// When an instance was deleted and goes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletionInfo {
    /// When it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_time: Option<String>,
    /// Until when it costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_end_date: Option<String>,
    /// When its data goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_purge_time: Option<String>,
    /// The activity that deleted it.
    #[serde(
        rename = "deleteActivityID",
        alias = "deleteActivityId",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub delete_activity_id: Option<String>,
}
