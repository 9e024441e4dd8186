//! Claims operations and runs their sagas, a bounded number at a time.
//!
//! One task claims and starts; each operation has a task of its own, which also keeps its lease. Nothing is polled while
//! there is nothing to do but one look at two indexes every [`SCAN_INTERVAL`]: a begun operation wakes the executor,
//! and a put-back or foreign one is met at the time when it can be claimed.
//!
//! An executor that starts gives up the leases of its own earlier life, so that what a killed process has left goes on
//! at once. Leases of other owners are waited for.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::crash::crash_here;
use super::run::{Run, StopReason, StopSignal};
use super::saga::{Failure, Outcome, Saga};
use super::{Lane, OperationKind, OperationStatus, sagas};
use crate::app::{App, user_facing_error};
use crate::clock::Clock;
use crate::db::operation::{ClaimedOperation, Renewal};
use crate::db::{self, Db};
use crate::error::Error;

/// How long a claim holds without being renewed.
const LEASE: Duration = Duration::from_secs(30);
/// How often a running operation's claim is renewed: twice may fail.
const LEASE_RENEWAL: Duration = Duration::from_secs(10);
/// The longest time between two looks for what was not announced.
const SCAN_INTERVAL: Duration = Duration::from_secs(5);
/// Most operations of [`Lane::Control`] at the same time.
const CONTROL_RUNS_MAX: usize = 32;
/// How often an operation is claimed without one of its steps being written down before it fails for good.
const ATTEMPTS_MAX: u32 = 5;
/// The wait before the second attempt; it doubles up to [`RETRY_DELAY_MAX`].
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The longest wait between two attempts.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(60);
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
}

