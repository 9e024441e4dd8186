//! Reading a vault's jobs.

use coffer_azure::ResourceId;

use super::job_filter::JobFilter;
use super::{Call, TimePage, errors, vault_require};
use crate::app::App;
use crate::db::job::{JOBS_PAGE_ROWS_MAX, Job, JobKind, JobRange};
use crate::db::{self, ListPlace, Paged};
use crate::error::Error;

/// How many pages of rows one request looks through for what no index tells.
const SCANNED_PAGES_MAX: usize = 10;

/// Reads a job of a vault.
///
/// # Errors
/// Not allowed; absent; the database fails.
pub async fn get(
    app: &App,
    call: Call<'_>,
    vault: &ResourceId,
    job_id: &str,
) -> Result<Job, Error> {
    call.authorize(app, "backupVaults/backupJobs/read", &vault.child("backupJobs", job_id)).await?;
    db::job::get_in_vault(app.db.read(), vault, job_id)
        .await?
        .ok_or_else(errors::resource_not_found)
}

/// Asks a job that has not ended to stop, upon which it ends as cancelled and leaves nothing. One whose result is being given its
/// name ends as it would have.
///
/// Azure has no such request for these jobs. Who may begin such a job may cancel it.
///
/// # Errors
/// Not allowed; absent; it has ended; the database fails.
pub async fn cancel(
    app: &App,
    call: Call<'_>,
    vault: &ResourceId,
    job_id: &str,
) -> Result<(), Error> {
    let job = get(app, call, vault, job_id).await?;
    let instance = ResourceId::parse(&job.body.instance).map_err(Error::internal)?;
    let action = match job.body.kind {
        JobKind::Backup => "backupVaults/backupInstances/backup/action",
        JobKind::Restore => "backupVaults/backupInstances/restore/action",
    };
    call.authorize(app, action, &instance).await?;
    let mut tx = app.begin(call.caller).await?;
    if !db::operation::request_cancellation_of_job(&mut tx, &job.id).await? {
        return Err(errors::state_refuses(format!("The job '{}' has ended.", job.id)));
    }
    tx.commit().await?;
    app.executor.wake();
    Ok(())
}

/// The jobs of a vault that the filter admits, newest first. The filter is read after the caller was authorized.
///
/// # Errors
/// Not allowed; the vault is absent; the filter is none; the database fails.
pub async fn list(
    app: &App,
    call: Call<'_>,
    vault: &ResourceId,
    filter: impl FnOnce() -> Result<JobFilter, Error> + Send,
    page: &TimePage,
) -> Result<Paged<Job>, Error> {
    call.authorize(app, "backupVaults/backupJobs/read", vault).await?;
    let filter = filter()?;
    vault_require(app.db.read(), vault).await?;
    page_of(app, vault, &filter, page).await
}

/// A page of them, of a vault that is there.
pub(super) async fn page_of(
    app: &App,
    vault: &ResourceId,
    filter: &JobFilter,
    page: &TimePage,
) -> Result<Paged<Job>, Error> {
    let items_max = page.items_max(JOBS_PAGE_ROWS_MAX);
    let mut items = Vec::new();
    let mut after = page.after.clone();
    for _ in 0..SCANNED_PAGES_MAX {
        let range = JobRange {
            from_us: filter.from_us,
            to_us: filter.to_us,
            status: filter.status,
            instance: filter.instance.as_deref(),
            after: after.as_ref(),
        };
        let rows = db::job::list(app.db.read(), vault, range).await?;
        let is_last = rows.len() < JOBS_PAGE_ROWS_MAX as usize;
        for job in rows {
            if !filter.admits(&job) {
                after = Some(ListPlace::behind(job.started_us, &job.id));
                continue;
            }
            if items.len() == items_max {
                return Ok(Paged { items, next: after.map(|after| after.token()) });
            }
            after = Some(ListPlace::behind(job.started_us, &job.id));
            items.push(job);
        }
        if is_last {
            return Ok(Paged { items, next: None });
        }
    }
    // A short page, maybe an empty one: the rest is asked for by its link.
    Ok(Paged { items, next: after.map(|after| after.token()) })
}
