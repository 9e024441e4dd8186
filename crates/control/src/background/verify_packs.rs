//! What is stored is read, day by day, so that nothing rots unseen.
//!
//! The packs of a repository are divided into as many shares as `verification.period_days` has days, and each day one of them
//! is read to the last byte, a bounded number of bytes a round. What is damaged goes on record in the storage, by which the
//! next backup stores it anew; which recovery points are hit is said in the log. After the last share every recovery point's
//! closure is looked at as well, which finds packs that are missing altogether.

use std::collections::HashMap;
use std::time::Duration;

use coffer_engine::{Error as EngineError, PackReading, SilentMonitor, verify_recovery_point};
use coffer_store::{
    Error as StoreError, LeasePurpose, PackId, PackOutcome, PackVerdict, Share, VerifyDepth,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::expire_points::all_points;
use super::upkeep::{DAY, Ended, Place, holder, later};
use crate::app::App;
use crate::app::alert::{self, Alert, AlertKind};
use crate::app::user_facing_error::{Place as Blame, engine_failure, store_failure};
use crate::db;
use crate::db::upkeep::Duty;
use crate::error::Error;
use crate::lease::{LeaseClaim, with_lease};
use crate::operations::Failure;

/// Bytes that one round reads of all repositories together, give or take a pack.
pub(super) const ROUND_BYTES: u64 = 1024 * 1024 * 1024;
/// Bytes that one round reads of one repository, give or take a pack.
const TURN_BYTES: u64 = 256 * 1024 * 1024;
/// How soon reading goes on within a share.
const NEXT_TURN: Duration = Duration::ZERO;

/// How far the reading of a repository is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// From 1.
    share: u32,
    of: u32,
    after: Option<PackId>,
}

impl Progress {
    /// The one that was kept, or the beginning where there is none or the period was changed.
    fn read(state: &Value, period_days: u32) -> Self {
        serde_json::from_value::<Self>(state.clone())
            .ok()
            .filter(|kept| kept.of == period_days && (1..=kept.of).contains(&kept.share))
            .unwrap_or(Self { share: 1, of: period_days, after: None })
    }

    fn next_share(&self) -> Self {
        Self { share: self.share % self.of + 1, of: self.of, after: None }
    }
}

/// Reads the next packs of one repository.
pub(super) async fn verify(
    app: &App,
    place: &Place,
    state: &Value,
    bytes_left: &mut u64,
) -> Result<Ended, Failure> {
    let blame = |error: EngineError| engine_failure(&error, &Blame::storage());
    let progress = Progress::read(state, app.config.verification_period_days);
    let share = Share::new(progress.share, progress.of).map_err(|error| store_failure(&error))?;
    let begun = PackReading::begin(&place.repository, share, progress.after).await;
    let mut reading = begun.map_err(blame)?;
    let bytes_max = TURN_BYTES.min(*bytes_left);
    let verdicts = reading.turn(bytes_max, &SilentMonitor, &app.stopping).await;
    let read: u64 = verdicts.iter().map(|verdict| verdict.bytes).sum();
    *bytes_left = bytes_left.saturating_sub(read);
    let nothing_read = verdicts.is_empty();
    let found_damage = tell(place, &verdicts);
    if !record(app, place, verdicts).await? {
        // Somebody changes the repository; the same packs are read again, lest what was found be forgotten.
        return Ok(Ended::Busy);
    }
    let report = reading.finish();
    let last = report.remaining_packs == 0;
    if found_damage || (last && progress.share == progress.of) {
        name_damaged_points(app, place).await?;
    }
    let done = |due_us, progress: &Progress| {
        let state = serde_json::to_value(progress).map_err(Error::internal)?;
        Ok(Ended::Done { due_us, state })
    };
    if last {
        return done(later(app, DAY), &progress.next_share());
    }
    if nothing_read && !app.stopping.is_cancelled() {
        let error = Error::internal("the storage does not answer");
        return Err(error.into());
    }
    done(later(app, NEXT_TURN), &Progress { after: report.position, ..progress })
}

/// Says what was read, and whether any of it is damaged.
fn tell(place: &Place, verdicts: &[PackVerdict]) -> bool {
    let (instance, repository) = (&place.instance, place.repository.id());
    let mut found_damage = false;
    for verdict in verdicts {
        match &verdict.outcome {
            PackOutcome::Whole { .. } => {
                metrics::counter!("coffer_verified_bytes_total").increment(verdict.bytes);
            }
            PackOutcome::Damaged(damaged) => {
                found_damage = true;
                metrics::counter!("coffer_damaged_packs_total").increment(1);
                tracing::error!(
                    code = "StoredDataDamaged", %instance, %repository, pack = %damaged.pack, reason = damaged.reason,
                    "a pack is not what it was when it was written; the next backup stores anew what it needs of it"
                );
            }
            PackOutcome::Gone => {}
            PackOutcome::Unchecked(error) => tracing::warn!(
                code = "StoredDataUnchecked", %instance, %repository, pack = %verdict.pack, %error,
                "a pack could not be read; nothing is known about it"
            ),
        }
    }
    found_damage
}

