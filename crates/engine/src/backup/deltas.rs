//! Whether it pays to store a table's text as what differs from earlier text: by what became of it in this backup and in the one before.
//!
//! A try costs the reading of an earlier chunk. Where rows are written all over a table it saves nearly all of what would be stored; where
//! whole regions are, or columns of every row, it saves nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::manifest::Reading;

/// Tries of a table before it is judged whether they pay.
const TRIAL: u64 = 8;
/// Where they do not, one chunk of so many is tried, lest a change of habits stay unseen.
const PROBE_EVERY: u64 = 16;
/// They pay if at least one of so many succeeds.
const ONE_OF: u64 = 4;

/// What became of the tries of one table.
#[derive(Debug, Default)]
pub(super) struct Deltas {
    is_allowed: bool,
    /// In the previous backup they did not pay.
    is_doubtful: bool,
    asked: AtomicU64,
    tried: AtomicU64,
    made: AtomicU64,
}

impl Deltas {
    /// Of a table that was read that way the time before.
    pub(super) fn of(is_allowed: bool, earlier: Option<&Reading>) -> Self {
        let is_doubtful = earlier.is_some_and(|reading| {
            reading.delta_tried > 0 && reading.deltas * ONE_OF < reading.delta_tried
        });
        Self { is_allowed, is_doubtful, ..Self::default() }
    }

    /// Whether to try the next chunk.
    pub(super) fn pays(&self) -> bool {
        if !self.is_allowed {
            return false;
        }
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let (tried, made) = (self.tried(), self.made());
        let is_on_trial = !self.is_doubtful && tried < TRIAL;
        is_on_trial || made > 0 && made * ONE_OF >= tried || asked.is_multiple_of(PROBE_EVERY)
    }

    /// What became of a try.
    pub(super) fn tell(&self, is_made: bool) {
        self.tried.fetch_add(1, Ordering::Relaxed);
        self.made.fetch_add(u64::from(is_made), Ordering::Relaxed);
    }

    /// Chunks that were compared with an earlier one.
    pub(super) fn tried(&self) -> u64 {
        self.tried.load(Ordering::Relaxed)
    }

    /// Those that were stored as a difference.
    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(tries(&Deltas::of(true, None), 160, false), TRIAL + 9);
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
