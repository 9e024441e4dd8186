//! Role definitions and role assignments of `Microsoft.Authorization`.

use serde::{Deserialize, Serialize};

/// A role, as answers have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoleDefinitionResource {
    /// What it is.
    pub properties: RoleDefinitionProperties,
    /// Its id.
    pub id: String,
    /// `Microsoft.Authorization/roleDefinitions`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name: a GUID.
    pub name: String,
}

/// The properties of a role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleDefinitionProperties {
    /// The name that people read: `Reader`.
    pub role_name: String,
    /// `BuiltInRole` or `CustomRole`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is for.
    pub description: String,
    /// Where it can be assigned: `/` for everywhere.
    pub assignable_scopes: Vec<String>,
    /// What its holders may do.
    pub permissions: Vec<Permission>,
    /// When it was made; built-in ones were made long ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_on: Option<String>,
    /// When it was changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_on: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Who changed it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_by: Option<String>,
}

/// Asks for a role of one's own. What answers have beside this is ignored, so that an answer can be sent back changed.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct RoleDefinitionRequest {
    /// What it is to be.
    pub properties: RoleDefinitionRequestProperties,
}

/// What a role of one's own is to be.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleDefinitionRequestProperties {
    /// The name that people read.
    pub role_name: String,
    /// `CustomRole`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where it can be assigned.
    #[serde(default)]
    pub assignable_scopes: Vec<String>,
    /// What its holders may do.
    #[serde(default)]
    pub permissions: Vec<PermissionRequest>,
}

/// As [`Permission`]; clients leave out what is empty.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PermissionRequest {
    /// Patterns of actions of the control plane.
    #[serde(default)]
    pub actions: Vec<String>,
    /// What is taken from them.
    #[serde(default)]
    pub not_actions: Vec<String>,
    /// Patterns of actions on data.
    #[serde(default)]
    pub data_actions: Vec<String>,
    /// What is taken from them.
    #[serde(default)]
    pub not_data_actions: Vec<String>,
}

impl From<PermissionRequest> for Permission {
    fn from(request: PermissionRequest) -> Self {
        let PermissionRequest { actions, not_actions, data_actions, not_data_actions } = request;
        Self { actions, not_actions, data_actions, not_data_actions }
    }
}

/// What the holders of a role may do: the actions but the not-actions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Permission {
    /// Patterns of actions of the control plane.
    pub actions: Vec<String>,
    /// What is taken from them.
    pub not_actions: Vec<String>,
    /// Patterns of actions on data.
    pub data_actions: Vec<String>,
    /// What is taken from them.
    pub not_data_actions: Vec<String>,
}

/// Asks to give a role to a principal.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct RoleAssignmentCreateParameters {
    /// Which role, to whom.
    pub properties: RoleAssignmentRequest,
}

/// Which role, to whom.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleAssignmentRequest {
    /// The role's id, at the root or in a subscription.
    pub role_definition_id: String,
    /// The principal's object id.
    pub principal_id: String,
    /// `ServicePrincipal`, `User`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_type: Option<String>,
    /// A condition on the request, in Azure's language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// A role given to a principal, as answers have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoleAssignmentResource {
    /// What it is.
    pub properties: RoleAssignmentProperties,
    /// Its id.
    pub id: String,
    /// `Microsoft.Authorization/roleAssignments`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name: a GUID.
    pub name: String,
}

/// The properties of a role assignment. Absent ones are written as `null`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleAssignmentProperties {
    /// The role's id.
    pub role_definition_id: String,
    /// The principal's object id.
    pub principal_id: String,
    /// `ServicePrincipal`.
    pub principal_type: String,
    /// Where it holds, with everything below.
    pub scope: String,
    /// Not supported.
    #[serde(default)]
    pub condition: Option<String>,
    /// Not supported.
    #[serde(default)]
    pub condition_version: Option<String>,
    /// When it was made.
    pub created_on: String,
    /// When it was changed last.
    pub updated_on: String,
    /// Who made it.
    pub created_by: String,
    /// Who changed it last.
    pub updated_by: String,
    /// Not supported.
    #[serde(default)]
    pub delegated_managed_identity_resource_id: Option<String>,
    /// Not supported.
    #[serde(default)]
    pub description: Option<String>,
}
