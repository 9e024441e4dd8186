//! The identities that a vault acts with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tagged::text_enum;

/// The identity of a vault.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DppIdentityDetails {
    /// Which kinds of identity it has.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<IdentityType>,
    /// The principal that role assignments name; written by the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    /// The principal's tenant; written by the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// The user-assigned identities, by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_assigned_identities: Option<BTreeMap<String, Value>>,
}

text_enum! {
    /// The kinds of identity that a resource has.
    pub enum IdentityType {
        /// No identity.
        None = "None",
        /// One that is made and deleted with the resource.
        SystemAssigned = "SystemAssigned",
        /// One that is made by the user.
        UserAssigned = "UserAssigned",
        /// Both.
        SystemAssignedUserAssigned = "SystemAssigned,UserAssigned",
    }
}

/// Which of the vault's identities a backup instance or a restore uses.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityDetails {
    /// The vault's own; the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_system_assigned_identity: Option<bool>,
    /// The id of a user-assigned one.
    #[serde(
        alias = "userAssignedIdentityArmURL",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub user_assigned_identity_arm_url: Option<String>,
}
