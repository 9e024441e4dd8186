//! Numbers about what is stored in the metadata, for `/metrics`.
//!
//! Read from indexes, a bounded number of rows a round, so that the cost does not grow with what is protected. What only a
//! whole table tells is read rarely.

use std::time::Duration;

use tokio::time::Instant;

use crate::app::App;
use crate::clock::SECOND_US;
use crate::db;
use crate::error::Error;

/// How often the numbers are read.
const ROUND_INTERVAL: Duration = Duration::from_secs(15);
/// How often those are read that take a whole table.
const TABLE_INTERVAL: Duration = Duration::from_secs(600);
/// Instances whose age is told one by one: those with the oldest recovery points.
const AGES_MAX: u32 = 1000;

/// Measures until the service stops.
pub(super) async fn keep_measuring(app: &App) {
    let mut rounds = tokio::time::interval(ROUND_INTERVAL);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut table_due = Instant::now();
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            _ = rounds.tick() => {}
        }
        if let Err(error) = measure(app).await {
            tracing::warn!(error = error.chain(), "metrics cannot be read");
        }
        if Instant::now() >= table_due {
            table_due = Instant::now() + TABLE_INTERVAL;
            match db::recovery_point::stored_bytes(app.db.read()).await {
                Ok(bytes) => metrics::gauge!("coffer_stored_bytes").set(to_f64(bytes)),
                Err(error) => tracing::warn!(error = error.chain(), "metrics cannot be read"),
            }
        }
    }
}

async fn measure(app: &App) -> Result<(), Error> {
    let now_us = app.clock.now_us();
    for (instance, newest_us) in db::schedule::oldest(app.db.read(), AGES_MAX).await? {
        let age_us = now_us.saturating_sub(newest_us).max(0);
        let age = to_f64(u64::try_from(age_us / SECOND_US).unwrap_or(0));
        metrics::gauge!("coffer_recovery_point_age_seconds", "instance" => instance).set(age);
    }
    let counts = db::schedule::counts(app.db.read()).await?;
    metrics::gauge!("coffer_protected_instances").set(to_f64(counts.all));
    metrics::gauge!("coffer_instances_without_recovery_point").set(to_f64(counts.without_point));
    for lane in crate::operations::Lane::ALL {
        let (running, waiting) = db::operation::counts(app.db.read(), lane, now_us).await?;
        metrics::gauge!("coffer_operations_running", "lane" => lane.as_str()).set(to_f64(running));
        metrics::gauge!("coffer_operations_waiting", "lane" => lane.as_str()).set(to_f64(waiting));
    }
    let alerts = db::alert::count(app.db.read()).await?;
    metrics::gauge!("coffer_alerts_waiting").set(to_f64(alerts));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
fn to_f64(number: u64) -> f64 {
    number as f64
}
