//! A recovery point is taken.
//!
//! The recovery point's id is fixed in the checkpoint before anything is written. A run that dies before the manifest
//! is sealed starts over and finds its whole packs again; one that dies after finds the manifest and only records it.
//! The secret is read afresh by every run.

mod sealed;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use coffer_azure::{BackupInstance, ResourceId};
use coffer_engine::backup::{BackupOptions, BackupRequest, UnreadOptions};
use coffer_engine::error::Error as EngineError;
use coffer_engine::manifest::Root;
use coffer_store::LeasePurpose;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::sealed::{describe, root, sealed_before};
use super::data_run::{WorkDirectory, job_failed, job_warning};
use super::datasource_access::{DatasourceAccess, datasource_access};
use super::instance_repository::{instance_resource, open_repository, region_of, vault_lock};
use super::job_monitor::JobMonitor;
use super::policy_retention::PolicyRetention;
use super::validate_for_backup::discover_tools;
use crate::app::App;
use crate::app::alert::{self, Alert, AlertKind};
use crate::app::dataprotection::instance_row;
use crate::app::dataprotection::new_job::RETENTION_TAG_DETAIL;
use crate::app::dataprotection::storage_lock::{lock_point, wanted};
use crate::app::dataprotection::unusual::{self, Figures};
use crate::app::user_facing_error;
use crate::background::collect_garbage;
use crate::config::ReuseConfig;
use crate::db::job::{JobRecoveryPoint, JobStatus, JobWarning};
use crate::db::recovery_point::{RecoveryPoint, RecoveryPointBody};
use crate::db::upkeep::Duty;
use crate::db::{self, Tx};
use crate::error::Error;
use crate::lease::{LEASE_PATIENCE, LeaseClaim, with_lease};
use crate::operations::{BackupInput, Failure, Outcome, Run, Saga};
use crate::policy::schedule::shown;

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

/// How long after its first backup a repository begins to be read for verification.
const FIRST_READ: Duration = Duration::from_secs(86_400);

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
                job_failed(&self.app, tx, run, error, AlertKind::BackupFailed).await
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
    /// What is unusual about a recovery point, as warnings for the job and as an alert.
    async fn unusual(
        &self,
        tx: &mut Tx,
        run: &Run,
        repository: Uuid,
        point: &RecoveryPoint,
        differed: Option<String>,
    ) -> Result<Vec<JobWarning>, Error> {
        let before =
            db::recovery_point::newest_of(&mut **tx, repository, unusual::HISTORY_MAX).await?;
        let before: Vec<Figures> = before.iter().map(|point| figures(&point.body)).collect();
        let signs = unusual::signs(figures(&point.body), &before);
        let operation = run.operation();
        if differed.is_some() {
            metrics::counter!("coffer_unchanged_ranges_differed_total").increment(1);
        }
        let told: Vec<&str> = signs.iter().map(String::as_str).chain(differed.as_deref()).collect();
        if let (Some(instance), false) = (&operation.instance, told.is_empty())
            && let Some(vault) = db::resource_get(&mut **tx, &operation.vault).await?
        {
            let mut alert =
                Alert::of_instance(AlertKind::BackupUnusual, &vault, instance, told.join(" "));
            alert.job = operation.job_id;
            alert::raise(&self.app, tx, &alert).await?;
        }
        Ok(signs
            .into_iter()
            .map(|sign| JobWarning {
                resource_name: point.body.database.clone(),
                error: user_facing_error::unusual_backup(sign),
            })
            .collect())
    }

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
                    () = monitor.watch(stall_after, &work_stop) => Err(EngineError::Cancelled),
                };
                let outcome = taken.map_err(|error| {
                    if monitor.has_stalled() && run.stop_reason().is_none() {
                        let said =
                            user_facing_error::stalled(stall_after, monitor.phase(), &access.place);
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

    async fn request(
        &self,
        run: &Run,
        checkpoint: &Checkpoint,
        access: &DatasourceAccess,
        work: &WorkDirectory,
        instance_body: &serde_json::Value,
    ) -> Result<BackupRequest, Failure> {
        let previous =
            db::recovery_point::newest(self.app.db.read(), checkpoint.repository_guid).await?;
        let operation = run.operation();
        let mut labels = BTreeMap::new();
        let mut label = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                labels.insert(name.to_owned(), value.to_owned());
            }
        };
        let properties = &instance_body["properties"];
        label("vault", Some(operation.vault.as_str()));
        label("backupInstance", operation.instance.as_ref().map(|id| id.as_str()));
        label("friendlyName", properties["friendlyName"].as_str());
        label("dataSource", properties["dataSourceInfo"]["resourceID"].as_str());
        label("policy", properties["policyInfo"]["policyId"].as_str());
        label("retentionTag", Some(&checkpoint.retention.tag));
        label("retentionTagVersion", Some(&checkpoint.retention.tag_version));
        label("keepFor", checkpoint.retention.keep_for.as_deref());
        label("scheduledFor", checkpoint.scheduled_us.map(shown).as_deref());
        label("policyVersion", Some(&checkpoint.retention.policy_version.to_string()));
        Ok(BackupRequest {
            source: access.connect.clone(),
            tools: discover_tools(&self.app).await?,
            recovery_point_id: checkpoint.recovery_point_id.clone(),
            labels,
            options: BackupOptions {
                workers: self.app.config.limits.data_workers,
                user_mappings: self.app.config.backup_user_mappings,
                previous: previous.map(|point| point.id),
                unread: self.unread(),
                deltas: self.app.config.backup_reuse.deltas,
                ..BackupOptions::default()
            },
            work_dir: work.path().to_owned(),
        })
    }

    fn unread(&self) -> UnreadOptions {
        let ReuseConfig { take_over, wal_summaries, full_read_days, audit_per_mille, .. } =
            self.app.config.backup_reuse;
        UnreadOptions {
            enabled: take_over,
            wal_summaries,
            audit_per_mille,
            full_read_after: Duration::from_secs(u64::from(full_read_days) * 86_400),
            ..UnreadOptions::default()
        }
    }
}

