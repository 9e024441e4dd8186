//! The rows of recovery points: what a backup has left, without reading the repository.
//!
//! A row is a copy of what the manifest in the repository says, plus its retention; a recovery point exists because of
//! its manifest. Rows belong to the repository's GUID, so that a new instance under an old name never shows another's.

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::{Executor, ListPlace, Tx, copy, repository_size};
use crate::error::Error;

/// Most rows that one page holds.
pub const RECOVERY_POINTS_PAGE_ROWS_MAX: u32 = 1000;

/// The facts of a recovery point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecoveryPointBody {
    /// Name of the retention rule that governs it.
    pub retention_tag: String,
    /// .NET ticks of the tag's making, as Azure writes it.
    pub retention_tag_version: String,
    /// Name of the policy in force when it was taken.
    pub policy_name: String,
    /// Microseconds since 1970 at which it may go, unless it is the newest; none when nothing was said.
    pub expiry_us: Option<i64>,
    /// Microseconds since 1970 at which its manifest was complete.
    pub completed_us: i64,
    /// `server_version` of the source.
    pub server_version: String,
    /// Name of the database, or of the server.
    pub database: String,
    /// Names of a server's databases, as many as are shown; none for a database.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<String>,
    /// How many databases of a server there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub databases_total: Option<u64>,
    /// Tables with rows of their own.
    pub tables: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes as the server wrote them.
    pub plain_bytes: u64,
    /// Bytes that this recovery point has added to the repository.
    pub stored_bytes: u64,
    /// Size of the source on its disk.
    pub source_bytes: u64,
    /// Bytes as the server wrote them that were not stored before.
    #[serde(default)]
    pub new_bytes: u64,
    /// Which version of the policy its end was computed by.
    #[serde(default)]
    pub policy_version: i64,
    /// Reading has found that it cannot be restored as a whole.
    #[serde(default)]
    pub damaged: bool,
    /// How the storage itself holds everything that it needs; none where nothing is known of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_lock: Option<StorageLock>,
    /// The same of its copy in the second region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_lock: Option<StorageLock>,
}

/// The lock of a recovery point in the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageLock {
    /// Whether nobody can take it away.
    pub locked: bool,
    /// Microseconds since 1970 until which it holds.
    pub until_us: i64,
}

/// A recovery point.
#[derive(Debug, Clone, PartialEq)]
pub struct RecoveryPoint {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Microseconds since 1970: the time of its snapshot.
    pub taken_us: i64,
    /// The time for which the schedule wanted it, in microseconds since 1970; none when somebody asked for it.
    pub scheduled_us: Option<i64>,
    /// The rest.
    pub body: RecoveryPointBody,
}

/// Which recovery points are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecoveryPointRange<'a> {
    /// Taken at this time or later.
    pub from_us: Option<i64>,
    /// Taken at this time or earlier.
    pub to_us: Option<i64>,
    /// Those behind this one in the order of the list: new ones, which come before all others, move no page.
    pub after: Option<&'a ListPlace>,
    /// Only those that have been copied to the second region.
    pub copied: bool,
}

/// Adds a row, and what it has written to the size of the repository; the same one again changes nothing, since the step that adds
/// it may run twice.
///
/// # Errors
/// The database fails.
pub async fn insert(tx: &mut Tx, repository: Uuid, point: &RecoveryPoint) -> Result<(), Error> {
    let done = sqlx::query(
        "INSERT INTO recovery_point (repository, id, taken_us, body, scheduled_us, stored_bytes) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (repository, id) DO NOTHING",
    )
    .bind(repository.to_string())
    .bind(&point.id)
    .bind(point.taken_us)
    .bind(serde_json::to_string(&point.body).map_err(Error::internal)?)
    .bind(point.scheduled_us)
    .bind(i64::try_from(point.body.stored_bytes).unwrap_or(i64::MAX))
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 1 {
        repository_size::add(tx, repository, point.body.stored_bytes).await?;
    }
    Ok(())
}

/// Reads one. Ids are compared without regard to case.
///
/// # Errors
/// The database fails.
pub async fn get<'e>(
    executor: impl Executor<'e>,
    repository: Uuid,
    id: &str,
) -> Result<Option<RecoveryPoint>, Error> {
    let row = sqlx::query("SELECT * FROM recovery_point WHERE repository = $1 AND id = $2")
        .bind(repository.to_string())
        .bind(id.to_lowercase())
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(from_row).transpose()
}

/// Newest first; at most [`RECOVERY_POINTS_PAGE_ROWS_MAX`].
///
/// # Errors
/// The database fails.
pub async fn list<'e>(
    executor: impl Executor<'e>,
    repository: Uuid,
    range: RecoveryPointRange<'_>,
) -> Result<Vec<RecoveryPoint>, Error> {
    let (after_us, after_id) = range.after.map_or((i64::MAX, ""), ListPlace::parts);
    let rows = sqlx::query(
        "SELECT * FROM recovery_point WHERE repository = $1 AND taken_us >= $2 AND taken_us <= $3 \
         AND (taken_us < $4 OR (taken_us = $4 AND id > $5)) AND ($7 = 0 OR copied_us IS NOT NULL) ORDER BY taken_us DESC, id LIMIT $6",
    )
    .bind(repository.to_string())
    .bind(range.from_us.unwrap_or(i64::MIN))
    .bind(range.to_us.unwrap_or(i64::MAX))
    .bind(after_us)
    .bind(after_id)
    .bind(i64::from(RECOVERY_POINTS_PAGE_ROWS_MAX))
    .bind(i64::from(range.copied))
    .fetch_all(executor)
    .await?;
    rows.iter().map(from_row).collect()
}

