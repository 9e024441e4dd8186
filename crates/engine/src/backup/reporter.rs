//! Progress of one backup.
//!
//! How much text there will be is not known before it is read; sizes on disk are. What came of the ranges that are done tells how
//! much may come of those that are not, so that the whole is better known the nearer its end is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::monitor::{Counters, Monitor, Phase};

/// Shared by everything that works for one backup.
#[derive(Clone)]
pub(super) struct Reporter {
    monitor: Arc<dyn Monitor>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    counters: Counters,
    /// Bytes on disk of large objects.
    large_objects: AtomicU64,
    tables: Mutex<Estimate>,
}

/// Text of all tables, by their sizes on disk.
#[derive(Debug, Clone, Copy, Default)]
struct Estimate {
    disk_bytes: u64,
    /// Of ranges that are done.
    disk_done: u64,
    /// Their text.
    text_done: u64,
}

/// A share of what is on disk that is taken to come as as much text, so that the first ranges do not decide alone. A small one: pages
/// may be nearly empty, or hold ten times as much text as they have bytes.
const PRIOR: u64 = 500;

impl Estimate {
    fn text_bytes(self) -> u64 {
        let prior = u128::from(self.disk_bytes / PRIOR);
        let (done, text) = (u128::from(self.disk_done), u128::from(self.text_done));
        let left = u128::from(self.disk_bytes.saturating_sub(self.disk_done));
        let to_come = (left * (text + prior)).checked_div(done + prior).unwrap_or(left);
        self.text_done.saturating_add(u64::try_from(to_come).unwrap_or(u64::MAX))
    }
}

impl Reporter {
    pub(super) fn new(monitor: Arc<dyn Monitor>) -> Self {
        Self { monitor, shared: Arc::default() }
    }

    fn tables(&self) -> std::sync::MutexGuard<'_, Estimate> {
        self.shared.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much there is on disk: of all tables that are read, and of large objects.
    pub(super) fn expect(&self, table_bytes: u64, tables: u64, large_object_bytes: u64) {
        let estimate = Estimate { disk_bytes: table_bytes, ..Estimate::default() };
        *self.tables() = estimate;
        self.shared.large_objects.store(large_object_bytes, Ordering::Relaxed);
        self.tell_whole(estimate, tables);
    }

    fn tell_whole(&self, estimate: Estimate, tables: u64) {
        let large_objects = self.shared.large_objects.load(Ordering::Relaxed);
        self.shared.counters.expect(estimate.text_bytes().saturating_add(large_objects), tables);
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.shared.counters.add_bytes(bytes);
    }

    /// A range is done whose text was counted as it came.
    pub(super) fn range_read(&self, range: DoneRange) {
        self.range_done(range);
    }

    /// A range is done that was taken over unread.
    pub(super) fn range_taken_over(&self, range: DoneRange) {
        self.shared.counters.add_taken_over(range.text_bytes);
        self.range_done(range);
    }

    fn range_done(&self, range: DoneRange) {
        let DoneRange { disk_bytes, text_bytes, rows, ends_table } = range;
        let counters = &self.shared.counters;
        counters.add_rows(rows);
        counters.add_items(u64::from(ends_table));
        let estimate = {
            let mut tables = self.tables();
            tables.disk_done = tables.disk_done.saturating_add(disk_bytes);
            tables.text_done = tables.text_done.saturating_add(text_bytes);
            *tables
        };
        self.tell_whole(estimate, counters.items_total.load(Ordering::Relaxed));
    }

    /// What was read does not count: it is read again.
    pub(super) fn begin_anew(&self) {
        self.shared.counters.reset();
    }

    pub(super) fn report(&self, phase: Phase, current: Option<String>) {
        let mut progress = self.shared.counters.progress(phase);
        // Nobody knows better than who is behind it.
        let is_over = matches!(phase, Phase::Lists | Phase::Flush | Phase::Seal | Phase::Done);
        progress.bytes_total = progress.bytes_total.map(|total| match is_over {
            true => progress.bytes_done,
            false => total.max(progress.bytes_done),
        });
        progress.current = current;
        self.monitor.report(&progress);
    }
}

/// A range that is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct DoneRange {
    /// Its part of the table on disk.
    pub(super) disk_bytes: u64,
    pub(super) text_bytes: u64,
    pub(super) rows: u64,
    /// It is the last one of its table.
    pub(super) ends_table: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_is_better_known_the_nearer_its_end_is() {
        let text_bytes =
            |disk_done, text_done| Estimate { disk_bytes: 5000, disk_done, text_done }.text_bytes();
        // As much as there is on disk, as long as nothing else is known.
        assert_eq!(text_bytes(0, 0), 5000);
        // Half as much comes: the first range says something, half of them nearly all.
        assert_eq!(text_bytes(10, 5), 5 + 4990 * 15 / 20);
        assert_eq!(text_bytes(2500, 1250), 1250 + 2500 * 1260 / 2510);
        assert_eq!(text_bytes(5000, 2500), 2500);
        // Empty tables, and such as grew.
        assert_eq!(Estimate::default().text_bytes(), 0);
        assert_eq!(text_bytes(6000, 900), 900);
    }
}
