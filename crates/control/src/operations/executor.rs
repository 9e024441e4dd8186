//! Claims operations and runs their sagas, a bounded number at a time.
//!
//! One task claims and starts; each operation has a task of its own, which also keeps its lease. Nothing is polled while
//! there is nothing to do but one look at two indexes every [`SCAN_INTERVAL`]: a begun operation wakes the executor,
//! and a put-back or foreign one is met at the time when it can be claimed. While something runs, one index more is looked at
//! every [`CANCELLATION_INTERVAL`].
//!
//! An executor that starts gives up the leases of its own earlier life, so that what a killed process has left goes on
//! at once. Leases of other owners are waited for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::run::{Run, StopReason, StopSignal};
use super::saga::Saga;
use super::{Lane, OperationKind, sagas};
use crate::app::App;
use crate::clock::Clock;
use crate::db::operation::{ClaimLimits, ClaimedOperation};
use crate::db::{self, Db};
use crate::error::Error;

/// How long a claim holds without being renewed.
pub(super) const LEASE: Duration = Duration::from_secs(30);
/// The longest time between two looks for what was not announced.
const SCAN_INTERVAL: Duration = Duration::from_secs(5);
/// The same for cancellations of what runs here, which another process may have been asked for.
const CANCELLATION_INTERVAL: Duration = Duration::from_millis(500);
/// Most operations of [`Lane::Control`] at the same time.
const CONTROL_RUNS_MAX: usize = 32;
/// How long the end of the service waits for running steps to notice.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(20);

/// Tells the executor that there is something to do. Cheap to clone; works before the executor has started.
#[derive(Debug, Clone, Default)]
pub struct ExecutorHandle {
    wake: Arc<Notify>,
}

impl ExecutorHandle {
    /// To be called after an operation or a request for cancellation was committed. Never waits.
    pub fn wake(&self) {
        self.wake.notify_one();
    }
}

/// A running executor.
#[derive(Debug)]
pub struct Executor {
    core: Arc<Core>,
    main: JoinHandle<()>,
}

pub(crate) type Registry = HashMap<OperationKind, Arc<dyn Saga>>;

/// What an executor is made of; tests give their own sagas.
pub(crate) struct Parts {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) owner: String,
    pub(crate) handle: ExecutorHandle,
    pub(crate) sagas: Registry,
    pub(crate) data_runs_max: usize,
    pub(crate) limits: ClaimLimits,
}

pub(super) struct Core {
    pub(super) parts: Parts,
    // By id and generation: a run that was put back may still be leaving when its operation runs again.
    running: Mutex<HashMap<(String, i64), Running>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Running {
    lane: Lane,
    signal: StopSignal,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("owner", &self.parts.owner).finish_non_exhaustive()
    }
}

impl Executor {
    /// Starts to claim and run. What an earlier life of this owner has left is claimable at once.
    ///
    /// # Errors
    /// The database fails.
    pub async fn start(app: Arc<App>) -> Result<Executor, Error> {
        if let Err(error) = sagas::clear_work_directories(&app).await {
            tracing::warn!(
                error = error.chain(),
                "work directories of the last run of the service stay"
            );
        }
        let parts = Parts {
            db: app.db.clone(),
            clock: app.clock.clone(),
            owner: app.node_name.clone(),
            handle: app.executor.clone(),
            sagas: sagas::registry(&app),
            data_runs_max: app.config.limits.concurrent_operations,
            limits: ClaimLimits {
                per_server: app.config.limits.backups_per_server,
                per_vault: app.config.limits.operations_per_vault,
            },
        };
        Executor::start_with(parts).await
    }

    pub(crate) async fn start_with(parts: Parts) -> Result<Executor, Error> {
        let mut tx = parts.db.begin().await?;
        let left = db::operation::release_all(&mut tx, &parts.owner).await?;
        tx.commit().await?;
        if left > 0 {
            tracing::info!(
                operations = left,
                "going on with operations that the last run of the service has left"
            );
        }
        let core = Arc::new(Core {
            parts,
            running: Mutex::new(HashMap::new()),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let main = tokio::spawn(Arc::clone(&core).claim_until_stopped());
        Ok(Executor { core, main })
    }

    /// Stops claiming, asks everything that runs to stop, and waits for that a bounded time. What has not ended stays
    /// to be resumed.
    pub async fn shutdown(self) {
        self.core.stop.cancel();
        if let Err(error) = self.main.await {
            tracing::error!(%error, "the executor's task has failed");
        }
        for running in self.core.lock_running().values() {
            running.signal.stop(StopReason::Shutdown);
        }
        self.core.tasks.close();
        if tokio::time::timeout(SHUTDOWN_WAIT, self.core.tasks.wait()).await.is_err() {
            tracing::warn!(
                "operations that did not stop in time will be resumed by the next start"
            );
        }
    }
}

impl Core {
    fn lock_running(&self) -> MutexGuard<'_, HashMap<(String, i64), Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn claim_until_stopped(self: Arc<Self>) {
        while !self.stop.is_cancelled() {
            let wait = match self.claim_all().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(error = error.chain(), "operations cannot be claimed");
                    SCAN_INTERVAL
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.parts.handle.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
                () = self.look_for_cancellations() => {}
            }
        }
    }

