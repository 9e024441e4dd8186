//! Whether definitions changed since a snapshot was taken.
//!
//! `pg_dump` lists objects under its snapshot but lets the server write many of their definitions, by functions that look
//! into the newest catalog. Tables are locked against that; functions, views, types and the like can't be. One that is
//! dropped or renamed in between gives an archive that says nothing of it and can't be restored, with exit status 0.

use std::collections::{BTreeSet, HashSet};

use tokio_postgres::Client;

use super::{USER_SCHEMA, get, rows};
use crate::error::Result;

/// Kind, number and a hash of what must not change.
type Definition = (String, u32, i64);

/// Kinds of objects that are there under the session's snapshot, but not any more or not with the same definition in
/// `newest`, a session without a snapshot. What came anew since does not matter: no archive names it.
pub(crate) async fn changed(snapshot: &Client, newest: &Client) -> Result<Vec<String>> {
    let before = definitions(snapshot).await?;
    let now: HashSet<Definition> = definitions(newest).await?.into_iter().collect();
    let gone = before.into_iter().filter(|definition| !now.contains(definition));
    Ok(gone.map(|(kind, ..)| kind).collect::<BTreeSet<_>>().into_iter().collect())
}

async fn definitions(client: &Client) -> Result<Vec<Definition>> {
    // By name where only the name is looked up (a view is refreshed, a table analyzed, a trigger disabled without harm), by
    // the row's version where more is.
    let sql = format!(
        "SELECT kind, oid, ('x' || left(md5(definition), 16))::bit(64)::int8 FROM (\
           SELECT 'schemas' AS kind, n.oid, n.nspname::text AS definition FROM pg_namespace n WHERE {USER_SCHEMA} \
           UNION ALL SELECT 'functions', p.oid, p.xmin::text FROM pg_proc p \
             JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {USER_SCHEMA} \
           UNION ALL SELECT 'relations', c.oid, c.relnamespace || c.relname FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relpersistence <> 't' AND {USER_SCHEMA} \
           UNION ALL SELECT 'views', r.oid, r.xmin::text FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class \
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {USER_SCHEMA} \
           UNION ALL SELECT 'types', t.oid, t.typnamespace || t.typname FROM pg_type t \
             JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {USER_SCHEMA} \
           UNION ALL SELECT 'domains', d.oid, d.xmin::text FROM pg_constraint d \
             JOIN pg_namespace n ON n.oid = d.connamespace WHERE d.contypid <> 0 AND {USER_SCHEMA} \
           UNION ALL SELECT 'triggers', g.oid, g.tgname FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid \
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT g.tgisinternal AND {USER_SCHEMA} \
           UNION ALL SELECT 'statistics', s.oid, s.xmin::text FROM pg_statistic_ext s \
             JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE {USER_SCHEMA} \
           UNION ALL SELECT 'operators', o.oid, o.oprnamespace || o.oprname FROM pg_operator o \
             JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE {USER_SCHEMA} \
           UNION ALL SELECT 'extensions', e.oid, e.extversion FROM pg_extension e) AS x"
    );
    let found = rows(client, "definitions", &sql, &[]).await?;
    found.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?, get(row, 2)?))).collect()
}
