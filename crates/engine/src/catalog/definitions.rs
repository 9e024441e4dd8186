//! Whether definitions changed since a snapshot was taken.
//!
//! `pg_dump` lists objects under its snapshot but lets the server write many of their definitions, by functions that look
//! into the newest catalog. Tables are locked against that; functions, views, types and the like can't be. One that is
//! dropped or renamed in between gives an archive that says nothing of it and can't be restored, with exit status 0.

use std::collections::{BTreeSet, HashMap};

use tokio_postgres::Client;

use super::{USER_SCHEMA, get, rows};
use crate::error::Result;

/// Kind and number of what must not change.
type Object = (String, u32);

/// Its name, where only that is looked up; who wrote its row; and, of what has files and gets a new row with each new one (a view
/// is refreshed, an index rebuilt), which file.
#[derive(PartialEq, Eq)]
struct Definition {
    name: String,
    version: Option<String>,
    file: u32,
}

impl Definition {
    /// A new row that came with a new file says nothing else; any other may mean that a name was changed and changed back.
    fn still(&self, now: &Self) -> bool {
        self.name == now.name && (self.version == now.version || self.file != now.file)
    }
}

/// Kinds of objects that are there under the session's snapshot, but not any more or not with the same definition in
/// `newest`, a session without a snapshot. What came anew since does not matter: no archive names it.
pub(crate) async fn changed(snapshot: &Client, newest: &Client) -> Result<Vec<String>> {
    // By name alone where a lock keeps the name, or a new row means little (a table is analyzed, a trigger disabled without
    // harm); by the row's version where nothing does.
    let sql = format!(
        "SELECT 'schemas' AS kind, n.oid, n.nspname::text AS name, n.xmin::text AS version, 0::oid AS file \
           FROM pg_namespace n WHERE {USER_SCHEMA} \
         UNION ALL SELECT 'functions', p.oid, '', p.xmin::text, 0 FROM pg_proc p \
           JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {USER_SCHEMA} \
         UNION ALL SELECT 'relations', c.oid, c.relnamespace || c.relname, \
           CASE WHEN c.relkind NOT IN ('r', 'p') THEN c.xmin::text END, c.relfilenode FROM pg_class c \
           JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relpersistence <> 't' AND {USER_SCHEMA} \
         UNION ALL SELECT 'views', r.oid, '', r.xmin::text, 0 FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class \
           JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {USER_SCHEMA} \
         UNION ALL SELECT 'types', t.oid, '', t.xmin::text, 0 FROM pg_type t \
           JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {USER_SCHEMA} \
         UNION ALL SELECT 'domains', d.oid, '', d.xmin::text, 0 FROM pg_constraint d \
           JOIN pg_namespace n ON n.oid = d.connamespace WHERE d.contypid <> 0 AND {USER_SCHEMA} \
         UNION ALL SELECT 'constraints', d.oid, '', d.xmin::text, 0 FROM pg_constraint d \
           JOIN pg_namespace n ON n.oid = d.connamespace WHERE d.conrelid <> 0 AND {USER_SCHEMA} \
         UNION ALL SELECT 'triggers', g.oid, g.tgname::text, NULL, 0 FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid \
           JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT g.tgisinternal AND {USER_SCHEMA} \
         UNION ALL SELECT 'statistics', s.oid, '', s.xmin::text, 0 FROM pg_statistic_ext s \
           JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE {USER_SCHEMA} \
         UNION ALL SELECT 'operators', o.oid, '', o.xmin::text, 0 FROM pg_operator o \
           JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE {USER_SCHEMA} \
         UNION ALL SELECT 'extensions', e.oid, e.extversion, NULL, 0 FROM pg_extension e"
    );
    different(snapshot, newest, &sql).await
}

/// The same for what the text of values is made of: labels of enums, attributes of composites. COPY writes them as they are
/// now, the archive declares them as they were.
pub(crate) async fn changed_values(snapshot: &Client, newest: &Client) -> Result<Vec<String>> {
    let sql = "SELECT 'labels of enums' AS kind, e.oid, e.enumlabel::text, e.xmin::text, 0::oid FROM pg_enum e \
         UNION ALL SELECT 'attributes of composite types', c.oid, \
           (SELECT string_agg(a.attname || ' ' || a.attisdropped || ' ' || a.atttypid, ',' ORDER BY a.attnum) \
              FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0), NULL, 0 \
           FROM pg_class c WHERE c.relkind = 'c'";
    different(snapshot, newest, sql).await
}

async fn different(snapshot: &Client, newest: &Client, sql: &str) -> Result<Vec<String>> {
    let before = definitions(snapshot, sql).await?;
    let now = definitions(newest, sql).await?;
    let changed = before
        .into_iter()
        .filter(|(object, before)| !now.get(object).is_some_and(|now| before.still(now)));
    Ok(changed.map(|((kind, _), _)| kind).collect::<BTreeSet<_>>().into_iter().collect())
}

async fn definitions(client: &Client, sql: &str) -> Result<HashMap<Object, Definition>> {
    let mut definitions = HashMap::new();
    for row in rows(client, "definitions", sql, &[]).await? {
        let definition = Definition {
            name: get::<Option<String>>(&row, 2)?.unwrap_or_default(),
            version: get(&row, 3)?,
            file: get(&row, 4)?,
        };
        definitions.insert((get(&row, 0)?, get(&row, 1)?), definition);
    }
    Ok(definitions)
}
