//! Packs that no recovery point needs any more are deleted.
//!
//! Deleted recovery points leave them, and backups that did not end well. Whoever leaves garbage says so (`db::upkeep`); once
//! a week each repository is looked at anyway. A backup of the instance comes first: a collection does not begin while one
//! runs or waits, and ends where it is as soon as one comes, which costs nothing but the work.

use std::time::Duration;

use coffer_engine::{Error as EngineError, plan_collection};
use coffer_store::{CollectionReport, Error as StoreError, LeasePurpose, PackReason};
use serde_json::Value;
use uuid::Uuid;

use super::upkeep::{DAY, Ended, Place, holder, later, needed};
use crate::app::App;
use crate::app::user_facing_error::{Place as Blame, engine_failure, store_failure};
use crate::db;
use crate::db::upkeep::Duty;
use crate::error::Error;
use crate::lease::{LeaseClaim, with_lease};
use crate::operations::{Failure, collection_crash_point};

/// How often a repository is looked at of which nobody has said anything.
pub(crate) const PERIOD: Duration = Duration::from_secs(7 * 86_400);
/// How long after a recovery point has gone its garbage stays: others that go at about the same time are collected with it.
pub(crate) const AFTER_EXPIRY: Duration = Duration::from_secs(600);
/// How long what an interrupted backup left stays: its next attempt may take it over.
pub(crate) const GRACE: Duration = DAY;

/// Collects the garbage of one repository.
pub(super) async fn collect(app: &App, place: &Place) -> Result<Ended, Failure> {
    let Place { instance, repository, .. } = place;
    let holder = holder(app, Duty::Collection);
    let claim = LeaseClaim {
        holder: &holder,
        purpose: LeasePurpose::Collection,
        patience: Duration::ZERO,
        above: 0,
    };
    let stop = app.stopping.child_token();
    let grace_ms = u64::try_from(GRACE.as_millis()).unwrap_or(u64::MAX);
    let giving_way = &stop;
    let collected = with_lease(repository, claim, &app.clock, &stop, |lease| async move {
        let work = async {
            let plan = match plan_collection(repository, &lease, app.clock.now_ms(), grace_ms).await
            {
                Ok(plan) => plan,
                // A restore still reads what no recovery point needs any more.
                Err(EngineError::Store { source: StoreError::Pinned { .. }, .. }) => {
                    return Ok(None);
                }
                Err(error) => return Err(engine_failure(&error, &Blame::storage())),
            };
            collection_crash_point("planned");
            let mut decisions = plan.decisions().iter();
            let waits = decisions.any(|decision| decision.reason == PackReason::WithinGrace);
            let collecting = repository
                .collect_with(&lease, plan, |_so_far| collection_crash_point("deleting"))
                .await;
            match collecting {
                Ok(report) => {
                    // While the lease holds, so that no backup adds to it meanwhile.
                    remember_size(app, repository.id(), report.kept_bytes).await?;
                    Ok::<_, Failure>(Some((report, waits)))
                }
                Err(StoreError::Pinned { .. } | StoreError::LeaseLost { .. }) => Ok(None),
                Err(error) => Err(store_failure(&error)),
            }
        };
        // Dropped in the middle, it is a collection that was interrupted, which the next one finishes.
        tokio::select! {
            biased;
            () = giving_way.cancelled() => Ok(None),
            () = needed(app, instance, Duty::Collection) => Ok(None),
            done = work => done,
        }
    })
    .await;
    let collected = match collected {
        Ok(collected) => collected?,
        Err(StoreError::LeaseHeld { .. } | StoreError::LeaseLost { .. }) => None,
        Err(error) => return Err(store_failure(&error)),
    };
    let Some((report, waits)) = collected else { return Ok(Ended::Busy) };
    tell(place, &report);
    let due_us = later(app, if waits { GRACE } else { PERIOD });
    Ok(Ended::Done { due_us, state: Value::Null })
}

async fn remember_size(app: &App, repository: Uuid, bytes: u64) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    db::repository_size::set(&mut tx, repository, bytes).await?;
    tx.commit().await
}

fn tell(place: &Place, report: &CollectionReport) {
    if report.deleted_packs == 0 {
        return;
    }
    metrics::counter!("coffer_collected_packs_total").increment(report.deleted_packs);
    metrics::counter!("coffer_collected_bytes_total").increment(report.deleted_bytes);
    tracing::info!(
        instance = %place.instance,
        repository = %place.repository.id(),
        packs = report.deleted_packs,
        bytes = report.deleted_bytes,
        kept_packs = report.kept_packs,
        kept_bytes = report.kept_bytes,
        "packs that no recovery point needs were deleted"
    );
}
