//! What neither `pg_dump` nor we back up, found so that it can be named.

use tokio_postgres::Client;

use super::{USER_SCHEMA, get, rows};
use crate::error::Result;
use crate::manifest::Warning;

/// Objects named by one warning; of more, how many.
const NAMED_MAX: usize = 20;
/// Smallest number of an object that came after the database cluster was made (`FirstNormalObjectId`).
const FIRST_OF_USERS: u32 = 16_384;

/// One warning for each kind of loss that there is. Options of user mappings can only be missed where these are kept at all.
pub(crate) async fn left_out(client: &Client, user_mappings: bool) -> Result<Vec<Warning>> {
    let mut warnings = Vec::new();
    let mut warn = |code: &str, names: Vec<String>, say: &dyn Fn(&str) -> String| {
        if !names.is_empty() {
            warnings.push(Warning { code: code.to_owned(), message: say(&named(&names)) });
        }
    };
    warn("InvalidIndexLeftOut", invalid_indexes(client).await?, &|names| {
        format!(
            "indexes that were never built to the end are not backed up, as pg_dump leaves them out: {names}; REINDEX \
             CONCURRENTLY or DROP INDEX puts it right"
        )
    });
    let (hidden, unknown) = match user_mappings {
        true => hidden_user_mappings(client).await?,
        false => (Vec::new(), Vec::new()),
    };
    warn("UserMappingOptionsHidden", hidden, &|names| {
        format!(
            "the role of the backup may not see the options of user mappings, so that they are backed up without any: {names}"
        )
    });
    warn("UserMappingOptionsUnknown", unknown, &|names| {
        format!(
            "the role of the backup may not see whether these user mappings have options, and they are backed up without \
             any; USAGE on their servers tells it: {names}"
        )
    });
    warn("SystemSchemaObjects", in_system_schemas(client).await?, &|names| {
        format!("what was added to the server's own schemas is not backed up: {names}")
    });
    warn("DatabaseIsTemplate", template(client).await?, &|_| {
        "the database is marked as a template; a restored one is not".to_owned()
    });
    Ok(warnings)
}

fn named(names: &[String]) -> String {
    let mut text = names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMED_MAX {
        text.push_str(&format!(" and {} more", names.len() - NAMED_MAX));
    }
    text
}

async fn texts(client: &Client, what: &str, sql: &str) -> Result<Vec<String>> {
    let found = rows(client, what, sql, &[]).await?;
    found.iter().map(|row| get(row, 0)).collect()
}

/// As left by a CREATE INDEX CONCURRENTLY that failed, or that is not done yet. Of a partitioned table even an invalid one is
/// archived: it is valid once all partitions have theirs.
async fn invalid_indexes(client: &Client) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT n.nspname || '.' || c.relname || ' on ' || t.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
         JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE NOT (i.indisvalid AND i.indisready) AND t.relkind IN ('r', 'm') AND t.relpersistence <> 't' AND {USER_SCHEMA} \
         ORDER BY 1"
    );
    texts(client, "indexes that are not valid", &sql).await
}

/// Those whose options the role may not see, and those of which it may not even see whether they have any.
///
/// `pg_user_mappings` shows options to whom it trusts with them (`system_views.sql`); to others it shows none, as where there
/// are none. But to whom may use the server, the information schema names the options without their values
/// (`information_schema.sql`).
async fn hidden_user_mappings(client: &Client) -> Result<(Vec<String>, Vec<String>)> {
    let sql = "SELECT m.usename || ' on ' || m.srvname, \
           pg_has_role(s.srvowner, 'USAGE') OR has_server_privilege(s.oid, 'USAGE') AS may_use_server, \
           EXISTS (SELECT FROM information_schema.user_mapping_options o WHERE o.foreign_server_name = m.srvname \
             AND o.authorization_identifier = CASE m.umuser WHEN 0 THEN 'PUBLIC' ELSE m.usename END) AS has_options \
         FROM pg_user_mappings m JOIN pg_foreign_server s ON s.oid = m.srvid \
         WHERE m.umoptions IS NULL AND NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) \
           AND NOT (m.umuser <> 0 AND m.usename = current_user \
             AND (pg_has_role(s.srvowner, 'USAGE') OR has_server_privilege(s.oid, 'USAGE'))) \
           AND NOT (m.umuser = 0 AND pg_has_role(s.srvowner, 'USAGE')) ORDER BY 1";
    let (mut hidden, mut unknown) = (Vec::new(), Vec::new());
    for row in rows(client, "user mappings", sql, &[]).await? {
        let (may_use_server, has_options): (bool, bool) = (get(&row, 1)?, get(&row, 2)?);
        match (has_options, may_use_server) {
            (true, _) => hidden.push(get(&row, 0)?),
            (false, true) => {}
            (false, false) => unknown.push(get(&row, 0)?),
        }
    }
    Ok((hidden, unknown))
}

/// Tables, views, sequences, functions and types of users among the server's own. Members of extensions come with these;
/// row types and array types with what they belong to.
async fn in_system_schemas(client: &Client) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT n.nspname || '.' || x.name FROM (\
           SELECT 'pg_class'::regclass AS class, oid, relnamespace AS namespace, relname::text AS name FROM pg_class \
             WHERE relkind NOT IN ('i', 'I', 't') \
           UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace, proname || '()' FROM pg_proc \
           UNION ALL SELECT 'pg_operator'::regclass, oid, oprnamespace, oprname::text FROM pg_operator \
           UNION ALL SELECT 'pg_type'::regclass, oid, typnamespace, typname::text FROM pg_type \
             WHERE typrelid = 0 AND (typelem = 0 OR typlen > 0)) AS x \
         JOIN pg_namespace n ON n.oid = x.namespace \
         WHERE n.nspname IN ('pg_catalog', 'information_schema') AND x.oid >= {FIRST_OF_USERS} AND NOT EXISTS (\
           SELECT FROM pg_depend d WHERE d.classid = x.class AND d.objid = x.oid AND d.deptype IN ('e', 'i')) ORDER BY 1"
    );
    texts(client, "objects in the server's own schemas", &sql).await
}

async fn template(client: &Client) -> Result<Vec<String>> {
    let sql = "SELECT datname::text FROM pg_database WHERE datname = current_database() AND datistemplate";
    texts(client, "the kind of the database", sql).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        let names: Vec<_> = (0..25).map(|number| format!("n{number}")).collect();
        assert!(named(&names).ends_with("n19 and 5 more"));
        assert_eq!(named(&names[..2]), "n0, n1");
    }
}
