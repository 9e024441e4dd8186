//! Large objects: owner, rights and comment by SQL. Their bytes are read elsewhere, by `lo_get` in bounded pages.

use tokio_postgres::Client;

use super::{get, rows};
use crate::error::Result;

/// Objects listed by one statement.
pub(crate) const PAGE: i64 = 1000;

/// What the catalog says of one large object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LargeObjectFacts {
    pub(crate) oid: u32,
    pub(crate) owner: String,
    pub(crate) acl: Option<Vec<String>>,
    pub(crate) comment: Option<String>,
}

/// The next [`PAGE`] objects with a larger number.
pub(crate) async fn page_after(client: &Client, after: u32) -> Result<Vec<LargeObjectFacts>> {
    let sql = "SELECT m.oid, coalesce(r.rolname::text, m.lomowner::text), m.lomacl::text[], \
          obj_description(m.oid, 'pg_largeobject') \
        FROM pg_largeobject_metadata m LEFT JOIN pg_roles r ON r.oid = m.lomowner \
        WHERE m.oid > $1 ORDER BY m.oid LIMIT $2";
    let found = rows(client, "large objects", sql, &[&after, &PAGE]).await?;
    found
        .iter()
        .map(|row| {
            Ok(LargeObjectFacts {
                oid: get(row, 0)?,
                owner: get(row, 1)?,
                acl: get(row, 2)?,
                comment: get(row, 3)?,
            })
        })
        .collect()
}
