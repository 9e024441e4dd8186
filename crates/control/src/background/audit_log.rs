//! The audit log's own upkeep: what is older than the retention is cut off, how often secrets were read again is written, and where the log ends is told to places that
//! somebody who changes the database does not reach (the server's log, the metrics), so that rows missing at the end are noticed.

use std::time::Duration;

use crate::app::App;
use crate::db::audit as rows;
use crate::error::Error;

/// Rows that one transaction cuts off, so that no request waits for long.
const BATCH_ROWS: u32 = 1000;
/// Transactions of one round; the rest is left to the next.
const BATCHES_MAX: u32 = 20;
/// How often the end is told in the server's log, while it moves.
const HEAD_TOLD_EVERY_US: i64 = 3600 * crate::clock::SECOND_US;

/// Cuts off what is due, a bounded number of rows, and tells where the log ends.
pub(super) async fn keep(app: &App) -> Result<(), Error> {
    if let Some(before_us) = kept_since(app) {
        for _ in 0..BATCHES_MAX {
            let now_us = app.clock.now_us();
            let rows = app.audit.cut(&app.db, before_us, now_us, BATCH_ROWS).await?;
            if rows == 0 {
                break;
            }
            tracing::info!(rows, "old rows of the audit log were cut off");
        }
    }
    app.audit.tell_readings(&app.db, app.clock.now_us(), false).await?;
    tell_head(app, HEAD_TOLD_EVERY_US).await
}

/// Writes what is not written yet, and tells where the log ends: the service stops.
pub(crate) async fn close(app: &App) -> Result<(), Error> {
    app.audit.tell_readings(&app.db, app.clock.now_us(), true).await?;
    tell_head(app, 0).await
}

/// Tells where the log ends, unless that was told within the interval or is known already.
async fn tell_head(app: &App, every_us: i64) -> Result<(), Error> {
    let state = rows::state(&mut *app.db.snapshot().await?).await?;
    metrics::gauge!("coffer_audit_head_sequence").set(to_f64(state.head_sequence));
    if app.audit.head_is_due(state.head_sequence, app.clock.now_us(), every_us) {
        tracing::info!(
            sequence = state.head_sequence,
            hash = state.head_hash,
            "the audit log ends here"
        );
    }
    Ok(())
}

/// None when rows are kept for ever.
fn kept_since(app: &App) -> Option<i64> {
    let days = app.config.audit_retention_days;
    let kept = Duration::from_secs(u64::from(days) * 86_400);
    let kept_us = i64::try_from(kept.as_micros()).unwrap_or(i64::MAX);
    (days > 0).then(|| app.clock.now_us().saturating_sub(kept_us))
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
fn to_f64(number: i64) -> f64 {
    number as f64
}
