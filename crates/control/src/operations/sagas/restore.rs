//! A recovery point becomes a database, or files.
//!
//! A run that dies leaves at most something under the operation's own temporary name, never under the target's. The
//! next run drops it and starts over. Whatever happens after the target has its name is found again: of files by their
//! place, of a database by its identity, which the checkpoint keeps.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use coffer_engine::Proof;
use coffer_engine::files::FilesRequest;
use coffer_engine::manifest::Warning;
use serde::{Deserialize, Serialize};

use super::data_run::{WorkDirectory, job_warning, not_proved_warning};
use super::files_target::FilesTarget;
use super::instance_repository::{instance_resource, open_repository};
use super::job_monitor::JobMonitor;
use super::restore_target::{DatabaseTarget, Target, database_target, recovery_point_id, target};
use crate::app::App;
use crate::app::user_facing_error::{self, Place};
use crate::db::job::{JobStatus, JobWarning};
use crate::db::{self, Tx};
use crate::error::Error;
use crate::operations::{Failure, Outcome, RestoreInput, Run, Saga};

pub(super) const STEPS: &[&str] = &["check", "write", "publish"];
pub(super) const INNER_POINTS: &[&str] = &[
    "write:check",
    "write:create-database",
    "write:pre-data",
    "write:load",
    "write:post-data",
    "write:refresh",
    "write:analyze",
    "write:proof",
    "write:rename",
    "write:renamed",
    "write:files",
];

/// See the module.
pub(super) struct Restore {
    pub(super) app: Arc<App>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Checkpoint {
    written: Option<Written>,
}

/// What the conclusion writes down.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Written {
    transferred_bytes: u64,
    details: BTreeMap<String, String>,
    warnings: Vec<JobWarning>,
}

#[async_trait]
impl Saga for Restore {
    fn steps(&self) -> &'static [&'static str] {
        STEPS
    }

    async fn run(&self, step: &'static str, run: &mut Run) -> Result<(), Failure> {
        let input: RestoreInput = run.input()?;
        match (step, target(&input)?) {
            ("check", Target::Database { .. }) => self.check_recovery_point(run, &input).await,
            ("check", Target::Files(info)) => {
                self.check_recovery_point(run, &input).await?;
                // From here on, a directory of the archive's name is this operation's own.
                FilesTarget::resolve(&self.app, run, &run.operation().vault, info)
                    .await?
                    .require_free()
            }
            ("write", Target::Database { .. }) => {
                let written = self.write_database(run, &input).await?;
                run.set_checkpoint(&Checkpoint { written: Some(written) })?;
                Ok(())
            }
            ("write", Target::Files(info)) => {
                let files =
                    FilesTarget::resolve(&self.app, run, &run.operation().vault, info).await?;
                let written = self.write_files(run, &input, &files).await?;
                run.set_checkpoint(&Checkpoint { written: Some(written) })?;
                Ok(())
            }
            (_, Target::Files(info)) => {
                FilesTarget::resolve(&self.app, run, &run.operation().vault, info)
                    .await?
                    .publish()
                    .await
            }
            // The engine has given the database its name at the end of the proof.
            (_, Target::Database { .. }) => Ok(()),
        }
    }

    async fn abandon(&self, run: &mut Run) -> Result<(), Failure> {
        let input: RestoreInput = run.input()?;
        let vault = &run.operation().vault;
        // When the target cannot even be reached for the reason that the restore has failed for, there is nothing of
        // ours in it that could be taken back now.
        match target(&input)? {
            Target::Files(info) => {
                if let Ok(files) = FilesTarget::resolve(&self.app, run, vault, info).await {
                    files.clear().await?;
                }
            }
            Target::Database { datasource, credentials } => {
                let resolved =
                    database_target(&self.app, run, vault, &input, datasource, credentials).await;
                if let Ok(DatabaseTarget { request, access }) = resolved {
                    drop_temporary(&request, &access.place).await?;
                }
            }
        }
        Ok(())
    }

    async fn conclude(&self, tx: &mut Tx, run: &Run, outcome: &Outcome) -> Result<(), Error> {
        match outcome {
            Outcome::Succeeded => {
                let written = run.checkpoint::<Checkpoint>()?.written.unwrap_or_default();
                let status = if written.warnings.is_empty() {
                    JobStatus::Completed
                } else {
                    JobStatus::CompletedWithWarnings
                };
                run.job_end(tx, status, |job| {
                    job.body.transferred_bytes = Some(written.transferred_bytes);
                    job.body.details.extend(written.details);
                    job.body.warnings = written.warnings;
                })
                .await
            }
            Outcome::Failed(error) => {
                let error = error.clone();
                run.job_end(tx, JobStatus::Failed, |job| job.body.errors = vec![error]).await
            }
            Outcome::Cancelled => {
                run.job_end(tx, JobStatus::Cancelled, |job| {
                    job.body.errors = vec![user_facing_error::cancelled()]
                })
                .await
            }
        }
    }
}

