//! Roles in the target: which are missing, which can be made, and to which this session may give things.
//!
//! A made role can't log in and has no password, no attributes and no memberships but those among roles made with it: a restore
//! never gives anyone rights in the cluster that an administrator did not give. Roles are shared by all databases, so those
//! made stay even when the restore fails.

use std::collections::HashSet;

use tokio_postgres::Client;

use super::context::Context;
use super::{RoleMode, temporary};
use crate::error::{Error, Result};
use crate::manifest::Role;
use crate::part::PartReader;
use crate::session::quote_identifier;

/// What this restore may do with roles.
#[derive(Debug, Clone, Default)]
pub(super) struct Roles {
    /// Owners and privileges are left out altogether.
    pub(super) ignored: bool,
    /// In the target, after missing ones were made.
    pub(super) present: HashSet<String>,
    /// Those of them that objects can be given to.
    pub(super) assignable: HashSet<String>,
}

impl Roles {
    /// Whether an object can be given to the role.
    pub(super) fn can_own(&self, role: &str) -> bool {
        !self.ignored && self.assignable.contains(role)
    }
}

impl Context {
    /// Makes the roles that are missing, as far as allowed, and looks at what then is there.
    pub(super) async fn make_roles(&self) -> Result<Roles> {
        if self.request.options.roles == RoleMode::Ignore {
            return Ok(Roles { ignored: true, ..Roles::default() });
        }
        let client = temporary::open_maintenance(&self.request.target).await?;
        if self.target.create_role {
            self.make_missing(&client).await?;
        }
        let version = self.target.version_num;
        // What may be set as an owner, and what is then still in reach of this session.
        let member = if version >= 160_000 { "SET" } else { "MEMBER" };
        let statement = format!(
            "SELECT rolname::text, pg_catalog.pg_has_role(oid, '{member}') AND pg_catalog.pg_has_role(oid, 'USAGE') \
             FROM pg_catalog.pg_roles"
        );
        let mut roles = Roles::default();
        let found =
            client.query(&statement, &[]).await.map_err(|e| Error::sql("list the roles", &e))?;
        for row in found {
            let name: String = row.get(0);
            if row.get(1) {
                roles.assignable.insert(name.clone());
            }
            roles.present.insert(name);
        }
        Ok(roles)
    }

    async fn make_missing(&self, client: &Client) -> Result<()> {
        let mut made = Vec::new();
        let mut reader = PartReader::new(&self.repository, &self.manifest.roles);
        while let Some(role) = reader.next::<Role>().await? {
            // A mapped role goes by a name that is there.
            let is_mapped = self.request.role_map.name(&role.name) != role.name;
            if is_mapped || self.target.roles.contains(&role.name) {
                continue;
            }
            let inherit = if role.inherit { "INHERIT" } else { "NOINHERIT" };
            let statement =
                format!("CREATE ROLE {} NOLOGIN {inherit}", quote_identifier(&role.name));
            match client
                .batch_execute(&statement)
                .await
                .map_err(|e| Error::sql("create a role", &e))
            {
                Ok(()) => made.push(role),
                // Another restore may make the same one at the same time.
                Err(error) if matches!(error.sqlstate(), Some("42710" | "23505")) => {}
                Err(error) if error.sqlstate().is_some() => {
                    self.warn(
                        "RoleNotMade",
                        format!("role {:?} could not be made: {error}", role.name),
                    );
                }
                Err(error) => return Err(error),
            }
        }
        self.join_made(client, &made).await
    }

    /// Memberships among the made ones; and this session must be a member to give them anything, unless it may do all.
    async fn join_made(&self, client: &Client, made: &[Role]) -> Result<()> {
        let names: HashSet<&str> = made.iter().map(|role| role.name.as_str()).collect();
        for role in made {
            let member = quote_identifier(&role.name);
            let mut statements = Vec::new();
            if !self.target.superuser {
                statements
                    .push(format!("GRANT {member} TO {}", quote_identifier(&self.target.user)));
            }
            for membership in &role.member_of {
                if names.contains(membership.role.as_str()) {
                    statements
                        .push(format!("GRANT {} TO {member}", quote_identifier(&membership.role)));
                } else {
                    let message = format!(
                        "role {:?} was made, but not as a member of {:?}",
                        role.name, membership.role
                    );
                    self.warn("MembershipLeftOut", message);
                }
            }
            for statement in statements {
                match client
                    .batch_execute(&statement)
                    .await
                    .map_err(|e| Error::sql("grant a role", &e))
                {
                    Ok(()) => {}
                    Err(error) if error.sqlstate().is_some() => {
                        self.warn("MembershipLeftOut", error.to_string());
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}
