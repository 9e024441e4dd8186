//! One operation's run under an executor: its steps, its lease beside them, and its end.
//!
//! A run ends in one of three ways: its outcome is written down with what it means for resources; it is put back, to be
//! claimed again now or later; or nothing is written, because another executor has the operation.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tracing::{Instrument, Span};

use super::OperationStatus;
use super::crash::crash_here;
use super::executor::{Core, LEASE, micros};
use super::run::{Run, StopReason};
use super::saga::{Failure, Outcome, Saga};
use crate::app::user_facing_error;
use crate::db;
use crate::db::operation::Renewal;
use crate::error::Error;
use crate::trace;

/// How often a running operation's claim is renewed: twice may fail.
const LEASE_RENEWAL: Duration = Duration::from_secs(10);
/// How often a step is tried before what a repetition may cure is its failure.
const ATTEMPTS_MAX: u32 = 5;
/// How often an operation is claimed without one of its steps being written down before it fails for good. Much more than
/// [`ATTEMPTS_MAX`]: a process is killed for many reasons, and all that runs in it is claimed once more each time.
const CLAIMS_MAX: u32 = 20;
/// The wait before the second attempt; it doubles up to [`RETRY_DELAY_MAX`].
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The longest wait between two attempts.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(60);

impl Core {
    /// Runs the saga and renews the lease beside it.
    pub(super) async fn keep_and_run(&self, mut run: Run) {
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
            Err(Failure::Failed(error)) => Outcome::Failed(error),
            Err(Failure::Transient(error)) if run.attempts() >= ATTEMPTS_MAX => {
                Outcome::Failed(error)
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
            && let Err(failure) = saga.abandon(run).instrument(step_span("abandon")).await
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
        self.conclude(saga.as_ref(), run, &outcome).instrument(step_span("conclude")).await?;
        if let Outcome::Failed(error) = &outcome {
            trace::failed(&Span::current(), error.code.as_deref().unwrap_or_default());
        }
        Ok(())
    }

    async fn run_steps(&self, saga: &dyn Saga, run: &mut Run) -> Result<(), Failure> {
        if run.attempts() > CLAIMS_MAX {
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
            let is_too_late = run.stop_reason() == Some(StopReason::CancelRequested)
                && saga.runs_cancelled(step, run);
            if !is_too_late {
                run.check_stopped()?;
            }
            crash_here(run.kind(), &format!("{step}:before"));
            let span = step_span(step);
            let done = saga.run(step, run).instrument(span.clone()).await;
            if let Err(failure) = &done {
                trace::failed(&span, failure.code());
            }
            done?;
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
            Outcome::Failed(error) => (OperationStatus::Failed, Some(error.as_ref())),
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
        saga.concluded();
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

/// A step's span, which has the step's name in the trace.
fn step_span(step: &str) -> Span {
    let span = tracing::info_span!("step", step);
    trace::name(&span, step);
    span
}

fn retry_delay(attempts: u32) -> Duration {
    RETRY_DELAY
        .saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)))
        .min(RETRY_DELAY_MAX)
}
