//! When the next scheduled backup of each instance begins.
//!
//! A row says when to look, and up to where the schedule was dealt with; what is due follows from the policy in force at that
//! time. So a row may be wrong or lost in the safe direction only: looking once more finds nothing due, and changes nothing.

use coffer_azure::ResourceId;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::{Executor, Tx};
use crate::error::Error;

/// The schedule of one instance.
#[derive(Debug, Clone)]
pub struct ScheduleRow {
    /// The instance's id.
    pub instance: ResourceId,
    /// Every time of the schedule up to this one was dealt with, in microseconds since 1970; none when it was never looked at.
    pub after_us: Option<i64>,
    /// When to look, in microseconds since 1970.
    pub due_us: i64,
}

/// Notes that an instance's state or policy has changed: it is looked at soon. What was due already stays due; what the changed
/// schedule would have wanted before this moment does not become due.
///
/// # Errors
/// The database fails.
pub async fn look_again(tx: &mut Tx, instance: &ResourceId, now_us: i64) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO schedule (instance_key, instance, policy_key, after_us, due_us) VALUES ($1, $2, '', $3, $3) \
         ON CONFLICT (instance_key) DO UPDATE SET \
         after_us = CASE WHEN schedule.due_us > excluded.due_us THEN excluded.after_us ELSE schedule.after_us END, \
         due_us = CASE WHEN schedule.due_us > excluded.due_us THEN excluded.due_us ELSE schedule.due_us END",
    )
    .bind(instance.key())
    .bind(instance.as_str())
    .bind(now_us)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The same for all instances that follow a policy.
///
/// # Errors
/// The database fails.
pub async fn look_again_all(tx: &mut Tx, policy: &ResourceId, now_us: i64) -> Result<(), Error> {
    sqlx::query(
        "UPDATE schedule SET after_us = $1, due_us = $1 WHERE policy_key = $2 AND due_us > $1",
    )
    .bind(now_us)
    .bind(policy.key())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Up to `rows_max` that are due, longest first.
///
/// # Errors
/// The database fails.
pub async fn due<'e>(
    executor: impl Executor<'e>,
    now_us: i64,
    rows_max: u32,
) -> Result<Vec<ScheduleRow>, Error> {
    let rows = sqlx::query(
        "SELECT instance, after_us, due_us FROM schedule WHERE due_us <= $1 ORDER BY due_us, instance_key LIMIT $2",
    )
    .bind(now_us)
    .bind(i64::from(rows_max))
    .fetch_all(executor)
    .await?;
    rows.iter().map(from_row).collect()
}

/// When the next one is due, if there is any.
///
/// # Errors
/// The database fails.
pub async fn next_due_us<'e>(executor: impl Executor<'e>) -> Result<Option<i64>, Error> {
    let row = sqlx::query("SELECT MIN(due_us) AS due_us FROM schedule").fetch_one(executor).await?;
    Ok(row.try_get("due_us")?)
}

/// Writes how far the schedule was dealt with and when to look again. False when somebody else did, or it was noted anew, since
/// the row was read: then nothing is written, and the caller does nothing either.
///
/// # Errors
/// The database fails.
pub async fn advance(
    tx: &mut Tx,
    row: &ScheduleRow,
    policy: &ResourceId,
    repository: Uuid,
    after_us: i64,
    due_us: i64,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "UPDATE schedule SET policy_key = $1, after_us = $2, due_us = $3, \
         newest_us = (SELECT MAX(taken_us) FROM recovery_point WHERE repository = $7) \
         WHERE instance_key = $4 AND due_us = $5 AND COALESCE(after_us, -1) = $6",
    )
    .bind(policy.key())
    .bind(after_us)
    .bind(due_us)
    .bind(row.instance.key())
    .bind(row.due_us)
    .bind(row.after_us.unwrap_or(-1))
    .bind(repository.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets a row that was not noted anew since it was read: its instance has no schedule to follow now.
///
/// # Errors
/// The database fails.
pub async fn forget(tx: &mut Tx, row: &ScheduleRow) -> Result<(), Error> {
    sqlx::query(
        "DELETE FROM schedule WHERE instance_key = $1 AND due_us = $2 AND COALESCE(after_us, -1) = $3",
    )
    .bind(row.instance.key())
    .bind(row.due_us)
    .bind(row.after_us.unwrap_or(-1))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Leaves a row as it is for a while.
///
/// # Errors
/// The database fails.
pub async fn put_off(tx: &mut Tx, row: &ScheduleRow, due_us: i64) -> Result<(), Error> {
    sqlx::query("UPDATE schedule SET due_us = $1 WHERE instance_key = $2 AND due_us = $3")
        .bind(due_us)
        .bind(row.instance.key())
        .bind(row.due_us)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Notes that an instance has a newer recovery point.
///
/// # Errors
/// The database fails.
pub async fn note_recovery_point(
    tx: &mut Tx,
    instance: &ResourceId,
    taken_us: i64,
) -> Result<(), Error> {
    sqlx::query("UPDATE schedule SET newest_us = $1 WHERE instance_key = $2")
        .bind(taken_us)
        .bind(instance.key())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The instances with the oldest newest recovery points, and when these were taken.
///
/// # Errors
/// The database fails.
pub async fn oldest<'e>(
    executor: impl Executor<'e>,
    rows_max: u32,
) -> Result<Vec<(String, i64)>, Error> {
    let rows = sqlx::query(
        "SELECT instance, newest_us FROM schedule WHERE newest_us IS NOT NULL ORDER BY newest_us LIMIT $1",
    )
    .bind(i64::from(rows_max))
    .fetch_all(executor)
    .await?;
    rows.iter().map(|row| Ok((row.try_get("instance")?, row.try_get("newest_us")?))).collect()
}

/// How many instances are scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduleCounts {
    /// All of them.
    pub all: u64,
    /// Those that have no recovery point yet.
    pub without_point: u64,
}

/// Counts the scheduled instances.
///
/// # Errors
/// The database fails.
pub async fn counts<'e>(executor: impl Executor<'e>) -> Result<ScheduleCounts, Error> {
    let row = sqlx::query("SELECT COUNT(*) AS n, COUNT(newest_us) AS with_point FROM schedule")
        .fetch_one(executor)
        .await?;
    let number = |name| Ok::<_, Error>(u64::try_from(row.try_get::<i64, _>(name)?).unwrap_or(0));
    let all = number("n")?;
    Ok(ScheduleCounts { all, without_point: all.saturating_sub(number("with_point")?) })
}

fn from_row(row: &SqliteRow) -> Result<ScheduleRow, Error> {
    Ok(ScheduleRow {
        instance: ResourceId::parse(row.try_get::<&str, _>("instance")?)
            .map_err(Error::internal)?,
        after_us: row.try_get("after_us")?,
        due_us: row.try_get("due_us")?,
    })
}
