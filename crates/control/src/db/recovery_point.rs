//! The rows of recovery points: what a backup has left, without reading the repository.
//!
//! A row is a copy of what the manifest in the repository says, plus its retention; a recovery point exists because of
//! its manifest. Rows belong to the repository's GUID, so that a new instance under an old name never shows another's.

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::{Executor, Tx};
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
    /// Name of the database.
    pub database: String,
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
}

/// A recovery point.
#[derive(Debug, Clone, PartialEq)]
pub struct RecoveryPoint {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Microseconds since 1970: the time of its snapshot.
    pub taken_us: i64,
    /// The rest.
    pub body: RecoveryPointBody,
}

/// Which recovery points are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecoveryPointRange {
    /// Taken at this time or later.
    pub from_us: Option<i64>,
    /// Taken at this time or earlier.
    pub to_us: Option<i64>,
    /// After the first so many.
    pub skip: u32,
}

/// Adds a row; the same one again changes nothing, since the step that adds it may run twice.
///
/// # Errors
/// The database fails.
pub async fn insert(tx: &mut Tx, repository: Uuid, point: &RecoveryPoint) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO recovery_point (repository, id, taken_us, body) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (repository, id) DO NOTHING",
    )
    .bind(repository.to_string())
    .bind(&point.id)
    .bind(point.taken_us)
    .bind(serde_json::to_string(&point.body).map_err(Error::internal)?)
    .execute(&mut **tx)
    .await?;
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
    range: RecoveryPointRange,
) -> Result<Vec<RecoveryPoint>, Error> {
    let rows = sqlx::query(
        "SELECT * FROM recovery_point WHERE repository = $1 AND taken_us >= $2 AND taken_us <= $3 \
         ORDER BY taken_us DESC, id LIMIT $4 OFFSET $5",
    )
    .bind(repository.to_string())
    .bind(range.from_us.unwrap_or(i64::MIN))
    .bind(range.to_us.unwrap_or(i64::MAX))
    .bind(i64::from(RECOVERY_POINTS_PAGE_ROWS_MAX))
    .bind(i64::from(range.skip))
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

/// Removes every row of a repository that has been destroyed.
///
/// # Errors
/// The database fails.
pub async fn delete_all(tx: &mut Tx, repository: Uuid) -> Result<(), Error> {
    sqlx::query("DELETE FROM recovery_point WHERE repository = $1")
        .bind(repository.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn from_row(row: &SqliteRow) -> Result<RecoveryPoint, Error> {
    let body: String = row.try_get("body")?;
    Ok(RecoveryPoint {
        id: row.try_get("id")?,
        taken_us: row.try_get("taken_us")?,
        body: serde_json::from_str(&body).map_err(Error::internal)?,
    })
}
