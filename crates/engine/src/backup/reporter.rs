//! Progress of one backup, and the sessions to cancel when it is stopped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::connect::{Canceller, Connection};
use crate::monitor::{Counters, Monitor, Phase};

/// Time given to the server to take a request to cancel.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(3);

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

/// Cancellers of all sessions of a run.
#[derive(Clone, Default)]
pub(super) struct Cancellers(Arc<Mutex<Vec<Canceller>>>);

impl Cancellers {
    pub(super) fn add(&self, connection: &Connection) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(connection.canceller());
    }

    /// All of them have ended.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Asks the server to stop all of them. A session that is gone already is nothing to worry about.
    pub(super) async fn cancel_all(&self) {
        let cancellers =
            std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let all = futures::future::join_all(cancellers.iter().map(Canceller::cancel));
        if tokio::time::timeout(CANCEL_TIMEOUT, all).await.is_err() {
            tracing::debug!("the server did not take all requests to cancel in time");
        }
    }
}
