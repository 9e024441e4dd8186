//! A recovery point is taken.
//!
//! The recovery point's id is fixed in the checkpoint before anything is written. A run that dies before the manifest
//! is sealed starts over and finds its whole packs again; one that dies after finds the manifest and only records it.
//! The secret is read afresh by every run.

mod conclusion;
mod request;
mod sealed;

use std::sync::Arc;

use async_trait::async_trait;
use coffer_azure::{BackupInstance, ResourceId};
use coffer_engine::error::Error as EngineError;
use coffer_engine::manifest::Root;
use coffer_store::LeasePurpose;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::conclusion::note_upkeep;
use self::sealed::{describe, root, sealed_before};
use super::data_run::{WorkDirectory, job_failed, job_warning};
use super::datasource_access::datasource_access;
use super::instance_repository::{instance_resource, open_repository, vault_lock};
use super::job_monitor::JobMonitor;
use super::policy_retention::PolicyRetention;
use crate::app::App;
use crate::app::alert::AlertKind;
use crate::app::dataprotection::instance_row;
use crate::app::dataprotection::new_job::RETENTION_TAG_DETAIL;
use crate::app::dataprotection::storage_lock::{lock_point, wanted};
use crate::app::user_facing_error;
use crate::db::job::{JobRecoveryPoint, JobStatus, JobWarning};
use crate::db::recovery_point::{RecoveryPoint, RecoveryPointBody};
use crate::db::{self, Tx};
use crate::error::Error;
use crate::lease::{LEASE_PATIENCE, LeaseClaim, with_lease};
use crate::operations::{BackupInput, Failure, Outcome, Run, Saga};

pub(super) const STEPS: &[&str] = &["prepare", "take", "lock"];
pub(super) const INNER_POINTS: &[&str] = &[
    "take:check",
    "take:lock",
    "take:snapshot",
    "take:compare",
    "take:schema",
    "take:data",
    "take:large-objects",
    "take:lists",
    "take:flush",
    "take:seal",
    "take:sealed",
];

/// The engine's word for a range that was not what it should have been, which somebody has to hear of.
const RANGE_DIFFERED: &str = "UnchangedRangeDiffered";

/// See the module.
pub(super) struct Backup {
    pub(super) app: Arc<App>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Checkpoint {
    recovery_point_id: String,
    repository_guid: Uuid,
    retention: PolicyRetention,
    #[serde(default)]
    scheduled_us: Option<i64>,
    /// When the attempt began that may have sealed the recovery point, by our own clock.
    #[serde(default)]
    begun_us: i64,
    taken: Option<Taken>,
}

impl Checkpoint {
    /// The time of the snapshot, as far as it lies within the attempt by our own clock: one that the server's clock puts
    /// elsewhere would make the recovery point end too early, or be taken for the newest.
    fn taken_us(&self, root: &Root, now_us: i64) -> i64 {
        root.taken_at_unix_us().min(now_us).max(self.begun_us)
    }
}

/// What the conclusion writes down.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Taken {
    taken_us: i64,
    transferred_bytes: u64,
    body: RecoveryPointBody,
    warnings: Vec<JobWarning>,
    /// The storage should hold it and does not.
    #[serde(default)]
    not_locked: bool,
}

