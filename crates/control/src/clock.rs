//! The only place that reads the time.
//!
//! Everything else is given a [`Clock`] or a number, so that tests can stand still or jump. Times are whole
//! microseconds since 1970-01-01T00:00:00Z in an `i64` (until the year 294246).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds in a second.
pub const SECOND_US: i64 = 1_000_000;

/// A source of the current time. Cheap to clone; clones share one time.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    // Added to the system's time; zero outside tests.
    offset_us: Arc<AtomicI64>,
}

impl Clock {
    /// The system's own clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// Now, in microseconds since 1970. Times before 1970 count as 0.
    pub fn now_us(&self) -> i64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let now = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX);
        now.saturating_add(self.offset_us.load(Ordering::Relaxed))
    }

    /// Now, in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.now_us() / 1000).unwrap_or(0)
    }

    /// Now, in whole seconds since 1970.
    pub fn now_seconds(&self) -> i64 {
        self.now_us() / SECOND_US
    }

    /// Moves this clock and all its clones forward: for tests of what happens days later.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.offset_us.fetch_add(by, Ordering::Relaxed);
    }
}
