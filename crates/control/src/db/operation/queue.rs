//! The queue of operations: how long it is, and when it goes on.

use sqlx::Row;

use crate::db::Executor;
use crate::error::Error;
use crate::operations::Lane;

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
