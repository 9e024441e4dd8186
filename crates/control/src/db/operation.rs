//! The rows of durable operations.
//!
//! A row is claimed by one owner at a time. Claiming counts its generation up, and every write of the claimant names
//! the generation it claimed: a claimant whose lease another has taken finds no row and changes nothing.

use coffer_azure::ResourceId;
use serde_json::Value;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::{Executor, Tx};
use crate::error::Error;
use crate::operations::{Lane, Operation, OperationKind, OperationStatus, TraceContext};

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

/// Adds a row, due at once.
///
/// # Errors
/// The database fails.
pub async fn insert(tx: &mut Tx, operation: &Operation) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO operation (id, kind, lane, vault, vault_key, instance, instance_key, location, input, api_version, \
         activity_id, job_id, status, started_us, ended_us, due_us, server_key, trace_context) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
    )
    .bind(&operation.id)
    .bind(operation.kind.as_str())
    .bind(operation.kind.lane().as_str())
    .bind(operation.vault.to_string())
    .bind(operation.vault.key())
    .bind(operation.instance.as_ref().map(ToString::to_string))
    .bind(operation.instance.as_ref().map(ResourceId::key))
    .bind(&operation.location)
    .bind(operation.input.to_string())
    .bind(&operation.api_version)
    .bind(&operation.activity_id)
    .bind(operation.job_id.map(|id| id.to_string()))
    .bind(operation.status.as_str())
    .bind(operation.started_us)
    .bind(operation.ended_us)
    .bind(operation.started_us)
    .bind(&operation.server_key)
    .bind(operation.trace.as_ref().map(TraceContext::to_text))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Reads one operation.
///
/// # Errors
/// The database fails.
pub async fn get<'e>(executor: impl Executor<'e>, id: &str) -> Result<Option<Operation>, Error> {
    let row = sqlx::query("SELECT * FROM operation WHERE id = $1")
        .bind(id)
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(from_row).transpose()
}

/// An operation of this kind on the instance that has not ended, if there is one.
///
/// # Errors
/// The database fails.
pub async fn unfinished(
    tx: &mut Tx,
    instance: &ResourceId,
    kind: OperationKind,
) -> Result<Option<Operation>, Error> {
    let row = sqlx::query(
        "SELECT * FROM operation WHERE instance_key = $1 AND kind = $2 AND finished_us IS NULL LIMIT 1",
    )
    .bind(instance.key())
    .bind(kind.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    row.as_ref().map(from_row).transpose()
}

/// Whether an operation of this kind on the instance has not ended.
///
/// # Errors
/// The database fails.
pub async fn is_unfinished<'e>(
    executor: impl Executor<'e>,
    instance: &ResourceId,
    kind: OperationKind,
) -> Result<bool, Error> {
    let row = sqlx::query(
        "SELECT 1 FROM operation WHERE instance_key = $1 AND kind = $2 AND finished_us IS NULL LIMIT 1",
    )
    .bind(instance.key())
    .bind(kind.as_str())
    .fetch_optional(executor)
    .await?;
    Ok(row.is_some())
}

/// All operations of this kind on the instance that have not ended.
///
/// # Errors
/// The database fails.
pub async fn all_unfinished<'e>(
    executor: impl Executor<'e>,
    instance: &ResourceId,
    kind: OperationKind,
) -> Result<Vec<Operation>, Error> {
    let rows = sqlx::query(
        "SELECT * FROM operation WHERE instance_key = $1 AND kind = $2 AND finished_us IS NULL",
    )
    .bind(instance.key())
    .bind(kind.as_str())
    .fetch_all(executor)
    .await?;
    rows.iter().map(from_row).collect()
}

/// Asks the unfinished operations of this kind on the instance to stop.
///
/// # Errors
/// The database fails.
pub async fn request_cancellation(
    tx: &mut Tx,
    instance: &ResourceId,
    kind: OperationKind,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE operation SET cancel_requested = 1 WHERE instance_key = $1 AND kind = $2 AND finished_us IS NULL",
    )
    .bind(instance.key())
    .bind(kind.as_str())
    .execute(&mut **tx)
    .await?;
    Ok(())
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

/// Removes up to `rows_max` operations that were finished before `before_us`; tells how many.
///
/// # Errors
/// The database fails.
pub async fn delete_finished(tx: &mut Tx, before_us: i64, rows_max: u32) -> Result<u64, Error> {
    let done = sqlx::query(
        "DELETE FROM operation WHERE id IN \
         (SELECT id FROM operation WHERE finished_us IS NOT NULL AND finished_us < $1 LIMIT $2)",
    )
    .bind(before_us)
    .bind(i64::from(rows_max))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

fn from_row(row: &SqliteRow) -> Result<Operation, Error> {
    let kind: String = row.try_get("kind")?;
    let status: String = row.try_get("status")?;
    let vault: String = row.try_get("vault")?;
    let instance: Option<String> = row.try_get("instance")?;
    let input: String = row.try_get("input")?;
    let error: Option<String> = row.try_get("error")?;
    let job_id: Option<String> = row.try_get("job_id")?;
    let trace: Option<String> = row.try_get("trace_context")?;
    Ok(Operation {
        id: row.try_get("id")?,
        kind: OperationKind::parse(&kind)
            .ok_or_else(|| Error::internal(format!("unknown kind of operation {kind}")))?,
        vault: ResourceId::parse(&vault).map_err(Error::internal)?,
        instance: instance
            .as_deref()
            .map(ResourceId::parse)
            .transpose()
            .map_err(Error::internal)?,
        location: row.try_get("location")?,
        input: serde_json::from_str(&input).map_err(Error::internal)?,
        api_version: row.try_get("api_version")?,
        activity_id: row.try_get("activity_id")?,
        job_id: job_id.as_deref().map(Uuid::parse_str).transpose().map_err(Error::internal)?,
        status: OperationStatus::parse(&status)
            .ok_or_else(|| Error::internal(format!("unknown status of operation {status}")))?,
        error: error.as_deref().map(serde_json::from_str).transpose().map_err(Error::internal)?,
        started_us: row.try_get("started_us")?,
        ended_us: row.try_get("ended_us")?,
        server_key: row.try_get("server_key")?,
        trace: trace.as_deref().map(TraceContext::from_text),
    })
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
