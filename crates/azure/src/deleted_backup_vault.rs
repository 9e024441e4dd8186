//! A backup vault that was deleted softly.

use serde::{Deserialize, Serialize};

use crate::backup_vault::BackupVault;

/// The properties of a deleted vault: those that it had, and how it comes back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletedBackupVault {
    /// As it was.
    #[serde(flatten)]
    pub vault: BackupVault,
    /// ARM id of the vault that it was.
    pub original_backup_vault_id: String,
    /// Its name.
    pub original_backup_vault_name: String,
    /// Its path: the same id.
    pub original_backup_vault_resource_path: String,
    /// When it was deleted and goes.
    pub resource_deletion_info: ResourceDeletionInfo,
}

/// When a vault was deleted and goes. An instance's [`DeletionInfo`](crate::DeletionInfo) spells the last member otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceDeletionInfo {
    /// When it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_time: Option<String>,
    /// When its data goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_purge_time: Option<String>,
    /// The activity that deleted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_activity_id: Option<String>,
}
