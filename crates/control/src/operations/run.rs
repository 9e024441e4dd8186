//! One claimed operation while it runs: what a saga's steps and conclusion may use.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::crash::crash_here;
use super::saga::Failure;
use super::{Operation, OperationKind};
use crate::clock::Clock;
use crate::db::job::{Job, JobStatus};
use crate::db::operation::ClaimedOperation;
use crate::db::{self, Db, Tx};
use crate::error::Error;

/// Why a run has to stop before it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The service ends; the next one goes on.
    Shutdown,
    /// Its cancellation was requested.
    CancelRequested,
    /// Another executor has it.
    LeaseLost,
}

/// Stops a run from outside. The first reason counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopSignal {
    token: CancellationToken,
    reason: Arc<AtomicU8>,
}

impl StopSignal {
    /// Asks the run to stop as soon as it can.
    pub(crate) fn stop(&self, reason: StopReason) {
        let code = match reason {
            StopReason::Shutdown => 1,
            StopReason::CancelRequested => 2,
            StopReason::LeaseLost => 3,
        };
        // A failed exchange means that another reason came first, and it stays.
        let _first = self.reason.compare_exchange(0, code, Ordering::SeqCst, Ordering::SeqCst);
        self.token.cancel();
    }

    /// Why the run has to stop, if it has to.
    pub(crate) fn reason(&self) -> Option<StopReason> {
        match self.reason.load(Ordering::SeqCst) {
            1 => Some(StopReason::Shutdown),
            2 => Some(StopReason::CancelRequested),
            3 => Some(StopReason::LeaseLost),
            _ => None,
        }
    }

    /// Cancelled when the run has to stop.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }
}

/// A claimed operation and what belongs to it.
#[derive(Debug)]
pub(crate) struct Run {
    operation: Operation,
    generation: i64,
    attempts: u32,
    step: String,
    checkpoint: Value,
    signal: StopSignal,
    db: Db,
    clock: Clock,
}

impl Run {
    pub(super) fn new(claimed: ClaimedOperation, signal: StopSignal, db: Db, clock: Clock) -> Run {
        Run {
            operation: claimed.operation,
            generation: claimed.generation,
            attempts: claimed.attempts,
            step: claimed.step,
            checkpoint: claimed.checkpoint,
            signal,
            db,
            clock,
        }
    }

    /// What is done.
    pub(crate) fn operation(&self) -> &Operation {
        &self.operation
    }

    /// The kind of it.
    pub(crate) fn kind(&self) -> OperationKind {
        self.operation.kind
    }

    /// Every write names it.
    pub(crate) fn generation(&self) -> i64 {
        self.generation
    }

    /// How often it was claimed since the last step that was written down, this time included.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Name of the step to run next; empty before the first.
    pub(super) fn step(&self) -> &str {
        &self.step
    }

