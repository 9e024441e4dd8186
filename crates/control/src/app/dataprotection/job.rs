//! Reading a vault's jobs.

use coffer_azure::ResourceId;

use super::{Call, errors, vault_require};
use crate::app::App;
use crate::db::job::{JOBS_PAGE_ROWS_MAX, Job};
use crate::db::{self, Paged};
use crate::error::Error;

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

/// The jobs of a vault, newest first, after the first `skip`.
///
/// # Errors
/// Not allowed; the vault is absent; the database fails.
pub async fn list(
    app: &App,
    call: Call<'_>,
    vault: &ResourceId,
    skip: u32,
) -> Result<Paged<Job>, Error> {
    call.authorize(app, "backupVaults/backupJobs/read", vault).await?;
    vault_require(app.db.read(), vault).await?;
    let items = db::job::list(app.db.read(), vault, skip).await?;
    Ok(super::skipped_page(items, skip, JOBS_PAGE_ROWS_MAX))
}
