//! Key vaults (`Microsoft.KeyVault`) and the secrets of their data plane.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Asks to make or change a key vault.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct VaultCreateOrUpdateParameters {
    /// The region.
    #[serde(default)]
    pub location: Option<String>,
    /// The user's labels.
    #[serde(default)]
    pub tags: Option<BTreeMap<String, String>>,
    /// What it shall be.
    #[serde(default)]
    pub properties: VaultRequest,
}

/// The properties of a key vault in a request.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VaultRequest {
    /// The tenant.
    pub tenant_id: Option<String>,
    /// The price tier.
    pub sku: Option<VaultSku>,
    /// Who may do what, in Azure's older way.
    pub access_policies: Option<Vec<Value>>,
    /// Whether roles decide about access.
    pub enable_rbac_authorization: Option<bool>,
    /// Whether what is deleted can be recovered.
    pub enable_soft_delete: Option<bool>,
    /// For how many days.
    pub soft_delete_retention_in_days: Option<i64>,
    /// Whether nobody may end that time early.
    pub enable_purge_protection: Option<bool>,
}

/// A price tier.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct VaultSku {
    /// `A`.
    #[serde(default)]
    pub family: Option<String>,
    /// `standard` or `premium`.
    #[serde(default)]
    pub name: Option<String>,
}

/// A key vault, as answers have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VaultResource {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `Microsoft.KeyVault/vaults`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The region.
    pub location: String,
    /// The user's labels.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// What it is.
    pub properties: VaultProperties,
}

/// The properties of a key vault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VaultProperties {
    /// The price tier, echoed.
    pub sku: VaultSku,
    /// The tenant.
    pub tenant_id: String,
    /// Always empty: roles decide about access.
    pub access_policies: Vec<Value>,
    /// Always `true`.
    pub enable_rbac_authorization: bool,
    /// Always `true`: what is deleted can be recovered.
    pub enable_soft_delete: bool,
    /// For how many days.
    pub soft_delete_retention_in_days: i64,
    /// Whether nobody may end that time early; absent when anybody with the role may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_purge_protection: Option<bool>,
    /// Where its secrets are.
    pub vault_uri: String,
    /// `Succeeded`.
    pub provisioning_state: String,
}

/// Asks to set a secret.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretSetParameters {
    /// The value.
    pub value: String,
    /// What kind of value it is, in the user's words.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Whether and when it is valid.
    #[serde(default)]
    pub attributes: SecretAttributesRequest,
    /// The user's labels.
    #[serde(default)]
    pub tags: Option<BTreeMap<String, String>>,
}

impl std::fmt::Debug for SecretSetParameters {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("SecretSetParameters").finish_non_exhaustive()
    }
}

/// Whether and when a secret is valid, in a request. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct SecretAttributesRequest {
    /// Whether it can be read; `true` when absent.
    pub enabled: Option<bool>,
    /// Not before.
    pub nbf: Option<i64>,
    /// Not after.
    pub exp: Option<i64>,
}

/// A secret, with or without its value.
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretBundle {
    /// The value; absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What kind of value it is, in the user's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Its address, with the version (without, in a list of secrets).
    pub id: String,
    /// Whether and when it is valid.
    pub attributes: SecretAttributes,
    /// The user's labels.
    pub tags: BTreeMap<String, String>,
}

impl std::fmt::Debug for SecretBundle {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("SecretBundle").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Whether and when a secret is valid. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretAttributes {
    /// Whether it can be read.
    pub enabled: bool,
    /// Not before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// Not after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// When this version was made.
    pub created: i64,
    /// When it was changed last.
    pub updated: i64,
    /// What a deletion leaves, as `CustomizedRecoverable+Purgeable`.
    pub recovery_level: String,
    /// For how many days it can be recovered.
    pub recoverable_days: i64,
}

/// A secret that is deleted and can be recovered. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletedSecretBundle {
    /// Its address among the deleted ones.
    pub recovery_id: String,
    /// When it was deleted.
    pub deleted_date: i64,
    /// When it goes by itself.
    pub scheduled_purge_date: i64,
    /// What it was, without its value.
    #[serde(flatten)]
    pub secret: SecretBundle,
}

/// Asks to change a version of a secret; what is absent stays.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretUpdateParameters {
    /// What kind of value it is, in the user's words.
    pub content_type: Option<String>,
    /// Whether and when it is valid.
    pub attributes: SecretAttributesRequest,
    /// The user's labels, all of them.
    pub tags: Option<BTreeMap<String, String>>,
}
