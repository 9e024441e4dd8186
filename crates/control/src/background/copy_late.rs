//! Recovery points that wait for too long to be copied to their second region are told: once for each repository, until it has
//! caught up.

use std::time::Duration;

use crate::app::App;
use crate::app::alert::{self, Alert, AlertKind};
use crate::db::{self, copy::Waiting};
use crate::error::Error;
use crate::policy::schedule::shown;

/// Repositories looked at in one round: those that wait longest.
const ROUND_MAX: u32 = 1000;

/// Tells of all that have waited longer than `alerts.copy_late_minutes`.
pub(super) async fn tell(app: &App) -> Result<(), Error> {
    let patience = app.config.alerts.copy_late;
    if patience == Duration::ZERO {
        return Ok(());
    }
    let patience_us = i64::try_from(patience.as_micros()).unwrap_or(i64::MAX);
    let before_us = app.clock.now_us().saturating_sub(patience_us);
    let mut tx = app.db.begin().await?;
    db::copy::clear_late(&mut tx, before_us).await?;
    tx.commit().await?;
    for waiting in db::copy::waiting(app.db.read(), ROUND_MAX).await? {
        if waiting.oldest_us >= before_us {
            return Ok(());
        }
        tell_one(app, &waiting).await?;
    }
    Ok(())
}

async fn tell_one(app: &App, waiting: &Waiting) -> Result<(), Error> {
    let Some(vault) = waiting.instance.parent() else { return Ok(()) };
    let mut tx = app.db.begin().await?;
    let is_news = db::copy::set_late(&mut tx, waiting.repository).await?;
    if is_news && let Some(vault) = db::resource_get(&mut *tx, &vault).await? {
        let text = format!(
            "Of the recovery points, {} are not in the second region yet; the oldest of them was taken at {}.",
            waiting.points,
            shown(waiting.oldest_us)
        );
        let alert = Alert::of_instance(AlertKind::CopyLate, &vault, &waiting.instance, text);
        alert::raise(app, &mut tx, &alert).await?;
    }
    tx.commit().await
}
