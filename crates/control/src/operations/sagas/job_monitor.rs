//! The engine's progress on its way into the job's row: kept as it comes, written down at most once a second.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use coffer_engine::{Monitor, Phase, Progress};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::operations::crash::crash_here;
use crate::operations::{JobReport, OperationKind};

/// The shortest time between two writes of a job's progress.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// How long work that was cancelled for want of progress has to end.
const STALL_GRACE: Duration = Duration::from_secs(30);
/// What a job that still runs shows at most.
const RUNNING_PERCENT_MAX: f64 = 99.9;

/// Receives the engine's progress for one run of a step.
pub(super) struct JobMonitor {
    kind: OperationKind,
    step: &'static str,
    latest: Mutex<Option<Progress>>,
    database_made: Notify,
    stalled: AtomicBool,
}

impl JobMonitor {
    pub(super) fn new(kind: OperationKind, step: &'static str) -> JobMonitor {
        JobMonitor {
            kind,
            step,
            latest: Mutex::new(None),
            database_made: Notify::new(),
            stalled: AtomicBool::new(false),
        }
    }

    fn latest(&self) -> Option<Progress> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns when a restore has made its database under the temporary name.
    pub(super) async fn database_made(&self) {
        self.database_made.notified().await;
    }

    /// The bytes moved so far.
    pub(super) fn bytes_done(&self) -> u64 {
        self.latest().map_or(0, |progress| progress.bytes_done)
    }

    /// Cancels `work` when it has made no progress for `stall_after` (zero: never), so that a server that does not answer holds
    /// nobody up. Returns when [`Self::has_stalled`] has become true, and never else.
    pub(super) async fn watch(&self, stall_after: Duration, work: &CancellationToken) {
        if stall_after.is_zero() {
            return std::future::pending().await;
        }
        let mut seen = self.latest();
        let mut since = Instant::now();
        loop {
            tokio::time::sleep(REPORT_INTERVAL.min(stall_after)).await;
            let latest = self.latest();
            if latest != seen {
                (seen, since) = (latest, Instant::now());
            } else if since.elapsed() >= stall_after {
                self.stalled.store(true, Ordering::Relaxed);
                work.cancel();
                // What does not even notice this is left alone.
                tokio::time::sleep(STALL_GRACE).await;
                return;
            }
        }
    }

    /// Whether the work was ended because it made no progress.
    pub(super) fn has_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// The phase in which it is, for people.
    pub(super) fn phase(&self) -> &'static str {
        self.latest().map_or("connect", |progress| progress.phase.name())
    }

    /// Does `work` and writes its progress into the job's row meanwhile. A row that can't be written is not worth the
    /// work: the next second brings the next attempt.
    pub(super) async fn report_while<T>(
        &self,
        report: Option<JobReport>,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = std::pin::pin!(work);
        let Some(report) = report else { return work.await };
        let mut ticks = tokio::time::interval(REPORT_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        let mut written = None;
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = ticks.tick() => {
                    let latest = self.latest();
                    if latest != written {
                        if let Some(progress) = &latest
                            && let Err(error) = write(&report, progress).await
                        {
                            tracing::warn!(error = error.chain(), "a job's progress cannot be written");
                        }
                        written = latest;
                    }
                }
            }
        }
    }
}

impl Monitor for JobMonitor {
    fn report(&self, progress: &Progress) {
        let before = {
            let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
            latest.replace(progress.clone()).map(|progress| progress.phase)
        };
        if before != Some(progress.phase) {
            if progress.phase == Phase::PreData {
                self.database_made.notify_one();
            }
            tracing::debug!(phase = progress.phase.name(), "phase");
            crash_here(self.kind, &inner_point(self.step, progress.phase));
        }
    }
}

/// The crash point of a phase within a step.
fn inner_point(step: &str, phase: Phase) -> String {
    format!("{step}:{}", phase.name())
}

async fn write(report: &JobReport, progress: &Progress) -> Result<(), crate::error::Error> {
    report
        .update(|job| {
            job.body.phase = Some(match &progress.current {
                Some(current) => format!("{} {current}", progress.phase.name()),
                None => progress.phase.name().to_owned(),
            });
            job.body.transferred_bytes = Some(progress.bytes_done);
            job.body.progress_percent = percent(progress);
        })
        .await
}

#[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
fn percent(progress: &Progress) -> Option<f64> {
    let total = progress.bytes_total.filter(|total| *total > 0)?;
    Some((progress.bytes_done as f64 * 100.0 / total as f64).min(RUNNING_PERCENT_MAX))
}