#[async_trait]
impl Saga for Backup {
    fn steps(&self) -> &'static [&'static str] {
        STEPS
    }

    async fn run(&self, step: &'static str, run: &mut Run) -> Result<(), Failure> {
        match step {
            "prepare" => self.prepare(run).await,
            "take" => self.take(run).await,
            _ => self.lock(run).await,
        }
    }

    /// A recovery point that was sealed is there, and so has to be recorded; whether an attempt that died has sealed it is
    /// seen when it is looked for.
    fn runs_cancelled(&self, step: &str, run: &Run) -> bool {
        let may_be_sealed = || run.checkpoint().is_ok_and(|at: Checkpoint| at.begun_us > 0);
        step == "lock" || (step == "take" && may_be_sealed())
    }

    async fn conclude(&self, tx: &mut Tx, run: &Run, outcome: &Outcome) -> Result<(), Error> {
        let checkpoint: Checkpoint = run.checkpoint()?;
        note_upkeep(tx, run, checkpoint.repository_guid, outcome).await?;
        match (outcome, checkpoint.taken) {
            (Outcome::Succeeded, Some(taken)) => {
                let id = checkpoint.recovery_point_id;
                let point = RecoveryPoint {
                    id: id.clone(),
                    taken_us: taken.taken_us,
                    scheduled_us: checkpoint.scheduled_us,
                    body: taken.body,
                };
                let repository = checkpoint.repository_guid;
                let differed = taken
                    .warnings
                    .iter()
                    .find(|warning| warning.error.code.as_deref() == Some(RANGE_DIFFERED))
                    .and_then(|warning| warning.error.message.clone());
                let unusual = self.unusual(tx, run, repository, &point, differed).await?;
                db::recovery_point::insert(tx, checkpoint.repository_guid, &point).await?;
                if let Some(instance) = &run.operation().instance {
                    db::schedule::note_recovery_point(tx, instance, point.taken_us).await?;
                }
                metrics::counter!("coffer_backup_read_bytes_total")
                    .increment(point.body.plain_bytes);
                metrics::counter!("coffer_backup_stored_bytes_total")
                    .increment(point.body.stored_bytes);
                // The recovery point is whole; what the engine has noticed stands in the job all the same.
                let status = if unusual.is_empty() && !taken.not_locked {
                    JobStatus::Completed
                } else {
                    JobStatus::CompletedWithWarnings
                };
                run.job_end(tx, status, |job| {
                    job.body.target_recovery_point =
                        Some(JobRecoveryPoint { id, taken_us: point.taken_us });
                    job.body.transferred_bytes = Some(taken.transferred_bytes);
                    job.body.source_bytes = Some(point.body.source_bytes);
                    job.body
                        .details
                        .insert(RETENTION_TAG_DETAIL.to_owned(), point.body.retention_tag);
                    job.body.warnings = taken.warnings;
                    job.body.warnings.extend(unusual);
                })
                .await
            }
            (Outcome::Succeeded, None) => {
                Err(Error::internal("a backup has ended without a recovery point"))
            }
            (Outcome::Failed(error), _) => {
                job_failed(&self.app, tx, run, error, AlertKind::BackupFailed, Vec::new()).await
            }
            (Outcome::Cancelled, _) => {
                run.job_end(tx, JobStatus::Cancelled, |job| {
                    job.body.errors = vec![user_facing_error::cancelled()];
                })
                .await
            }
        }
    }

    /// It may have a second region.
    fn concluded(&self) {
        self.app.duties.wake_replication();
    }
}

impl Backup {
    async fn prepare(&self, run: &mut Run) -> Result<(), Failure> {
        let operation = run.operation();
        let input: BackupInput = run.input()?;
        let instance = operation.instance.as_ref().unwrap_or(&operation.vault);
        let (resource, state) = instance_resource(&self.app, instance).await?;
        let policy = instance_row::policy_of(&resource)?;
        let retention = PolicyRetention::read(
            &self.app,
            &policy,
            state.repository_guid,
            input.retention_tag.as_deref(),
            input.scheduled_us,
        )
        .await?;
        run.set_checkpoint(&Checkpoint {
            recovery_point_id: Uuid::new_v4().simple().to_string(),
            repository_guid: state.repository_guid,
            retention,
            scheduled_us: input.scheduled_us,
            begun_us: 0,
            taken: None,
        })?;
        Ok(())
    }