/// The newest of the repository: it never expires while it is that.
///
/// # Errors
/// The database fails.
pub async fn newest<'e>(
    executor: impl Executor<'e>,
    repository: Uuid,
) -> Result<Option<RecoveryPoint>, Error> {
    let row = sqlx::query(
        "SELECT * FROM recovery_point WHERE repository = $1 ORDER BY taken_us DESC, id LIMIT 1",
    )
    .bind(repository.to_string())
    .fetch_optional(executor)
    .await?;
    row.as_ref().map(from_row).transpose()
}

/// The newest ones of the repository, newest first.
///
/// # Errors
/// The database fails.
pub async fn newest_of<'e>(
    executor: impl Executor<'e>,
    repository: Uuid,
    rows_max: u32,
) -> Result<Vec<RecoveryPoint>, Error> {
    let rows = sqlx::query(
        "SELECT * FROM recovery_point WHERE repository = $1 ORDER BY taken_us DESC, id LIMIT $2",
    )
    .bind(repository.to_string())
    .bind(i64::from(rows_max))
    .fetch_all(executor)
    .await?;
    rows.iter().map(from_row).collect()
}

/// Whether the schedule has made a recovery point that was wanted from the first of these times on and before the second.
///
/// # Errors
/// The database fails.
pub async fn has_scheduled_between<'e>(
    executor: impl Executor<'e>,
    repository: Uuid,
    from_us: i64,
    before_us: i64,
) -> Result<bool, Error> {
    let row = sqlx::query(
        "SELECT 1 FROM recovery_point WHERE repository = $1 AND scheduled_us >= $2 AND scheduled_us < $3 LIMIT 1",
    )
    .bind(repository.to_string())
    .bind(from_us)
    .bind(before_us)
    .fetch_optional(executor)
    .await?;
    Ok(row.is_some())
}

/// Changes whether a recovery point is known to be damaged. True when that was news.
///
/// # Errors
/// The database fails.
pub async fn set_damaged(
    tx: &mut Tx,
    repository: Uuid,
    id: &str,
    damaged: bool,
) -> Result<bool, Error> {
    let Some(mut point) = get(&mut **tx, repository, id).await? else { return Ok(false) };
    if point.body.damaged == damaged {
        return Ok(false);
    }
    point.body.damaged = damaged;
    update_body(tx, repository, &point).await?;
    Ok(true)
}

/// Notes how the storage holds a recovery point, if there is still one.
///
/// # Errors
/// The database fails.
pub async fn set_storage_lock(
    tx: &mut Tx,
    repository: Uuid,
    id: &str,
    lock: StorageLock,
) -> Result<(), Error> {
    let Some(mut point) = get(&mut **tx, repository, id).await? else { return Ok(()) };
    point.body.storage_lock = Some(lock);
    update_body(tx, repository, &point).await
}

/// The same of its copy in the second region.
///
/// # Errors
/// The database fails.
pub async fn set_copy_lock(
    tx: &mut Tx,
    repository: Uuid,
    id: &str,
    lock: StorageLock,
) -> Result<(), Error> {
    let Some(mut point) = get(&mut **tx, repository, id).await? else { return Ok(()) };
    point.body.copy_lock = Some(lock);
    update_body(tx, repository, &point).await
}

async fn update_body(tx: &mut Tx, repository: Uuid, point: &RecoveryPoint) -> Result<(), Error> {
    sqlx::query("UPDATE recovery_point SET body = $1 WHERE repository = $2 AND id = $3")
        .bind(serde_json::to_string(&point.body).map_err(Error::internal)?)
        .bind(repository.to_string())
        .bind(&point.id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Removes the row of one whose manifest is gone.
///
/// # Errors
/// The database fails.
pub async fn delete(tx: &mut Tx, repository: Uuid, id: &str) -> Result<(), Error> {
    sqlx::query("DELETE FROM recovery_point WHERE repository = $1 AND id = $2")
        .bind(repository.to_string())
        .bind(id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Removes every row of a repository that has been destroyed, its size included; how many recovery points it had.
///
/// # Errors
/// The database fails.
pub async fn delete_all(tx: &mut Tx, repository: Uuid) -> Result<u64, Error> {
    let deleted = sqlx::query("DELETE FROM recovery_point WHERE repository = $1")
        .bind(repository.to_string())
        .execute(&mut **tx)
        .await?;
    copy::forget(tx, repository).await?;
    repository_size::forget(tx, repository).await?;
    Ok(deleted.rows_affected())
}

pub(super) fn from_row(row: &SqliteRow) -> Result<RecoveryPoint, Error> {
    let body: String = row.try_get("body")?;
    Ok(RecoveryPoint {
        id: row.try_get("id")?,
        taken_us: row.try_get("taken_us")?,
        scheduled_us: row.try_get("scheduled_us")?,
        body: serde_json::from_str(&body).map_err(Error::internal)?,
    })
}
