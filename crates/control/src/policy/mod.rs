//! What a backup policy means: when backups are due, which retention a recovery point gets, and what may go.
//!
//! Pure: no clock, no database, no network. Times come in as microseconds since 1970 and go out as such, so that years of
//! schedule run through a test in a second. What passes [`rules::check`] can be computed with by everything else in here.

pub mod blackout;
pub mod calendar;
#[cfg(test)]
mod cases;
pub mod interval;
pub mod retention;
pub mod rules;
pub mod schedule;
pub mod tagging;
