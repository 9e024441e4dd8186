//! Roles: those of Azure that this service knows, and those that were made here.
//!
//! Ids, names, descriptions and permissions of the built-in ones are those that Azure publishes. The one addition: the three
//! backup roles may also read jobs, which Azure's published lists leave out although its portal shows jobs to holders of these
//! roles (it reads them from another service, which Coffer doesn't have).
//!
//! # Rules of one's own roles
//!
//! * Whoever makes, changes or deletes one needs `roleDefinitions/write` (`delete`) at every scope where it can be assigned,
//!   before and after the change: nobody widens by a role what he may do himself.
//! * A role can be assigned in subscriptions and resource groups that exist; not at the root.
//! * Names are unique in the installation, in any case, also among the built-in ones.
//! * A role that somebody has is not deleted, and not taken from a scope where somebody has it.

mod builtin;
mod permission;
mod request;
#[cfg(test)]
mod tests;

use coffer_azure::ResourceId;
use coffer_azure::duration::format_time;
use coffer_azure::role::{
    Permission, RoleDefinitionProperties, RoleDefinitionRequest, RoleDefinitionResource,
};
use uuid::Uuid;

use super::{App, Caller};
use crate::authz::{Role, RoleDefinition, authorization_failed};
use crate::db::role_definition::{self as rows, RoleRow};
use crate::db::{self, Executor, Tx, role_assignment};
use crate::error::Error;

/// The type of a role definition.
pub const ROLE_DEFINITION_TYPE: &str = "Microsoft.Authorization/roleDefinitions";
/// Most roles of one's own, as in Azure.
pub const CUSTOM_ROLES_MAX: i64 = 5000;
/// Scopes that are looked at, and those that are named, when a role is in use.
const SCOPES_OF_ROLE_MAX: u32 = 10_000;

const READ: &str = "Microsoft.Authorization/roleDefinitions/read";
const WRITE: &str = "Microsoft.Authorization/roleDefinitions/write";
const DELETE: &str = "Microsoft.Authorization/roleDefinitions/delete";
const BUILT_IN_ROLE: &str = "BuiltInRole";
const CUSTOM_ROLE: &str = "CustomRole";

/// The built-in roles.
pub fn builtin() -> &'static [RoleDefinition] {
    builtin::ROLES
}

/// The GUID that a `roleDefinitionId` names: `…/providers/Microsoft.Authorization/roleDefinitions/{guid}` at the root or
/// any scope, or the GUID alone.
fn guid_of(role_definition_id: &str) -> Option<String> {
    let guid = match ResourceId::parse(role_definition_id) {
        Ok(id) if id.is_type(ROLE_DEFINITION_TYPE) => Uuid::try_parse(id.name()).ok()?,
        Ok(_) => return None,
        Err(_) => Uuid::try_parse(role_definition_id).ok()?,
    };
    Some(guid.to_string())
}

/// The built-in role that a `roleDefinitionId` names.
pub fn find_builtin(role_definition_id: &str) -> Option<&'static RoleDefinition> {
    let guid = guid_of(role_definition_id)?;
    builtin().iter().find(|role| role.id == guid)
}

/// The role that a `roleDefinitionId` names; none when there is no such role.
///
/// # Errors
/// The database fails.
pub async fn find<'e>(
    executor: impl Executor<'e>,
    role_definition_id: &str,
) -> Result<Option<Role>, Error> {
    if let Some(role) = find_builtin(role_definition_id) {
        return Ok(Some(Role::BuiltIn(role)));
    }
    match guid_of(role_definition_id) {
        Some(guid) => Ok(rows::get(executor, &guid).await?.map(Role::Custom)),
        None => Ok(None),
    }
}

/// The role of a name or id, in any case.
///
/// # Errors
/// The database fails.
pub async fn find_by_name_or_id(tx: &mut Tx, name_or_id: &str) -> Result<Option<Role>, Error> {
    let of_that_name = builtin().iter().find(|role| role.name.eq_ignore_ascii_case(name_or_id));
    if let Some(role) = of_that_name {
        return Ok(Some(Role::BuiltIn(role)));
    }
    match find(&mut **tx, name_or_id).await? {
        Some(role) => Ok(Some(role)),
        None => Ok(rows::get_by_name(&mut **tx, name_or_id).await?.map(Role::Custom)),
    }
}

/// The id of a role as it is shown at a scope: in a subscription when the scope lies in one, else at the root.
pub fn shown_id(role: &Role, scope: &ResourceId) -> ResourceId {
    scope.subscription_id().map_or_else(ResourceId::root, ResourceId::subscription).provider_child(
        "Microsoft.Authorization",
        "roleDefinitions",
        role.id(),
    )
}