    /// Never returns.
    async fn look_for_cancellations(&self) {
        loop {
            tokio::time::sleep(CANCELLATION_INTERVAL).await;
            if let Err(error) = self.pass_cancellations_on().await {
                // Told when operations cannot be claimed for the same reason.
                tracing::debug!(error = error.chain(), "cancellations cannot be looked for");
            }
        }
    }

    /// Starts to end what was cancelled while it waited for a place: it takes one of those of short operations.
    async fn claim_cancelled(self: &Arc<Self>) -> Result<(), Error> {
        while self.has_room(Lane::Control) {
            let Parts { db, owner, clock, .. } = &self.parts;
            let mut tx = db.begin().await?;
            let claimed =
                db::operation::claim_cancelled(&mut tx, owner, clock.now_us(), micros(LEASE))
                    .await?;
            tx.commit().await?;
            if !self.start_claimed(claimed, Lane::Control) {
                break;
            }
        }
        Ok(())
    }

    /// Fills the free places of both lanes; tells how long there is nothing to do unless somebody wakes.
    async fn claim_all(self: &Arc<Self>) -> Result<Duration, Error> {
        self.pass_cancellations_on().await?;
        self.claim_cancelled().await?;
        let mut wait = SCAN_INTERVAL;
        for lane in Lane::ALL {
            while self.has_room(lane) {
                let now_us = self.parts.clock.now_us();
                let mut tx = self.parts.db.begin().await?;
                let claimed = db::operation::claim(
                    &mut tx,
                    lane,
                    &self.parts.owner,
                    now_us,
                    micros(LEASE),
                    self.parts.limits,
                )
                .await?;
                tx.commit().await?;
                if !self.start_claimed(claimed, lane) {
                    break;
                }
            }
            // Of a full lane the end of a run will wake us.
            if self.has_room(lane)
                && let now_us = self.parts.clock.now_us()
                && let Some(next_us) =
                    db::operation::next_due_us(self.parts.db.read(), lane, now_us).await?
            {
                let in_us = next_us.saturating_sub(now_us);
                wait = wait.min(Duration::from_micros(u64::try_from(in_us).unwrap_or(0)));
            }
        }
        Ok(wait)
    }

    async fn pass_cancellations_on(&self) -> Result<(), Error> {
        if self.lock_running().is_empty() {
            return Ok(());
        }
        let ids = db::operation::cancellations(self.parts.db.read()).await?;
        let running = self.lock_running();
        for ((id, _), running) in running.iter() {
            if ids.contains(id) {
                running.signal.stop(StopReason::CancelRequested);
            }
        }
        Ok(())
    }

    fn has_room(&self, lane: Lane) -> bool {
        let running = self.lock_running().values().filter(|running| running.lane == lane).count();
        running
            < match lane {
                Lane::Data => self.parts.data_runs_max.max(1),
                Lane::Control => CONTROL_RUNS_MAX,
            }
    }

    /// Starts what was claimed, if anything was: then there may be more.
    fn start_claimed(
        self: &Arc<Self>,
        claimed: Option<Result<ClaimedOperation, Error>>,
        lane: Lane,
    ) -> bool {
        match claimed {
            Some(Ok(claimed)) => self.start_run(claimed, lane),
            Some(Err(error)) => {
                tracing::error!(error = error.chain(), "an operation's row cannot be read");
            }
            None => return false,
        }
        true
    }

    fn start_run(self: &Arc<Self>, claimed: ClaimedOperation, lane: Lane) {
        let kind = claimed.operation.kind;
        let id = claimed.operation.id.clone();
        let key = (id.clone(), claimed.generation);
        let signal = StopSignal::default();
        if claimed.cancel_requested {
            signal.stop(StopReason::CancelRequested);
        }
        self.lock_running().insert(key.clone(), Running { lane, signal: signal.clone() });
        let span =
            tracing::info_span!("operation", %kind, id, activity = claimed.operation.activity_id);
        if let Some(begun_by) = &claimed.operation.trace {
            begun_by.adopt(&span);
        }
        let core = Arc::clone(self);
        let run = Run::new(claimed, signal, self.parts.db.clone(), self.parts.clock.clone());
        self.tasks.spawn(
            async move {
                core.keep_and_run(run).await;
                core.lock_running().remove(&key);
                // A place is free, and the operation may have been put back.
                core.parts.handle.wake();
            }
            .instrument(span),
        );
    }
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
