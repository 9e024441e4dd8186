//! What `pg_catalog` says, read by plain SQL that any role may run.
//!
//! Nothing here reads a catalog that needs a superuser (`pg_authid`, `pg_largeobject`, `pg_user_mapping`). Every query
//! runs in a session of [`crate::session`], so only `pg_catalog` is on the search path.

pub(crate) mod database;
pub(crate) mod definitions;
pub(crate) mod large_object;
pub(crate) mod left_out;
pub(crate) mod materialized_view;
pub(crate) mod relation;
pub(crate) mod role;
pub(crate) mod sequence;
pub(crate) mod server;
pub(crate) mod shape;

use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{Client, Row};

use crate::error::{Error, Result};

/// Schemas that belong to the server: never backed up, as `pg_dump` never does.
pub(crate) const USER_SCHEMA: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// Runs a query, saying what it was for when it fails.
pub(crate) async fn rows(
    client: &Client,
    what: &str,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>> {
    client.query(sql, parameters).await.map_err(|error| Error::sql(format!("read {what}"), &error))
}

/// Runs a query that gives exactly one row.
pub(crate) async fn one_row(
    client: &Client,
    what: &str,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Row> {
    client
        .query_one(sql, parameters)
        .await
        .map_err(|error| Error::sql(format!("read {what}"), &error))
}

/// A column of a row, as an error rather than a panic when it is not what was asked for.
pub(crate) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T> {
    row.try_get(column).map_err(|error| Error::Protocol {
        context: "read the catalog".to_owned(),
        message: crate::error::chain(&error),
    })
}

/// A count or size of the server, which is never negative.
pub(crate) fn get_u64(row: &Row, column: usize) -> Result<u64> {
    let value: i64 = get(row, column)?;
    u64::try_from(value).map_err(|_| Error::Protocol {
        context: "read the catalog".to_owned(),
        message: format!("a size is negative: {value}"),
    })
}