/// Puts on record what changes it: damage, and packs on record that are whole again. False when the lease is another's.
async fn record(app: &App, place: &Place, verdicts: Vec<PackVerdict>) -> Result<bool, Failure> {
    let on_record =
        place.repository.damaged_packs().await.map_err(|error| store_failure(&error))?;
    let changes = verdicts.iter().any(|verdict| match verdict.outcome {
        PackOutcome::Damaged(_) => true,
        PackOutcome::Whole { .. } => on_record.iter().any(|damaged| damaged.pack == verdict.pack),
        PackOutcome::Gone | PackOutcome::Unchecked(_) => false,
    });
    if !changes {
        return Ok(true);
    }
    let holder = holder(app, Duty::Verification);
    let claim = LeaseClaim {
        holder: &holder,
        purpose: LeasePurpose::Verification,
        patience: Duration::ZERO,
        above: 0,
    };
    let stop = app.stopping.child_token();
    let repository = place.repository.clone();
    let recorded = with_lease(&place.repository, claim, &app.clock, &stop, |lease| async move {
        repository.record_verdicts(&lease, &verdicts).await
    });
    match recorded.await.and_then(|recorded| recorded) {
        Ok(()) => Ok(true),
        Err(StoreError::LeaseHeld { .. } | StoreError::LeaseLost { .. }) => Ok(false),
        Err(error) => Err(store_failure(&error)),
    }
}

/// Puts on record which recovery points need something that is damaged or missing, and says so where that is news.
async fn name_damaged_points(app: &App, place: &Place) -> Result<(), Failure> {
    let blame = |error: EngineError| engine_failure(&error, &Blame::storage());
    let repository = &place.repository;
    let manifests = repository.manifests().await.map_err(|error| store_failure(&error))?;
    let mut states = Vec::new();
    for unreadable in manifests.unreadable {
        states.push((unreadable.recovery_point_id, Some(unreadable.error.to_string())));
    }
    for info in manifests.valid {
        let id = info.recovery_point_id;
        let closure = VerifyDepth::Closure;
        let reason = match verify_recovery_point(repository, &id, closure, &SilentMonitor).await {
            Ok(report) if report.damaged_chunks == 0 => None,
            Ok(report) => {
                let first = report.damaged.first().map(|damage| damage.error.to_string());
                Some(format!("{} chunks: {}", report.damaged_chunks, first.unwrap_or_default()))
            }
            Err(error @ EngineError::Manifest { .. }) => Some(error.to_string()),
            Err(error) => return Err(blame(error)),
        };
        states.push((id, reason));
    }
    Ok(set_damaged(app, place, &states).await?)
}

/// Puts on record for each recovery point whether it is damaged, and for what reason: those alone that have changed, together.
async fn set_damaged(
    app: &App,
    place: &Place,
    states: &[(String, Option<String>)],
) -> Result<(), Error> {
    let (instance, repository) = (&place.instance, place.repository.id());
    for (recovery_point, reason) in states {
        let Some(reason) = reason else { continue };
        metrics::counter!("coffer_damaged_recovery_points_total").increment(1);
        tracing::error!(
            code = "RecoveryPointDamaged", %instance, %repository, recovery_point, reason,
            "a recovery point cannot be restored as a whole"
        );
    }
    let rows = all_points(app.db.read(), repository).await?;
    let known: HashMap<&str, bool> =
        rows.iter().map(|point| (point.id.as_str(), point.body.damaged)).collect();
    let is_changed = |id: &str, damaged| known.get(id).is_some_and(|known| *known != damaged);
    let changed: Vec<_> =
        states.iter().filter(|(id, reason)| is_changed(id, reason.is_some())).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let mut tx = app.db.begin().await?;
    for (recovery_point, reason) in changed {
        let damaged = reason.is_some();
        let is_news =
            db::recovery_point::set_damaged(&mut tx, repository, recovery_point, damaged).await?;
        if is_news
            && damaged
            && let Some(vault) = instance.parent()
            && let Some(vault) = db::resource_get(&mut *tx, &vault).await?
        {
            let text = format!(
                "The recovery point {recovery_point} cannot be restored as a whole: stored data is damaged or missing. \
                 The next backup stores it anew."
            );
            let alert = Alert::of_instance(AlertKind::StoredDataDamaged, &vault, instance, text);
            alert::raise(app, &mut tx, &alert).await?;
        }
    }
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shares_follow_each_other_and_a_changed_period_begins_anew() {
        let first = Progress::read(&Value::Null, 3);
        assert_eq!((first.share, first.of), (1, 3));
        let shares: Vec<_> = std::iter::successors(Some(first), |progress| {
            Some(Progress::read(&json!(progress.next_share()), 3))
        })
        .take(5)
        .map(|progress| progress.share)
        .collect();
        assert_eq!(shares, [1, 2, 3, 1, 2]);
        for odd in [json!({"share": 9, "of": 3}), json!({"share": 0, "of": 3}), json!("x")] {
            assert_eq!(Progress::read(&odd, 3).share, 1, "{odd}");
        }
        assert_eq!(Progress::read(&json!({"share": 3, "of": 3, "after": null}), 30).share, 1);
    }
}
