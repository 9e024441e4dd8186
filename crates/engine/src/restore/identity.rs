//! Which database it is, whatever it is called.

use tokio_postgres::Client;

use super::temporary::open_maintenance;
use crate::connect::ConnectOptions;
use crate::error::{Error, Result};

/// The OID of a database of the server, none when there is no database of that name. It stays the same when the database
/// gets another name, so that a caller which has noted that of the temporary database can tell, after a crash, whether
/// the database of the final name is the one that it made.
///
/// # Errors
/// Failures of the connection and [`Error::Sql`] when the server refuses.
pub async fn database_oid(target: &ConnectOptions, database: &str) -> Result<Option<u32>> {
    let maintenance = open_maintenance(target).await?;
    oid_of(&maintenance, database).await
}

/// The same in a session.
pub(super) async fn oid_of(client: &Client, database: &str) -> Result<Option<u32>> {
    let statement = "SELECT oid FROM pg_catalog.pg_database WHERE datname = $1";
    let row = client.query_opt(statement, &[&database]).await;
    let row = row.map_err(|e| Error::sql("look for the database", &e))?;
    Ok(row.map(|row| row.get(0)))
}
