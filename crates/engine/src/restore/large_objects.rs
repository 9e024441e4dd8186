//! Large objects under their old numbers, with owner, privileges and comment.
//!
//! By SQL functions with the bytes as parameters, in pages and transactions of bounded size; never by libpq's own protocol
//! for large objects.

use std::fmt::Write as _;

use tokio_postgres::Client;

use super::acl::{AclObject, statements};
use super::context::Context;
use super::roles::Roles;
use super::stored_objects::StoredObjects;
use crate::error::{Error, Result};
use crate::manifest::LargeObject;
use crate::monitor::Phase;
use crate::session::{self, quote_identifier, quote_literal};

/// Bytes of one statement.
const PAGE_BYTES: usize = 1024 * 1024;

/// Objects of one transaction, which holds a lock for each whose owner it sets.
const TRANSACTION_OBJECTS_MAX: u32 = 500;

/// Bytes of one transaction, more or less.
const TRANSACTION_BYTES_MAX: u64 = 64 * 1024 * 1024;

impl Context {
    /// Makes all large objects.
    pub(super) async fn load_large_objects(&self, roles: &Roles) -> Result<()> {
        if !self.selected.has_large_objects() {
            return Ok(());
        }
        let mut objects = StoredObjects::new(&self.repository, &self.manifest.large_objects);
        let Some(mut object) = objects.next().await? else { return Ok(()) };
        let session = self.open().await?;
        let mut ended = false;
        while !ended {
            execute(&session, "BEGIN").await?;
            let (mut count, mut bytes) = (0, 0);
            let mut attributes = String::new();
            while count < TRANSACTION_OBJECTS_MAX && bytes < TRANSACTION_BYTES_MAX {
                bytes += self.load_object(&session, &object, &mut objects).await?;
                self.attributes(&object, roles, &mut attributes)?;
                count += 1;
                match objects.next().await? {
                    Some(next) => object = next,
                    None => {
                        ended = true;
                        break;
                    }
                }
            }
            execute(&session, &attributes).await?;
            execute(&session, "COMMIT").await?;
        }
        Ok(())
    }

    /// Makes one object with its bytes; their number.
    async fn load_object(
        &self,
        session: &Client,
        object: &LargeObject,
        objects: &mut StoredObjects,
    ) -> Result<u64> {
        let failed = |error| Error::sql(format!("make large object {}", object.oid), &error);
        let mut offset = 0_i64;
        let first = objects.piece(PAGE_BYTES).await?.unwrap_or_default();
        let make = "SELECT pg_catalog.lo_from_bytea($1, $2)";
        session.execute(make, &[&object.oid, &first.as_ref()]).await.map_err(failed)?;
        let mut done = first;
        while !done.is_empty() {
            offset += i64::try_from(done.len()).unwrap_or(i64::MAX);
            self.counters.add_bytes(done.len() as u64);
            self.report(Phase::Load, Some("large objects".to_owned()));
            done = objects.piece(PAGE_BYTES).await?.unwrap_or_default();
            if !done.is_empty() {
                let put = "SELECT pg_catalog.lo_put($1, $2, $3)";
                session
                    .execute(put, &[&object.oid, &offset, &done.as_ref()])
                    .await
                    .map_err(failed)?;
            }
        }
        self.counters.add_items(1);
        Ok(object.bytes)
    }

    /// Statements for owner, privileges and comment, appended. Only roles that are there, and in reach, are named.
    fn attributes(&self, object: &LargeObject, roles: &Roles, sql: &mut String) -> Result<()> {
        let name = object.oid.to_string();
        if let Some(comment) = &object.comment {
            add(sql, &format!("COMMENT ON LARGE OBJECT {name} IS {}", quote_literal(comment)));
        }
        if roles.ignored {
            return Ok(());
        }
        let map = &self.request.role_map;
        let owner = map.name(&object.owner);
        if roles.can_own(owner) {
            add(sql, &format!("ALTER LARGE OBJECT {name} OWNER TO {}", quote_identifier(owner)));
        } else {
            self.warn(
                "OwnerNotSet",
                format!("large object {name} does not belong to role {owner:?}"),
            );
        }
        let acl = map.acl(object.acl.as_deref());
        let wanted = statements(AclObject::LargeObject, &name, owner, acl.as_deref());
        let wanted = wanted.map_err(|item| Error::Manifest {
            message: format!("privileges {item:?} are not understood"),
        })?;
        for statement in wanted {
            match &statement.role {
                // Told above.
                Some(role) if role == owner && !roles.present.contains(role) => {}
                Some(role) if !roles.present.contains(role) => {
                    self.warn(
                        "PrivilegeLost",
                        format!("role {role:?} is missing: {}", statement.sql),
                    );
                }
                _ => add(sql, &statement.sql),
            }
        }
        Ok(())
    }
}

fn add(sql: &mut String, statement: &str) {
    // Writing into a string can't fail.
    let _ = writeln!(sql, "{statement};");
}

async fn execute(session: &Client, sql: &str) -> Result<()> {
    session::execute(session, "make large objects", sql).await
}
