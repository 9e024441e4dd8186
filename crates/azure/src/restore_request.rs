//! Requests to restore.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data_store::DataStoreType;
use crate::datasource::{AuthCredentials, Datasource, DatasourceSet};
use crate::identity::IdentityDetails;
use crate::tagged::{tagged, text_enum};

/// Asks whether a restore could be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidateRestoreRequestObject {
    /// As it would be asked for.
    pub restore_request_object: AzureBackupRestoreRequest,
}

tagged! {
    /// Asks for a restore.
    pub enum AzureBackupRestoreRequest, First {
        /// Of a recovery point.
        AzureBackupRecoveryPointBasedRestoreRequest,
        /// Of a recovery point that is in the archive.
        AzureBackupRestoreWithRehydrationRequest,
        /// Of a time.
        AzureBackupRecoveryTimeBasedRestoreRequest,
    }
}

/// Asks for the restore of a recovery point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureBackupRecoveryPointBasedRestoreRequest {
    /// Which one.
    #[serde(alias = "recoveryPointID")]
    pub recovery_point_id: String,
    /// From which data store.
    pub source_data_store_type: DataStoreType,
    /// The id of what was backed up.
    #[serde(alias = "sourceResourceID", default, skip_serializing_if = "Option::is_none")]
    pub source_resource_id: Option<String>,
    /// Where to.
    pub restore_target_info: RestoreTargetInfoBase,
    /// Requests to the resource guard that allow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_guard_operation_requests: Option<Vec<String>>,
    /// Which of the vault's identities does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_details: Option<IdentityDetails>,
    /// What Azure has no place for. Not in the specification: Coffer's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coffer_restore_options: Option<CofferRestoreOptions>,
}

/// What a restore of PostgreSQL can be asked for beyond Azure's request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CofferRestoreOptions {
    /// Which database of a server's recovery point; none for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_database: Option<String>,
    /// What happens to owners and privileges; missing roles are made by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<RestoredRoles>,
    /// Roles that have another name in the target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub role_map: Vec<MappedRole>,
    /// User mappings of foreign servers; restored by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_mappings: Option<RestoredPart>,
    /// Large objects; restored by default with a whole database, left out with a part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub large_objects: Option<RestoredPart>,
}

/// A role of the source and what it is called in the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MappedRole {
    /// Its name in the source.
    pub from: String,
    /// Its name in the target, where it has to exist.
    pub to: String,
}

text_enum! {
    /// What happens to owners and privileges.
    pub enum RestoredRoles {
        /// Missing roles are made, without login and password.
        CreateMissing = "CreateMissing",
        /// Everything belongs to the restoring role.
        Ignore = "Ignore",
    }
}

text_enum! {
    /// Whether a part of a recovery point comes back.
    pub enum RestoredPart {
        /// It does.
        Restore = "Restore",
        /// It does not, and is named.
        LeaveOut = "LeaveOut",
    }
}

/// Asks for the restore of a recovery point that is in the archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureBackupRestoreWithRehydrationRequest {
    /// Which one.
    #[serde(alias = "recoveryPointID")]
    pub recovery_point_id: String,
    /// `Standard` or `High`.
    pub rehydration_priority: String,
    /// For how long it stays out of the archive, in ISO 8601.
    pub rehydration_retention_duration: String,
    /// From which data store.
    pub source_data_store_type: DataStoreType,
    /// The id of what was backed up.
    #[serde(alias = "sourceResourceID", default, skip_serializing_if = "Option::is_none")]
    pub source_resource_id: Option<String>,
    /// Where to.
    pub restore_target_info: RestoreTargetInfoBase,
    /// Requests to the resource guard that allow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_guard_operation_requests: Option<Vec<String>>,
    /// Which of the vault's identities does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_details: Option<IdentityDetails>,
}

/// Asks for the restore of a time; not possible for PostgreSQL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureBackupRecoveryTimeBasedRestoreRequest {
    /// Which time.
    pub recovery_point_time: String,
    /// From which data store.
    pub source_data_store_type: DataStoreType,
    /// The id of what was backed up.
    #[serde(alias = "sourceResourceID", default, skip_serializing_if = "Option::is_none")]
    pub source_resource_id: Option<String>,
    /// Where to.
    pub restore_target_info: RestoreTargetInfoBase,
    /// Requests to the resource guard that allow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_guard_operation_requests: Option<Vec<String>>,
    /// Which of the vault's identities does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_details: Option<IdentityDetails>,
}

/// Asks to bring a recovery point back from the archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureBackupRehydrationRequest {
    /// Which one.
    #[serde(alias = "recoveryPointID")]
    pub recovery_point_id: String,
    /// `Standard` or `High`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehydration_priority: Option<String>,
    /// For how long it stays out of the archive, in ISO 8601.
    pub rehydration_retention_duration: String,
}

