//! Requests about what was copied to a vault's second region.

use serde::{Deserialize, Serialize};

use crate::restore_request::AzureBackupRestoreRequest;

/// Where the backup instance is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CrossRegionRestoreDetails {
    /// The vault's region.
    pub source_region: String,
    /// ARM id of the backup instance.
    pub source_backup_instance_id: String,
}

/// Asks for a restore from the second region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CrossRegionRestoreRequestObject {
    /// As it would be asked for in the first one.
    pub restore_request_object: AzureBackupRestoreRequest,
    /// Where the backup instance is.
    pub cross_region_restore_details: CrossRegionRestoreDetails,
}

/// Asks whether a restore from the second region could be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidateCrossRegionRestoreRequestObject {
    /// As it would be asked for in the first one.
    pub restore_request_object: AzureBackupRestoreRequest,
    /// Where the backup instance is.
    pub cross_region_restore_details: CrossRegionRestoreDetails,
}

/// Asks for the recovery points in the second region.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FetchSecondaryRPsRequestParameters {
    /// The vault's region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_region: Option<String>,
    /// ARM id of the backup instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_backup_instance_id: Option<String>,
}

/// Asks for the restores from the second region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CrossRegionRestoreJobsRequest {
    /// The vault's region.
    pub source_region: String,
    /// ARM id of the vault.
    pub source_backup_vault_id: String,
}

/// Asks for one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CrossRegionRestoreJobRequest {
    /// The vault's region.
    pub source_region: String,
    /// ARM id of the vault.
    pub source_backup_vault_id: String,
    /// A GUID.
    pub job_id: String,
}
