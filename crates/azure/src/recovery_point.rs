//! A recovery point. Absent members are written as `null`.

use serde::{Deserialize, Serialize};

use crate::tagged::{tagged, text_enum};

/// A recovery point, as answers have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AzureBackupRecoveryPointResource {
    /// What it is.
    pub properties: AzureBackupRecoveryPoint,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name: the same as `recoveryPointId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `Microsoft.DataProtection/backupVaults/backupInstances/recoveryPoints`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

tagged! {
    /// What a recovery point is; there is one kind.
    pub enum AzureBackupRecoveryPoint, First, default AzureBackupDiscreteRecoveryPoint {
        /// The state at one time.
        AzureBackupDiscreteRecoveryPoint,
    }
}

/// The state of a source at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureBackupDiscreteRecoveryPoint {
    /// 32 hexadecimal digits.
    #[serde(alias = "recoveryPointID", default)]
    pub recovery_point_id: Option<String>,
    /// When, with seven fractional digits.
    pub recovery_point_time: String,
    /// `Full`.
    #[serde(default)]
    pub recovery_point_type: Option<String>,
    /// The id again.
    #[serde(default)]
    pub friendly_name: Option<String>,
    /// Where it lies.
    #[serde(default)]
    pub recovery_point_data_stores_details: Option<Vec<RecoveryPointDataStoreDetails>>,
    /// The tag that decides for how long it is kept.
    #[serde(default)]
    pub retention_tag_name: Option<String>,
    /// When the tag was made, in .NET ticks.
    #[serde(default)]
    pub retention_tag_version: Option<String>,
    /// The policy that made it.
    #[serde(default)]
    pub policy_name: Option<String>,
    /// That policy's version.
    #[serde(default)]
    pub policy_version: Option<String>,
    /// When it goes; `null` for the newest one.
    #[serde(default)]
    pub expiry_time: Option<String>,
    /// Whether it is whole.
    #[serde(default)]
    pub recovery_point_state: Option<RecoveryPointState>,
}

text_enum! {
    /// Whether a recovery point is whole.
    pub enum RecoveryPointState {
        /// It is.
        Completed = "Completed",
        /// Only some of what should be in it is.
        Partial = "Partial",
    }
}

/// A recovery point in one data store.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryPointDataStoreDetails {
    /// The data store.
    #[serde(default)]
    pub id: Option<String>,
    /// `VaultStore`.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    /// When it was written there.
    #[serde(default)]
    pub creation_time: Option<String>,
    /// When it goes from there; `null` for the newest one.
    #[serde(default)]
    pub expiry_time: Option<String>,
    /// The service's own notes; `null` in lists.
    #[serde(default)]
    pub meta_data: Option<String>,
    /// Whether it is shown.
    #[serde(default)]
    pub visible: Option<bool>,
    /// `COMMITTED`.
    #[serde(default)]
    pub state: Option<String>,
    /// Until when it is back from the archive.
    #[serde(default)]
    pub rehydration_expiry_time: Option<String>,
    /// Whether it is coming back from the archive.
    #[serde(default)]
    pub rehydration_status: Option<String>,
}
