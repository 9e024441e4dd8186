//! Role assignments: giving a role to a principal at a scope, and taking it away.
//!
//! # Rules
//!
//! * A principal has a role at a scope at most once; asking again under the same name changes nothing.
//! * An assignment is never changed: another role or principal under an existing name is refused.
//! * A role of one's own is given only within the scopes that it was made for.
//! * Only principals that exist get roles, and only at scopes that exist: an assignment that waits for its resource
//!   would give rights over whatever is made there later.

use coffer_azure::ResourceId;
use coffer_azure::duration::format_time;
use coffer_azure::role::{RoleAssignmentProperties, RoleAssignmentRequest, RoleAssignmentResource};
use uuid::Uuid;

use super::{App, Caller, role_definition};
use crate::authz::Role;
use crate::db::principal::{Principal, PrincipalKind};
use crate::db::role_assignment::{self as rows, Around, RoleAssignment};
use crate::db::{self, Page, Paged, Tx, principal};
use crate::error::Error;

/// The type of a role assignment.
pub const ROLE_ASSIGNMENT_TYPE: &str = "Microsoft.Authorization/roleAssignments";

/// Longest page of a list.
const PAGE_ROWS_MAX: u32 = 1000;

/// What every principal of this installation is, but for people of whom another issuer tells.
const SERVICE_PRINCIPAL: &str = "ServicePrincipal";
const USER: &str = "User";

/// Which assignments a list asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssignmentFilter {
    /// Only those of this principal.
    pub principal_id: Option<String>,
    /// Not those below the scope.
    pub at_scope: bool,
}

impl App {
    /// Gives a role to a principal. True beside the assignment when it is new.
    ///
    /// # Errors
    /// The caller may not, the body is not one, or a [rule](self) is broken.
    pub async fn role_assignment_put(
        &self,
        caller: &Caller,
        scope: &ResourceId,
        name: &str,
        body: impl FnOnce() -> Result<RoleAssignmentRequest, Error>,
    ) -> Result<(RoleAssignmentResource, bool), Error> {
        self.authorize(caller, "Microsoft.Authorization/roleAssignments/write", scope).await?;
        let request = &body()?;
        let id = assignment_id(scope, name)?;
        if request.condition.as_ref().is_some_and(|condition| !condition.trim().is_empty()) {
            return Err(Error::invalid(
                "ConditionNotSupported",
                "Conditions on role assignments are not supported.",
            )
            .with_target("properties.condition"));
        }
        let mut tx = self.begin(caller).await?;
        let role = role_require(&mut tx, &request.role_definition_id, scope).await?;
        let principal = principal::get(&mut *tx, &request.principal_id).await?.ok_or_else(|| {
            Error::invalid(
                "PrincipalNotFound",
                format!(
                    "Principal {} does not exist in the directory {}. Check that you have the correct principal ID: it is the \
                     object id, not the client id.",
                    request.principal_id, self.identity.tenant_id
                ),
            )
            .with_target("properties.principalId")
        })?;
        let principal_type = principal_type(request, &principal)?;
        scope_require(&mut tx, scope).await?;
        if let Some(existing) = rows::get(&mut *tx, &id).await? {
            if existing.principal_id == principal.id && existing.role_id == role.id() {
                return Ok((shown(&existing), false));
            }
            return Err(Error::conflict(
                "RoleAssignmentUpdateNotPermitted",
                "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
            ));
        }
        let of_principal = rows::list_for_principal(&mut *tx, &principal.id).await?;
        if let Some(same) =
            of_principal.iter().find(|other| other.scope == *scope && other.role_id == role.id())
        {
            return Err(Error::conflict(
                "RoleAssignmentExists",
                format!(
                    "The role assignment already exists. The ID of the existing role assignment is {}.",
                    same.id.name().replace('-', "")
                ),
            ));
        }
        let now_us = self.clock.now_us();
        let assignment = RoleAssignment {
            id,
            scope: scope.clone(),
            scope_key: scope.key().to_owned(),
            principal_id: principal.id,
            principal_type: principal_type.to_owned(),
            role_id: role.id().to_owned(),
            role_definition_id: role_definition::shown_id(&role, scope).to_string(),
            created_by: caller.principal_id.clone(),
            created_us: now_us,
            updated_us: now_us,
        };
        rows::insert(&mut tx, &assignment).await?;
        tx.commit().await?;
        Ok((shown(&assignment), true))
    }

    /// One assignment.
    ///
    /// # Errors
    /// The caller may not, or `RoleAssignmentNotFound`.
    pub async fn role_assignment_get(
        &self,
        caller: &Caller,
        scope: &ResourceId,
        name: &str,
    ) -> Result<RoleAssignmentResource, Error> {
        self.authorize(caller, "Microsoft.Authorization/roleAssignments/read", scope).await?;
        let id = assignment_id(scope, name)?;
        rows::get(self.db.read(), &id).await?.as_ref().map(shown).ok_or_else(|| {
            Error::not_found(
                "RoleAssignmentNotFound",
                format!("The role assignment '{name}' is not found."),
            )
        })
    }

    /// Takes a role away. None when there was no such assignment.
    ///
    /// # Errors
    /// The caller may not.
    pub async fn role_assignment_delete(
        &self,
        caller: &Caller,
        scope: &ResourceId,
        name: &str,
    ) -> Result<Option<RoleAssignmentResource>, Error> {
        self.authorize(caller, "Microsoft.Authorization/roleAssignments/delete", scope).await?;
        let id = assignment_id(scope, name)?;
        let mut tx = self.begin(caller).await?;
        let Some(existing) = rows::get(&mut *tx, &id).await? else { return Ok(None) };
        rows::delete(&mut tx, &id).await?;
        tx.commit().await?;
        Ok(Some(shown(&existing)))
    }

