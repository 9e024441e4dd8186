//! The rights that a backup needs: USAGE of schemas, SELECT on tables, sequences and large objects, and no row security.

use std::collections::BTreeSet;

use tokio_postgres::Client;

use crate::catalog::database::Server;
use crate::catalog::{USER_SCHEMA, get, rows};
use crate::error::{Error, Result};
use crate::session::quote_identifier;

/// Objects that are named; a database with more unreadable ones is named by these.
pub const MISSING_MAX: usize = 1000;

#[derive(Default)]
struct Missing {
    objects: Vec<String>,
    grants: BTreeSet<String>,
}

impl Missing {
    fn add(&mut self, object: String, grant: String) {
        if self.objects.len() < MISSING_MAX {
            self.objects.push(object);
        }
        self.grants.insert(grant);
    }
}

/// Fails with everything that the role may not read.
pub(super) async fn require_all(client: &Client, server: &Server) -> Result<()> {
    let role = quote_identifier(&server.role);
    let mut missing = Missing::default();
    schemas(client, &role, &mut missing).await?;
    relations(client, &role, &mut missing).await?;
    large_objects(client, server.major(), &role, &mut missing).await?;
    row_security(client, &role, &mut missing).await?;
    if missing.objects.is_empty() {
        return Ok(());
    }
    Err(Error::MissingPrivileges {
        role: server.role.clone(),
        objects: missing.objects,
        grants: missing.grants.into_iter().collect(),
    })
}

async fn schemas(client: &Client, role: &str, missing: &mut Missing) -> Result<()> {
    let sql = format!(
        "SELECT n.nspname::text FROM pg_namespace n WHERE {USER_SCHEMA} AND NOT has_schema_privilege(n.oid, 'USAGE') \
         AND EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'S')) \
         ORDER BY 1 LIMIT $1"
    );
    for row in rows(client, "rights on schemas", &sql, &[&limit()]).await? {
        let schema: String = get(&row, 0)?;
        let grant = format!("GRANT USAGE ON SCHEMA {} TO {role};", quote_identifier(&schema));
        missing.add(format!("USAGE on schema {schema}"), grant);
    }
    Ok(())
}

async fn relations(client: &Client, role: &str, missing: &mut Missing) -> Result<()> {
    // By oid, so that a schema that can't be used does not hide what in it can't be read.
    let sql = format!(
        "SELECT n.nspname::text, c.relname::text, c.relkind = 'S' FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't' AND {USER_SCHEMA} \
           AND NOT has_table_privilege(c.oid, 'SELECT') ORDER BY 3, 1, 2 LIMIT $1"
    );
    for row in rows(client, "rights on tables", &sql, &[&limit()]).await? {
        let (schema, name): (String, String) = (get(&row, 0)?, get(&row, 1)?);
        let (kind, kinds) =
            if get(&row, 2)? { ("sequence", "SEQUENCES") } else { ("table", "TABLES") };
        let grant = format!(
            "GRANT SELECT ON ALL {kinds} IN SCHEMA {} TO {role};",
            quote_identifier(&schema)
        );
        missing.add(format!("SELECT on {kind} {schema}.{name}"), grant);
    }
    Ok(())
}

async fn large_objects(
    client: &Client,
    major: u32,
    role: &str,
    missing: &mut Missing,
) -> Result<()> {
    // Before 18 there is no function that tells, so the access list is read as the server reads it.
    let readable = if major >= 18 {
        "has_largeobject_privilege(m.oid, 'SELECT')"
    } else {
        "(pg_has_role(m.lomowner, 'USAGE') OR EXISTS (SELECT FROM aclexplode(m.lomacl) x \
           WHERE x.privilege_type = 'SELECT' AND (x.grantee = 0 OR pg_has_role(x.grantee, 'USAGE'))))"
    };
    let sql = format!(
        "SELECT m.oid::text FROM pg_largeobject_metadata m \
         WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \
           AND current_setting('lo_compat_privileges') = 'off' \
           AND NOT has_table_privilege('pg_catalog.pg_largeobject', 'SELECT') AND NOT {readable} ORDER BY m.oid LIMIT $1"
    );
    for row in rows(client, "rights on large objects", &sql, &[&limit()]).await? {
        let oid: String = get(&row, 0)?;
        let grant = format!("GRANT SELECT ON LARGE OBJECT {oid} TO {role};");
        missing.add(format!("SELECT on large object {oid}"), grant);
    }
    Ok(())
}

async fn row_security(client: &Client, role: &str, missing: &mut Missing) -> Result<()> {
    let sql = format!(
        "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND {USER_SCHEMA} AND row_security_active(c.oid) \
         ORDER BY 1, 2 LIMIT $1"
    );
    for row in rows(client, "row security", &sql, &[&limit()]).await? {
        let (schema, name): (String, String) = (get(&row, 0)?, get(&row, 1)?);
        missing.add(
            format!("all rows of table {schema}.{name} (row security hides some)"),
            format!("ALTER ROLE {role} BYPASSRLS;"),
        );
    }
    Ok(())
}

fn limit() -> i64 {
    i64::try_from(MISSING_MAX).unwrap_or(i64::MAX)
}
