//! The built-in roles of Azure that this service knows, and the questions about them.
//!
//! Ids, names, descriptions and permissions are those that Azure publishes; roles of one's own can't be made. The one
//! addition: the three backup roles may also read jobs, which Azure's published lists leave out although its portal
//! shows jobs to holders of these roles (it reads them from another service, which Coffer doesn't have).

mod builtin;
#[cfg(test)]
mod tests;

use coffer_azure::ResourceId;
use coffer_azure::role::{Permission, RoleDefinitionProperties, RoleDefinitionResource};
use uuid::Uuid;

use super::{App, Caller};
use crate::authz::RoleDefinition;
use crate::error::Error;

/// The type of a role definition.
pub const ROLE_DEFINITION_TYPE: &str = "Microsoft.Authorization/roleDefinitions";

/// The built-in roles.
pub fn builtin() -> &'static [RoleDefinition] {
    builtin::ROLES
}

/// The role that a `roleDefinitionId` names: `…/providers/Microsoft.Authorization/roleDefinitions/{guid}` at the root or
/// any scope, or the GUID alone. None when it names no built-in role.
pub fn find(role_definition_id: &str) -> Option<&'static RoleDefinition> {
    let guid = match ResourceId::parse(role_definition_id) {
        Ok(id) if id.is_type(ROLE_DEFINITION_TYPE) => Uuid::try_parse(id.name()).ok()?,
        Ok(_) => return None,
        Err(_) => Uuid::try_parse(role_definition_id).ok()?,
    };
    let guid = guid.to_string();
    builtin().iter().find(|role| role.id == guid)
}

/// The id of a role as it is shown at a scope: in a subscription when the scope lies in one, else at the root.
pub fn shown_id(role: &RoleDefinition, scope: &ResourceId) -> ResourceId {
    scope.subscription_id().map_or_else(ResourceId::root, ResourceId::subscription).provider_child(
        "Microsoft.Authorization",
        "roleDefinitions",
        role.id,
    )
}

/// Which of the roles a list asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleFilter {
    /// All of them.
    All,
    /// The one of this name, in any case.
    Name(String),
    /// Those of this kind: `BuiltInRole` for all, anything else for none.
    Kind(String),
}

impl RoleFilter {
    fn matches(&self, role: &RoleDefinition) -> bool {
        match self {
            Self::All => true,
            Self::Name(name) => role.name.eq_ignore_ascii_case(name),
            Self::Kind(kind) => kind.eq_ignore_ascii_case(BUILT_IN_ROLE),
        }
    }
}

const BUILT_IN_ROLE: &str = "BuiltInRole";

impl App {
    /// The roles that can be assigned at a scope. Their definitions are public knowledge: every caller may read them.
    pub fn role_definition_list(
        &self,
        scope: &ResourceId,
        filter: &RoleFilter,
    ) -> Vec<RoleDefinitionResource> {
        builtin()
            .iter()
            .filter(|role| filter.matches(role))
            .map(|role| shown(role, scope))
            .collect()
    }

    /// One role by its GUID.
    ///
    /// # Errors
    /// `RoleDefinitionDoesNotExist`.
    pub fn role_definition_get(
        &self,
        _caller: &Caller,
        scope: &ResourceId,
        name: &str,
    ) -> Result<RoleDefinitionResource, Error> {
        find(name).map(|role| shown(role, scope)).ok_or_else(|| does_not_exist(name))
    }
}

/// Azure's answer for a role that does not exist.
pub fn does_not_exist(name: &str) -> Error {
    Error::not_found(
        "RoleDefinitionDoesNotExist",
        format!("The specified role definition with ID '{name}' does not exist."),
    )
}

fn shown(role: &RoleDefinition, scope: &ResourceId) -> RoleDefinitionResource {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    RoleDefinitionResource {
        properties: RoleDefinitionProperties {
            role_name: role.name.to_owned(),
            kind: BUILT_IN_ROLE.to_owned(),
            description: role.description.to_owned(),
            assignable_scopes: vec!["/".to_owned()],
            permissions: vec![Permission {
                actions: texts(role.actions),
                not_actions: texts(role.not_actions),
                data_actions: texts(role.data_actions),
                not_data_actions: texts(role.not_data_actions),
            }],
        },
        id: shown_id(role, scope).to_string(),
        kind: ROLE_DEFINITION_TYPE.to_owned(),
        name: role.id.to_owned(),
    }
}
