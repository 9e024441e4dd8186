//! What each kind of operation is told when it begins: its `input`, kept in its row until it is removed.
//!
//! Kinds that are not here take no input: what they need stands in the vault's or the instance's own row. Secrets never
//! stand here, only their addresses.

use coffer_azure::{AzureBackupRestoreRequest, BackupInstance};
use serde::{Deserialize, Serialize};

/// Input of `ValidateForBackup`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidateForBackupInput {
    /// The instance as it would be protected.
    pub backup_instance: BackupInstance,
}

/// Input of `ConfigureProtection`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigureProtectionInput {
    /// `validationType: DeepValidation`: the checks of validateForBackup are made again.
    #[serde(default)]
    pub deep_validation: bool,
}

/// Input of `UpdateProtection`. The instance shows its old properties until the operation has succeeded.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateProtectionInput {
    /// The properties that it is to have.
    pub properties: BackupInstance,
    /// The tags that it is to have; none takes them away.
    #[serde(default)]
    pub tags: Option<std::collections::BTreeMap<String, String>>,
    /// `currentProtectionState` before this operation, to which a failure returns.
    pub previous_state: String,
    /// `validationType: DeepValidation`.
    #[serde(default)]
    pub deep_validation: bool,
}

/// Input of `Backup`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupInput {
    /// Name of the policy's `AzureBackupRule`.
    pub rule_name: String,
    /// Name of the retention rule that the caller asked for; none means the default one.
    #[serde(default)]
    pub retention_tag: Option<String>,
    /// The time for which the schedule wants it, in microseconds since 1970; none when somebody asked for it.
    #[serde(default)]
    pub scheduled_us: Option<i64>,
}

/// Input of `ValidateRestore` and `Restore`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreInput {
    /// The request, canonical and checked.
    pub request: AzureBackupRestoreRequest,
    /// The second region, when it is to be restored from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_region: Option<String>,
}