    /// The assignments that hold at a scope: made there, above it and (unless the filter says otherwise) below it. By id,
    /// in pages.
    ///
    /// # Errors
    /// The caller may not read assignments at the scope.
    pub async fn role_assignment_list(
        &self,
        caller: &Caller,
        scope: &ResourceId,
        filter: &AssignmentFilter,
        page: &Page,
    ) -> Result<Paged<RoleAssignmentResource>, Error> {
        self.authorize(caller, "Microsoft.Authorization/roleAssignments/read", scope).await?;
        let rows_max = match page.rows_max {
            0 => PAGE_ROWS_MAX,
            asked => asked.min(PAGE_ROWS_MAX),
        };
        let around = Around {
            scope,
            with_below: !filter.at_scope,
            principal_id: filter.principal_id.as_deref(),
        };
        let after = page.after.as_deref().unwrap_or_default();
        // One more than is shown tells whether there is a next page.
        let mut found =
            rows::list_around(self.db.read(), around, after, rows_max.saturating_add(1)).await?;
        let is_more = found.len() > rows_max as usize;
        found.truncate(rows_max as usize);
        let next = found.last().filter(|_| is_more).map(|last| last.id.key().to_owned());
        Ok(Paged { items: found.iter().map(shown).collect(), next })
    }
}

/// The role, if it exists and can be assigned at the scope.
async fn role_require(
    tx: &mut Tx,
    role_definition_id: &str,
    scope: &ResourceId,
) -> Result<Role, Error> {
    let role = role_definition::find(&mut **tx, role_definition_id).await?.ok_or_else(|| {
        Error::invalid(
            "RoleDefinitionDoesNotExist",
            format!("The specified role definition with ID '{role_definition_id}' does not exist."),
        )
        .with_target("properties.roleDefinitionId")
    })?;
    match &role {
        Role::Custom(custom)
            if !custom.assignable_scopes.iter().any(|assignable| scope.is_within(assignable)) =>
        {
            Err(Error::invalid(
                "RoleAssignmentScopeNotAssignableToRoleDefinition",
                format!("The role definition '{role_definition_id}' cannot be assigned at the scope '{scope}'."),
            )
            .with_target("properties.roleDefinitionId"))
        }
        _ => Ok(role),
    }
}

fn assignment_id(scope: &ResourceId, name: &str) -> Result<ResourceId, Error> {
    if Uuid::try_parse(name).is_err() {
        return Err(Error::invalid(
            "InvalidRoleAssignmentId",
            format!(
                "The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID."
            ),
        ));
    }
    Ok(scope.provider_child("Microsoft.Authorization", "roleAssignments", name))
}

/// What the principal is. Whether somebody of whom another issuer tells is a person or a program is for who asks to know.
fn principal_type(
    request: &RoleAssignmentRequest,
    principal: &Principal,
) -> Result<&'static str, Error> {
    match request.principal_type.as_deref() {
        None | Some("") => Ok(SERVICE_PRINCIPAL),
        Some(kind) if kind.eq_ignore_ascii_case(SERVICE_PRINCIPAL) => Ok(SERVICE_PRINCIPAL),
        Some(kind)
            if kind.eq_ignore_ascii_case(USER) && principal.kind == PrincipalKind::Federated =>
        {
            Ok(USER)
        }
        Some(kind) => Err(Error::invalid(
            "UnmatchedPrincipalType",
            format!(
                "The PrincipalId '{}' has type '{SERVICE_PRINCIPAL}', which is different from specified PrincipalType '{kind}'.",
                principal.id
            ),
        )
        .with_target("properties.principalType")),
    }
}

/// The scope exists: the root, a subscription, a group, a resource, or something inside a resource (a database of a
/// server, a secret of a key vault) that has no row of its own.
async fn scope_require(tx: &mut Tx, scope: &ResourceId) -> Result<(), Error> {
    let mut next = Some(scope.clone());
    while let Some(current) = next {
        if current.is_root() || db::resource_exists(&mut **tx, &current).await? {
            return Ok(());
        }
        if current.provider().is_none() {
            break;
        }
        next = current.parent().filter(|parent| parent.provider().is_some());
    }
    let group = scope.resource_group().unwrap_or_default();
    Err(match (scope.provider(), scope.resource_group(), scope.subscription_id()) {
        (Some(_), _, _) => Error::resource_not_found(&scope.resource_type(), scope.name(), group),
        (None, Some(group), _) => db::resource::resource_group_not_found(group),
        (None, None, subscription) => {
            db::resource::subscription_not_found(subscription.unwrap_or_default())
        }
    })
}

fn shown(assignment: &RoleAssignment) -> RoleAssignmentResource {
    RoleAssignmentResource {
        properties: RoleAssignmentProperties {
            role_definition_id: assignment.role_definition_id.clone(),
            principal_id: assignment.principal_id.clone(),
            principal_type: assignment.principal_type.clone(),
            scope: assignment.scope.to_string(),
            condition: None,
            condition_version: None,
            created_on: format_time(assignment.created_us),
            updated_on: format_time(assignment.updated_us),
            created_by: assignment.created_by.clone(),
            updated_by: assignment.created_by.clone(),
            delegated_managed_identity_resource_id: None,
            description: None,
        },
        id: assignment.id.to_string(),
        kind: ROLE_ASSIGNMENT_TYPE.to_owned(),
        name: assignment.id.name().to_owned(),
    }
}
