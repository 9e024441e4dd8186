//! Large objects: owner, rights, comment and labels by SQL. Their bytes are read by [`crate::large_object`].

use tokio_postgres::Client;

use super::{get, rows};
use crate::error::Result;
use crate::manifest::SecurityLabel;

/// What the catalog says of one large object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LargeObjectFacts {
    pub(crate) oid: u32,
    pub(crate) owner: String,
    pub(crate) acl: Option<Vec<String>>,
    pub(crate) comment: Option<String>,
    pub(crate) labels: Vec<SecurityLabel>,
}

/// Numbers of the next `limit` objects after that one.
pub(crate) async fn numbers_after(client: &Client, after: u32, limit: i64) -> Result<Vec<u32>> {
    let sql = "SELECT oid FROM pg_largeobject_metadata WHERE oid > $1 ORDER BY oid LIMIT $2";
    let found = rows(client, "numbers of large objects", sql, &[&after, &limit]).await?;
    found.iter().map(|row| get(row, 0)).collect()
}

/// The first `limit` objects between these numbers, both included.
pub(crate) async fn facts_between(
    client: &Client,
    first: u32,
    last: u32,
    limit: i64,
) -> Result<Vec<LargeObjectFacts>> {
    // Each of these by an index, whatever the statistics say: a join could read all comments again for every page.
    let sql = "SELECT m.oid, \
          coalesce((SELECT r.rolname::text FROM pg_roles r WHERE r.oid = m.lomowner), m.lomowner::text), m.lomacl::text[], \
          (SELECT d.description FROM pg_description d WHERE d.objoid = m.oid \
            AND d.classoid = 'pg_largeobject'::regclass AND d.objsubid = 0), \
          ARRAY(SELECT l.provider FROM pg_seclabel l WHERE l.objoid = m.oid \
            AND l.classoid = 'pg_largeobject'::regclass ORDER BY l.provider), \
          ARRAY(SELECT l.label FROM pg_seclabel l WHERE l.objoid = m.oid \
            AND l.classoid = 'pg_largeobject'::regclass ORDER BY l.provider) \
        FROM pg_largeobject_metadata m WHERE m.oid >= $1 AND m.oid <= $2 ORDER BY m.oid LIMIT $3";
    let found = rows(client, "large objects", sql, &[&first, &last, &limit]).await?;
    found
        .iter()
        .map(|row| {
            let (providers, labels): (Vec<String>, Vec<String>) = (get(row, 4)?, get(row, 5)?);
            let labels = providers.into_iter().zip(labels);
            Ok(LargeObjectFacts {
                oid: get(row, 0)?,
                owner: get(row, 1)?,
                acl: get(row, 2)?,
                comment: get(row, 3)?,
                labels: labels.map(|(provider, label)| SecurityLabel { provider, label }).collect(),
            })
        })
        .collect()
}
