//! A backup vault and the requests about vaults.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::data_store::DataStoreType;
use crate::identity::DppIdentityDetails;
use crate::tagged::{object_type, text_enum};
use crate::vault_settings::{FeatureSettings, MonitoringSettings, SecuritySettings};

/// A backup vault, as requests and answers have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupVaultResource {
    /// The region it lies in. Required in a request that makes a vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The user's labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// The identity that the vault reads sources and secrets with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<DppIdentityDetails>,
    /// What it is.
    pub properties: BackupVault,
    /// Its id; ignored in requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name; ignored in requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `Microsoft.DataProtection/backupVaults`; ignored in requests.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// The properties of a vault.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupVault {
    /// `Provisioning`, `Updating`, `Succeeded` or `Failed`; written by the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning_state: Option<String>,
    /// How its data is kept. Required in a request that makes a vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_settings: Option<Vec<StorageSetting>>,
    /// Whether a resource guard watches over it; written by the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_vault_protected_by_resource_guard: Option<bool>,
    /// Which alerts it gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring_settings: Option<MonitoringSettings>,
    /// Soft delete, immutability, encryption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_settings: Option<SecuritySettings>,
    /// Restores across regions and subscriptions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_settings: Option<FeatureSettings>,
    /// `None`, `Minimum`, `Adequate` or `Maximum`; computed by the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secure_score: Option<String>,
    /// `Poor`, `Fair`, `Good` or `Excellent`; computed by the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bcdr_security_level: Option<String>,
    /// Requests to the resource guard that allow this change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_guard_operation_requests: Option<Vec<String>>,
    /// Where copies lie; empty unless geo-redundant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicated_regions: Option<Vec<String>>,
}

/// How one data store keeps its data.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageSetting {
    /// Which data store.
    #[serde(alias = "dataStoreType", default, skip_serializing_if = "Option::is_none")]
    pub datastore_type: Option<DataStoreType>,
    /// How many copies, where.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<StorageType>,
}

text_enum! {
    /// How many copies a data store keeps, and where.
    pub enum StorageType {
        /// In one place.
        LocallyRedundant = "LocallyRedundant",
        /// In several places of one region.
        ZoneRedundant = "ZoneRedundant",
        /// In two regions.
        GeoRedundant = "GeoRedundant",
    }
}

/// A change of a vault; what is absent stays.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PatchResourceRequestInput {
    /// The new labels, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// The new identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<DppIdentityDetails>,
    /// The new settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<PatchBackupVaultInput>,
}

/// The settings that a change can give.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PatchBackupVaultInput {
    /// Which alerts it gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring_settings: Option<MonitoringSettings>,
    /// Soft delete, immutability, encryption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_settings: Option<SecuritySettings>,
    /// Restores across regions and subscriptions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_settings: Option<FeatureSettings>,
    /// Requests to the resource guard that allow this change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_guard_operation_requests: Option<Vec<String>>,
}

/// Asks whether a vault may be made under a name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CheckNameAvailabilityRequest {
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `Microsoft.DataProtection/BackupVaults`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// Whether a vault may be made under a name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckNameAvailabilityResult {
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Whether.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_available: Option<bool>,
    /// Why not, for programs: `Invalid` or `AlreadyExists`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Asks what the service supports.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeatureValidationRequest {
    /// The discriminator.
    #[serde(default)]
    pub object_type: FeatureValidationRequestType,
    /// `DataSourceType`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_type: Option<String>,
    /// The type of data source; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_name: Option<String>,
}

/// What the service supports.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeatureValidationResponse {
    /// The discriminator.
    #[serde(default)]
    pub object_type: FeatureValidationResponseType,
    /// `DataSourceType`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_type: Option<String>,
    /// One entry per type of data source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<SupportedFeature>>,
}

object_type! {
    /// The discriminator of a [`FeatureValidationRequest`].
    FeatureValidationRequestType = "FeatureValidationRequest"
}

object_type! {
    /// The discriminator of a [`FeatureValidationResponse`].
    FeatureValidationResponseType = "FeatureValidationResponse"
}

/// How far the service supports one feature.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SupportedFeature {
    /// The type of data source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_name: Option<String>,
    /// `GenerallyAvailable`, `NotSupported`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support_status: Option<String>,
    /// Parts that are switched on one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure_controlled_features: Option<Vec<String>>,
}
