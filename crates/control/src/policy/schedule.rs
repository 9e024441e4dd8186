//! When backups are due: the times of a policy's `repeatingTimeIntervals`.
//!
//! The n-th time of an entry is its start plus n times its period, never the time before plus one period, so that neither a
//! leap day nor a change of the clock shifts what follows. Days, weeks, months and years are counted on the wall clock of the
//! schedule's zone; hours and less are real time. A time that the wall clock skips (the gap of daylight saving) is moved behind
//! the gap; one that it shows twice is the first of both. Entries that fall on the same instant are one run.

use coffer_azure::{BackupPolicy, ScheduleBasedTriggerContext};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::interval::{
    IntervalStart, RepeatingInterval, parse_repeating_interval, resolve_time_zone,
};
use super::rules;

/// Most times of a schedule that [`Schedule::missed`] counts; beyond it the number is "at least".
pub const MISSED_MAX: u32 = 1000;

/// All times at which a policy's backups are due.
#[derive(Debug, Clone)]
pub struct Schedule {
    zone: TimeZone,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    start: Start,
    zone: TimeZone,
    /// Years, months, weeks and days of the period.
    calendar: Span,
    /// Hours and less of it.
    clock: Span,
}

#[derive(Debug, Clone, Copy)]
enum Start {
    /// For periods that have days or more. Kept as it was written: one that falls into a gap moves this one time, and no other.
    WallClock(DateTime),
    /// For periods of hours and less.
    Instant(Timestamp),
}

/// What of a schedule has become due since it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The newest of the times that have passed, in microseconds since 1970.
    pub newest_us: i64,
    /// How many before it have passed as well; at most [`MISSED_MAX`].
    pub earlier: u32,
}

impl Schedule {
    /// Reads the schedule of a policy.
    ///
    /// # Errors
    /// A sentence for the author of the policy; never for one that passed [`rules::check`].
    pub fn of(policy: &BackupPolicy) -> Result<Schedule, String> {
        Self::of_trigger(rules::check(policy)?.trigger)
    }

    /// Reads the schedule of a trigger.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn of_trigger(trigger: &ScheduleBasedTriggerContext) -> Result<Schedule, String> {
        let name = trigger.schedule.time_zone.as_deref().filter(|name| !name.is_empty());
        let zone = match name {
            None => TimeZone::UTC,
            Some(name) => resolve_time_zone(name)
                .ok_or_else(|| format!("the time zone '{name}' is not known"))?,
        };
        let entries = trigger.schedule.repeating_time_intervals.iter().map(|text| {
            let interval = parse_repeating_interval(text)?;
            Entry::new(interval, &zone)
                .ok_or_else(|| format!("the start of '{text}' is beyond the calendar"))
        });
        Ok(Schedule { entries: entries.collect::<Result<_, String>>()?, zone })
    }

    /// The zone that the schedule counts in.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first time after this one; none when the calendar ends before. All in microseconds since 1970.
    #[must_use]
    pub fn next_after(&self, after_us: i64) -> Option<i64> {
        self.entries.iter().filter_map(|entry| entry.next_after(after_us)).min()
    }

    /// The last time that is not after this one; none before the first.
    #[must_use]
    pub fn last_until(&self, until_us: i64) -> Option<i64> {
        self.entries.iter().filter_map(|entry| entry.last_until(until_us)).max()
    }

    /// What became due after `after_us`, until and with `now_us`.
    #[must_use]
    pub fn due(&self, after_us: i64, now_us: i64) -> Option<Due> {
        let newest_us = self.last_until(now_us).filter(|newest| *newest > after_us)?;
        Some(Due { newest_us, earlier: self.missed(after_us, newest_us) })
    }

    /// All times after this one, in order.
    pub fn upcoming(&self, after_us: i64) -> impl Iterator<Item = i64> + '_ {
        std::iter::successors(self.next_after(after_us), |at| self.next_after(*at))
    }

    /// How many times lie between these, both excluded; at most [`MISSED_MAX`].
    #[must_use]
    pub fn missed(&self, after_us: i64, before_us: i64) -> u32 {
        let between = self.upcoming(after_us).take_while(|at| *at < before_us);
        u32::try_from(between.take(MISSED_MAX as usize).count()).unwrap_or(MISSED_MAX)
    }
}

impl Entry {
    fn new(interval: RepeatingInterval, zone: &TimeZone) -> Option<Self> {
        let RepeatingInterval { start, period } = interval;
        let calendar = Span::new()
            .years(period.get_years())
            .months(period.get_months())
            .weeks(period.get_weeks())
            .days(period.get_days());
        let clock = Span::new()
            .hours(period.get_hours())
            .minutes(period.get_minutes())
            .seconds(period.get_seconds())
            .milliseconds(period.get_milliseconds())
            .microseconds(period.get_microseconds())
            .nanoseconds(period.get_nanoseconds());
        let start = match (start, calendar.is_zero()) {
            (IntervalStart::Instant(instant), true) => Start::Instant(instant),
            (IntervalStart::Instant(instant), false) => {
                Start::WallClock(instant.to_zoned(zone.clone()).datetime())
            }
            (IntervalStart::Civil(civil), true) => {
                Start::Instant(civil.to_zoned(zone.clone()).ok()?.timestamp())
            }
            (IntervalStart::Civil(civil), false) => Start::WallClock(civil),
        };
        Some(Self { start, zone: zone.clone(), calendar, clock })
    }

    /// The n-th time, from 0; none beyond the calendar.
    fn at(&self, n: i64) -> Option<i64> {
        let day = match self.start {
            Start::Instant(instant) => instant,
            Start::WallClock(civil) => {
                let civil = civil.checked_add(self.calendar.checked_mul(n).ok()?).ok()?;
                civil.to_zoned(self.zone.clone()).ok()?.timestamp()
            }
        };
        let at = day.checked_add(self.clock.checked_mul(n).ok()?).ok()?;
        Some(at.as_microsecond())
    }

    /// How many of the times are not after this one. Times never go backwards with n, so that halving finds it.
    fn count_until(&self, until_us: i64) -> i64 {
        let is_after = |n: i64| self.at(n).is_none_or(|at| at > until_us);
        if is_after(0) {
            return 0;
        }
        let mut beyond = 1_i64;
        while !is_after(beyond) {
            beyond = beyond.saturating_mul(2);
        }
        let mut within = beyond / 2;
        while beyond - within > 1 {
            let middle = within + (beyond - within) / 2;
            if is_after(middle) { beyond = middle } else { within = middle }
        }
        beyond
    }

    fn next_after(&self, after_us: i64) -> Option<i64> {
        self.at(self.count_until(after_us))
    }

    fn last_until(&self, until_us: i64) -> Option<i64> {
        self.at(self.count_until(until_us).checked_sub(1).filter(|n| *n >= 0)?)
    }
}

/// A time as people and logs read it.
#[must_use]
pub fn shown(us: i64) -> String {
    Timestamp::from_microsecond(us).map_or_else(|_| us.to_string(), |at| at.to_string())
}

/// Reads a time with an offset, into microseconds since 1970.
///
/// # Errors
/// A sentence for whoever wrote it.
pub fn read_time(text: &str) -> Result<i64, String> {
    let at = text.parse::<Timestamp>();
    at.map(Timestamp::as_microsecond)
        .map_err(|_| format!("'{text}' is no time with an offset, such as 2027-01-01T00:00:00Z"))
}

#[cfg(test)]
mod tests;
