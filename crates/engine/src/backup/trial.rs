//! Whether something that may be in vain pays for one table: by what became of it in this backup, and in the one before.
//!
//! The first tries are made in any case, unless those of the backup before were mostly in vain. Where they do not pay, one in
//! [`PROBE_EVERY`] is made all the same, lest a change of habits stay unseen.

use std::sync::atomic::{AtomicU64, Ordering};

/// Tries of a table before it is judged whether they pay.
pub(super) const FIRST: u64 = 8;
/// Where they do not, so many pass for one that is made.
const PROBE_EVERY: u64 = 16;

/// What became of the tries of one table.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// In the previous backup most were in vain.
    is_doubtful: bool,
    tried: AtomicU64,
    in_vain: AtomicU64,
}

impl Trial {
    /// After a backup with so many tries, of which so many were in vain.
    pub(super) fn after(tried: u64, in_vain: u64) -> Self {
        Self { is_doubtful: mostly_in_vain(tried, in_vain), ..Self::default() }
    }

    /// Whether to make the try of this number.
    pub(super) fn pays(&self, number: u64) -> bool {
        let (tried, in_vain) = (self.tried(), self.in_vain.load(Ordering::Relaxed));
        let is_first = !self.is_doubtful && tried < FIRST;
        let has_paid = tried > 0 && !mostly_in_vain(tried, in_vain);
        is_first || has_paid || number.is_multiple_of(PROBE_EVERY)
    }

    /// One is made. It counts as a success until it was in vain.
    pub(super) fn begin(&self) {
        self.tried.fetch_add(1, Ordering::Relaxed);
    }

    /// What became of one.
    pub(super) fn end(&self, is_success: bool) {
        self.in_vain.fetch_add(u64::from(!is_success), Ordering::Relaxed);
    }

    pub(super) fn tried(&self) -> u64 {
        self.tried.load(Ordering::Relaxed)
    }

    pub(super) fn succeeded(&self) -> u64 {
        self.tried().saturating_sub(self.in_vain.load(Ordering::Relaxed))
    }
}

/// Fewer than one in four succeeded: to look at a range costs about a third of reading it.
fn mostly_in_vain(tried: u64, in_vain: u64) -> bool {
    in_vain * 4 > tried * 3
}
