//! Claiming an operation, and what its claimant writes.
//!
//! A row is claimed by one owner at a time. Claiming counts its generation up, and every write of the claimant names
//! the generation it claimed: a claimant whose lease another has taken finds no row and changes nothing.

use serde_json::Value;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::from_row;
use crate::db::{Executor, Tx};
use crate::error::Error;
use crate::operations::{Lane, Operation, OperationStatus};

/// An operation together with what its executor needs.
#[derive(Debug, Clone)]
pub struct ClaimedOperation {
    /// What is to be done.
    pub operation: Operation,
    /// Name of the step to run next; empty before the first.
    pub step: String,
    /// What the steps before have left.
    pub checkpoint: Value,
    /// Claims since the last step that was written down, this one included.
    pub attempts: u32,
    /// Every write names it.
    pub generation: i64,
    /// Its cancellation was requested.
    pub cancel_requested: bool,
}

/// What a claimant learns when it prolongs its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// It goes on.
    Renewed,
    /// It goes on only to stop.
    CancelRequested,
    /// Another has the row.
    Lost,
}

/// How many operations may be claimed at the same time, by all owners together.
#[derive(Debug, Clone, Copy)]
pub struct ClaimLimits {
    /// Backups that read from one server.
    pub per_server: usize,
    /// Operations of [`Lane::Data`] in one vault.
    pub per_vault: usize,
}

/// Claims the operation of the lane that has been due longest, that nobody holds and that no limit keeps waiting.
///
/// The inner error is a row that this version cannot read, such as one of a kind that a newer one has made. It is
/// claimed all the same, so that its lease keeps it from standing before all others.
///
/// # Errors
/// The database fails.
pub async fn claim(
    tx: &mut Tx,
    lane: Lane,
    owner: &str,
    now_us: i64,
    lease_us: i64,
    limits: ClaimLimits,
) -> Result<Option<Result<ClaimedOperation, Error>>, Error> {
    let most = |limit: usize| i64::try_from(limit).unwrap_or(i64::MAX);
    let row = sqlx::query(
        "UPDATE operation SET owner = $1, lease_until_us = $2, generation = generation + 1, attempts = attempts + 1 \
         WHERE id = (SELECT o.id FROM operation o WHERE o.finished_us IS NULL AND o.lane = $3 AND o.due_us <= $4 \
                     AND o.lease_until_us <= $4 \
                     AND (o.server_key IS NULL OR $5 > (SELECT COUNT(*) FROM operation r \
                          WHERE r.server_key = o.server_key AND r.lease_until_us > $4 AND r.finished_us IS NULL)) \
                     AND (o.lane <> 'data' OR $6 > (SELECT COUNT(*) FROM operation r \
                          WHERE r.vault_key = o.vault_key AND r.lane = 'data' AND r.lease_until_us > $4 \
                          AND r.finished_us IS NULL)) \
                     ORDER BY o.due_us LIMIT 1) \
         AND finished_us IS NULL AND lease_until_us <= $4 RETURNING *",
    )
    .bind(owner)
    .bind(now_us.saturating_add(lease_us))
    .bind(lane.as_str())
    .bind(now_us)
    .bind(most(limits.per_server))
    .bind(most(limits.per_vault))
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.as_ref().map(claimed_from_row))
}

/// Claims an operation that waits for a place and whose cancellation was requested: it needs none, since all that it will do is to
/// end.
///
/// # Errors
/// As [`claim`].
pub async fn claim_cancelled(
    tx: &mut Tx,
    owner: &str,
    now_us: i64,
    lease_us: i64,
) -> Result<Option<Result<ClaimedOperation, Error>>, Error> {
    let row = sqlx::query(
        "UPDATE operation SET owner = $1, lease_until_us = $2, generation = generation + 1, attempts = attempts + 1 \
         WHERE id = (SELECT o.id FROM operation o WHERE o.finished_us IS NULL AND o.cancel_requested <> 0 \
                     AND o.due_us <= $3 AND o.lease_until_us <= $3 ORDER BY o.due_us LIMIT 1) \
         AND finished_us IS NULL AND lease_until_us <= $3 RETURNING *",
    )
    .bind(owner)
    .bind(now_us.saturating_add(lease_us))
    .bind(now_us)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.as_ref().map(claimed_from_row))
}