    /// What the operation was told.
    pub(crate) fn input<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_value(self.operation.input.clone()).map_err(|source| {
            Error::internal(format!(
                "the input of operation {} is unreadable: {source}",
                self.kind()
            ))
        })
    }

    /// What earlier steps have left; the default before any has.
    pub(crate) fn checkpoint<T: DeserializeOwned + Default>(&self) -> Result<T, Error> {
        if self.checkpoint.is_null() {
            return Ok(T::default());
        }
        serde_json::from_value(self.checkpoint.clone()).map_err(|source| {
            Error::internal(format!(
                "the checkpoint of operation {} is unreadable: {source}",
                self.kind()
            ))
        })
    }

    /// Leaves something for the steps after this one. Durable when the step is.
    pub(crate) fn set_checkpoint<T: Serialize>(&mut self, checkpoint: &T) -> Result<(), Error> {
        self.checkpoint = serde_json::to_value(checkpoint).map_err(Error::internal)?;
        Ok(())
    }

    /// Makes something durable while the step still runs: a later run of the same step finds it. Nothing is written when
    /// the lease was lost.
    pub(crate) async fn save_checkpoint<T: Serialize>(&self, checkpoint: &T) -> Result<(), Error> {
        let checkpoint = serde_json::to_value(checkpoint).map_err(Error::internal)?;
        let mut tx = self.db.begin().await?;
        db::operation::save_checkpoint(&mut tx, &self.operation.id, self.generation, &checkpoint)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Cancelled when the run has to stop.
    pub(crate) fn cancellation(&self) -> &CancellationToken {
        self.signal.token()
    }

    /// Why the run has to stop, if it has to.
    pub(crate) fn stop_reason(&self) -> Option<StopReason> {
        self.signal.reason()
    }

    /// The signal itself, for what watches a lease beside the run.
    pub(crate) fn signal(&self) -> &StopSignal {
        &self.signal
    }

    /// Fails when the run has to stop.
    pub(crate) fn check_stopped(&self) -> Result<(), Failure> {
        match self.signal.reason() {
            Some(_) => Err(Failure::Interrupted),
            None => Ok(()),
        }
    }

    /// The work's result, unless the run has to stop first; the work is then given up where it is.
    pub(crate) async fn unless_stopped<T, E: Into<Failure>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.signal.token().cancelled() => Err(Failure::Interrupted),
            done = work => done.map_err(Into::into),
        }
    }

    /// Microseconds since 1970.
    pub(crate) fn now_us(&self) -> i64 {
        self.clock.now_us()
    }

    /// A point inside a step where a test may end the process.
    pub(crate) fn crash_point(&self, point: &str) {
        crash_here(self.kind(), point);
    }

    /// Writes a step down. False when the lease was lost.
    pub(super) async fn step_done(&mut self, next_step: &str) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let kept = db::operation::step_done(
            &mut tx,
            &self.operation.id,
            self.generation,
            next_step,
            &self.checkpoint,
        )
        .await?;
        tx.commit().await?;
        self.attempts = 1;
        next_step.clone_into(&mut self.step);
        Ok(kept)
    }

    /// What is needed to write the job's row, for operations with a job.
    pub(crate) fn job_report(&self) -> Option<JobReport> {
        Some(JobReport {
            job_id: self.operation.job_id?.to_string(),
            operation_id: self.operation.id.clone(),
            generation: self.generation,
            db: self.db.clone(),
            clock: self.clock.clone(),
        })
    }

    /// Changes the job and ends it, in the transaction that ends the operation. Nothing for operations without a job.
    pub(crate) async fn job_end(
        &self,
        tx: &mut Tx,
        status: JobStatus,
        change: impl FnOnce(&mut Job),
    ) -> Result<(), Error> {
        let Some(report) = self.job_report() else { return Ok(()) };
        let Some(mut job) = db::job::get(&mut **tx, &report.job_id).await? else { return Ok(()) };
        let now_us = self.now_us();
        job.status = status;
        job.ended_us = Some(now_us);
        change(&mut job);
        db::job::update(tx, &job, &report.operation_id, report.generation, now_us).await?;
        let kind = self.kind().as_str();
        metrics::counter!("coffer_jobs_total", "kind" => kind, "status" => status.as_str())
            .increment(1);
        let took_us = u64::try_from(now_us.saturating_sub(job.started_us)).unwrap_or(0);
        metrics::histogram!("coffer_job_seconds", "kind" => kind)
            .record(std::time::Duration::from_micros(took_us));
        Ok(())
    }
}

/// Writes the row of a running operation's job.
#[derive(Debug, Clone)]
pub(crate) struct JobReport {
    job_id: String,
    operation_id: String,
    generation: i64,
    db: Db,
    clock: Clock,
}

impl JobReport {
    /// Changes the job's row. Nothing happens when the lease was lost: whoever has it now reports.
    pub(crate) async fn update(&self, change: impl FnOnce(&mut Job)) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        if let Some(mut job) = db::job::get(&mut *tx, &self.job_id).await? {
            change(&mut job);
            db::job::update(
                &mut tx,
                &job,
                &self.operation_id,
                self.generation,
                self.clock.now_us(),
            )
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
