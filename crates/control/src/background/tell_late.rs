//! Backups that wait in the queue for too long are told, once each.
//!
//! A backup waits while its server or its vault has as many running as it may, or while all that this installation may run do. That
//! is meant to happen; that it takes long says that the limits, or the windows of the policies, do not suffice for what is protected.

use coffer_azure::ResourceId;

use crate::app::App;
use crate::app::alert::{self, Alert, AlertKind};
use crate::db;
use crate::error::Error;
use crate::operations::Operation;
use crate::policy::schedule::shown;

/// Backups told in one round; the rest is left to the next.
const ROUND_MAX: u32 = 100;

/// Tells of all that have waited longer than `alerts.backup_late_minutes`.
pub(super) async fn tell(app: &App) -> Result<(), Error> {
    let patience = app.config.alerts.backup_late;
    if patience.is_zero() {
        return Ok(());
    }
    let now_us = app.clock.now_us();
    let patience_us = i64::try_from(patience.as_micros()).unwrap_or(i64::MAX);
    let before_us = now_us.saturating_sub(patience_us);
    for operation in db::operation::late(app.db.read(), before_us, now_us, ROUND_MAX).await? {
        if let Some(instance) = &operation.instance {
            tell_one(app, &operation, instance).await?;
        }
    }
    Ok(())
}

async fn tell_one(app: &App, operation: &Operation, instance: &ResourceId) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    let is_news = db::operation::set_late_told(&mut tx, &operation.id, app.clock.now_us()).await?;
    if is_news && let Some(vault) = db::resource_get(&mut *tx, &operation.vault).await? {
        metrics::counter!("coffer_backups_late_total").increment(1);
        let text = format!(
            "A backup that was begun at {} still waits for its turn: its server, its vault or the service runs as many as its limit \
             allows.",
            shown(operation.started_us)
        );
        let mut alert = Alert::of_instance(AlertKind::BackupLate, &vault, instance, text);
        alert.job = operation.job_id;
        alert::raise(app, &mut tx, &alert).await?;
    }
    tx.commit().await
}
