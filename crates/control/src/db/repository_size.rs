//! How many bytes the packs of each repository take, as far as that is known without reading the storage.
//!
//! A backup adds what it has written, in the transaction of its recovery point; a collection, which sees every pack, puts what it
//! has left in its place. What a backup left that did not end well is known from the next collection on.

use sqlx::Row;
use uuid::Uuid;

use super::{Executor, Tx};
use crate::error::Error;

/// Adds what a backup has written.
///
/// # Errors
/// The database fails.
pub async fn add(tx: &mut Tx, repository: Uuid, bytes: u64) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO repository_size (repository, stored_bytes) VALUES ($1, $2) \
         ON CONFLICT (repository) DO UPDATE SET stored_bytes = repository_size.stored_bytes + excluded.stored_bytes",
    )
    .bind(repository.to_string())
    .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Puts what was found in the place of what was known.
///
/// # Errors
/// The database fails.
pub async fn set(tx: &mut Tx, repository: Uuid, bytes: u64) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO repository_size (repository, stored_bytes) VALUES ($1, $2) \
         ON CONFLICT (repository) DO UPDATE SET stored_bytes = excluded.stored_bytes",
    )
    .bind(repository.to_string())
    .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets a repository that has been destroyed.
///
/// # Errors
/// The database fails.
pub async fn forget(tx: &mut Tx, repository: Uuid) -> Result<(), Error> {
    sqlx::query("DELETE FROM repository_size WHERE repository = $1")
        .bind(repository.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Bytes of all repositories together. Reads the whole table, which has a row for each.
///
/// # Errors
/// The database fails.
pub async fn total<'e>(executor: impl Executor<'e>) -> Result<u64, Error> {
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM(stored_bytes), 0) AS BIGINT) AS bytes FROM repository_size",
    )
    .fetch_one(executor)
    .await?;
    Ok(u64::try_from(row.try_get::<i64, _>("bytes")?).unwrap_or(0))
}
