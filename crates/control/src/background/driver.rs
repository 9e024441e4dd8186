//! Runs the duties, one after the other: at the start, at a fixed pace, and when somebody says that something is due.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify};

use super::{
    audit_log, copy_late, expire_records, measure, purge_instances, purge_secrets, schedule,
    send_alerts, tell_late, upkeep,
};
use crate::app::App;

/// The time between two rounds. A round that finds nothing due costs one look at an index for each duty.
const ROUND_INTERVAL: Duration = Duration::from_secs(60);

/// Tells the duties that something is due before their next round. Cheap to clone; works before they have started.
#[derive(Debug, Clone, Default)]
pub struct DutiesHandle {
    wake: Arc<Notify>,
    pub(super) schedule: Arc<Notify>,
    pub(super) alerts: Arc<Notify>,
    pub(super) replication: Arc<Notify>,
    /// Held by the round of upkeep that runs.
    pub(super) upkeep: Arc<Mutex<()>>,
    /// Held by the round of copying that runs.
    pub(super) replicating: Arc<Mutex<()>>,
}

impl DutiesHandle {
    /// To be called after what is due was committed. Never waits.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// To be called after something that changes a schedule was committed. Never waits.
    pub fn wake_schedule(&self) {
        self.schedule.notify_one();
    }

    /// To be called after what may have to be copied to a second region was committed. Never waits.
    pub fn wake_replication(&self) {
        self.replication.notify_one();
    }

    /// To be called when an alert was raised; its transaction may still be open. Never waits.
    pub fn wake_alerts(&self) {
        self.alerts.notify_one();
    }
}

/// Starts the duties. They end with the service: no further piece of work is begun then. Upkeep, which moves bytes, keeps no
/// other duty waiting.
pub fn start(app: Arc<App>) {
    let tasks = app.tasks.clone();
    let scheduled = Arc::clone(&app);
    tasks.spawn(async move { schedule::keep_looking(&scheduled).await });
    let measured = Arc::clone(&app);
    tasks.spawn(async move { measure::keep_measuring(&measured).await });
    let alerting = Arc::clone(&app);
    tasks.spawn(async move { send_alerts::keep_sending(&alerting).await });
    let looked_after = Arc::clone(&app);
    tasks.spawn(async move {
        let app = looked_after;
        let mut rounds = tokio::time::interval(ROUND_INTERVAL);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = app.stopping.cancelled() => return,
                _ = rounds.tick() => {}
            }
            run_upkeep(&app).await;
        }
    });
    let replicated = Arc::clone(&app);
    tasks.spawn(async move {
        let app = replicated;
        let mut rounds = tokio::time::interval(ROUND_INTERVAL);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = app.stopping.cancelled() => return,
                () = app.duties.replication.notified() => {}
                _ = rounds.tick() => {}
            }
            run_replication(&app).await;
        }
    });
    tasks.spawn(async move {
        let mut rounds = tokio::time::interval(ROUND_INTERVAL);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = app.stopping.cancelled() => return,
                () = app.duties.wake.notified() => {}
                _ = rounds.tick() => {}
            }
            run_records(&app).await;
        }
    });
}

/// Does everything that is due now. A duty that fails is tried again in the next round, and keeps no other from its turn.
pub async fn run_round(app: &App) {
    if let Err(error) = schedule::run_due(app).await {
        tracing::error!(error = error.chain(), "scheduled backups cannot be begun");
    }
    run_records(app).await;
    run_upkeep(app).await;
    run_replication(app).await;
    if let Err(error) = measure::measure_all(app).await {
        tracing::error!(error = error.chain(), "metrics cannot be read");
    }
}

async fn run_upkeep(app: &App) {
    if let Err(error) = Box::pin(upkeep::run_round(app)).await {
        tracing::error!(error = error.chain(), "repositories cannot be looked after");
    }
}

async fn run_replication(app: &App) {
    if let Err(error) = Box::pin(upkeep::run_replication(app)).await {
        tracing::error!(error = error.chain(), "repositories cannot be copied to second regions");
    }
}

async fn run_records(app: &App) {
    if let Err(error) = purge_instances::purge_due(app).await {
        tracing::error!(error = error.chain(), "deleted backup instances cannot be purged");
    }
    if let Err(error) = tell_late::tell(app).await {
        tracing::error!(error = error.chain(), "backups that wait for too long cannot be told");
    }
    if let Err(error) = copy_late::tell(app).await {
        tracing::error!(error = error.chain(), "copies that are late cannot be told");
    }
    if let Err(error) = purge_secrets::purge_due(app).await {
        tracing::error!(error = error.chain(), "deleted secrets cannot be purged");
    }
    if let Err(error) = expire_records::expire(app).await {
        tracing::error!(error = error.chain(), "old operations and jobs cannot be removed");
    }
    if let Err(error) = audit_log::keep(app).await {
        tracing::error!(error = error.chain(), "the audit log cannot be looked after");
    }
}