tagged! {
    /// Where to restore to.
    pub enum RestoreTargetInfoBase, First {
        /// Into a new database.
        RestoreTargetInfo,
        /// Into files.
        RestoreFilesTargetInfo,
        /// A part, into a new database.
        ItemLevelRestoreTargetInfo,
    }
}

text_enum! {
    /// What to do when the target exists.
    pub enum RecoveryOption {
        /// Fail.
        FailIfExists = "FailIfExists",
    }
}

/// A restore into a new database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreTargetInfo {
    /// What to do when it exists.
    pub recovery_option: RecoveryOption,
    /// The region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_location: Option<String>,
    /// The database.
    #[serde(alias = "dataSourceInfo")]
    pub datasource_info: Datasource,
    /// Its server.
    #[serde(alias = "dataSourceSetInfo", default, skip_serializing_if = "Option::is_none")]
    pub datasource_set_info: Option<DatasourceSet>,
    /// The credentials for the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datasource_auth_credentials: Option<AuthCredentials>,
}

/// A restore into files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreFilesTargetInfo {
    /// What to do when they exist.
    pub recovery_option: RecoveryOption,
    /// The region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_location: Option<String>,
    /// Where to.
    pub target_details: TargetDetails,
    /// Which part; all of it by default. Not in the specification: Coffer's own, of the form that
    /// [`ItemLevelRestoreTargetInfo`] has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_criteria: Option<Vec<Value>>,
}

/// Where the files of a restore go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetDetails {
    /// What their names begin with.
    pub file_prefix: String,
    /// What kind of place.
    pub restore_target_location_type: RestoreTargetLocationType,
    /// The address of the container.
    pub url: String,
    /// The id of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_resource_arm_id: Option<String>,
}

text_enum! {
    /// The kinds of places that files are restored to.
    pub enum RestoreTargetLocationType {
        /// What a client sends that didn't choose.
        Invalid = "Invalid",
        /// A container of blobs.
        AzureBlobs = "AzureBlobs",
        /// A share of files.
        AzureFiles = "AzureFiles",
    }
}

/// A restore of a part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemLevelRestoreTargetInfo {
    /// What to do when it exists.
    pub recovery_option: RecoveryOption,
    /// The region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_location: Option<String>,
    /// Which part.
    pub restore_criteria: Vec<Value>,
    /// Where to.
    #[serde(alias = "dataSourceInfo")]
    pub datasource_info: Datasource,
    /// What that lies in.
    #[serde(alias = "dataSourceSetInfo", default, skip_serializing_if = "Option::is_none")]
    pub datasource_set_info: Option<DatasourceSet>,
    /// The credentials for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datasource_auth_credentials: Option<AuthCredentials>,
}

/// A part of what was backed up, by its path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemPathBasedRestoreCriteria {
    /// The path.
    pub item_path: String,
    /// Whether it begins below what was backed up.
    pub is_path_relative_to_backup_item: bool,
    /// Only what begins so below the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_item_path_prefix: Option<Vec<String>>,
}

impl AzureBackupRestoreRequest {
    /// The recovery point, where the request names one.
    #[must_use]
    pub fn recovery_point_id(&self) -> Option<&str> {
        match self {
            Self::AzureBackupRecoveryPointBasedRestoreRequest(request) => {
                Some(&request.recovery_point_id)
            }
            Self::AzureBackupRestoreWithRehydrationRequest(request) => {
                Some(&request.recovery_point_id)
            }
            Self::AzureBackupRecoveryTimeBasedRestoreRequest(_) => None,
        }
    }

    /// What it asks for beyond Azure's request.
    #[must_use]
    pub fn coffer_restore_options(&self) -> Option<&CofferRestoreOptions> {
        match self {
            Self::AzureBackupRecoveryPointBasedRestoreRequest(request) => {
                request.coffer_restore_options.as_ref()
            }
            Self::AzureBackupRestoreWithRehydrationRequest(_)
            | Self::AzureBackupRecoveryTimeBasedRestoreRequest(_) => None,
        }
    }

    /// Where to restore to.
    #[must_use]
    pub fn restore_target_info(&self) -> &RestoreTargetInfoBase {
        match self {
            Self::AzureBackupRecoveryPointBasedRestoreRequest(request) => {
                &request.restore_target_info
            }
            Self::AzureBackupRestoreWithRehydrationRequest(request) => &request.restore_target_info,
            Self::AzureBackupRecoveryTimeBasedRestoreRequest(request) => {
                &request.restore_target_info
            }
        }
    }

    /// From which data store.
    #[must_use]
    pub fn source_data_store_type(&self) -> &DataStoreType {
        match self {
            Self::AzureBackupRecoveryPointBasedRestoreRequest(request) => {
                &request.source_data_store_type
            }
            Self::AzureBackupRestoreWithRehydrationRequest(request) => {
                &request.source_data_store_type
            }
            Self::AzureBackupRecoveryTimeBasedRestoreRequest(request) => {
                &request.source_data_store_type
            }
        }
    }
}
