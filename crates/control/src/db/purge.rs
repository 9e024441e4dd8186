//! Which softly deleted instances and vaults are to go, and when.

use coffer_azure::ResourceId;
use sqlx::Row;

use super::{Executor, Tx, keys_below};
use crate::error::Error;

/// Notes when the data of a deleted instance or vault goes; a later note replaces the earlier.
///
/// # Errors
/// The database fails.
pub async fn set(tx: &mut Tx, deleted: &ResourceId, due_us: i64) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO purge (instance_key, due_us) VALUES ($1, $2) \
         ON CONFLICT (instance_key) DO UPDATE SET due_us = excluded.due_us",
    )
    .bind(deleted.key())
    .bind(due_us)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets it: it was undeleted, or has gone.
///
/// # Errors
/// The database fails.
pub async fn clear(tx: &mut Tx, deleted: &ResourceId) -> Result<(), Error> {
    sqlx::query("DELETE FROM purge WHERE instance_key = $1")
        .bind(deleted.key())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whether anything that is nested in the resource waits for its purge.
///
/// # Errors
/// The database fails.
pub async fn any_within(tx: &mut Tx, parent: &ResourceId) -> Result<bool, Error> {
    let (above, below) = keys_below(parent.key());
    let row =
        sqlx::query("SELECT 1 FROM purge WHERE instance_key > $1 AND instance_key < $2 LIMIT 1")
            .bind(above)
            .bind(below)
            .fetch_optional(&mut **tx)
            .await?;
    Ok(row.is_some())
}

/// Up to `rows_max` that are due, longest first.
///
/// # Errors
/// The database fails.
pub async fn due<'e>(
    executor: impl Executor<'e>,
    now_us: i64,
    rows_max: u32,
) -> Result<Vec<ResourceId>, Error> {
    let rows =
        sqlx::query("SELECT instance_key FROM purge WHERE due_us <= $1 ORDER BY due_us LIMIT $2")
            .bind(now_us)
            .bind(i64::from(rows_max))
            .fetch_all(executor)
            .await?;
    rows.iter()
        .map(|row| {
            ResourceId::parse(row.try_get::<&str, _>("instance_key")?).map_err(Error::internal)
        })
        .collect()
}
