//! A recovery point becomes a database, or files.
//!
//! A run that dies leaves at most something under the operation's own temporary name, never under the target's. The
//! next run drops it and starts over. Whatever happens after the target has its name is found again: of files by their
//! place, of a database by its identity, which the checkpoint keeps.

mod written;

use std::sync::Arc;

use async_trait::async_trait;
use coffer_azure::UserFacingError;
use coffer_engine::Error as EngineError;
use coffer_engine::files::{FilesRequest, restore_files, restore_server_files};
use coffer_engine::monitor::Phase;
use coffer_engine::restore::{RestoreRequest, database_oid};
use coffer_store::Repository;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use self::written::{ADVISORY, LEFT_OUT, Written};
use super::data_run::{WorkDirectory, job_failed, note_restore_ended};
use super::files_target::FilesTarget;
use super::instance_repository::instance_resource;
use super::job_monitor::JobMonitor;
use super::restore_target::{
    DatabaseTarget, Target, chosen, database_target, recovery_point_id, require_point,
    source_repository, target, temporary_name,
};
use super::validate_for_backup::discover_tools;
use crate::app::App;
use crate::app::alert::AlertKind;
use crate::app::dataprotection::restore_choice::Choice;
use crate::app::dataprotection::{datasource, instance_row};
use crate::app::user_facing_error::{self, Place, engine_failure, store_failure};
use crate::db::Tx;
use crate::db::job::{JobStatus, JobWarning};
use crate::error::Error;
use crate::operations::{Failure, Outcome, RestoreInput, Run, Saga};
use crate::pin::while_pinned;

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
    /// Identity of the database that is made under the temporary name.
    temporary_oid: Option<u32>,
    written: Option<Written>,
    /// The temporary name, where nobody could see after a failure that there is no such database.
    #[serde(default)]
    left: Option<String>,
}

