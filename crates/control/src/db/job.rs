//! The rows of jobs: what a user watches while a backup or a restore runs, and reads afterwards.
//!
//! A job's facts are one JSON body in our own words; what Azure calls them is the encoder's concern. Only the executor
//! that has the job's operation may change it.

use std::collections::BTreeMap;

use coffer_azure::{ResourceId, UserFacingError};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Executor, ListPlace, Tx};
use crate::error::Error;

/// Most rows that one page of a vault's jobs holds.
pub const JOBS_PAGE_ROWS_MAX: u32 = 1000;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStatus {
    /// Begun, or about to.
    InProgress,
    /// Done.
    Completed,
    /// Done, and there is something that a person should know.
    CompletedWithWarnings,
    /// Not done; the errors say why.
    Failed,
    /// Stopped on request.
    Cancelled,
}

/// What the job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobKind {
    /// Takes a recovery point.
    Backup,
    /// Restores one.
    Restore,
}

/// A recovery point that a job makes or reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecoveryPoint {
    /// Its id.
    pub id: String,
    /// Microseconds since 1970.
    pub taken_us: i64,
}

/// Something that a person should know about a job that is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobWarning {
    /// What it is about.
    pub resource_name: String,
    /// In the user's words.
    pub error: UserFacingError,
}

/// How far a job is that runs, and how fast it goes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JobProgress {
    /// How many bytes there are in all, in the measure of [`JobBody::transferred_bytes`].
    pub bytes_total: Option<u64>,
    /// Of the bytes so far, those that were taken over from the recovery point before without being read.
    pub bytes_taken_over: u64,
    /// Bytes that were read back and compared.
    pub bytes_compared: u64,
    /// Rows so far.
    pub rows: u64,
    /// Tables, ranges or indexes of the phase so far, and in all.
    pub items: Option<(u64, u64)>,
    /// Bytes in a second, over the last few; none in a phase that moves none.
    pub bytes_per_second: Option<u64>,
    /// Seconds until the phase ends; none where it is not known.
    pub phase_seconds_left: Option<u64>,
}

/// The facts of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobBody {
    /// What it does.
    pub kind: JobKind,
    /// Activity id of the request.
    pub activity_id: String,
    /// ARM id of the vault, as it was written.
    pub vault: String,
    /// ARM id of the instance, as it was written.
    pub instance: String,
    /// The instance's friendly name.
    pub friendly_name: String,
    /// ARM id of the policy in force.
    pub policy: String,
    /// ARM id of the datasource.
    pub datasource: String,
    /// The datasource's name.
    pub datasource_name: String,
    /// Its type.
    pub datasource_type: String,
    /// Its location.
    pub datasource_location: String,
    /// The name of its server.
    pub datasource_set_name: Option<String>,
    /// Asked for by a person.
    pub user_triggered: bool,
    /// Restores from the vault's second region.
    #[serde(default)]
    pub cross_region: bool,
    /// Bytes moved to or from the server.
    #[serde(default)]
    pub transferred_bytes: Option<u64>,
    /// Size of the source on its disk.
    #[serde(default)]
    pub source_bytes: Option<u64>,
    /// Between 0 and 100, while it runs and the whole is known.
    #[serde(default)]
    pub progress_percent: Option<f64>,
    /// What it is doing, in the engine's word for it.
    #[serde(default)]
    pub phase: Option<String>,
    /// How far that is, while it runs.
    #[serde(default)]
    pub progress: Option<JobProgress>,
    /// The recovery point that a backup has made.
    #[serde(default)]
    pub target_recovery_point: Option<JobRecoveryPoint>,
    /// The recovery point that a restore reads.
    #[serde(default)]
    pub source_recovery_point: Option<JobRecoveryPoint>,
    /// ARM id of the database, or URL of the container, that a restore writes to.
    #[serde(default)]
    pub recovery_destination: Option<String>,
    /// For people: the retention tag, the file prefix, what was proved.
    #[serde(default)]
    pub details: BTreeMap<String, String>,
    /// Why it failed.
    #[serde(default)]
    pub errors: Vec<UserFacingError>,
    /// See [`JobWarning`].
    #[serde(default)]
    pub warnings: Vec<JobWarning>,
}

/// A job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// A GUID: its name below the vault.
    pub id: String,
    /// Where it stands.
    pub status: JobStatus,
    /// Microseconds since 1970.
    pub started_us: i64,
    /// Microseconds since 1970; none while it runs.
    pub ended_us: Option<i64>,
    /// Microseconds since 1970.
    pub updated_us: i64,
    /// The rest.
    pub body: JobBody,
}

impl JobStatus {
    /// All of them.
    pub const ALL: [JobStatus; 5] = [
        JobStatus::InProgress,
        JobStatus::Completed,
        JobStatus::CompletedWithWarnings,
        JobStatus::Failed,
        JobStatus::Cancelled,
    ];

    /// Azure's word, which is also what the row holds.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            JobStatus::InProgress => "InProgress",
            JobStatus::Completed => "Completed",
            JobStatus::CompletedWithWarnings => "CompletedWithWarnings",
            JobStatus::Failed => "Failed",
            JobStatus::Cancelled => "Cancelled",
        }
    }

    fn parse(word: &str) -> Result<JobStatus, Error> {
        JobStatus::ALL
            .into_iter()
            .find(|status| status.as_str() == word)
            .ok_or_else(|| Error::internal(format!("unknown status of job {word}")))
    }
}

