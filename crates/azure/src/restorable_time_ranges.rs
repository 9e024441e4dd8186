//! Ranges of time to any point of which a datasource can be restored.

use serde::{Deserialize, Serialize};

use crate::data_store::DataStoreType;

/// Asks for ranges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureBackupFindRestorableTimeRangesRequest {
    /// Of what is in this store.
    pub source_data_store_type: DataStoreType,
    /// From this time on, ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// Up to this time, ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
}

/// The ranges of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AzureBackupFindRestorableTimeRangesResponseResource {
    /// The instance's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `Microsoft.DataProtection/backupVaults/backupInstances/findRestorableTimeRanges`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The ranges.
    pub properties: AzureBackupFindRestorableTimeRangesResponse,
}

/// Ranges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureBackupFindRestorableTimeRangesResponse {
    /// In the order of time.
    pub restorable_time_ranges: Vec<RestorableTimeRange>,
    /// `AzureBackupFindRestorableTimeRangesResponse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_type: Option<String>,
}

/// A range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestorableTimeRange {
    /// Its first time, ISO 8601.
    pub start_time: String,
    /// Its last time, ISO 8601.
    pub end_time: String,
    /// `RestorableTimeRange`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_type: Option<String>,
}
