//! What of recovery points has been copied to second regions, what waits for it, and what is to be deleted there.

use coffer_azure::ResourceId;
use sqlx::Row;
use uuid::Uuid;

use super::recovery_point::{RecoveryPoint, from_row};
use super::upkeep::Duty;
use super::{Executor, Tx};
use crate::error::Error;

/// A repository with recovery points that have not been copied yet.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Which one.
    pub repository: Uuid,
    /// Its instance.
    pub instance: ResourceId,
    /// When the oldest of them was taken, in microseconds since 1970.
    pub oldest_us: i64,
    /// How many there are.
    pub points: u64,
}

/// Notes that a recovery point has been copied, if there is still one; none takes it back.
///
/// # Errors
/// The database fails.
pub async fn set_copied(
    tx: &mut Tx,
    repository: Uuid,
    id: &str,
    copied_us: Option<i64>,
) -> Result<(), Error> {
    sqlx::query("UPDATE recovery_point SET copied_us = $1 WHERE repository = $2 AND id = $3")
        .bind(copied_us)
        .bind(repository.to_string())
        .bind(id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whether a recovery point has been copied.
///
/// # Errors
/// The database fails.
pub async fn is_copied<'e>(
    executor: impl Executor<'e>,
    repository: Uuid,
    id: &str,
) -> Result<bool, Error> {
    let row = sqlx::query(
        "SELECT 1 FROM recovery_point WHERE repository = $1 AND id = $2 AND copied_us IS NOT NULL",
    )
    .bind(repository.to_string())
    .bind(id.to_lowercase())
    .fetch_optional(executor)
    .await?;
    Ok(row.is_some())
}

/// The recovery points of a repository that have not been copied yet, newest first.
///
/// # Errors
/// The database fails.
pub async fn not_copied<'e>(
    executor: impl Executor<'e>,
    repository: Uuid,
    rows_max: u32,
) -> Result<Vec<RecoveryPoint>, Error> {
    let rows = sqlx::query(
        "SELECT * FROM recovery_point WHERE repository = $1 AND copied_us IS NULL ORDER BY taken_us DESC, id LIMIT $2",
    )
    .bind(repository.to_string())
    .bind(i64::from(rows_max))
    .fetch_all(executor)
    .await?;
    rows.iter().map(from_row).collect()
}

/// The ids of the recovery points of a repository that have been copied.
///
/// # Errors
/// The database fails.
pub async fn copied<'e>(
    executor: impl Executor<'e>,
    repository: Uuid,
) -> Result<Vec<String>, Error> {
    let rows = sqlx::query(
        "SELECT id FROM recovery_point WHERE repository = $1 AND copied_us IS NOT NULL",
    )
    .bind(repository.to_string())
    .fetch_all(executor)
    .await?;
    rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
}

/// The repositories that are copied and have something that waits, longest first. Reads all that are copied.
///
/// # Errors
/// The database fails.
pub async fn waiting<'e>(
    executor: impl Executor<'e>,
    rows_max: u32,
) -> Result<Vec<Waiting>, Error> {
    let rows = sqlx::query(
        "SELECT u.repository AS repository, u.instance AS instance, MIN(p.taken_us) AS oldest_us, COUNT(*) AS points \
         FROM upkeep u JOIN recovery_point p ON p.repository = u.repository AND p.copied_us IS NULL \
         WHERE u.duty = $1 GROUP BY u.repository, u.instance ORDER BY 3, 1 LIMIT $2",
    )
    .bind(Duty::Replication.as_str())
    .bind(i64::from(rows_max))
    .fetch_all(executor)
    .await?;
    let read = |row: &sqlx::sqlite::SqliteRow| {
        Ok(Waiting {
            repository: row.try_get::<String, _>("repository")?.parse().map_err(Error::internal)?,
            instance: ResourceId::parse(row.try_get::<&str, _>("instance")?)
                .map_err(Error::internal)?,
            oldest_us: row.try_get("oldest_us")?,
            points: u64::try_from(row.try_get::<i64, _>("points")?).unwrap_or(0),
        })
    };
    rows.iter().map(read).collect()
}

/// Notes that a recovery point is to be deleted from the copy.
///
/// # Errors
/// The database fails.
pub async fn delete_later(tx: &mut Tx, repository: Uuid, id: &str) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO copy_deletion (repository, recovery_point) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    )
    .bind(repository.to_string())
    .bind(id)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What is to be deleted from the copy of a repository.
///
/// # Errors
/// The database fails.
pub async fn deletions<'e>(
    executor: impl Executor<'e>,
    repository: Uuid,
    rows_max: u32,
) -> Result<Vec<String>, Error> {
    let rows = sqlx::query(
        "SELECT recovery_point FROM copy_deletion WHERE repository = $1 ORDER BY recovery_point LIMIT $2",
    )
    .bind(repository.to_string())
    .bind(i64::from(rows_max))
    .fetch_all(executor)
    .await?;
    rows.iter().map(|row| Ok(row.try_get("recovery_point")?)).collect()
}

/// Notes that a recovery point is gone from the copy.
///
/// # Errors
/// The database fails.
pub async fn deleted(tx: &mut Tx, repository: Uuid, id: &str) -> Result<(), Error> {
    sqlx::query("DELETE FROM copy_deletion WHERE repository = $1 AND recovery_point = $2")
        .bind(repository.to_string())
        .bind(id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets what is known of the copy of a repository that has been destroyed.
///
/// # Errors
/// The database fails.
pub async fn forget(tx: &mut Tx, repository: Uuid) -> Result<(), Error> {
    for statement in [
        "DELETE FROM copy_deletion WHERE repository = $1",
        "DELETE FROM copy_late WHERE repository = $1",
    ] {
        sqlx::query(statement).bind(repository.to_string()).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Notes that the copy of a repository is late. True when that was news.
///
/// # Errors
/// The database fails.
pub async fn set_late(tx: &mut Tx, repository: Uuid) -> Result<bool, Error> {
    let done = sqlx::query("INSERT INTO copy_late (repository) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(repository.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets of all that have nothing left that was taken before that time that they were late.
///
/// # Errors
/// The database fails.
pub async fn clear_late(tx: &mut Tx, before_us: i64) -> Result<(), Error> {
    sqlx::query(
        "DELETE FROM copy_late WHERE NOT EXISTS (SELECT 1 FROM recovery_point p \
         WHERE p.repository = copy_late.repository AND p.copied_us IS NULL AND p.taken_us < $1)",
    )
    .bind(before_us)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
