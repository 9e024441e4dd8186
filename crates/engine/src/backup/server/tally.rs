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
    /// Bytes on disk of the databases after it.
    to_come: Option<u64>,
    before: Sums,
    current: Sums,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    bytes: u64,
    rows: u64,
    items: u64,
    taken_over: u64,
}

impl Tally {
    pub(super) fn new(inner: Arc<dyn Monitor>) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// The next database; what the one before did is added up. After it come others, of so many bytes on disk where that is known.
    pub(super) fn begin(&self, database: &str, to_come: Option<u64>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Sums { bytes, rows, items, taken_over } = std::mem::take(&mut state.current);
        state.before.bytes += bytes;
        state.before.rows += rows;
        state.before.items += items;
        state.before.taken_over += taken_over;
        state.to_come = to_come;
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
                taken_over: progress.bytes_taken_over,
            };
            let State { database, before, to_come, .. } = &*state;
            let current = progress.current.as_ref();
            Progress {
                bytes_done: before.bytes + progress.bytes_done,
                bytes_total: progress
                    .bytes_total
                    .zip(*to_come)
                    .map(|(total, to_come)| before.bytes + total + to_come),
                bytes_taken_over: before.taken_over + progress.bytes_taken_over,
                bytes_compared: 0,
                rows_done: before.rows + progress.rows_done,
                items_done: before.items + progress.items_done,
                // How many tables the databases to come have is not known.
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
