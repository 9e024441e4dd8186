//! Progress of one backup.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
    bytes_total: AtomicU64,
    items_total: AtomicU64,
}

impl Reporter {
    pub(super) fn new(monitor: Arc<dyn Monitor>) -> Self {
        Self { monitor, shared: Arc::default() }
    }

    pub(super) fn set_totals(&self, bytes: u64, items: u64) {
        self.shared.bytes_total.store(bytes, Ordering::Relaxed);
        self.shared.items_total.store(items, Ordering::Relaxed);
    }

    pub(super) fn add(&self, bytes: u64, rows: u64, items: u64) {
        self.shared.counters.add_bytes(bytes);
        self.shared.counters.add_rows(rows);
        self.shared.counters.add_items(items);
    }

    /// What was read does not count: it is read again.
    pub(super) fn begin_anew(&self) {
        self.shared.counters.reset();
    }

    pub(super) fn report(&self, phase: Phase, current: Option<String>) {
        let mut progress = self.shared.counters.progress(phase);
        let totals = (
            self.shared.bytes_total.load(Ordering::Relaxed),
            self.shared.items_total.load(Ordering::Relaxed),
        );
        if totals != (0, 0) {
            progress.bytes_total = Some(totals.0);
            progress.items_total = Some(totals.1);
        }
        progress.current = current;
        self.monitor.report(&progress);
    }
}