    async fn take(&self, run: &mut Run) -> Result<(), Failure> {
        let mut checkpoint: Checkpoint = run.checkpoint()?;
        let operation = run.operation();
        let instance = operation.instance.as_ref().unwrap_or(&operation.vault);
        let (resource, _) = instance_resource(&self.app, instance).await?;
        let properties: BackupInstance =
            serde_json::from_value(resource.body["properties"].clone()).map_err(Error::internal)?;
        let datasource = &properties.data_source_info.resource_id;
        let name = ResourceId::parse(datasource).map_err(Error::internal)?.name().to_owned();
        let opening = open_repository(&self.app, &operation.vault, checkpoint.repository_guid);
        let repository = if checkpoint.begun_us == 0 {
            run.unless_stopped(opening).await?
        } else {
            // What is in it may have to be recorded.
            opening.await?
        };

        let stop = run.cancellation().child_token();
        let monitor = Arc::new(JobMonitor::new(run.kind(), "take"));
        let claim = LeaseClaim {
            holder: &operation.id,
            purpose: LeasePurpose::Backup,
            patience: LEASE_PATIENCE,
            above: 0,
        };
        let leased = with_lease(
            &repository,
            claim,
            &self.app.clock,
            &stop,
            async |lease| -> Result<Taken, Failure> {
                let now_us = self.app.clock.now_us();
                if let Some(taken) = sealed_before(&repository, &checkpoint, &name, now_us).await? {
                    return Ok(taken);
                }
                run.check_stopped()?;
                checkpoint.begun_us = now_us;
                run.save_checkpoint(&checkpoint).await?;
                let access = datasource_access(
                    &self.app,
                    &operation.vault,
                    &properties.data_source_info,
                    properties.datasource_auth_credentials.as_ref(),
                );
                let access = run.unless_stopped(access).await?;
                let work = WorkDirectory::make(&self.app, run).await?;
                let request =
                    self.request(run, &checkpoint, &access, &work, &resource.body).await?;
                let work_stop = stop.child_token();
                let taking = async {
                    let (monitor, stop) = (Arc::clone(&monitor) as _, work_stop.clone());
                    if access.whole_server {
                        let taking = coffer_engine::backup_server(
                            request,
                            &repository,
                            &lease,
                            monitor,
                            stop,
                        );
                        Box::pin(taking).await
                    } else {
                        let taking =
                            coffer_engine::backup(request, &repository, &lease, monitor, stop);
                        Box::pin(taking).await
                    }
                };
                let stall_after = self.app.config.backup_stall;
                let taken = tokio::select! {
                    taken = monitor.report_while(run.job_report(), Box::pin(taking)) => taken,
                    () = monitor.watch(stall_after, |_| true, &work_stop) => Err(EngineError::Cancelled),
                };
                let outcome = taken.map_err(|error| {
                    if monitor.has_stalled() && run.stop_reason().is_none() {
                        let said =
                            user_facing_error::backup_stalled(stall_after, monitor.phase(), &access.place);
                        return Failure::transient(said);
                    }
                    user_facing_error::engine_failure(&error, &access.place)
                })?;
                run.crash_point("take:sealed");
                let root = root(&repository, &checkpoint).await?;
                let completed_us = self.app.clock.now_us();
                let taken_us = checkpoint.taken_us(&root, completed_us);
                let times = (taken_us, completed_us);
                Ok(Taken {
                    taken_us,
                    transferred_bytes: monitor.bytes_done(),
                    warnings: outcome.warnings.iter().map(|w| job_warning(w, &name)).collect(),
                    not_locked: false,
                    body: describe(&repository, &checkpoint, &root, &name, &outcome.stats, times)
                        .await?,
                })
            },
        )
        .await;
        let taken = match leased {
            Ok(taken) => taken?,
            Err(error) => {
                // It may have been stopped while it waited for the lease.
                run.check_stopped()?;
                return Err(user_facing_error::store_failure(&error));
            }
        };
        checkpoint.taken = Some(taken);
        run.set_checkpoint(&checkpoint)?;
        Ok(())
    }

    /// Has the storage hold the recovery point, where it can and the vault wants that. It is whole whatever comes of this, so
    /// that what fails is a warning, and is tried again by the upkeep.
    async fn lock(&self, run: &mut Run) -> Result<(), Failure> {
        let mut checkpoint: Checkpoint = run.checkpoint()?;
        let vault = run.operation().vault.clone();
        let Some(taken) = &mut checkpoint.taken else { return Ok(()) };
        let Some((storage, immutability)) = vault_lock(&self.app, &vault).await? else {
            return Ok(());
        };
        let Some(lock) = wanted(immutability, &taken.body, run.now_us()) else { return Ok(()) };
        let repository = open_repository(&self.app, &vault, checkpoint.repository_guid).await?;
        match lock_point(&repository, &checkpoint.recovery_point_id, &*storage, lock).await {
            Ok(held) => taken.body.storage_lock = Some(held),
            Err(error) => {
                tracing::warn!(%error, "a recovery point cannot be locked in the storage yet");
                taken.warnings.push(JobWarning {
                    resource_name: taken.body.database.clone(),
                    error: user_facing_error::not_locked(&error),
                });
                taken.not_locked = true;
            }
        }
        run.set_checkpoint(&checkpoint)?;
        Ok(())
    }
}
