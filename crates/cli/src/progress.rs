//! Progress on standard error: a bar at a terminal; elsewhere a line for each phase, and one every [`LINE_INTERVAL`].

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use coffer_engine::{Monitor, Pace, PaceMeter, Phase, Progress};
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::printer;

/// How often the bar turns, and says anew how fast it goes, when nothing is reported.
const TICK: Duration = Duration::from_millis(250);
/// Time between two lines where nobody sees a bar.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Shows what the engine reports.
pub(crate) struct TerminalProgress {
    bar: ProgressBar,
    shown: Arc<Mutex<Shown>>,
}

/// What was reported last.
struct Shown {
    started: Instant,
    latest: Option<Progress>,
    meter: PaceMeter,
    /// Of the line that was written last.
    line: Option<(Phase, Instant)>,
}

impl Shown {
    /// As of now: what stands still gets slower.
    fn describe(&mut self) -> String {
        let Some(progress) = &self.latest else { return "connect".to_owned() };
        let pace = self.meter.observe(self.started.elapsed(), progress);
        describe(progress, pace)
    }

    /// A line is due once for each phase, and now and then while one lasts.
    fn line(&mut self, now: Instant) -> Option<String> {
        let phase = self.latest.as_ref()?.phase;
        let is_due = match self.line {
            Some((before, at)) => before != phase || now.duration_since(at) >= LINE_INTERVAL,
            None => true,
        };
        let begins = self.line.is_none_or(|(before, _)| before != phase);
        // Watched in any case: the rate is that of the time before the line.
        let described = self.describe();
        if !is_due {
            return None;
        }
        self.line = Some((phase, now));
        Some(if begins { phase.name().to_owned() } else { described })
    }
}

impl TerminalProgress {
    /// A bar that is drawn only where someone can see it.
    pub(crate) fn new() -> Self {
        let shown = Arc::new(Mutex::new(Shown {
            started: Instant::now(),
            latest: None,
            meter: PaceMeter::default(),
            line: None,
        }));
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        let drawn = Arc::clone(&shown);
        let describe = move |_: &ProgressState, to: &mut dyn std::fmt::Write| {
            let text = drawn.lock().unwrap_or_else(PoisonError::into_inner).describe();
            // The bar draws into memory.
            let _written = to.write_str(&text);
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {progress} {elapsed}") {
            bar.set_style(style.with_key("progress", describe));
        }
        bar.enable_steady_tick(TICK);
        Self { bar, shown }
    }

    /// Takes the bar away, so that the result stands alone.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Monitor for TerminalProgress {
    fn report(&self, progress: &Progress) {
        let line = {
            let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.latest = Some(progress.clone());
            if self.bar.is_hidden() { shown.line(Instant::now()) } else { None }
        };
        if let Some(line) = line {
            printer::note(&line);
        }
    }
}

fn describe(progress: &Progress, pace: Pace) -> String {
    let mut words = vec![progress.phase.name().to_owned()];
    let done = progress.phase_bytes();
    if done > 0 {
        words.push(match progress.bytes_total {
            Some(total) => {
                format!("{} of about {}", printer::bytes(done), printer::bytes(total.max(done)))
            }
            None => printer::bytes(done),
        });
    }
    if progress.rows_done > 0 {
        words.push(format!("{} rows", progress.rows_done));
    }
    if let Some(rate) = pace.bytes_per_second {
        words.push(format!("{}/s", printer::bytes(rate)));
    }
    if let Some(total) = progress.items_total {
        words.push(format!("{}/{total}", progress.items_done));
    }
    if let Some(left) = pace.phase_left {
        words.push(format!("{} left", HumanDuration(left)));
    }
    words.extend(progress.current.clone());
    words.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(bytes_done: u64) -> Progress {
        Progress {
            bytes_done,
            bytes_total: Some(10_000_000),
            rows_done: 7,
            items_done: 1,
            items_total: Some(9),
            current: Some("public.orders".to_owned()),
            ..Progress::new(Phase::Load)
        }
    }

    #[test]
    fn bytes_rows_rate_and_time_left_are_told() {
        let pace =
            Pace { bytes_per_second: Some(2_000_000), phase_left: Some(Duration::from_secs(4)) };
        assert_eq!(
            describe(&load(2_000_000), pace),
            "load  2.0 MB of about 10.0 MB  7 rows  2.0 MB/s  1/9  4 seconds left  public.orders"
        );
        let proof = Progress { bytes_compared: 5, ..Progress::new(Phase::Proof) };
        assert_eq!(describe(&proof, Pace::default()), "proof  5 B");
    }

    #[test]
    fn lines_are_few() {
        let now = Instant::now();
        let mut shown =
            Shown { started: now, latest: None, meter: PaceMeter::default(), line: None };
        assert_eq!(shown.line(now), None);
        shown.latest = Some(load(0));
        assert_eq!(shown.line(now).as_deref(), Some("load"));
        assert_eq!(shown.line(now + LINE_INTERVAL / 2), None);
        let later = shown.line(now + LINE_INTERVAL).unwrap();
        assert!(later.starts_with("load  7 rows"), "{later}");
        shown.latest = Some(Progress::new(Phase::Proof));
        assert_eq!(shown.line(now + LINE_INTERVAL).as_deref(), Some("proof"));
    }
}
