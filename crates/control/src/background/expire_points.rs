//! Recovery points whose time is over go, as [`crate::policy::retention`] decides.
//!
//! The manifest goes first and the row after it, both as often as it takes: a recovery point without a manifest cannot be
//! restored, and its row is found here again; a manifest without its row would stay for ever, unseen. What is left in the packs
//! is for the collection, which is brought forward. The rows of one turn go in one transaction, with what the audit log says of them.

use std::time::Duration;

use coffer_azure::ResourceId;
use coffer_store::{Error as StoreError, LeasePurpose};
use serde_json::Value;
use uuid::Uuid;

use super::collect_garbage;
use super::upkeep::{Ended, Place, holder, later};
use crate::app::App;
use crate::app::dataprotection::instance_row;
use crate::app::dataprotection::protection_state::ProtectionState;
use crate::app::dataprotection::restore::points_in_use;
use crate::app::user_facing_error::store_failure;
use crate::audit::act::{Act, RECOVERY_POINTS_EXPIRED};
use crate::db::recovery_point::{RECOVERY_POINTS_PAGE_ROWS_MAX, RecoveryPoint, RecoveryPointRange};
use crate::db::upkeep::Duty;
use crate::db::{self, Executor, ListPlace, Resource};
use crate::error::Error;
use crate::lease::{LeaseClaim, with_lease};
use crate::operations::Failure;
use crate::operations::sagas::region_of;
use crate::policy::retention::{Decision, Keep, KeepReason, Point, decide};

/// How long a recovery point waits that a restore reads.
const IN_USE_DELAY: Duration = Duration::from_secs(600);
/// How long a repository waits whose recovery points have no end: a backup brings it forward.
const IDLE_DELAY: Duration = Duration::from_secs(30 * 86_400);
/// Most recovery points of one repository that one turn deletes.
const TURN_MAX: usize = 100;

/// Deletes what is due of one repository.
pub(super) async fn expire(app: &App, place: &Place) -> Result<Ended, Failure> {
    let repository = place.repository.id();
    let decided = decisions(app, &place.instance, repository).await?;
    let going: Vec<&RecoveryPoint> = decided
        .iter()
        .filter(|(_, decision)| matches!(decision, Decision::Delete { .. }))
        .map(|(point, _)| point)
        .take(TURN_MAX)
        .collect();
    count(&decided);
    if !going.is_empty() && !delete(app, place, &going).await? {
        return Ok(Ended::Busy);
    }
    let due_us = next_due_us(app, &decided);
    Ok(Ended::Done { due_us, state: Value::Null })
}

/// What becomes of each recovery point of an instance, newest first.
///
/// # Errors
/// The database fails.
async fn decisions(
    app: &App,
    instance: &ResourceId,
    repository: Uuid,
) -> Result<Vec<(RecoveryPoint, Decision)>, Error> {
    let resource = db::resource_get(app.db.read(), instance).await?;
    let keep = resource.as_ref().map_or(Keep::All, keep_of);
    let points = all_points(app.db.read(), repository).await?;
    let in_use = points_in_use(app.db.read(), instance).await?;
    Ok(decide_all(points, keep, &in_use, app.clock.now_us()))
}

/// Decides about rows as they were read.
#[must_use]
pub(crate) fn decide_all(
    points: Vec<RecoveryPoint>,
    keep: Keep,
    in_use: &[String],
    now_us: i64,
) -> Vec<(RecoveryPoint, Decision)> {
    let given: Vec<Point<'_>> = points
        .iter()
        .map(|point| Point {
            id: &point.id,
            taken_us: point.taken_us,
            expiry_us: point.body.expiry_us,
            damaged: point.body.damaged,
            in_use: in_use.contains(&point.id),
        })
        .collect();
    let decided = decide(&given, keep, now_us);
    points.into_iter().zip(decided).collect()
}

/// What the state of an instance says of its recovery points.
#[must_use]
pub(crate) fn keep_of(instance: &Resource) -> Keep {
    match instance_row::state_of(instance) {
        ProtectionState::ProtectionConfigured
        | ProtectionState::UpdatingProtection
        | ProtectionState::ConfiguringProtection
        | ProtectionState::ProtectionError
        | ProtectionState::BackupsSuspended => Keep::ByPolicy,
        ProtectionState::ProtectionStopped
        | ProtectionState::SoftDeleting
        | ProtectionState::SoftDeleted => Keep::All,
    }
}

/// All recovery points of a repository, newest first.
///
/// # Errors
/// The database fails.
pub(crate) async fn all_points<'e>(
    executor: impl Executor<'e> + Copy,
    repository: Uuid,
) -> Result<Vec<RecoveryPoint>, Error> {
    let mut points = Vec::new();
    loop {
        let last: Option<&RecoveryPoint> = points.last();
        let after = last.map(|point| ListPlace::behind(point.taken_us, &point.id));
        let range = RecoveryPointRange { after: after.as_ref(), ..RecoveryPointRange::default() };
        let page = db::recovery_point::list(executor, repository, range).await?;
        let last = page.len() < RECOVERY_POINTS_PAGE_ROWS_MAX as usize;
        points.extend(page);
        if last {
            return Ok(points);
        }
    }
}

