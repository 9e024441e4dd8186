//! Progress of a whole server: that of the databases before, and of the one that is being read.

use std::sync::{Arc, Mutex, PoisonError};

use crate::monitor::{Monitor, Progress};

/// Adds up what the databases report one after the other.
pub(super) struct Tally {
    inner: Arc<dyn Monitor>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    database: String,
    before: Sums,
    current: Sums,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    bytes: u64,
    rows: u64,
    items: u64,
}

impl Tally {
    pub(super) fn new(inner: Arc<dyn Monitor>) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// The next database; what the one before did is added up.
    pub(super) fn begin(&self, database: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Sums { bytes, rows, items } = std::mem::take(&mut state.current);
        state.before.bytes += bytes;
        state.before.rows += rows;
        state.before.items += items;
        database.clone_into(&mut state.database);
    }

    /// What was read of the database does not count.
    pub(super) fn begin_anew(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).current = Sums::default();
    }
}

impl Monitor for Tally {
    fn report(&self, progress: &Progress) {
        let told = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.current = Sums {
                bytes: progress.bytes_done,
                rows: progress.rows_done,
                items: progress.items_done,
            };
            let State { database, before, .. } = &*state;
            let current = progress.current.as_ref();
            Progress {
                bytes_done: before.bytes + progress.bytes_done,
                // Of the databases to come nothing is known yet.
                bytes_total: None,
                rows_done: before.rows + progress.rows_done,
                items_done: before.items + progress.items_done,
                items_total: None,
                current: Some(match current {
                    Some(current) => format!("{database} {current}"),
                    None => database.clone(),
                }),
                phase: progress.phase,
            }
        };
        self.inner.report(&told);
    }
}