/// Adds a row.
///
/// # Errors
/// The database fails.
pub async fn insert(tx: &mut Tx, job: &Job, operation_id: &str) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO job (id, operation_id, vault_key, instance_key, status, started_us, ended_us, updated_us, body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(&job.id)
    .bind(operation_id)
    .bind(job.body.vault.to_lowercase())
    .bind(job.body.instance.to_lowercase())
    .bind(job.status.as_str())
    .bind(job.started_us)
    .bind(job.ended_us)
    .bind(job.updated_us)
    .bind(serde_json::to_string(&job.body).map_err(Error::internal)?)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Reads a job by its GUID.
///
/// # Errors
/// The database fails.
pub async fn get<'e>(executor: impl Executor<'e>, id: &str) -> Result<Option<Job>, Error> {
    let row =
        sqlx::query("SELECT * FROM job WHERE id = $1").bind(id).fetch_optional(executor).await?;
    row.as_ref().map(from_row).transpose()
}

/// Reads a job of this vault by its GUID.
///
/// # Errors
/// The database fails.
pub async fn get_in_vault<'e>(
    executor: impl Executor<'e>,
    vault: &ResourceId,
    id: &str,
) -> Result<Option<Job>, Error> {
    let row = sqlx::query("SELECT * FROM job WHERE vault_key = $1 AND id = $2")
        .bind(vault.key())
        .bind(id.to_lowercase())
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(from_row).transpose()
}

/// Which jobs are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct JobRange<'a> {
    /// Begun at this time or later, in microseconds since 1970.
    pub from_us: Option<i64>,
    /// Begun at this time or earlier.
    pub to_us: Option<i64>,
    /// That stand so.
    pub status: Option<JobStatus>,
    /// Of the instance with this key.
    pub instance: Option<&'a str>,
    /// Those behind this one in the order of the list: new ones, which come before all others, move no page.
    pub after: Option<&'a ListPlace>,
}

/// The vault's jobs, newest first; at most [`JOBS_PAGE_ROWS_MAX`].
///
/// # Errors
/// The database fails.
pub async fn list<'e>(
    executor: impl Executor<'e>,
    vault: &ResourceId,
    range: JobRange<'_>,
) -> Result<Vec<Job>, Error> {
    let (after_us, after_id) = range.after.map_or((i64::MAX, ""), ListPlace::parts);
    let rows = sqlx::query(
        "SELECT * FROM job WHERE vault_key = $1 AND started_us >= $2 AND started_us <= $3 \
         AND ($4 = '' OR status = $4) AND ($5 = '' OR instance_key = $5) \
         AND (started_us < $6 OR (started_us = $6 AND id > $7)) ORDER BY started_us DESC, id LIMIT $8",
    )
    .bind(vault.key())
    .bind(range.from_us.unwrap_or(i64::MIN))
    .bind(range.to_us.unwrap_or(i64::MAX))
    .bind(range.status.map_or("", JobStatus::as_str))
    .bind(range.instance.unwrap_or_default())
    .bind(after_us)
    .bind(after_id)
    .bind(i64::from(JOBS_PAGE_ROWS_MAX))
    .fetch_all(executor)
    .await?;
    rows.iter().map(from_row).collect()
}

/// Writes a job back, if its operation is still held under `generation`. False when it is not.
///
/// # Errors
/// The database fails.
pub async fn update(
    tx: &mut Tx,
    job: &Job,
    operation_id: &str,
    generation: i64,
    now_us: i64,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "UPDATE job SET status = $1, ended_us = $2, updated_us = $3, body = $4 WHERE id = $5 AND EXISTS \
         (SELECT 1 FROM operation WHERE id = $6 AND generation = $7 AND finished_us IS NULL)",
    )
    .bind(job.status.as_str())
    .bind(job.ended_us)
    .bind(now_us)
    .bind(serde_json::to_string(&job.body).map_err(Error::internal)?)
    .bind(&job.id)
    .bind(operation_id)
    .bind(generation)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes up to `rows_max` jobs that ended before `before_us`; tells how many.
///
/// # Errors
/// The database fails.
pub async fn delete_ended(tx: &mut Tx, before_us: i64, rows_max: u32) -> Result<u64, Error> {
    let done = sqlx::query(
        "DELETE FROM job WHERE id IN (SELECT id FROM job WHERE ended_us IS NOT NULL AND ended_us < $1 LIMIT $2)",
    )
    .bind(before_us)
    .bind(i64::from(rows_max))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Removes the jobs of a vault that is deleted.
///
/// # Errors
/// The database fails.
pub async fn delete_in_vault(tx: &mut Tx, vault: &ResourceId) -> Result<(), Error> {
    sqlx::query("DELETE FROM job WHERE vault_key = $1")
        .bind(vault.key())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn from_row(row: &SqliteRow) -> Result<Job, Error> {
    let status: String = row.try_get("status")?;
    let body: String = row.try_get("body")?;
    Ok(Job {
        id: row.try_get("id")?,
        status: JobStatus::parse(&status)?,
        started_us: row.try_get("started_us")?,
        ended_us: row.try_get("ended_us")?,
        updated_us: row.try_get("updated_us")?,
        body: serde_json::from_str(&body).map_err(Error::internal)?,
    })
}
