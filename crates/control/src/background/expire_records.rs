//! Removes operations and jobs that ended so long ago that nobody asks for them any more.

use std::time::Duration;

use crate::app::App;
use crate::db;
use crate::error::Error;

/// How long an operation can be asked for after its end.
const OPERATIONS_KEPT: Duration = Duration::from_secs(7 * 86_400);
/// How long a job can be looked at after its end.
const JOBS_KEPT: Duration = Duration::from_secs(90 * 86_400);
/// Rows that one transaction removes, so that no request waits for long.
const BATCH_ROWS: u32 = 500;
/// Transactions of one round; the rest is left to the next.
const BATCHES_MAX: u32 = 20;

/// Removes what is due, a bounded number at a time.
pub(super) async fn expire(app: &App) -> Result<(), Error> {
    let now_us = app.clock.now_us();
    for _ in 0..BATCHES_MAX {
        let mut tx = app.db.begin().await?;
        let operations =
            db::operation::delete_finished(&mut tx, before(now_us, OPERATIONS_KEPT), BATCH_ROWS)
                .await?;
        let jobs = db::job::delete_ended(&mut tx, before(now_us, JOBS_KEPT), BATCH_ROWS).await?;
        if operations == 0 && jobs == 0 {
            return Ok(());
        }
        tx.commit().await?;
        tracing::info!(operations, jobs, "old records were removed");
    }
    Ok(())
}

fn before(now_us: i64, kept: Duration) -> i64 {
    now_us.saturating_sub(i64::try_from(kept.as_micros()).unwrap_or(i64::MAX))
}