impl Checkpoint {
    fn written(written: Written) -> Self {
        Self { written: Some(written), ..Self::default() }
    }
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
                run.set_checkpoint(&Checkpoint::written(written))?;
                Ok(())
            }
            ("write", Target::Files(info)) => {
                let files =
                    FilesTarget::resolve(&self.app, run, &run.operation().vault, info).await?;
                let written = self.write_files(run, &input, &files).await?;
                run.set_checkpoint(&Checkpoint::written(written))?;
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

    /// What has its name is there; whether a run that died has given it is seen when it is looked for.
    fn runs_cancelled(&self, step: &str, run: &Run) -> bool {
        let may_be_named =
            || run.checkpoint().is_ok_and(|at: Checkpoint| at.temporary_oid.is_some());
        step == "publish" || (step == "write" && may_be_named())
    }

    async fn abandon(&self, run: &mut Run) -> Result<(), Failure> {
        let input: RestoreInput = run.input()?;
        let vault = &run.operation().vault;
        match target(&input)? {
            Target::Files(info) => {
                // What cannot be found for the reason that the restore has failed for has nothing of ours.
                if let Ok(files) = FilesTarget::resolve(&self.app, run, vault, info).await {
                    files.clear().await?;
                }
            }
            // Nothing was made yet.
            Target::Database { .. } if matches!(run.step(), "" | "check") => {}
            Target::Database { datasource, credentials } => {
                let mut checkpoint: Checkpoint = run.checkpoint()?;
                let resolved =
                    database_target(&self.app, run, vault, &input, datasource, credentials).await;
                let dropped = match resolved {
                    Ok(DatabaseTarget { request, access }) => {
                        drop_temporary(&request, &access.place).await
                    }
                    Err(failure) => Err(failure),
                };
                checkpoint.left = dropped.is_err().then(|| temporary_name(run));
                run.set_checkpoint(&checkpoint)?;
                match dropped {
                    Err(failure @ (Failure::Transient(_) | Failure::Interrupted)) => {
                        return Err(failure);
                    }
                    // A server that refuses this now has refused the restore for the same reason.
                    Err(failure) => tracing::warn!(
                        ?failure,
                        "the temporary database of a failed restore could not be looked for"
                    ),
                    Ok(()) => {}
                }
            }
        }
        Ok(())
    }

    async fn conclude(&self, tx: &mut Tx, run: &Run, outcome: &Outcome) -> Result<(), Error> {
        note_restore_ended(&self.app, tx, run, outcome).await?;
        let checkpoint: Checkpoint = run.checkpoint()?;
        match outcome {
            Outcome::Succeeded => {
                let written = checkpoint.written.unwrap_or_default();
                let status = if written.degraded {
                    JobStatus::CompletedWithWarnings
                } else {
                    JobStatus::Completed
                };
                run.job_end(tx, status, |job| {
                    job.body.transferred_bytes = Some(written.transferred_bytes);
                    job.body.details.extend(written.details);
                    job.body.warnings = written.warnings;
                })
                .await
            }
            Outcome::Failed(error) => {
                let left = checkpoint.left.map(left_warning).into_iter().collect();
                job_failed(&self.app, tx, run, error, AlertKind::RestoreFailed, left).await
            }
            Outcome::Cancelled => {
                run.job_end(tx, JobStatus::Cancelled, |job| {
                    job.body.errors = vec![user_facing_error::cancelled()];
                    job.body.warnings.extend(checkpoint.left.map(left_warning));
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
        require_point(&self.app, input, state.repository_guid, &id).await
    }

    async fn write_database(&self, run: &Run, input: &RestoreInput) -> Result<Written, Failure> {
        let Target::Database { datasource, credentials } = target(input)? else {
            return Err(Error::internal("a restore as database without one").into());
        };
        let operation = run.operation();
        let checkpoint: Checkpoint = run.checkpoint()?;
        let resolving =
            database_target(&self.app, run, &operation.vault, input, datasource, credentials);
        let DatabaseTarget { request, access } = if checkpoint.temporary_oid.is_none() {
            run.unless_stopped(resolving).await?
        } else {
            // The database may have its name.
            resolving.await?
        };
        let place = &access.place;
        if let Some(made) = checkpoint.temporary_oid
            && database_oid(&request.target, &request.database)
                .await
                .map_err(|e| engine_failure(&e, place))?
                == Some(made)
        {
            tracing::info!("an earlier run has given the database its name; it is recorded now");
            return Ok(Written::by_earlier_run(&access.place.database));
        }
        run.unless_stopped(drop_temporary(&request, place)).await?;
        let instance = operation.instance.as_ref().unwrap_or(&operation.vault);
        let (_, state) = instance_resource(&self.app, instance).await?;
        let repository =
            source_repository(&self.app, &operation.vault, input, state.repository_guid);
        let repository = run.unless_stopped(repository).await?;
        let _work = WorkDirectory::make(&self.app, run).await?;
        let stop = run.cancellation().child_token();
        let work_stop = stop.child_token();
        let monitor = Arc::new(JobMonitor::new(run.kind(), "write"));
        let restoring = coffer_engine::restore::restore_database(
            request.clone(),
            &repository,
            Arc::clone(&monitor) as _,
            work_stop.clone(),
        );
        let stall_after = self.app.config.backup_stall;
        let noting = async {
            monitor.database_made().await;
            note_temporary(run, &request).await;
            std::future::pending().await
        };
        let watched = async {
            tokio::select! {
                restored = monitor.report_while(run.job_report(), Box::pin(restoring)) => restored,
                never = noting => never,
                // Indexes may take as long as they like.
                () = monitor.watch(stall_after, Phase::moves_bytes, &work_stop) => {
                    Err(EngineError::Cancelled)
                }
            }
        };
        let id = &request.recovery_point_id;
        let outcome = self.pinned(run, &repository, id, &stop, place, Box::pin(watched)).await;
        let outcome = outcome.map_err(|failure| {
            if monitor.has_stalled() && run.stop_reason().is_none() {
                let said = user_facing_error::restore_stalled(stall_after, monitor.phase(), place);
                return Failure::transient(said);
            }
            failure
        })?;
        run.crash_point("write:renamed");
        let mut written =
            Written::of(outcome.bytes, &outcome.proof, &outcome.warnings, &place.database);
        written.note_selection(&request.selection);
        written.degraded =
            outcome.warnings.iter().any(|warning| !ADVISORY.contains(&warning.code.as_str()));
        Ok(written)
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
        let (resource, state) = instance_resource(&self.app, instance).await?;
        let of_server = datasource::is_server(&instance_row::datasource_of(&resource)?);
        let repository =
            source_repository(&self.app, &operation.vault, input, state.repository_guid);
        let repository = run.unless_stopped(repository).await?;
        let Choice { selection, role_map, .. } = chosen(input)?;
        let id = recovery_point_id(&input.request)?;
        let request = FilesRequest {
            recovery_point_id: id.clone(),
            directory: files.staging.clone(),
            prefix: files.prefix.clone(),
            workers: self.app.config.limits.data_workers,
            selection: selection.clone(),
            role_map,
        };
        let stop = run.cancellation().child_token();
        let monitor = Arc::new(JobMonitor::new(run.kind(), "write"));
        let tools = discover_tools(&self.app).await?;
        let restoring = async {
            let (monitor, stop) = (Arc::clone(&monitor) as _, stop.clone());
            if of_server && selection.database.is_none() {
                let restoring = restore_server_files(request, &tools, &repository, monitor, stop);
                Box::pin(restoring).await
            } else {
                Box::pin(restore_files(request, &repository, monitor, stop)).await
            }
        };
        let watched = monitor.report_while(run.job_report(), Box::pin(restoring));
        let place = Place::storage();
        let outcome = self.pinned(run, &repository, &id, &stop, &place, Box::pin(watched)).await?;
        let mut written =
            Written::of(outcome.bytes, &outcome.proof, &outcome.warnings, &files.prefix);
        written.note_selection(&selection);
        written.degraded = outcome.warnings.iter().any(|warning| warning.code == LEFT_OUT);
        written.details.insert("Restored Files".to_owned(), outcome.files.to_string());
        Ok(written)
    }

    /// Restores while no collection may take the recovery point away.
    async fn pinned<T>(
        &self,
        run: &Run,
        repository: &Repository,
        recovery_point_id: &str,
        stop: &CancellationToken,
        place: &Place,
        restoring: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, Failure> {
        let holder = &run.operation().id;
        let clock = &self.app.clock;
        let done = while_pinned(repository, recovery_point_id, holder, clock, stop, restoring);
        let done = match done.await {
            Ok(done) => done,
            Err(error) => {
                run.check_stopped()?;
                return Err(store_failure(&error));
            }
        };
        match done {
            (Ok(restored), _) => Ok(restored),
            (Err(EngineError::Cancelled), Some(lost)) => Err(store_failure(&lost)),
            (Err(error), _) => Err(engine_failure(&error, place)),
        }
    }
}

/// Notes the identity of the database under its temporary name. When that fails, a run that dies after it has given
/// the database its name fails clearly instead of going on: the name is taken.
async fn note_temporary(run: &Run, request: &RestoreRequest) {
    match database_oid(&request.target, &request.temporary_database).await {
        Ok(temporary_oid) => {
            if let Err(error) =
                run.save_checkpoint(&Checkpoint { temporary_oid, ..Checkpoint::default() }).await
            {
                tracing::warn!(error = error.chain(), "the temporary database cannot be noted");
            }
        }
        Err(error) => tracing::warn!(%error, "the temporary database cannot be identified"),
    }
}

/// Whoever reads of the failure has to know where to look.
fn left_warning(name: String) -> JobWarning {
    JobWarning {
        error: UserFacingError::new(
            "TemporaryDatabaseMayBeLeft",
            "The target could not be looked at after the restore had failed: what it had made may still be there.",
        )
        .recommend("When the server can be reached again, drop the database that is named here, if there is one."),
        resource_name: name,
    }
}

async fn drop_temporary(request: &RestoreRequest, place: &Place) -> Result<(), Failure> {
    coffer_engine::restore::drop_temporary_database(&request.target, &request.temporary_database)
        .await
        .map_err(|error| engine_failure(&error, place))
}
