//! What backups and restores share: a directory for the tools' output, the words for what is noteworthy, and the audit log's row of
//! their end.

use std::path::{Path, PathBuf};

use coffer_azure::{InnerError, UserFacingError};
use coffer_engine::manifest::{NotProved, Warning};
use uuid::Uuid;

use crate::app::App;
use crate::app::alert::{self, Alert, AlertKind};
use crate::audit;
use crate::audit::act::{Act, RESTORE_ENDED};
use crate::db::job::{JobStatus, JobWarning};
use crate::db::{self, Tx};
use crate::error::Error;
use crate::operations::{Outcome, RestoreInput, Run};

/// A GUID in hexadecimal digits that is always the same for one operation, so that a later run finds again what an
/// earlier one has begun.
pub(super) fn operation_guid(run: &Run) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, run.operation().id.as_bytes())
}

/// Removes what runs of a killed service have left: nothing runs yet.
pub(crate) async fn clear_work_directories(app: &App) -> Result<(), Error> {
    remove_directory(&work_root(app)).await
}

fn work_root(app: &App) -> PathBuf {
    app.config.data_dir.join("work")
}

/// The local directory of one operation, for the tools' output.
pub(super) fn work_path(app: &App, run: &Run) -> PathBuf {
    work_root(app).join(operation_guid(run).simple().to_string())
}

/// An empty local directory of one operation. Removed when dropped, and emptied when an earlier run has died in it.
pub(super) struct WorkDirectory {
    path: PathBuf,
}

impl WorkDirectory {
    pub(super) async fn make(app: &App, run: &Run) -> Result<WorkDirectory, Error> {
        let path = work_path(app, run);
        remove_directory(&path).await?;
        tokio::fs::create_dir_all(&path).await.map_err(Error::internal)?;
        Ok(WorkDirectory { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a work directory could not be removed");
        }
    }
}

/// Removes a directory and what is in it; one that is not there is no failure.
pub(super) async fn remove_directory(path: &Path) -> Result<(), Error> {
    match tokio::fs::remove_dir_all(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::internal(error)),
        _ => Ok(()),
    }
}

/// A warning of the engine in the job's form.
pub(super) fn job_warning(warning: &Warning, resource_name: &str) -> JobWarning {
    JobWarning {
        resource_name: resource_name.to_owned(),
        error: UserFacingError::new(warning.code.clone(), warning.message.clone()),
    }
}

/// Something that the proof leaves out, in the job's form.
pub(super) fn not_proved_warning(not_proved: &NotProved) -> JobWarning {
    JobWarning {
        resource_name: not_proved.object.clone(),
        error: UserFacingError::new(
            "RestoredObjectNotProved",
            "The content of an object could not be compared with the recovery point.",
        )
        .inner(InnerError::new(
            "NotProved",
            format!("{}: {}", not_proved.object, not_proved.reason),
        )),
    }
}

/// Ends the job as failed and tells whoever wants to hear of it, in the transaction that ends the operation.
pub(super) async fn job_failed(
    app: &App,
    tx: &mut Tx,
    run: &Run,
    error: &UserFacingError,
    kind: AlertKind,
    warnings: Vec<JobWarning>,
) -> Result<(), Error> {
    let operation = run.operation();
    if let Some(instance) = &operation.instance
        && let Some(vault) = db::resource_get(&mut **tx, &operation.vault).await?
    {
        let text = match kind {
            AlertKind::RestoreFailed => "A restore has failed.",
            _ => "A backup has failed.",
        };
        let mut alert =
            Alert::of_instance(kind, &vault, instance, text.to_owned()).with_error(error);
        alert.job = operation.job_id;
        alert::raise(app, tx, &alert).await?;
    }
    run.job_end(tx, JobStatus::Failed, |job| {
        job.body.errors = vec![error.clone()];
        job.body.warnings = warnings;
    })
    .await
}

/// Writes into the audit log that what a request's row has announced was done, or wasn't: beside the job's end.
pub(super) async fn note_restore_ended(
    app: &App,
    tx: &mut Tx,
    run: &Run,
    outcome: &Outcome,
) -> Result<(), Error> {
    let operation = run.operation();
    let (outcome, code) = match outcome {
        Outcome::Succeeded => (audit::Outcome::Succeeded, None),
        Outcome::Failed(error) => (audit::Outcome::Failed, error.code.as_deref()),
        Outcome::Cancelled => (audit::Outcome::Failed, Some("Cancelled")),
    };
    let input: RestoreInput = run.input()?;
    let id = input.request.recovery_point_id().unwrap_or_default();
    let instance = operation.instance.as_ref().unwrap_or(&operation.vault);
    let act = Act {
        outcome,
        code,
        operation_id: Some(&operation.id),
        ..Act::done(RESTORE_ENDED, instance.as_str(), vec![id])
    };
    app.audit.act(tx, run.now_us(), &act).await
}