/// Gives up the leases of an owner that can't be running any more, because this is its new life.
///
/// # Errors
/// The database fails.
pub async fn release_all(tx: &mut Tx, owner: &str) -> Result<u64, Error> {
    let done = sqlx::query(
        "UPDATE operation SET lease_until_us = 0 WHERE owner = $1 AND finished_us IS NULL",
    )
    .bind(owner)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Prolongs a lease.
///
/// # Errors
/// The database fails.
pub async fn renew(
    tx: &mut Tx,
    id: &str,
    generation: i64,
    lease_until_us: i64,
) -> Result<Renewal, Error> {
    let row = sqlx::query(
        "UPDATE operation SET lease_until_us = $1 WHERE id = $2 AND generation = $3 AND finished_us IS NULL \
         RETURNING cancel_requested",
    )
    .bind(lease_until_us)
    .bind(id)
    .bind(generation)
    .fetch_optional(&mut **tx)
    .await?;
    match row {
        None => Ok(Renewal::Lost),
        Some(row) if row.try_get::<i64, _>("cancel_requested")? != 0 => {
            Ok(Renewal::CancelRequested)
        }
        Some(_) => Ok(Renewal::Renewed),
    }
}

/// The ids among unfinished operations whose cancellation was requested: for executors to stop what they run.
///
/// # Errors
/// The database fails.
pub async fn cancellations<'e>(executor: impl Executor<'e>) -> Result<Vec<String>, Error> {
    let rows = sqlx::query(
        "SELECT id FROM operation WHERE finished_us IS NULL AND cancel_requested <> 0 LIMIT 1000",
    )
    .fetch_all(executor)
    .await?;
    rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
}

/// Writes a step down: the checkpoint it left and the step that comes next. False when the lease was lost.
///
/// # Errors
/// The database fails.
pub async fn step_done(
    tx: &mut Tx,
    id: &str,
    generation: i64,
    next_step: &str,
    checkpoint: &Value,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "UPDATE operation SET step = $1, checkpoint = $2, attempts = 1 \
         WHERE id = $3 AND generation = $4 AND finished_us IS NULL",
    )
    .bind(next_step)
    .bind(checkpoint.to_string())
    .bind(id)
    .bind(generation)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes down what a step that still runs has left so far. Nothing when the lease was lost.
///
/// # Errors
/// The database fails.
pub async fn save_checkpoint(
    tx: &mut Tx,
    id: &str,
    generation: i64,
    checkpoint: &Value,
) -> Result<(), Error> {
    sqlx::query("UPDATE operation SET checkpoint = $1 WHERE id = $2 AND generation = $3 AND finished_us IS NULL")
        .bind(checkpoint.to_string())
        .bind(id)
        .bind(generation)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Gives the lease up, to be claimed again from `due_us` on. False when it was lost before.
///
/// # Errors
/// The database fails.
pub async fn put_back(
    tx: &mut Tx,
    id: &str,
    generation: i64,
    due_us: i64,
    forget_attempt: bool,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "UPDATE operation SET lease_until_us = 0, due_us = $1, attempts = attempts - $2 \
         WHERE id = $3 AND generation = $4 AND finished_us IS NULL",
    )
    .bind(due_us)
    .bind(i64::from(forget_attempt))
    .bind(id)
    .bind(generation)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends the operation. What the client has been told already (the success of a submission) stays. False when the lease
/// was lost: the caller then rolls back.
///
/// # Errors
/// The database fails.
pub async fn finish(
    tx: &mut Tx,
    id: &str,
    generation: i64,
    status: OperationStatus,
    error: Option<&coffer_azure::UserFacingError>,
    now_us: i64,
) -> Result<bool, Error> {
    let error = error.map(serde_json::to_string).transpose().map_err(Error::internal)?;
    let done = sqlx::query(
        "UPDATE operation SET finished_us = $1, lease_until_us = 0, \
         status = CASE WHEN ended_us IS NULL THEN $2 ELSE status END, \
         error = CASE WHEN ended_us IS NULL THEN $3 ELSE error END, \
         ended_us = CASE WHEN ended_us IS NULL THEN $1 ELSE ended_us END \
         WHERE id = $4 AND generation = $5 AND finished_us IS NULL",
    )
    .bind(now_us)
    .bind(status.as_str())
    .bind(error)
    .bind(id)
    .bind(generation)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

fn claimed_from_row(row: &SqliteRow) -> Result<ClaimedOperation, Error> {
    let checkpoint: String = row.try_get("checkpoint")?;
    Ok(ClaimedOperation {
        operation: from_row(row)?,
        step: row.try_get("step")?,
        checkpoint: serde_json::from_str(&checkpoint).map_err(Error::internal)?,
        attempts: u32::try_from(row.try_get::<i64, _>("attempts")?).unwrap_or(u32::MAX),
        generation: row.try_get("generation")?,
        cancel_requested: row.try_get::<i64, _>("cancel_requested")? != 0,
    })
}
