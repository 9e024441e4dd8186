//! What follows from a backup that has ended: what is unusual about its recovery point, and what its repository needs next.

use std::time::Duration;

use uuid::Uuid;

use super::super::instance_repository::region_of;
use super::Backup;
use crate::app::alert::{self, Alert, AlertKind};
use crate::app::dataprotection::unusual::{self, Figures};
use crate::app::user_facing_error;
use crate::background::collect_garbage;
use crate::db::job::JobWarning;
use crate::db::recovery_point::{RecoveryPoint, RecoveryPointBody};
use crate::db::upkeep::Duty;
use crate::db::{self, Tx};
use crate::error::Error;
use crate::operations::{Outcome, Run};

/// How long after its first backup a repository begins to be read for verification.
const FIRST_READ: Duration = Duration::from_secs(86_400);

impl Backup {
    /// What is unusual about a recovery point, as warnings for the job and as an alert.
    pub(super) async fn unusual(
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
pub(super) async fn note_upkeep(
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
