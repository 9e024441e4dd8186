//! Who may do what: Azure's role model, evaluated.
//!
//! A principal may do an action at a scope when some assignment of a role at that scope or above allows it. Default is
//! no. There are no deny assignments. Roles are the built-in ones of `app::role_definition` and those that were made here.

mod evaluate;

use coffer_azure::ResourceId;

pub use evaluate::{pattern_matches, scope_covers};

use crate::app::{App, role_definition};
use crate::db::role_assignment::{self, RoleAssignment};
use crate::db::role_definition::{self as role_rows, RoleRow};
use crate::error::{Error, ErrorKind};
use crate::identity::Caller;

/// A built-in role: which actions and data actions it allows. Patterns hold `*` for any number of characters; comparing ignores
/// case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleDefinition {
    /// Azure's GUID, lower case.
    pub id: &'static str,
    /// As `Backup Contributor`.
    pub name: &'static str,
    /// One sentence.
    pub description: &'static str,
    /// What it allows in the control plane.
    pub actions: &'static [&'static str],
    /// What is taken from `actions` again.
    pub not_actions: &'static [&'static str],
    /// What it allows in the data plane (values of secrets, blobs).
    pub data_actions: &'static [&'static str],
    /// What is taken from `data_actions` again.
    pub not_data_actions: &'static [&'static str],
}

impl RoleDefinition {
    /// Whether this role allows the action.
    pub fn allows(&self, action: &str, data_action: bool) -> bool {
        let (with, without) = if data_action {
            (self.data_actions, self.not_data_actions)
        } else {
            (self.actions, self.not_actions)
        };
        matches_any(with, action) && !matches_any(without, action)
    }
}

fn matches_any(patterns: &[impl AsRef<str>], action: &str) -> bool {
    patterns.iter().any(|pattern| pattern_matches(pattern.as_ref(), action))
}

/// A role that can be given.
#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    /// One of Azure's.
    BuiltIn(&'static RoleDefinition),
    /// One that was made here.
    Custom(RoleRow),
}

impl Role {
    /// GUID, lower case.
    pub fn id(&self) -> &str {
        match self {
            Self::BuiltIn(role) => role.id,
            Self::Custom(role) => &role.id,
        }
    }

    /// For people.
    pub fn name(&self) -> &str {
        match self {
            Self::BuiltIn(role) => role.name,
            Self::Custom(role) => &role.name,
        }
    }

    /// Whether this role allows the action. What one permission of it takes away, another may give.
    pub fn allows(&self, action: &str, data_action: bool) -> bool {
        match self {
            Self::BuiltIn(role) => role.allows(action, data_action),
            Self::Custom(role) => role.permissions.iter().any(|permission| {
                let (with, without) = if data_action {
                    (&permission.data_actions, &permission.not_data_actions)
                } else {
                    (&permission.actions, &permission.not_actions)
                };
                matches_any(with, action) && !matches_any(without, action)
            }),
        }
    }
}

/// Everything that a principal was given, read at one moment: for answers that need many decisions (lists).
#[derive(Clone, Debug)]
pub struct Grants {
    assignments: Vec<RoleAssignment>,
    /// Those of them that are not built in.
    custom: Vec<Role>,
}

impl Grants {
    /// Whether the action is allowed at a scope.
    pub fn allow(&self, action: &str, data_action: bool, scope: &ResourceId) -> bool {
        self.assignments.iter().any(|assignment| {
            scope_covers(&assignment.scope_key, scope.key())
                && self.role_allows(&assignment.role_id, action, data_action)
        })
    }

    /// Whether the action is allowed at a scope or at something in it: whether a list may show anything.
    pub fn allow_within(&self, action: &str, scope: &ResourceId) -> bool {
        self.assignments.iter().any(|assignment| {
            (scope_covers(&assignment.scope_key, scope.key())
                || scope_covers(scope.key(), &assignment.scope_key))
                && self.role_allows(&assignment.role_id, action, false)
        })
    }

