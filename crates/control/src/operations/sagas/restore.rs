//! A recovery point becomes a database, or files.
//!
//! A run that dies leaves at most something under the operation's own temporary name, never under the target's. The
//! next run drops it and starts over. Whatever happens after the target has its name is found again: of files by their
//! place, of a database by its identity, which the checkpoint keeps.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use coffer_engine::Error as EngineError;
use coffer_engine::files::{FilesRequest, restore_files, restore_server_files};
use coffer_engine::manifest::Warning;
use coffer_engine::restore::{RestoreRequest, database_oid};
use coffer_engine::{Proof, Selection};
use coffer_store::Repository;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::data_run::{
    WorkDirectory, job_failed, job_warning, not_proved_warning, note_restore_ended,
};
use super::files_target::FilesTarget;
use super::instance_repository::instance_resource;
use super::job_monitor::JobMonitor;
use super::restore_target::{
    DatabaseTarget, Target, chosen, database_target, recovery_point_id, require_point,
    source_repository, target,
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

/// Warnings after which the database is all the same what it was: of the preflight about what may happen (what did happen
/// has a warning of its own), and of the restore about how it went.
const ADVISORY: [&str; 12] = [
    "CollationVersion",
    "ExtensionRights",
    "ExtensionVersion",
    "FewConnections",
    "LargeObjectsLeftOut",
    "MappedRoleUnused",
    "MissingRoles",
    "ObjectRights",
    "PartitionAlone",
    "RowsMovedPartition",
    "SelectionExtended",
    "UserMappingsLeftOut",
];

/// Something was chosen and could not be restored without what was not.
const LEFT_OUT: &str = "LeftOutOfSelection";

/// Chosen items that a job's details name.
const ITEMS_SHOWN: usize = 20;

/// See the module.
pub(super) struct Restore {
    pub(super) app: Arc<App>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Checkpoint {
    /// Identity of the database that is made under the temporary name.
    temporary_oid: Option<u32>,
    written: Option<Written>,
}

/// What the conclusion writes down.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Written {
    transferred_bytes: u64,
    details: BTreeMap<String, String>,
    warnings: Vec<JobWarning>,
    /// Something is not as it was in the source.
    degraded: bool,
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
                run.set_checkpoint(&Checkpoint { temporary_oid: None, written: Some(written) })?;
                Ok(())
            }
            ("write", Target::Files(info)) => {
                let files =
                    FilesTarget::resolve(&self.app, run, &run.operation().vault, info).await?;
                let written = self.write_files(run, &input, &files).await?;
                run.set_checkpoint(&Checkpoint { temporary_oid: None, written: Some(written) })?;
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
                if let Ok(DatabaseTarget { request, access }) = resolved
                    && let Err(failure) = drop_temporary(&request, &access.place).await
                {
                    // A server that refuses this now has refused the restore for the same reason.
                    if let Failure::Transient(_) | Failure::Interrupted = failure {
                        return Err(failure);
                    }
                    tracing::warn!(
                        ?failure,
                        "the temporary database of a failed restore could not be looked for"
                    );
                }
            }
        }
        Ok(())
    }

    async fn conclude(&self, tx: &mut Tx, run: &Run, outcome: &Outcome) -> Result<(), Error> {
        note_restore_ended(&self.app, tx, run, outcome).await?;
        match outcome {
            Outcome::Succeeded => {
                let written = run.checkpoint::<Checkpoint>()?.written.unwrap_or_default();
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
                job_failed(&self.app, tx, run, error, AlertKind::RestoreFailed).await
            }
            Outcome::Cancelled => {
                run.job_end(tx, JobStatus::Cancelled, |job| {
                    job.body.errors = vec![user_facing_error::cancelled()];
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
            return Ok(written_before(&access.place.database));
        }
        run.unless_stopped(drop_temporary(&request, place)).await?;
        let instance = operation.instance.as_ref().unwrap_or(&operation.vault);
        let (_, state) = instance_resource(&self.app, instance).await?;
        let repository =
            source_repository(&self.app, &operation.vault, input, state.repository_guid);
        let repository = run.unless_stopped(repository).await?;
        let _work = WorkDirectory::make(&self.app, run).await?;
        let stop = run.cancellation().child_token();
        let monitor = Arc::new(JobMonitor::new(run.kind(), "write"));
        let restoring = coffer_engine::restore::restore_database(
            request.clone(),
            &repository,
            Arc::clone(&monitor) as _,
            stop.clone(),
        );
        let noting = async {
            monitor.database_made().await;
            note_temporary(run, &request).await;
            std::future::pending().await
        };
        let watched = async {
            tokio::select! {
                restored = monitor.report_while(run.job_report(), Box::pin(restoring)) => restored,
                never = noting => never,
            }
        };
        let id = &request.recovery_point_id;
        let outcome = self.pinned(run, &repository, id, &stop, place, Box::pin(watched)).await?;
        run.crash_point("write:renamed");
        let mut written =
            written(outcome.bytes, &outcome.proof, &outcome.warnings, &place.database);
        note_selection(&mut written, &request.selection);
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
        let mut written = written(outcome.bytes, &outcome.proof, &outcome.warnings, &files.prefix);
        note_selection(&mut written, &selection);
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
                run.save_checkpoint(&Checkpoint { temporary_oid, written: None }).await
            {
                tracing::warn!(error = error.chain(), "the temporary database cannot be noted");
            }
        }
        Err(error) => tracing::warn!(%error, "the temporary database cannot be identified"),
    }
}

async fn drop_temporary(request: &RestoreRequest, place: &Place) -> Result<(), Failure> {
    coffer_engine::restore::drop_temporary_database(&request.target, &request.temporary_database)
        .await
        .map_err(|error| engine_failure(&error, place))
}

fn written(bytes: u64, proof: &Proof, warnings: &[Warning], resource_name: &str) -> Written {
    let mut details = BTreeMap::new();
    details.insert("Proof".to_owned(), proof_in_words(proof));
    details.insert("Proved Tables".to_owned(), proof.tables.to_string());
    details.insert("Proved Rows".to_owned(), proof.rows.to_string());
    let mut all: Vec<JobWarning> =
        warnings.iter().map(|warning| job_warning(warning, resource_name)).collect();
    all.extend(proof.not_proved.iter().map(not_proved_warning));
    Written { transferred_bytes: bytes, details, warnings: all, degraded: false }
}

/// Says what was chosen.
fn note_selection(written: &mut Written, selection: &Selection) {
    if let Some(database) = &selection.database {
        written.details.insert("Restored Database".to_owned(), database.clone());
    }
    if !selection.is_everything() {
        let mut items: Vec<_> =
            selection.items.iter().take(ITEMS_SHOWN).map(ToString::to_string).collect();
        if selection.items.len() > ITEMS_SHOWN {
            items.push(format!("and {} more", selection.items.len() - ITEMS_SHOWN));
        }
        written.details.insert("Restored Items".to_owned(), items.join(", "));
    }
}

/// What is known of a restore whose run died after the last of its deeds: only an equal database is given its name.
fn written_before(database: &str) -> Written {
    let mut details = BTreeMap::new();
    let proof = "equal: compared with the recovery point by a run that was interrupted before it could tell the numbers";
    details.insert("Proof".to_owned(), proof.to_owned());
    let warning = Warning {
        code: "RestoreInterrupted".to_owned(),
        message: "the service was interrupted after the database had got its name; warnings of that run are not known".to_owned(),
    };
    Written {
        transferred_bytes: 0,
        details,
        warnings: vec![job_warning(&warning, database)],
        degraded: true,
    }
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
