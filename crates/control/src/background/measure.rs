//! Numbers about what is stored in the metadata, for `/metrics`.
//!
//! Read from indexes, a bounded number of rows a round, so that the cost does not grow with what is protected. What only a
//! whole table tells is read rarely. All are replaced together: of an instance that is protected no more nothing is told.

use std::time::Duration;

use tokio::time::Instant;

use crate::app::App;
use crate::clock::SECOND_US;
use crate::db;
use crate::db::copy::Waiting;
use crate::error::Error;
use crate::operations::Lane;
use crate::telemetry::GaugeText;

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
    let mut tables = Tables::default();
    let mut table_due = Instant::now();
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            _ = rounds.tick() => {}
        }
        if Instant::now() >= table_due {
            table_due = Instant::now() + TABLE_INTERVAL;
            match read_tables(app).await {
                Ok(read) => tables = read,
                Err(error) => tracing::warn!(error = error.chain(), "metrics cannot be read"),
            }
        }
        if let Err(error) = measure(app, &tables).await {
            tracing::warn!(error = error.chain(), "metrics cannot be read");
        }
    }
}

/// Measures everything once.
pub(super) async fn measure_all(app: &App) -> Result<(), Error> {
    let tables = read_tables(app).await?;
    measure(app, &tables).await
}

/// What takes whole tables.
#[derive(Debug, Default)]
struct Tables {
    stored_bytes: Option<u64>,
    /// Instances with recovery points that have not been copied to their second region.
    waiting: Vec<Waiting>,
}

async fn read_tables(app: &App) -> Result<Tables, Error> {
    let stored_bytes = Some(db::repository_size::total(app.db.read()).await?);
    let waiting = db::copy::waiting(app.db.read(), AGES_MAX).await?;
    Ok(Tables { stored_bytes, waiting })
}

async fn measure(app: &App, tables: &Tables) -> Result<(), Error> {
    let now_us = app.clock.now_us();
    let mut text = GaugeText::default();
    let oldest = db::schedule::oldest(app.db.read(), AGES_MAX).await?;
    let ages = oldest.into_iter().map(|(instance, newest_us)| {
        (instance, now_us.saturating_sub(newest_us).max(0) / SECOND_US)
    });
    text.each("coffer_recovery_point_age_seconds", "instance", ages);
    let counts = db::schedule::counts(app.db.read()).await?;
    text.one("coffer_protected_instances", counts.all);
    text.one("coffer_instances_without_recovery_point", counts.without_point);
    let (mut running, mut waiting) = (Vec::new(), Vec::new());
    for lane in Lane::ALL {
        let counts = db::operation::counts(app.db.read(), lane, now_us).await?;
        running.push((lane.as_str(), counts.0));
        waiting.push((lane.as_str(), counts.1));
    }
    text.each("coffer_operations_running", "lane", running);
    text.each("coffer_operations_waiting", "lane", waiting);
    text.one("coffer_alerts_waiting", db::alert::count(app.db.read()).await?);
    if let Some(bytes) = tables.stored_bytes {
        text.one("coffer_stored_bytes", bytes);
    }
    let lags = tables.waiting.iter().map(|waiting| {
        (&waiting.instance, now_us.saturating_sub(waiting.oldest_us).max(0) / SECOND_US)
    });
    let lags = lags.map(|(instance, seconds)| (instance.as_str(), seconds));
    text.each("coffer_copy_lag_seconds", "instance", lags);
    let points: u64 = tables.waiting.iter().map(|waiting| waiting.points).sum();
    text.one("coffer_recovery_points_not_copied", points);
    app.gauges.replace(text);
    Ok(())
}
