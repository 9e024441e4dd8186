//! How many refusals and failures are written.
//!
//! Each principal has an allowance of its own, and all who could not be told who they are share one: [`BURST`] rows at
//! once, and one more every [`REFILL_US`]. What is beyond it is counted, and the next row that is written says how many were
//! left out. A row takes less than 8 KiB, mostly half of one, so that a caller who is refused without pause adds less than 12 MiB a day, and nobody who
//! has no good token can keep the refusals of a principal out of the log.

use std::collections::HashMap;

use crate::clock::SECOND_US;

/// Rows that one caller may cause at once.
pub const BURST: u32 = 60;
/// The time in which one more is allowed.
pub const REFILL_US: i64 = 60 * SECOND_US;
/// Principals whose allowance is remembered; one that has its whole allowance is forgotten first.
const PRINCIPALS_MAX: usize = 10_000;

/// The allowances, in memory only: a restart fills them all.
#[derive(Debug, Default)]
pub struct Limiter {
    unknown: Allowance,
    principals: HashMap<String, Allowance>,
    /// When principals were forgotten last.
    swept_us: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Allowance {
    used: u32,
    /// When `used` was right.
    at_us: i64,
    unwritten: u64,
}

impl Limiter {
    /// Whether a row may be written, and then how many were left out before it.
    pub fn admit(&mut self, principal_id: Option<&str>, now_us: i64) -> Option<u64> {
        let Some(id) = principal_id else { return self.unknown.admit(now_us) };
        if !self.principals.contains_key(id) && self.principals.len() >= PRINCIPALS_MAX {
            // Within the time of one refill there is nothing new to forget.
            if self.swept_us.is_none_or(|at_us| now_us.saturating_sub(at_us) >= REFILL_US) {
                self.principals.retain(|_, allowance| !allowance.is_whole(now_us));
                self.swept_us = Some(now_us);
            }
            if self.principals.len() >= PRINCIPALS_MAX {
                return self.unknown.admit(now_us);
            }
        }
        self.principals.entry(id.to_owned()).or_default().admit(now_us)
    }
}

impl Allowance {
    fn admit(&mut self, now_us: i64) -> Option<u64> {
        self.refill(now_us);
        if self.used >= BURST {
            self.unwritten = self.unwritten.saturating_add(1);
            return None;
        }
        self.used += 1;
        Some(std::mem::take(&mut self.unwritten))
    }

    fn is_whole(&mut self, now_us: i64) -> bool {
        self.refill(now_us);
        self.used == 0 && self.unwritten == 0
    }

    fn refill(&mut self, now_us: i64) {
        if self.used == 0 {
            self.at_us = now_us;
            return;
        }
        let more = now_us.saturating_sub(self.at_us).max(0) / REFILL_US;
        self.used = self.used.saturating_sub(u32::try_from(more).unwrap_or(u32::MAX));
        self.at_us = self.at_us.saturating_add(more.saturating_mul(REFILL_US));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_off_and_counted_and_hides_nobody_else() {
        let mut limiter = Limiter::default();
        let written = (0..100_000).filter(|_| limiter.admit(None, 0).is_some()).count();
        assert_eq!(written, BURST as usize);
        assert_eq!(limiter.admit(Some("a"), 0), Some(0));
        let left_out = 100_000 - u64::from(BURST);
        assert_eq!(limiter.admit(None, REFILL_US), Some(left_out));
        assert_eq!(limiter.admit(None, REFILL_US), None);
        assert_eq!(limiter.admit(None, 3 * REFILL_US), Some(1));
        // A day without pause.
        let mut limiter = Limiter::default();
        let day = (0..86_400).filter(|s| limiter.admit(Some("a"), s * SECOND_US).is_some());
        assert!(day.count() <= 60 + 1440);
    }

    #[test]
    fn many_principals_take_bounded_memory() {
        let mut limiter = Limiter::default();
        for number in 0..PRINCIPALS_MAX * 2 {
            limiter.admit(Some(&number.to_string()), 0);
        }
        assert_eq!(limiter.principals.len(), PRINCIPALS_MAX);
        // Those whose allowance is whole again make room.
        assert_eq!(limiter.admit(Some("late"), REFILL_US), Some(0));
        assert!(limiter.principals.len() < 10);
    }
}