    fn role_allows(&self, role_id: &str, action: &str, data_action: bool) -> bool {
        match role_definition::builtin().iter().find(|role| role.id == role_id) {
            Some(role) => role.allows(action, data_action),
            None => self
                .custom
                .iter()
                .any(|role| role.id() == role_id && role.allows(action, data_action)),
        }
    }

    /// Whether there is any assignment at the scope, above or below it: whether its existence may be known.
    pub fn reach(&self, scope: &ResourceId) -> bool {
        self.assignments.iter().any(|assignment| {
            scope_covers(&assignment.scope_key, scope.key())
                || scope_covers(scope.key(), &assignment.scope_key)
        })
    }
}

impl App {
    /// Reads everything that a principal was given.
    ///
    /// # Errors
    /// The database fails.
    pub async fn grants(&self, principal_id: &str) -> Result<Grants, Error> {
        let assignments = role_assignment::list_for_principal(self.db.read(), principal_id).await?;
        let is_builtin = |id: &str| role_definition::builtin().iter().any(|role| role.id == id);
        let custom = if assignments.iter().all(|assignment| is_builtin(&assignment.role_id)) {
            Vec::new()
        } else {
            let rows = role_rows::list_for_principal(self.db.read(), principal_id).await?;
            rows.into_iter().map(Role::Custom).collect()
        };
        Ok(Grants { assignments, custom })
    }

    /// Whether a principal may do an action at a scope (a resource's id, a group's, a subscription's, or the root).
    ///
    /// # Errors
    /// The database fails.
    pub async fn allows(
        &self,
        principal_id: &str,
        action: &str,
        data_action: bool,
        scope: &ResourceId,
    ) -> Result<bool, Error> {
        Ok(self.grants(principal_id).await?.allow(action, data_action, scope))
    }

    /// Refuses with ARM's `AuthorizationFailed` unless the caller may do the action at the scope.
    /// Call it before anything is looked up.
    ///
    /// # Errors
    /// [`Forbidden`](ErrorKind::Forbidden), or the database fails.
    pub async fn authorize(
        &self,
        caller: &Caller,
        action: &str,
        scope: &ResourceId,
    ) -> Result<(), Error> {
        if self.allows(&caller.principal_id, action, false, scope).await? {
            caller.trail.allowed(action, scope.as_str());
            return Ok(());
        }
        Err(authorization_failed(caller, action, scope))
    }

    /// The same for a list: its entries are to be filtered by the grants that this returns, as ARM does, so that whoever
    /// may read one group finds what is in it by listing the subscription.
    ///
    /// # Errors
    /// [`Forbidden`](ErrorKind::Forbidden), or the database fails.
    pub async fn authorize_list(
        &self,
        caller: &Caller,
        action: &str,
        scope: &ResourceId,
    ) -> Result<Grants, Error> {
        let grants = self.grants(&caller.principal_id).await?;
        if grants.allow_within(action, scope) {
            caller.trail.allowed(action, scope.as_str());
            return Ok(grants);
        }
        Err(authorization_failed(caller, action, scope))
    }

    /// The same for a data action.
    ///
    /// # Errors
    /// [`Forbidden`](ErrorKind::Forbidden), or the database fails.
    pub async fn authorize_data(
        &self,
        caller: &Caller,
        action: &str,
        scope: &ResourceId,
    ) -> Result<(), Error> {
        if self.allows(&caller.principal_id, action, true, scope).await? {
            caller.trail.allowed(action, scope.as_str());
            return Ok(());
        }
        Err(authorization_failed(caller, action, scope))
    }
}

/// ARM's words for a caller who may not.
pub fn authorization_failed(caller: &Caller, action: &str, scope: &ResourceId) -> Error {
    caller.trail.refused(action, scope.as_str());
    Error::new(
        ErrorKind::Forbidden,
        "AuthorizationFailed",
        format!(
            "The client '{}' with object id '{}' does not have authorization to perform action '{action}' over scope \
             '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
            caller.application_id, caller.principal_id
        ),
    )
}
