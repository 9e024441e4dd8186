//! An issuer's keys as they are known, and when they are read anew: when they are old, and when a token names one that is
//! not among them (the issuer has changed its keys).
//!
//! Anybody can make up tokens with unknown keys. So there are few readings in a while, none for some time after one that
//! failed, and few requests that wait for one: all others are answered at once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::fetch::Fetcher;
use super::invalid;
use super::jwk::{Keys, VerifyingKey};
use crate::clock::{Clock, SECOND_US};
use crate::error::Error;

/// After so long, keys are read anew, so that one that the issuer has withdrawn is not used any longer than this.
const FRESH_US: i64 = 3600 * SECOND_US;
/// For so long, keys are used although they cannot be read anew.
const USABLE_US: i64 = 24 * 3600 * SECOND_US;
/// Readings within [`WINDOW_US`].
const READINGS_MAX: usize = 4;
const WINDOW_US: i64 = 60 * SECOND_US;
/// No reading for so long after one that failed.
const PAUSE_AFTER_FAILURE_US: i64 = 10 * SECOND_US;
/// Requests that wait for a reading, the one that reads included.
const WAITING_MAX: usize = 8;
/// What the others are told to wait.
const RETRY_AFTER_SECONDS: u32 = 5;

#[derive(Debug)]
pub(super) struct KeyCache {
    fetcher: Fetcher,
    clock: Clock,
    state: Mutex<State>,
    waiting: Semaphore,
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    keys: Keys,
    /// Microseconds since 1970, as all here.
    read_at: Option<i64>,
    readings: VecDeque<i64>,
    failed_at: Option<i64>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

/// What is known about a key without reading.
enum Known {
    Key(Arc<VerifyingKey>),
    /// To be read first; the key if it must do without.
    Read(Option<Arc<VerifyingKey>>),
    /// The issuer has no such key, as far as was read lately.
    Absent,
    /// The issuer's keys were never read, or too long ago.
    Unreadable,
}

impl KeyCache {
    pub(super) fn new(fetcher: Fetcher, clock: Clock) -> Self {
        Self {
            fetcher,
            clock,
            state: Mutex::default(),
            waiting: Semaphore::new(WAITING_MAX),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// The key of that id.
    pub(super) async fn get(&self, id: &str) -> Result<Arc<VerifyingKey>, Error> {
        let fallback = match self.state().known(id, self.clock.now_us()) {
            Known::Key(key) => return Ok(key),
            Known::Absent => return Err(absent()),
            Known::Unreadable => return Err(self.unreadable()),
            Known::Read(fallback) => fallback,
        };
        let Ok(_place) = self.waiting.try_acquire() else {
            return fallback.ok_or_else(|| self.unreadable());
        };
        let _turn = self.reading.lock().await;
        // Whoever had the turn before has read them, most likely.
        match self.state().known(id, self.clock.now_us()) {
            Known::Key(key) => return Ok(key),
            Known::Absent => return Err(absent()),
            Known::Unreadable => return Err(self.unreadable()),
            Known::Read(_) => {}
        }
        self.read().await;
        let state = self.state();
        let is_usable = state.is_usable(self.clock.now_us());
        match state.keys.get(id) {
            Some(key) if is_usable => Ok(Arc::clone(key)),
            _ if is_usable => Err(absent()),
            _ => Err(self.unreadable()),
        }
    }

    async fn read(&self) {
        self.state().readings.push_back(self.clock.now_us());
        let outcome = self.fetcher.fetch().await;
        let label = if outcome.is_ok() { "success" } else { "failure" };
        metrics::counter!("coffer_issuer_readings_total", "issuer" => self.fetcher.issuer().to_owned(), "outcome" => label)
            .increment(1);
        let mut state = self.state();
        match outcome {
            Ok(keys) => {
                state.keys = keys;
                state.read_at = Some(self.clock.now_us());
                state.failed_at = None;
            }
            Err(reason) => {
                state.failed_at = Some(self.clock.now_us());
                tracing::warn!(
                    issuer = self.fetcher.issuer(),
                    reason,
                    "the keys of an issuer cannot be read"
                );
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unreadable(&self) -> Error {
        Error::unavailable(
            format!(
                "The keys of the issuer {} cannot be read at the moment.",
                self.fetcher.issuer()
            ),
            RETRY_AFTER_SECONDS,
        )
    }
}

impl State {
    fn known(&mut self, id: &str, now_us: i64) -> Known {
        let key = self.keys.get(id).cloned();
        if self.read_at.is_some_and(|at| is_within(FRESH_US, at, now_us))
            && let Some(key) = key
        {
            return Known::Key(key);
        }
        let usable = key.filter(|_| self.is_usable(now_us));
        if self.may_read(now_us) {
            return Known::Read(usable);
        }
        match usable {
            Some(key) => Known::Key(key),
            None if self.is_usable(now_us) => Known::Absent,
            None => Known::Unreadable,
        }
    }

    fn is_usable(&self, now_us: i64) -> bool {
        self.read_at.is_some_and(|at| is_within(USABLE_US, at, now_us))
    }

    fn may_read(&mut self, now_us: i64) -> bool {
        while self.readings.front().is_some_and(|at| !is_within(WINDOW_US, *at, now_us)) {
            self.readings.pop_front();
        }
        self.readings.len() < READINGS_MAX
            && self.failed_at.is_none_or(|at| !is_within(PAUSE_AFTER_FAILURE_US, at, now_us))
    }
}

/// Whether less than so long has passed. What lies in the future was before the clock was set back, and is long ago.
fn is_within(period_us: i64, at_us: i64, now_us: i64) -> bool {
    (0..period_us).contains(&now_us.saturating_sub(at_us))
}

fn absent() -> Error {
    invalid("its key is not one of its issuer's")
}