/// Which of the roles a list asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleFilter {
    /// The one of this name, in any case.
    pub name: Option<String>,
    /// Those of this kind: `BuiltInRole` or `CustomRole`.
    pub kind: Option<String>,
    /// Those as well that can be assigned only below the scope.
    pub and_below: bool,
}

impl RoleFilter {
    fn matches(&self, role: &Role, scope: &ResourceId) -> bool {
        let kind = kind_of(role);
        self.name.as_ref().is_none_or(|name| name.to_lowercase() == role.name().to_lowercase())
            && self.kind.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(kind))
            && match role {
                Role::BuiltIn(_) => true,
                Role::Custom(role) => role.assignable_scopes.iter().any(|assignable| {
                    scope.is_within(assignable) || (self.and_below && assignable.is_within(scope))
                }),
            }
    }
}

impl App {
    /// The roles that can be assigned at a scope.
    ///
    /// # Errors
    /// The caller may not read roles there. At the root everybody may read the built-in ones, and of the others those that he
    /// may read where they can be assigned.
    pub async fn role_definition_list(
        &self,
        caller: &Caller,
        scope: &ResourceId,
        filter: &RoleFilter,
    ) -> Result<Vec<RoleDefinitionResource>, Error> {
        let grants = self.grants(&caller.principal_id).await?;
        let reads_all = grants.allow(READ, false, scope);
        if !reads_all && !scope.is_root() {
            return Err(authorization_failed(caller, READ, scope));
        }
        let custom = rows::list(self.db.read()).await?.into_iter().filter(|role| {
            reads_all || role.assignable_scopes.iter().any(|at| grants.allow(READ, false, at))
        });
        let filter = match scope.is_root() {
            // What can be assigned nowhere at the root is below it.
            true => &RoleFilter { and_below: true, ..filter.clone() },
            false => filter,
        };
        Ok(builtin()
            .iter()
            .map(Role::BuiltIn)
            .chain(custom.map(Role::Custom))
            .filter(|role| filter.matches(role, scope))
            .map(|role| shown(&role, scope))
            .collect())
    }

    /// One role by its GUID.
    ///
    /// # Errors
    /// As [`role_definition_list`](Self::role_definition_list); `RoleDefinitionDoesNotExist`.
    pub async fn role_definition_get(
        &self,
        caller: &Caller,
        scope: &ResourceId,
        name: &str,
    ) -> Result<RoleDefinitionResource, Error> {
        let grants = self.grants(&caller.principal_id).await?;
        let reads_all = grants.allow(READ, false, scope);
        if !reads_all && !scope.is_root() {
            return Err(authorization_failed(caller, READ, scope));
        }
        let role = find(self.db.read(), name).await?.filter(|role| match role {
            Role::BuiltIn(_) => true,
            Role::Custom(role) => {
                reads_all || role.assignable_scopes.iter().any(|at| grants.allow(READ, false, at))
            }
        });
        role.map(|role| shown(&role, scope)).ok_or_else(|| does_not_exist(name))
    }

    /// Makes a role, or changes it.
    ///
    /// # Errors
    /// The caller may not, or a [rule](self) is broken.
    pub async fn role_definition_put(
        &self,
        caller: &Caller,
        scope: &ResourceId,
        name: &str,
        body: impl FnOnce() -> Result<RoleDefinitionRequest, Error>,
    ) -> Result<RoleDefinitionResource, Error> {
        self.authorize(caller, WRITE, scope).await?;
        let id = request::check_id(name)?;
        let wanted = request::check(&id, body()?)?;
        for assignable in &wanted.assignable_scopes {
            self.authorize(caller, WRITE, assignable).await?;
        }
        let now_us = self.clock.now_us();
        let mut tx = self.begin(caller).await?;
        let existing = rows::get(&mut *tx, &id).await?;
        match &existing {
            Some(existing) => self.require_everywhere(caller, WRITE, scope, existing).await?,
            None if rows::count(&mut *tx).await? >= CUSTOM_ROLES_MAX => {
                return Err(Error::invalid(
                    "RoleDefinitionLimitExceeded",
                    format!(
                        "There are {CUSTOM_ROLES_MAX} custom roles already; no more can be made."
                    ),
                ));
            }
            None => {}
        }
        for assignable in &wanted.assignable_scopes {
            require_scope(&mut tx, assignable).await?;
        }
        let same_name = rows::get_by_name(&mut *tx, &wanted.name).await?;
        if same_name.is_some_and(|other| other.id != id) {
            return Err(request::name_is_taken(&wanted.name));
        }
        require_not_in_use(&mut tx, &wanted).await?;
        let role = RoleRow {
            created_by: existing
                .as_ref()
                .map_or_else(|| caller.principal_id.clone(), |role| role.created_by.clone()),
            updated_by: caller.principal_id.clone(),
            created_us: existing.as_ref().map_or(now_us, |role| role.created_us),
            updated_us: now_us,
            ..wanted
        };
        rows::put(&mut tx, &role).await?;
        tx.commit().await?;
        Ok(shown(&Role::Custom(role), scope))
    }

