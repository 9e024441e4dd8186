//! Progress on standard error: a bar at a terminal, a line per phase elsewhere.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use coffer_engine::{Monitor, Phase, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::printer;

/// How often the bar turns when nothing is reported.
const TICK: Duration = Duration::from_millis(120);

/// Shows what the engine reports.
pub(crate) struct TerminalProgress {
    bar: ProgressBar,
    phase: Mutex<Option<Phase>>,
}

impl TerminalProgress {
    /// A bar that is drawn only where someone can see it.
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        Self { bar, phase: Mutex::new(None) }
    }

    /// Takes the bar away, so that the result stands alone.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// True once per phase.
    fn entered(&self, phase: Phase) -> bool {
        let mut current = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        current.replace(phase) != Some(phase)
    }
}

impl Monitor for TerminalProgress {
    fn report(&self, progress: &Progress) {
        if self.bar.is_hidden() {
            if self.entered(progress.phase) {
                printer::note(progress.phase.name());
            }
            return;
        }
        self.bar.set_message(describe(progress));
    }
}

fn describe(progress: &Progress) -> String {
    let mut words = vec![progress.phase.name().to_owned()];
    if progress.bytes_done > 0 {
        words.push(match progress.bytes_total {
            Some(total) => format!(
                "{} of about {}",
                printer::bytes(progress.bytes_done),
                printer::bytes(total)
            ),
            None => printer::bytes(progress.bytes_done),
        });
    }
    if let Some(total) = progress.items_total {
        words.push(format!("{}/{total}", progress.items_done));
    }
    words.extend(progress.current.clone());
    words.join("  ")
}