impl Restore {
    async fn check_recovery_point(&self, run: &Run, input: &RestoreInput) -> Result<(), Failure> {
        let operation = run.operation();
        let instance = operation.instance.as_ref().unwrap_or(&operation.vault);
        let (_, state) = instance_resource(&self.app, instance).await?;
        let id = recovery_point_id(&input.request)?;
        match db::recovery_point::get(self.app.db.read(), state.repository_guid, &id).await? {
            Some(_) => Ok(()),
            None => Err(Failure::failed(user_facing_error::recovery_point_not_found(&id))),
        }
    }

    async fn write_database(&self, run: &Run, input: &RestoreInput) -> Result<Written, Failure> {
        let Target::Database { datasource, credentials } = target(input)? else {
            return Err(Error::internal("a restore as database without one").into());
        };
        let operation = run.operation();
        let DatabaseTarget { request, access } =
            database_target(&self.app, run, &operation.vault, input, datasource, credentials)
                .await?;
        drop_temporary(&request, &access.place).await?;
        let instance = operation.instance.as_ref().unwrap_or(&operation.vault);
        let (_, state) = instance_resource(&self.app, instance).await?;
        let repository =
            open_repository(&self.app, &operation.vault, state.repository_guid).await?;
        let _work = WorkDirectory::make(&self.app, run).await?;
        let monitor = Arc::new(JobMonitor::new(run.kind(), "write"));
        let restoring = coffer_engine::restore::restore_database(
            request,
            &repository,
            Arc::clone(&monitor) as _,
            run.cancellation().clone(),
        );
        let outcome = monitor
            .report_while(run.job_report(), Box::pin(restoring))
            .await
            .map_err(|error| restore_failure(&error, &access.place))?;
        run.crash_point("write:renamed");
        Ok(written(outcome.bytes, &outcome.proof, &outcome.warnings, &access.place.database))
    }

    async fn write_files(
        &self,
        run: &Run,
        input: &RestoreInput,
        files: &FilesTarget,
    ) -> Result<Written, Failure> {
        files.clear().await?;
        let operation = run.operation();
        let instance = operation.instance.as_ref().unwrap_or(&operation.vault);
        let (_, state) = instance_resource(&self.app, instance).await?;
        let repository =
            open_repository(&self.app, &operation.vault, state.repository_guid).await?;
        let request = FilesRequest {
            recovery_point_id: recovery_point_id(&input.request)?,
            directory: files.staging.clone(),
            prefix: files.prefix.clone(),
            workers: self.app.config.limits.data_workers,
        };
        let monitor = Arc::new(JobMonitor::new(run.kind(), "write"));
        let restoring = coffer_engine::files::restore_files(
            request,
            &repository,
            Arc::clone(&monitor) as _,
            run.cancellation().clone(),
        );
        let outcome = monitor
            .report_while(run.job_report(), Box::pin(restoring))
            .await
            .map_err(|error| restore_failure(&error, &Place::storage()))?;
        let mut written = written(outcome.bytes, &outcome.proof, &outcome.warnings, &files.prefix);
        written.details.insert("Restored Files".to_owned(), outcome.files.to_string());
        Ok(written)
    }
}

/// A restore is not tried again behind the user's back once it has begun to write: the failure is told, with what was
/// found. Only what cannot have written anything is.
fn restore_failure(error: &coffer_engine::Error, place: &Place) -> Failure {
    user_facing_error::engine_failure(error, place)
}

async fn drop_temporary(
    request: &coffer_engine::restore::RestoreRequest,
    place: &Place,
) -> Result<(), Failure> {
    coffer_engine::restore::drop_temporary_database(&request.target, &request.temporary_database)
        .await
        .map_err(|error| user_facing_error::engine_failure(&error, place))
}

fn written(bytes: u64, proof: &Proof, warnings: &[Warning], resource_name: &str) -> Written {
    let mut details = BTreeMap::new();
    details.insert("Proof".to_owned(), proof_in_words(proof));
    details.insert("Proved Tables".to_owned(), proof.tables.to_string());
    details.insert("Proved Rows".to_owned(), proof.rows.to_string());
    let mut all: Vec<JobWarning> =
        warnings.iter().map(|warning| job_warning(warning, resource_name)).collect();
    all.extend(proof.not_proved.iter().map(not_proved_warning));
    Written { transferred_bytes: bytes, details, warnings: all }
}

fn proof_in_words(proof: &Proof) -> String {
    let equal = if proof.equal { "equal" } else { "different" };
    format!(
        "{equal}: row counts and content hashes of {} tables with {} rows were compared with the recovery point; {} \
         objects could not be compared",
        proof.tables,
        proof.rows,
        proof.not_proved.len()
    )
}