    /// Deletes a role. None when there was none.
    ///
    /// # Errors
    /// The caller may not; somebody has it; it is built in.
    pub async fn role_definition_delete(
        &self,
        caller: &Caller,
        scope: &ResourceId,
        name: &str,
    ) -> Result<Option<RoleDefinitionResource>, Error> {
        self.authorize(caller, DELETE, scope).await?;
        let id = request::check_id(name)?;
        let mut tx = self.begin(caller).await?;
        let Some(role) = rows::get(&mut *tx, &id).await? else { return Ok(None) };
        self.require_everywhere(caller, DELETE, scope, &role).await?;
        if !role_assignment::scopes_of_role(&mut *tx, &id, 1).await?.is_empty() {
            return Err(has_assignments(&role.name));
        }
        rows::delete(&mut tx, &id).await?;
        tx.commit().await?;
        Ok(Some(shown(&Role::Custom(role), scope)))
    }

    /// Refuses unless the caller may do this wherever the role can be assigned. The scope that is named is the request's own:
    /// where a role of others can be assigned is nobody's business.
    async fn require_everywhere(
        &self,
        caller: &Caller,
        action: &str,
        scope: &ResourceId,
        role: &RoleRow,
    ) -> Result<(), Error> {
        let grants = self.grants(&caller.principal_id).await?;
        if role.assignable_scopes.iter().all(|at| grants.allow(action, false, at)) {
            return Ok(());
        }
        Err(authorization_failed(caller, action, scope))
    }
}

async fn require_scope(tx: &mut Tx, scope: &ResourceId) -> Result<(), Error> {
    if db::resource_exists(&mut **tx, scope).await? {
        return Ok(());
    }
    Err(match (scope.resource_group(), scope.subscription_id()) {
        (Some(group), _) => db::resource::resource_group_not_found(group),
        (None, subscription) => {
            db::resource::subscription_not_found(subscription.unwrap_or_default())
        }
    })
}

/// Whoever has the role keeps it where he has it.
async fn require_not_in_use(tx: &mut Tx, wanted: &RoleRow) -> Result<(), Error> {
    let used = role_assignment::scopes_of_role(&mut **tx, &wanted.id, SCOPES_OF_ROLE_MAX).await?;
    let all_stay = used
        .iter()
        .all(|scope| wanted.assignable_scopes.iter().any(|assignable| scope.is_within(assignable)));
    if all_stay { Ok(()) } else { Err(has_assignments(&wanted.name)) }
}

fn has_assignments(name: &str) -> Error {
    Error::invalid(
        "RoleDefinitionHasAssignments",
        format!(
            "There are existing role assignments referencing the role '{name}'. Delete them first."
        ),
    )
}

/// Azure's answer for a role that does not exist.
pub fn does_not_exist(name: &str) -> Error {
    Error::not_found(
        "RoleDefinitionDoesNotExist",
        format!("The specified role definition with ID '{name}' does not exist."),
    )
}

fn kind_of(role: &Role) -> &'static str {
    match role {
        Role::BuiltIn(_) => BUILT_IN_ROLE,
        Role::Custom(_) => CUSTOM_ROLE,
    }
}

fn shown(role: &Role, scope: &ResourceId) -> RoleDefinitionResource {
    let properties = match role {
        Role::BuiltIn(role) => {
            let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
            RoleDefinitionProperties {
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
                created_on: None,
                updated_on: None,
                created_by: None,
                updated_by: None,
            }
        }
        Role::Custom(role) => RoleDefinitionProperties {
            role_name: role.name.clone(),
            kind: CUSTOM_ROLE.to_owned(),
            description: role.description.clone(),
            assignable_scopes: role.assignable_scopes.iter().map(ToString::to_string).collect(),
            permissions: role.permissions.clone(),
            created_on: Some(format_time(role.created_us)),
            updated_on: Some(format_time(role.updated_us)),
            created_by: Some(role.created_by.clone()),
            updated_by: Some(role.updated_by.clone()),
        },
    };
    RoleDefinitionResource {
        properties,
        id: shown_id(role, scope).to_string(),
        kind: ROLE_DEFINITION_TYPE.to_owned(),
        name: role.id().to_owned(),
    }
}
