//! What may be asked for when a role of one's own is made or changed, and the form in which it is kept.

use coffer_azure::ResourceId;
use coffer_azure::role::{Permission, RoleDefinitionRequest};
use uuid::Uuid;

use super::CUSTOM_ROLE;
use crate::db::role_definition::RoleRow;
use crate::error::Error;

/// Most scopes where one role can be assigned.
const ASSIGNABLE_SCOPES_MAX: usize = 200;
/// Longest name, in characters, as in Azure.
const NAME_CHARS_MAX: usize = 512;
/// Longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 2048;

/// The GUID of a role that may be made or changed.
pub(super) fn check_id(name: &str) -> Result<String, Error> {
    let id = Uuid::try_parse(name).map_err(|source| {
        Error::invalid(
            "InvalidRoleDefinitionId",
            format!(
                "The role definition ID '{name}' is not valid. The role definition ID must be a GUID."
            ),
        )
        .with_source(source)
    })?;
    let id = id.to_string();
    if super::builtin().iter().any(|role| role.id == id) {
        return Err(Error::invalid(
            "RoleDefinitionUpdateNotPermitted",
            format!(
                "The role definition '{id}' is built in. Built-in roles cannot be changed or deleted."
            ),
        ));
    }
    Ok(id)
}

/// What is asked for, in the form in which it is kept.
pub(super) fn check(id: &str, request: RoleDefinitionRequest) -> Result<RoleRow, Error> {
    let properties = request.properties;
    let name = properties.role_name.trim().to_owned();
    let fits = !name.is_empty()
        && name.chars().count() <= NAME_CHARS_MAX
        && !name.chars().any(char::is_control);
    if !fits {
        return Err(Error::invalid(
            "InvalidRoleDefinitionName",
            format!("A role's name has 1 to {NAME_CHARS_MAX} printable characters."),
        )
        .with_target("properties.roleName"));
    }
    if super::builtin().iter().any(|role| role.name.to_lowercase() == name.to_lowercase()) {
        return Err(name_is_taken(&name));
    }
    if properties
        .kind
        .is_some_and(|kind| !kind.is_empty() && !kind.eq_ignore_ascii_case(CUSTOM_ROLE))
    {
        return Err(Error::invalid(
            "InvalidRoleDefinitionType",
            format!("Only roles of type '{CUSTOM_ROLE}' can be made."),
        )
        .with_target("properties.type"));
    }
    let description = properties.description.unwrap_or_default();
    if description.chars().count() > DESCRIPTION_CHARS_MAX {
        return Err(Error::invalid(
            "InvalidRoleDefinitionDescription",
            format!("A role's description has at most {DESCRIPTION_CHARS_MAX} characters."),
        )
        .with_target("properties.description"));
    }
    let permissions: Vec<Permission> =
        properties.permissions.into_iter().map(Permission::from).collect();
    super::permission::check(&permissions)?;
    Ok(RoleRow {
        id: id.to_owned(),
        name,
        description,
        permissions,
        assignable_scopes: check_scopes(&properties.assignable_scopes)?,
        created_by: String::new(),
        updated_by: String::new(),
        created_us: 0,
        updated_us: 0,
    })
}

fn check_scopes(texts: &[String]) -> Result<Vec<ResourceId>, Error> {
    let invalid = |message: String| {
        Error::invalid("InvalidAssignableScope", message).with_target("properties.assignableScopes")
    };
    if texts.is_empty() || texts.len() > ASSIGNABLE_SCOPES_MAX {
        return Err(invalid(format!(
            "A custom role has 1 to {ASSIGNABLE_SCOPES_MAX} assignable scopes."
        )));
    }
    let mut scopes: Vec<ResourceId> = Vec::new();
    for text in texts {
        let scope = ResourceId::parse(text)
            .ok()
            .filter(|scope| scope.subscription_id().is_some() && scope.provider().is_none())
            .ok_or_else(|| {
                invalid(format!(
                    "'{text}' cannot be an assignable scope of a custom role: a subscription or a resource group can."
                ))
            })?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}

pub(super) fn name_is_taken(name: &str) -> Error {
    Error::conflict(
        "RoleDefinitionWithSameNameExists",
        format!("A role definition cannot be updated with a name that already exists: '{name}'."),
    )
}
