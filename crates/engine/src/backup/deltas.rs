//! Whether it pays to store a table's text as what differs from earlier text: by what became of it in this backup and in the one before.
//!
//! A try costs the reading of an earlier chunk. Where rows are written all over a table it saves nearly all of what would be stored; where
//! whole regions are, or columns of every row, it saves nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use super::trial::Trial;
use crate::manifest::Reading;

/// What became of the tries of one table.
#[derive(Debug, Default)]
pub(super) struct Deltas {
    is_allowed: bool,
    asked: AtomicU64,
    trial: Trial,
}

impl Deltas {
    /// Of a table that was read that way the time before.
    pub(super) fn of(is_allowed: bool, earlier: Option<&Reading>) -> Self {
        let trial = earlier.map(|reading| {
            let in_vain = reading.delta_tried.saturating_sub(reading.deltas);
            Trial::after(reading.delta_tried, in_vain)
        });
        Self { is_allowed, asked: AtomicU64::new(0), trial: trial.unwrap_or_default() }
    }

    /// Whether to try the next chunk.
    pub(super) fn pays(&self) -> bool {
        self.is_allowed && self.trial.pays(self.asked.fetch_add(1, Ordering::Relaxed))
    }

    /// What became of a try.
    pub(super) fn tell(&self, is_made: bool) {
        self.trial.begin();
        self.trial.end(is_made);
    }

    /// Chunks that were compared with an earlier one.
    pub(super) fn tried(&self) -> u64 {
        self.trial.tried()
    }

    /// Those that were stored as a difference.
    pub(super) fn made(&self) -> u64 {
        self.trial.succeeded()
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::FIRST;
    use super::*;

    fn tries(deltas: &Deltas, chunks: u64, is_made: bool) -> u64 {
        (0..chunks)
            .filter(|_| {
                let pays = deltas.pays();
                if pays {
                    deltas.tell(is_made);
                }
                pays
            })
            .count() as u64
    }

    #[test]
    fn what_pays_goes_on_and_what_does_not_is_only_probed() {
        assert_eq!(tries(&Deltas::of(true, None), 160, true), 160);
        assert_eq!(tries(&Deltas::of(true, None), 160, false), FIRST + 9);
        assert_eq!(tries(&Deltas::of(false, None), 160, true), 0);
    }

    #[test]
    fn the_backup_before_is_remembered() {
        let doubtful = Reading { delta_tried: 100, deltas: 3, ..Reading::default() };
        assert_eq!(tries(&Deltas::of(true, Some(&doubtful)), 160, false), 10);
        let changed_habits = Deltas::of(true, Some(&doubtful));
        assert_eq!(tries(&changed_habits, 160, true), 160, "the first probe shows it");
        let good = Reading { delta_tried: 100, deltas: 90, ..Reading::default() };
        assert_eq!(tries(&Deltas::of(true, Some(&good)), 160, true), 160);
    }
}
