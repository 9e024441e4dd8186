//! The settings of a backup vault.

use serde::{Deserialize, Serialize};

use crate::tagged::text_enum;

/// What guards the vault's data against deletion and eyes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecuritySettings {
    /// For how long deleted data can be had back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_delete_settings: Option<SoftDeleteSettings>,
    /// Whether data can be deleted before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub immutability_settings: Option<ImmutabilitySettings>,
    /// Encryption with a key of the user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_settings: Option<EncryptionSettings>,
}

/// For how long deleted data can be had back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SoftDeleteSettings {
    /// Whether deleted data is kept at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<SoftDeleteState>,
    /// For how many days; 14 to 180.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_duration_in_days: Option<f64>,
}

text_enum! {
    /// Whether deleted data is kept.
    pub enum SoftDeleteState {
        /// It goes at once.
        Off = "Off",
        /// It is kept.
        On = "On",
        /// It is kept, and this can't be changed any more.
        AlwaysOn = "AlwaysOn",
    }
}

/// Whether data can be deleted before its time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ImmutabilitySettings {
    /// Whether.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ImmutabilityState>,
}

text_enum! {
    /// Whether data can be deleted before its time.
    pub enum ImmutabilityState {
        /// It can.
        Disabled = "Disabled",
        /// It can't, but this can be taken back.
        Unlocked = "Unlocked",
        /// It can't, for ever.
        Locked = "Locked",
    }
}

/// The name in the specification is `encryptionSettings`, in lower case.
/// Encryption with a key of the user's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EncryptionSettings {
    /// `Enabled`, `Disabled` or `Inconsistent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Where the key is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_vault_properties: Option<CmkKeyVaultProperties>,
    /// Who may use the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kek_identity: Option<CmkKekIdentity>,
    /// `Enabled` or `Disabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure_encryption: Option<String>,
}

/// Where a key of the user's is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CmkKeyVaultProperties {
    /// The key's address in a key vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_uri: Option<String>,
}

/// The identity that may use a key of the user's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CmkKekIdentity {
    /// `SystemAssigned` or `UserAssigned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_type: Option<String>,
    /// The id of a user-assigned identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_id: Option<String>,
}

/// Restores across regions and subscriptions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeatureSettings {
    /// Restores into another subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_subscription_restore_settings: Option<CrossSubscriptionRestoreSettings>,
    /// Restores into the paired region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_region_restore_settings: Option<CrossRegionRestoreSettings>,
}

/// Restores into another subscription.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CrossSubscriptionRestoreSettings {
    /// `Disabled`, `PermanentlyDisabled` or `Enabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// Restores into the paired region.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CrossRegionRestoreSettings {
    /// `Disabled` or `Enabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// Which alerts a vault gives.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MonitoringSettings {
    /// Alerts about jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure_monitor_alert_settings: Option<AzureMonitorAlertSettings>,
}

/// Alerts about jobs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureMonitorAlertSettings {
    /// `Enabled` or `Disabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerts_for_all_job_failures: Option<String>,
}
