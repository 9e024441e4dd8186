//! Registered restore targets: `Microsoft.Storage/storageAccounts`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Asks to register a restore target.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct StorageAccountCreateParameters {
    /// The region.
    #[serde(default)]
    pub location: Option<String>,
    /// The user's labels.
    #[serde(default)]
    pub tags: Option<BTreeMap<String, String>>,
    /// The price tier that an SDK asks for; echoed.
    #[serde(default)]
    pub sku: Option<Value>,
    /// The kind that an SDK asks for; echoed.
    #[serde(default)]
    pub kind: Option<String>,
    /// Where it is.
    #[serde(default)]
    pub properties: StorageAccountRequest,
}

/// Where a restore target is.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageAccountRequest {
    /// `file:///dir`: Coffer's own member.
    pub backing_store: Option<String>,
}

/// A registered restore target, as answers have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StorageAccountResource {
    /// The price tier, echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sku: Option<Value>,
    /// The kind, echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `Microsoft.Storage/storageAccounts`.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// The region.
    pub location: String,
    /// The user's labels.
    pub tags: BTreeMap<String, String>,
    /// Where it is.
    pub properties: StorageAccountProperties,
}

/// Where a registered restore target is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageAccountProperties {
    /// As in the request.
    pub backing_store: String,
    /// The addresses that requests name it by.
    pub primary_endpoints: StorageEndpoints,
    /// `Succeeded`.
    pub provisioning_state: String,
}

/// The addresses of a restore target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StorageEndpoints {
    /// `https://{name}.blob.core.windows.net/`.
    pub blob: String,
}