/// True when all of them are gone; false when somebody else needs the repository.
async fn delete(app: &App, place: &Place, going: &[&RecoveryPoint]) -> Result<bool, Failure> {
    let Place { instance, repository, .. } = place;
    let holder = holder(app, Duty::Retention);
    let claim = LeaseClaim {
        holder: &holder,
        purpose: LeasePurpose::Deletion,
        patience: Duration::ZERO,
        above: 0,
    };
    let stop = app.stopping.child_token();
    let deleted = with_lease(repository, claim, &app.clock, &stop, |lease| async move {
        let mut gone = Vec::new();
        let mut ended = Ok(());
        for point in going {
            if app.stopping.is_cancelled() {
                break;
            }
            match repository.delete_manifest(&lease, &point.id, app.clock.now_ms()).await {
                Ok(_there) => gone.push(*point),
                // Its restore began since it was looked at.
                Err(StoreError::Pinned { .. }) => {}
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
        }
        if let Err(error) = forget(app, place, &gone).await {
            // The manifests are gone; the next turn finds the rows once more.
            tracing::error!(
                error = error.chain(),
                %instance,
                "rows of expired recovery points cannot be removed yet"
            );
            return ended;
        }
        for point in gone {
            metrics::counter!("coffer_expired_recovery_points_total").increment(1);
            tracing::info!(
                %instance, recovery_point = point.id, tag = point.body.retention_tag, taken_us = point.taken_us,
                "an expired recovery point was deleted"
            );
        }
        ended
    });
    match deleted.await.and_then(|deleted| deleted) {
        Ok(()) => Ok(true),
        Err(StoreError::LeaseHeld { .. } | StoreError::LeaseLost { .. }) => Ok(false),
        Err(error) => Err(store_failure(&error)),
    }
}

async fn forget(app: &App, place: &Place, gone: &[&RecoveryPoint]) -> Result<(), Error> {
    if gone.is_empty() {
        return Ok(());
    }
    let repository = place.repository.id();
    let mut tx = app.db.begin().await?;
    let vault = db::resource_get(&mut *tx, &place.vault).await?;
    let is_copied = vault.as_ref().and_then(region_of).is_some();
    for point in gone {
        db::recovery_point::delete(&mut tx, repository, &point.id).await?;
        if is_copied {
            // Also of one that is not known to be copied: it may be just now.
            db::copy::delete_later(&mut tx, repository, &point.id).await?;
        }
    }
    if is_copied {
        let (duty, now_us) = (Duty::Replication, app.clock.now_us());
        db::upkeep::bring_forward(&mut tx, duty, repository, &place.instance, now_us).await?;
    }
    let ids = gone.iter().map(|point| point.id.as_str()).collect();
    let act = Act::done(RECOVERY_POINTS_EXPIRED, place.instance.as_str(), ids);
    app.audit.act(&mut tx, app.clock.now_us(), &act).await?;
    let collected_us = later(app, collect_garbage::AFTER_EXPIRY);
    let duty = Duty::Collection;
    db::upkeep::bring_forward(&mut tx, duty, repository, &place.instance, collected_us).await?;
    tx.commit().await
}

fn count(decided: &[(RecoveryPoint, Decision)]) {
    for (_, decision) in decided {
        let word = match decision {
            Decision::Delete { .. } => "delete",
            Decision::Keep(KeepReason::Until(_)) => "not_expired",
            Decision::Keep(KeepReason::ForEver) => "for_ever",
            Decision::Keep(KeepReason::NewestGood) => "newest_good",
            Decision::Keep(KeepReason::ProtectionStopped) => "protection_stopped",
            Decision::Keep(KeepReason::InUse) => "in_use",
        };
        metrics::counter!("coffer_retention_decisions_total", "decision" => word).increment(1);
    }
}

/// When the next one ends. What waits for a newer one is looked at when that is taken.
fn next_due_us(app: &App, decided: &[(RecoveryPoint, Decision)]) -> i64 {
    let ends = decided.iter().filter_map(|(_, decision)| match decision {
        Decision::Keep(KeepReason::Until(us)) => Some(*us),
        Decision::Keep(KeepReason::InUse) => Some(later(app, IN_USE_DELAY)),
        Decision::Delete { .. } => None,
        Decision::Keep(
            KeepReason::ForEver | KeepReason::NewestGood | KeepReason::ProtectionStopped,
        ) => None,
    });
    let going = decided.iter().filter(|(_, d)| matches!(d, Decision::Delete { .. })).count();
    let more = (going > TURN_MAX).then(|| app.clock.now_us());
    ends.chain(more).min().unwrap_or(i64::MAX).min(later(app, IDLE_DELAY))
}
