//! The rows of durable operations: made, found, and removed. [`mod@claim`] is for those who run them, [`queue`] for those who watch.

mod claim;
mod queue;

use coffer_azure::ResourceId;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

pub use self::claim::{
    ClaimLimits, ClaimedOperation, Renewal, cancellations, claim, claim_cancelled, finish,
    put_back, release_all, renew, save_checkpoint, step_done,
};
pub use self::queue::{counts, late, next_due_us, set_late_told};
use super::{Executor, Tx};
use crate::error::Error;
use crate::operations::{Operation, OperationKind, OperationStatus, TraceContext};

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

/// Whether an operation of this kind on anything in the vault has not ended.
///
/// # Errors
/// The database fails.
pub async fn any_unfinished_in_vault(
    tx: &mut Tx,
    vault: &ResourceId,
    kind: OperationKind,
) -> Result<bool, Error> {
    let row = sqlx::query(
        "SELECT 1 FROM operation WHERE vault_key = $1 AND kind = $2 AND finished_us IS NULL LIMIT 1",
    )
    .bind(vault.key())
    .bind(kind.as_str())
    .fetch_optional(&mut **tx)
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

/// Asks the unfinished operations of this kind on the instance to stop. Those that wait for their next attempt wait no longer.
///
/// # Errors
/// The database fails.
pub async fn request_cancellation(
    tx: &mut Tx,
    instance: &ResourceId,
    kind: OperationKind,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE operation SET cancel_requested = 1, due_us = 0 \
         WHERE instance_key = $1 AND kind = $2 AND finished_us IS NULL AND cancel_requested = 0",
    )
    .bind(instance.key())
    .bind(kind.as_str())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Asks the operation of a job to stop, as [`request_cancellation`] does. False when it has ended.
///
/// # Errors
/// The database fails.
pub async fn request_cancellation_of_job(tx: &mut Tx, job_id: &str) -> Result<bool, Error> {
    let asked = sqlx::query(
        "UPDATE operation SET due_us = CASE WHEN cancel_requested = 0 THEN 0 ELSE due_us END, cancel_requested = 1 \
         WHERE id = (SELECT operation_id FROM job WHERE id = $1) AND finished_us IS NULL",
    )
    .bind(job_id)
    .execute(&mut **tx)
    .await?;
    Ok(asked.rows_affected() == 1)
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
