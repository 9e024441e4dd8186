//! Resource guards: which critical operations of a vault need the consent of somebody else, and the
//! proxies by which vaults submit to a guard.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A resource guard, as requests and answers have it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ResourceGuardResource {
    /// The region it lies in. Required in a request that makes a guard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The user's labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// What it watches over; may be absent in a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<ResourceGuard>,
    /// Its id; ignored in requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name; ignored in requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `Microsoft.DataProtection/resourceGuards`; ignored in requests.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// The properties of a guard.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceGuard {
    /// `Succeeded`; written by the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning_state: Option<String>,
    /// The operations that need its consent; written by the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_guard_operations: Option<Vec<ResourceGuardOperation>>,
    /// The operations that do not need its consent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_critical_operation_exclusion_list: Option<Vec<String>>,
    /// Whether whoever has the right on the guard need not ask anybody; written by the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_auto_approvals: Option<bool>,
    /// What has to be done before a critical operation; written by the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// An operation that needs a guard's consent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceGuardOperation {
    /// The operation, as in roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_critical_operation: Option<String>,
    /// The type of the request by which consent is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_resource_type: Option<String>,
}

/// A change of a guard; what is absent stays.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PatchResourceGuardInput {
    /// The new labels, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
}

/// An object that is nothing but its id: one request to a guard.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DppBaseResource {
    /// Its id, by which a critical operation names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As `Microsoft.DataProtection/resourceGuards/disableSoftDeleteRequests`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// What makes a vault submit to a guard, as requests and answers have it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ResourceGuardProxyBaseResource {
    /// Which guard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<ResourceGuardProxyBase>,
    /// Its id; ignored in requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name; ignored in requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `Microsoft.DataProtection/vaults/backupResourceGuardProxies`, without the word backup; ignored in
    /// requests.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// Which guard a vault submits to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceGuardProxyBase {
    /// ARM id of the guard. Required in a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_guard_resource_id: Option<String>,
    /// The operations that need its consent, and the request of each; written by the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_guard_operation_details: Option<Vec<ResourceGuardOperationDetail>>,
    /// When the proxy was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_updated_time: Option<String>,
    /// What has to be done before a critical operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// An operation of a guarded vault, and the request to the guard that it has to name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceGuardOperationDetail {
    /// The operation, as in roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_critical_operation: Option<String>,
    /// ARM id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_resource_request: Option<String>,
}

/// Asks to make a deletion possible for a while.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnlockDeleteRequest {
    /// Requests to the resource guard that allow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_guard_operation_requests: Option<Vec<String>>,
    /// ARM id of what is going to be deleted: a backup instance, or the proxy itself if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_to_be_deleted: Option<String>,
}

/// Until when the deletion is possible.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnlockDeleteResponse {
    /// A time in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlock_delete_expiry_time: Option<String>,
}
