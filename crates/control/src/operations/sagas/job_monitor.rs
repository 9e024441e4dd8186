//! The engine's progress on its way into the job's row: kept as it comes, written down as soon as there is any, and from then on once a
//! second while there is something new to say. That nothing moves any more is new, too.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use coffer_engine::{Monitor, PaceMeter, Phase, Progress};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::db::job::{Job, JobProgress};
use crate::operations::crash::crash_here;
use crate::operations::{JobReport, OperationKind};

/// The shortest time between two writes of a job's progress.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// When it is written first: what is over by then needs none.
const FIRST_REPORT: Duration = Duration::from_millis(100);
/// How long work that was cancelled for want of progress has to end.
const STALL_GRACE: Duration = Duration::from_secs(30);
/// What a job that still runs shows at most.
const RUNNING_PERCENT_MAX: f64 = 99.9;

/// Receives the engine's progress for one run of a step.
pub(super) struct JobMonitor {
    kind: OperationKind,
    step: &'static str,
    started: Instant,
    latest: Mutex<Option<Progress>>,
    meter: Mutex<PaceMeter>,
    database_made: Notify,
    stalled: AtomicBool,
}

impl JobMonitor {
    pub(super) fn new(kind: OperationKind, step: &'static str) -> JobMonitor {
        JobMonitor {
            kind,
            step,
            started: Instant::now(),
            latest: Mutex::new(None),
            meter: Mutex::default(),
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

    /// Cancels `work` when it has made no progress for `stall_after` (zero: never) in a phase that is `watched`, so that a server that
    /// does not answer holds nobody up. Returns when [`Self::has_stalled`] has become true, and never else.
    pub(super) async fn watch(
        &self,
        stall_after: Duration,
        watched: fn(Phase) -> bool,
        work: &CancellationToken,
    ) {
        if stall_after.is_zero() {
            return std::future::pending().await;
        }
        let mut seen = self.latest();
        let mut since = Instant::now();
        loop {
            tokio::time::sleep(REPORT_INTERVAL.min(stall_after)).await;
            let latest = self.latest();
            let is_watched = latest.as_ref().is_none_or(|progress| watched(progress.phase));
            if latest != seen || !is_watched {
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
        let mut ticks = tokio::time::interval_at(Instant::now() + FIRST_REPORT, REPORT_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut written = None;
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = ticks.tick() => {
                    let told = self.told();
                    let Some(new) = told.as_ref().filter(|told| Some(*told) != written.as_ref()) else {
                        continue;
                    };
                    match report.update(|job| new.write(job)).await {
                        Ok(()) => written = told,
                        Err(error) => tracing::warn!(error = error.chain(), "a job's progress cannot be written"),
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

/// What a job's row says of its progress.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    phase: String,
    transferred_bytes: u64,
    percent: Option<f64>,
    progress: JobProgress,
}

impl Told {
    fn write(&self, job: &mut Job) {
        job.body.phase = Some(self.phase.clone());
        job.body.transferred_bytes = Some(self.transferred_bytes);
        job.body.progress_percent = self.percent;
        job.body.progress = Some(self.progress.clone());
    }
}

impl JobMonitor {
    /// What can be said now; nothing before the engine has said something.
    fn told(&self) -> Option<Told> {
        let progress = self.latest()?;
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        let pace = meter.observe(self.started.elapsed(), &progress);
        Some(Told {
            phase: match &progress.current {
                Some(current) => format!("{} {current}", progress.phase.name()),
                None => progress.phase.name().to_owned(),
            },
            transferred_bytes: progress.bytes_done,
            percent: percent(&progress),
            progress: JobProgress {
                bytes_total: progress.bytes_total,
                bytes_taken_over: progress.bytes_taken_over,
                bytes_compared: progress.bytes_compared,
                rows: progress.rows_done,
                items: progress.items_total.map(|total| (progress.items_done, total)),
                bytes_per_second: pace.bytes_per_second,
                phase_seconds_left: pace.phase_left.map(whole_seconds),
            },
        })
    }
}

/// Begun ones count.
fn whole_seconds(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}

#[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
fn percent(progress: &Progress) -> Option<f64> {
    let total = progress.bytes_total.filter(|total| *total > 0)?;
    Some((progress.bytes_done as f64 * 100.0 / total as f64).min(RUNNING_PERCENT_MAX))
}