struct Core {
    parts: Parts,
    running: Mutex<HashMap<String, Running>>,
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
        let parts = Parts {
            db: app.db.clone(),
            clock: app.clock.clone(),
            owner: app.node_name.clone(),
            handle: app.executor.clone(),
            sagas: sagas::registry(&app),
            data_runs_max: app.config.limits.concurrent_operations,
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
    fn lock_running(&self) -> MutexGuard<'_, HashMap<String, Running>> {
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
            }
        }
    }

    /// Fills the free places of both lanes; tells how long there is nothing to do unless somebody wakes.
    async fn claim_all(self: &Arc<Self>) -> Result<Duration, Error> {
        self.pass_cancellations_on().await?;
        let mut wait = SCAN_INTERVAL;
        for lane in Lane::ALL {
            while self.has_room(lane) {
                let now_us = self.parts.clock.now_us();
                let mut tx = self.parts.db.begin().await?;
                let claimed =
                    db::operation::claim(&mut tx, lane, &self.parts.owner, now_us, micros(LEASE))
                        .await?;
                tx.commit().await?;
                match claimed {
                    Some(claimed) => self.start_run(claimed),
                    None => break,
                }
            }
            // Of a full lane the end of a run will wake us.
            if self.has_room(lane)
                && let Some(next_us) =
                    db::operation::next_due_us(self.parts.db.read(), lane).await?
            {
                let in_us = next_us.saturating_sub(self.parts.clock.now_us());
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
        for id in ids {
            if let Some(running) = running.get(&id) {
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

    fn start_run(self: &Arc<Self>, claimed: ClaimedOperation) {
        let kind = claimed.operation.kind;
        let id = claimed.operation.id.clone();
        let signal = StopSignal::default();
        if claimed.cancel_requested {
            signal.stop(StopReason::CancelRequested);
        }
        self.lock_running()
            .insert(id.clone(), Running { lane: kind.lane(), signal: signal.clone() });
        let span =
            tracing::info_span!("operation", %kind, id, activity = claimed.operation.activity_id);
        let core = Arc::clone(self);
        let run = Run::new(claimed, signal, self.parts.db.clone(), self.parts.clock.clone());
        self.tasks.spawn(
            async move {
                core.keep_and_run(run).await;
                core.lock_running().remove(&id);
                // A place is free, and the operation may have been put back.
                core.parts.handle.wake();
            }
            .instrument(span),
        );
    }

    /// Runs the saga and renews the lease beside it.
    async fn keep_and_run(&self, mut run: Run) {
        let signal = run.signal().clone();
        let id = run.operation().id.clone();
        let generation = run.generation();
        let mut driving = std::pin::pin!(AssertUnwindSafe(self.drive(&mut run)).catch_unwind());
        let mut renewal = tokio::time::interval(LEASE_RENEWAL);
        renewal.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        renewal.tick().await;
        let mut lease_ends = tokio::time::Instant::now() + LEASE;
        let ended = loop {
            tokio::select! {
                ended = &mut driving => break ended,
                _ = renewal.tick() => {
                    let begun = tokio::time::Instant::now();
                    match self.renew(&id, generation).await {
                        Ok(Renewal::Renewed) => lease_ends = begun + LEASE,
                        Ok(Renewal::CancelRequested) => {
                            lease_ends = begun + LEASE;
                            signal.stop(StopReason::CancelRequested);
                        }
                        Ok(Renewal::Lost) => signal.stop(StopReason::LeaseLost),
                        Err(error) => {
                            tracing::warn!(error = error.chain(), "the lease of an operation cannot be renewed");
                            if begun >= lease_ends {
                                signal.stop(StopReason::LeaseLost);
                            }
                        }
                    }
                }
            }
        };
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(
                    error = error.chain(),
                    "the state of an operation cannot be written"
                );
                self.put_back_quietly(&id, generation, RETRY_DELAY_MAX).await;
            }
            Err(_panic) => {
                tracing::error!("a step has panicked; the operation is tried again");
                self.put_back_quietly(&id, generation, RETRY_DELAY).await;
            }
        }
    }

    async fn renew(&self, id: &str, generation: i64) -> Result<Renewal, Error> {
        let mut tx = self.parts.db.begin().await?;
        let until_us = self.parts.clock.now_us().saturating_add(micros(LEASE));
        let renewal = db::operation::renew(&mut tx, id, generation, until_us).await?;
        tx.commit().await?;
        Ok(renewal)
    }

    async fn put_back_quietly(&self, id: &str, generation: i64, delay: Duration) {
        if let Err(error) = self.put_back(id, generation, delay, false).await {
            tracing::error!(
                error = error.chain(),
                "an operation cannot be put back; its lease will run out"
            );
        }
    }

    async fn put_back(
        &self,
        id: &str,
        generation: i64,
        delay: Duration,
        forget_attempt: bool,
    ) -> Result<(), Error> {
        let due_us = self.parts.clock.now_us().saturating_add(micros(delay));
        let mut tx = self.parts.db.begin().await?;
        db::operation::put_back(&mut tx, id, generation, due_us, forget_attempt).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Runs the steps that are left, then writes the outcome down or puts the operation back.
    async fn drive(&self, run: &mut Run) -> Result<(), Error> {
        let kind = run.kind();
        let Some(saga) = self.parts.sagas.get(&kind).cloned() else {
            return Err(Error::internal(format!("no saga is registered for {kind}")));
        };
        let outcome = match self.run_steps(saga.as_ref(), run).await {
            Ok(()) => Outcome::Succeeded,
            Err(Failure::Failed(error)) => Outcome::Failed(*error),
            Err(Failure::Transient(error)) if run.attempts() >= ATTEMPTS_MAX => {
                Outcome::Failed(*error)
            }
            Err(Failure::Transient(error)) => {
                tracing::warn!(code = ?error.code, message = ?error.message, inner = ?error.inner_error, "a step has failed and is tried again");
                return self
                    .put_back(
                        &run.operation().id,
                        run.generation(),
                        retry_delay(run.attempts()),
                        false,
                    )
                    .await;
            }
            Err(Failure::Interrupted) => match run.stop_reason() {
                Some(StopReason::CancelRequested) => Outcome::Cancelled,
                Some(StopReason::LeaseLost) => return Ok(()),
                Some(StopReason::Shutdown) | None => {
                    return self
                        .put_back(&run.operation().id, run.generation(), Duration::ZERO, true)
                        .await;
                }
            },
        };
        if !matches!(outcome, Outcome::Succeeded)
            && let Err(failure) = saga.abandon(run).await
        {
            if matches!(run.stop_reason(), Some(StopReason::LeaseLost)) {
                return Ok(());
            }
            tracing::warn!(?failure, "what a failed operation has left cannot be taken back yet");
            if run.attempts() < ATTEMPTS_MAX {
                return self
                    .put_back(
                        &run.operation().id,
                        run.generation(),
                        retry_delay(run.attempts()),
                        false,
                    )
                    .await;
            }
        }
        self.conclude(saga.as_ref(), run, &outcome).await
    }

    async fn run_steps(&self, saga: &dyn Saga, run: &mut Run) -> Result<(), Failure> {
        if run.attempts() > ATTEMPTS_MAX {
            // It was claimed so often and never told how it ended: it kills its process, or is killed with it.
            return Err(Failure::failed(user_facing_error::died_too_often(
                run.kind(),
                run.attempts(),
            )));
        }
        let steps = saga.steps();
        let first = if run.step().is_empty() {
            0
        } else {
            steps.iter().position(|step| *step == run.step()).ok_or_else(|| {
                let error = Error::internal(format!("{} has no step {}", run.kind(), run.step()));
                Failure::failed(user_facing_error::internal(&error))
            })?
        };
        for (index, step) in steps.iter().enumerate().skip(first) {
            run.check_stopped()?;
            crash_here(run.kind(), &format!("{step}:before"));
            saga.run(step, run).await?;
            crash_here(run.kind(), &format!("{step}:after"));
            // The conclusion follows the last step at once; were it lost, the step would run again.
            if let Some(next) = steps.get(index + 1)
                && !run.step_done(next).await?
            {
                run.signal().stop(StopReason::LeaseLost);
                return Err(Failure::Interrupted);
            }
        }
        Ok(())
    }

    async fn conclude(&self, saga: &dyn Saga, run: &Run, outcome: &Outcome) -> Result<(), Error> {
        crash_here(run.kind(), "conclude:before");
        let cancelled;
        let (status, error) = match outcome {
            Outcome::Succeeded => (OperationStatus::Succeeded, None),
            Outcome::Failed(error) => (OperationStatus::Failed, Some(error)),
            Outcome::Cancelled => {
                cancelled = user_facing_error::cancelled();
                (OperationStatus::Failed, Some(&cancelled))
            }
        };
        let mut tx = self.parts.db.begin().await?;
        saga.conclude(&mut tx, run, outcome).await?;
        let id = &run.operation().id;
        if !db::operation::finish(
            &mut tx,
            id,
            run.generation(),
            status,
            error,
            self.parts.clock.now_us(),
        )
        .await?
        {
            tracing::warn!("the lease was lost before the outcome could be written; nothing was");
            return Ok(());
        }
        tx.commit().await?;
        crash_here(run.kind(), "conclude:after");
        match error {
            None => tracing::info!("succeeded"),
            Some(error) => {
                tracing::info!(code = ?error.code, message = ?error.message, inner = ?error.inner_error, "did not succeed");
            }
        }
        Ok(())
    }
}

fn retry_delay(attempts: u32) -> Duration {
    RETRY_DELAY
        .saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)))
        .min(RETRY_DELAY_MAX)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
