//! Exporting a vault's jobs: begun by a request, downloaded by links that need no token.

mod workbook;

use coffer_azure::ResourceId;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::job_resource::{JobForm, job_resource};
use super::{Call, Wanted, errors, vault_require_usable};
use crate::app::App;
use crate::db::job::{JOBS_PAGE_ROWS_MAX, Job, JobRange};
use crate::db::{self, ListPlace};
use crate::error::{Error, ErrorKind};
use crate::identity::download;
use crate::operations::{Operation, OperationKind, OperationStatus};

/// Whoever may read jobs may export them: it is nothing else.
const ACTION: &str = "backupVaults/backupJobs/read";
/// Most jobs that one export has: the newest ones.
pub const EXPORTED_JOBS_MAX: usize = 10_000;
/// Downloads that are made at the same time, each of which holds its jobs in memory; more wait.
const DOWNLOADS_MAX: usize = 2;
static DOWNLOADS: Semaphore = Semaphore::const_new(DOWNLOADS_MAX);
/// How long a link is good, in seconds.
pub const LINK_SECONDS: i64 = 3600;

/// A form in which jobs are downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportForm {
    /// A JSON array of jobs as a GET answers them.
    Json,
    /// A workbook with a row for each job.
    Workbook,
}

impl ExportForm {
    /// The last segment of its address.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Json => "backupJobs.json",
            Self::Workbook => "backupJobs.xlsx",
        }
    }

    /// The form with this file name.
    #[must_use]
    pub fn of_file(name: &str) -> Option<Self> {
        [Self::Json, Self::Workbook]
            .into_iter()
            .find(|form| form.file_name().eq_ignore_ascii_case(name))
    }
}

/// Begins an export.
///
/// # Errors
/// Not allowed; the vault is absent or being deleted; the database fails.
pub async fn begin(app: &App, call: Call<'_>, vault: &ResourceId) -> Result<Operation, Error> {
    call.authorize(app, ACTION, vault).await?;
    let now_us = app.clock.now_us();
    let mut tx = app.begin(call.caller).await?;
    let vault = vault_require_usable(&mut tx, vault).await?;
    let wanted = Wanted::of_vault(OperationKind::ExportJobs);
    let operation = call.begin(&mut tx, &vault, wanted, now_us).await?;
    tx.commit().await?;
    app.executor.wake();
    Ok(operation)
}

/// The export of that id; it may still run.
///
/// # Errors
/// Not allowed; there is no such export in the vault; the database fails.
pub async fn get(
    app: &App,
    call: Call<'_>,
    vault: &ResourceId,
    id: &str,
) -> Result<Operation, Error> {
    call.authorize(app, ACTION, vault).await?;
    let operation = db::operation::get(app.db.read(), id).await?;
    operation
        .filter(|operation| {
            operation.kind == OperationKind::ExportJobs && operation.vault == *vault
        })
        .ok_or_else(errors::resource_not_found)
}

/// The query of a link to an export, good for [`LINK_SECONDS`].
#[must_use]
pub fn link_query(app: &App, operation: &Operation, form: ExportForm) -> String {
    let ends_s = app.clock.now_seconds().saturating_add(LINK_SECONDS);
    download::sign(&app.master_key, &subject(&operation.id, form), ends_s)
}

/// What a link leads to: the jobs that had begun when the export did, newest first.
///
/// # Errors
/// The link was not made by us or is over; the export or its vault is gone; the database fails.
pub async fn read(
    app: &App,
    id: &str,
    form: ExportForm,
    ends: Option<&str>,
    signature: Option<&str>,
) -> Result<Vec<u8>, Error> {
    let now_s = app.clock.now_seconds();
    if !download::allows(&app.master_key, &subject(id, form), ends, signature, now_s) {
        return Err(Error::new(
            ErrorKind::Forbidden,
            "AuthenticationFailed",
            "The link is not valid, or not any more. Get the result of the export once more for another one.",
        ));
    }
    let operation = db::operation::get(app.db.read(), id).await?;
    let operation = operation
        .filter(|operation| operation.status == OperationStatus::Succeeded)
        .ok_or_else(errors::resource_not_found)?;
    if !db::resource_exists(app.db.read(), &operation.vault).await? {
        return Err(errors::resource_not_found());
    }
    let _permit = DOWNLOADS.acquire().await.map_err(Error::internal)?;
    let jobs = jobs(app, &operation).await?;
    match form {
        ExportForm::Json => {
            let jobs = jobs.iter().map(|job| serde_json::to_value(job_resource(job, JobForm::Get)));
            let jobs: Vec<Value> = jobs.collect::<Result<_, _>>().map_err(Error::internal)?;
            serde_json::to_vec(&jobs).map_err(Error::internal)
        }
        ExportForm::Workbook => Ok(workbook::of(&jobs)),
    }
}

async fn jobs(app: &App, operation: &Operation) -> Result<Vec<Job>, Error> {
    let mut jobs: Vec<Job> = Vec::new();
    loop {
        let after = jobs.last().map(|job| ListPlace::behind(job.started_us, &job.id));
        let range = JobRange {
            to_us: Some(operation.started_us),
            after: after.as_ref(),
            ..JobRange::default()
        };
        let page = db::job::list(app.db.read(), &operation.vault, range).await?;
        let is_last = page.len() < JOBS_PAGE_ROWS_MAX as usize;
        jobs.extend(page);
        if jobs.len() > EXPORTED_JOBS_MAX {
            let vault = &operation.vault;
            tracing::warn!(%vault, EXPORTED_JOBS_MAX, "an export of jobs has the newest ones alone");
            jobs.truncate(EXPORTED_JOBS_MAX);
            return Ok(jobs);
        }
        if is_last {
            return Ok(jobs);
        }
    }
}

/// What a link allows to read.
fn subject(id: &str, form: ExportForm) -> String {
    format!("exports/{id}/{}", form.file_name())
}