fn figures(body: &RecoveryPointBody) -> Figures {
    Figures {
        rows: body.rows,
        plain_bytes: body.plain_bytes,
        new_bytes: body.new_bytes,
        stored_bytes: body.stored_bytes,
    }
}

/// Notes when the repository is to be looked after: soon where packs were left that the recovery point does not need.
async fn note_upkeep(
    tx: &mut Tx,
    run: &Run,
    repository: Uuid,
    outcome: &Outcome,
) -> Result<(), Error> {
    // Before the first step nothing is known of a repository, and nothing was written to it.
    let Some(instance) = run.operation().instance.as_ref().filter(|_| !repository.is_nil()) else {
        return Ok(());
    };
    let in_time = |delay: Duration| {
        let delay_us = i64::try_from(delay.as_micros()).unwrap_or(i64::MAX);
        run.now_us().saturating_add(delay_us)
    };
    let collection = match outcome {
        Outcome::Succeeded if run.generation() > 1 => Duration::ZERO,
        Outcome::Succeeded => collect_garbage::PERIOD,
        Outcome::Failed(_) | Outcome::Cancelled => collect_garbage::GRACE,
    };
    db::upkeep::bring_forward(tx, Duty::Collection, repository, instance, in_time(collection))
        .await?;
    if matches!(outcome, Outcome::Succeeded) {
        // An older one may have stayed only because it was the newest.
        let now = in_time(Duration::ZERO);
        // What could not be locked, or only while the vault changed.
        db::upkeep::bring_forward(tx, Duty::StorageLock, repository, instance, now).await?;
        db::upkeep::bring_forward(tx, Duty::Retention, repository, instance, now).await?;
        let vault = db::resource_get(&mut **tx, &run.operation().vault).await?;
        if vault.as_ref().and_then(region_of).is_some() {
            db::upkeep::bring_forward(tx, Duty::Replication, repository, instance, now).await?;
        }
    }
    db::upkeep::bring_forward(tx, Duty::Verification, repository, instance, in_time(FIRST_READ))
        .await
}
