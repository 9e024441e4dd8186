//! Owners, privileges, comments and labels of the objects of one transaction.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::super::acl::{AclObject, statements};
use super::super::context::Context;
use super::super::roles::Roles;
use crate::error::{Error, Result};
use crate::manifest::LargeObject;
use crate::session::{quote_identifier, quote_literal};

/// Collects objects and gives statements for all of them.
pub(super) struct Attributes<'a> {
    context: &'a Context,
    roles: &'a Roles,
    objects: usize,
    statements: Statements,
    /// Numbers of objects by owner and privileges.
    granted: BTreeMap<(String, Vec<String>), Vec<u32>>,
}

/// What is to be run.
#[derive(Default)]
pub(super) struct Statements {
    /// Each ended by a semicolon.
    pub(super) sql: String,
    /// To be run one by one: what one of them is refused by is not known before.
    pub(super) labels: Vec<String>,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(context: &'a Context, roles: &'a Roles) -> Self {
        Self {
            context,
            roles,
            objects: 0,
            statements: Statements::default(),
            granted: BTreeMap::new(),
        }
    }

    /// Objects since the last [`Self::take`].
    pub(super) fn objects(&self) -> usize {
        self.objects
    }

    /// Adds an object. Only roles that are there, and in reach, are named.
    pub(super) fn add(&mut self, object: LargeObject) -> Result<()> {
        self.objects += 1;
        let name = object.oid;
        if let Some(comment) = &object.comment {
            let comment = quote_literal(comment);
            self.statement(&format!("COMMENT ON LARGE OBJECT {name} IS {comment}"));
        }
        for label in &object.labels {
            self.statements.labels.push(format!(
                "SECURITY LABEL FOR {} ON LARGE OBJECT {name} IS {}",
                quote_identifier(&label.provider),
                quote_literal(&label.label)
            ));
        }
        if self.roles.ignored {
            return Ok(());
        }
        let map = &self.context.request.role_map;
        let owner = map.name(&object.owner).to_owned();
        let acl = map.acl(object.acl.as_deref());
        if !self.roles.can_own(&owner) {
            self.context.warn(
                "OwnerNotSet",
                format!("large object {name} does not belong to role {owner:?}"),
            );
        } else if owner != self.context.target.user {
            let owner = quote_identifier(&owner);
            self.statement(&format!("ALTER LARGE OBJECT {name} OWNER TO {owner}"));
        }
        if let Some(acl) = acl {
            self.granted.entry((owner, acl)).or_default().push(name);
        }
        Ok(())
    }

    /// Statements for the objects added so far, which are forgotten.
    pub(super) fn take(&mut self) -> Result<Statements> {
        self.objects = 0;
        for ((owner, acl), oids) in std::mem::take(&mut self.granted) {
            let names: Vec<_> = oids.iter().map(u32::to_string).collect();
            let wanted =
                statements(AclObject::LargeObject, &names.join(", "), &owner, Some(&acl[..]));
            let wanted = wanted.map_err(|item| Error::Manifest {
                message: format!("privileges {item:?} are not understood"),
            })?;
            for statement in wanted {
                match &statement.role {
                    // Told when the owner was not set.
                    Some(role) if *role == owner && !self.roles.present.contains(role) => {}
                    Some(role) if !self.roles.present.contains(role) => {
                        self.context.warn(
                            "PrivilegeLost",
                            format!("role {role:?} is missing: {}", statement.sql),
                        );
                    }
                    _ => self.statement(&statement.sql),
                }
            }
        }
        Ok(std::mem::take(&mut self.statements))
    }

    fn statement(&mut self, statement: &str) {
        // Writing into a string can't fail.
        let _ = writeln!(self.statements.sql, "{statement};");
    }
}
