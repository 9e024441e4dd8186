//! The queue of operations: how long it is, when it goes on, and who waits in it for too long.

use sqlx::Row;

use super::from_row;
use crate::db::{Executor, Tx};
use crate::error::Error;
use crate::operations::{Lane, Operation, OperationKind};

/// When the next operation of the lane can be claimed for which the time has not come yet, if there is one. What could be claimed
/// but for a limit is left out: the end of another run lets it go on.
///
/// # Errors
/// The database fails.
pub async fn next_due_us<'e>(
    executor: impl Executor<'e>,
    lane: Lane,
    now_us: i64,
) -> Result<Option<i64>, Error> {
    let row = sqlx::query(
        "SELECT MIN(CASE WHEN due_us > lease_until_us THEN due_us ELSE lease_until_us END) AS next_us \
         FROM operation WHERE finished_us IS NULL AND lane = $1 AND (due_us > $2 OR lease_until_us > $2)",
    )
    .bind(lane.as_str())
    .bind(now_us)
    .fetch_one(executor)
    .await?;
    Ok(row.try_get("next_us")?)
}

/// How many operations of the lane run, and how many wait.
///
/// # Errors
/// The database fails.
pub async fn counts<'e>(
    executor: impl Executor<'e>,
    lane: Lane,
    now_us: i64,
) -> Result<(u64, u64), Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS n, COUNT(CASE WHEN lease_until_us > $1 THEN 1 END) AS running \
         FROM operation WHERE finished_us IS NULL AND lane = $2",
    )
    .bind(now_us)
    .bind(lane.as_str())
    .fetch_one(executor)
    .await?;
    let number = |name| Ok::<_, Error>(u64::try_from(row.try_get::<i64, _>(name)?).unwrap_or(0));
    let running = number("running")?;
    Ok((running, number("n")?.saturating_sub(running)))
}

/// Backups that could have been claimed since `before_us` and that nobody holds, of which nobody was told: those that wait longest,
/// at most `rows_max`.
///
/// # Errors
/// The database fails.
pub async fn late<'e>(
    executor: impl Executor<'e>,
    before_us: i64,
    now_us: i64,
    rows_max: u32,
) -> Result<Vec<Operation>, Error> {
    let rows = sqlx::query(
        "SELECT * FROM operation WHERE finished_us IS NULL AND lane = $1 AND due_us <= $2 AND kind = $3 \
         AND lease_until_us <= $4 AND late_told = 0 ORDER BY due_us LIMIT $5",
    )
    .bind(Lane::Data.as_str())
    .bind(before_us)
    .bind(OperationKind::Backup.as_str())
    .bind(now_us)
    .bind(i64::from(rows_max))
    .fetch_all(executor)
    .await?;
    rows.iter().map(from_row).collect()
}

/// Notes that somebody is told of an operation that still waits. False when it does not any more, or when somebody was told.
///
/// # Errors
/// The database fails.
pub async fn set_late_told(tx: &mut Tx, id: &str, now_us: i64) -> Result<bool, Error> {
    let done = sqlx::query(
        "UPDATE operation SET late_told = 1 \
         WHERE id = $1 AND finished_us IS NULL AND lease_until_us <= $2 AND late_told = 0",
    )
    .bind(id)
    .bind(now_us)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}
