//! Recovery points that the storage does not hold yet are locked in it: those of before the vault was immutable, and those
//! whose backup could not.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::expire_points::all_points;
use super::upkeep::{DAY, Ended, Place, later};
use crate::app::App;
use crate::app::alert::{self, Alert, AlertKind};
use crate::app::dataprotection::storage_lock::{lock_point, wanted};
use crate::app::user_facing_error::with_cause;
use crate::db::{self, recovery_point::StorageLock};
use crate::error::Error;
use crate::operations::Failure;
use crate::operations::sagas::vault_lock;

/// How long after a failure the storage is tried again.
const RETRY: Duration = Duration::from_secs(3600);
/// How often a repository is looked at that nothing was said of.
const PERIOD: Duration = Duration::from_secs(30 * DAY.as_secs());
/// Most recovery points that one turn locks.
const TURN_MAX: usize = 100;

/// Locks what is wanted locked of one repository.
pub(super) async fn lock(app: &App, place: &Place, state: &Value) -> Result<Ended, Failure> {
    let done = |delay| Ok(Ended::Done { due_us: later(app, delay), state: Value::Null });
    let Some((storage, immutability)) = vault_lock(app, &place.vault).await? else {
        return done(PERIOD);
    };
    let repository = place.repository.id();
    let points = all_points(app.db.read(), repository).await?;
    let now_us = app.clock.now_us();
    let waiting = points
        .iter()
        .filter_map(|point| wanted(immutability, &point.body, now_us).map(|lock| (point, lock)));
    for (number, (point, lock)) in waiting.enumerate() {
        if number == TURN_MAX || app.stopping.is_cancelled() {
            return done(Duration::ZERO);
        }
        match lock_point(&place.repository, &point.id, &*storage, lock).await {
            Ok(held) => {
                note(app, repository, &point.id, held).await?;
            }
            // It was deleted since the rows were read.
            Err(_) if is_gone(app, place, &point.id).await? => {}
            Err(error) => {
                tell(app, place, state, &with_cause(&error)).await?;
                let state = json!({ "told": true });
                return Ok(Ended::Done { due_us: later(app, RETRY), state });
            }
        }
    }
    done(PERIOD)
}

async fn note(app: &App, repository: Uuid, id: &str, held: StorageLock) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    db::recovery_point::set_storage_lock(&mut tx, repository, id, held).await?;
    tx.commit().await
}

async fn is_gone(app: &App, place: &Place, id: &str) -> Result<bool, Error> {
    let point = db::recovery_point::get(app.db.read(), place.repository.id(), id).await?;
    Ok(point.is_none())
}

/// Once, until a turn succeeds.
async fn tell(app: &App, place: &Place, state: &Value, error: &str) -> Result<(), Error> {
    tracing::error!(
        code = "StorageNotLocked", instance = %place.instance, repository = %place.repository.id(), error,
        "a recovery point cannot be locked in the storage; it is tried again"
    );
    if state["told"] == json!(true) {
        return Ok(());
    }
    let Some(vault) = db::resource_get(app.db.read(), &place.vault).await? else { return Ok(()) };
    let kind = AlertKind::StorageNotLocked;
    let mut tx = app.db.begin().await?;
    let text = format!("Recovery points are not locked in the storage: {error}.");
    let alert = Alert::of_instance(kind, &vault, &place.instance, text);
    alert::raise(app, &mut tx, &alert).await?;
    tx.commit().await
}
