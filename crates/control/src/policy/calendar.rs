//! Periods of the calendar in a zone: the day, week, month or year that an instant lies in.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _, Zoned};

/// A period that recovery points are the first of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// From midnight.
    Day,
    /// From Sunday's midnight, as the names of days are listed in policies.
    Week,
    /// From the first's midnight.
    Month,
    /// From the first of January's midnight.
    Year,
}

impl Period {
    /// When the period began that this instant lies in, both in microseconds since 1970.
    #[must_use]
    pub fn start_us(self, zone: &TimeZone, at_us: i64) -> i64 {
        let Some(at) = zoned(zone, at_us) else { return i64::MIN };
        let first = self.first_day(at.date());
        // A midnight that the clock skips is the first instant behind the gap.
        first.to_zoned(zone.clone()).map_or(i64::MIN, |start| start.timestamp().as_microsecond())
    }

    fn first_day(self, day: Date) -> Date {
        match self {
            Self::Day => day,
            Self::Week => {
                let back = i64::from(day.weekday().since(Weekday::Sunday));
                day.saturating_sub(back.days())
            }
            Self::Month => day.first_of_month(),
            Self::Year => day.first_of_year(),
        }
    }
}

/// An instant on the wall clock; none beyond the calendar.
#[must_use]
pub fn zoned(zone: &TimeZone, at_us: i64) -> Option<Zoned> {
    Timestamp::from_microsecond(at_us).ok().map(|at| at.to_zoned(zone.clone()))
}

/// When something ends that is kept for so long, counted on the calendar in UTC. A period beyond the calendar is for ever: none.
#[must_use]
pub fn end_of(taken_us: i64, keep_for: Span) -> Option<i64> {
    let end = zoned(&TimeZone::UTC, taken_us)?.checked_add(keep_for).ok()?;
    Some(end.timestamp().as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    #[test]
    fn periods_begin_at_midnight_of_the_zone() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        // A Wednesday, half past midnight in Berlin, where it is still Tuesday in UTC.
        let at = us("2025-12-30T23:30:00Z");
        for (period, start) in [
            (Period::Day, "2025-12-30T23:00:00Z"),
            (Period::Week, "2025-12-27T23:00:00Z"),
            (Period::Month, "2025-11-30T23:00:00Z"),
            (Period::Year, "2024-12-31T23:00:00Z"),
        ] {
            assert_eq!(period.start_us(&berlin, at), us(start), "{period:?}");
        }
        let sunday = us("2025-12-28T12:00:00Z");
        assert_eq!(Period::Week.start_us(&TimeZone::UTC, sunday), us("2025-12-28T00:00:00Z"));
    }

    #[test]
    fn a_day_without_midnight_begins_behind_the_gap() {
        // Cuba's clocks go from 00:00 to 01:00.
        let havana = TimeZone::get("America/Havana").unwrap();
        let at = us("2025-03-09T18:00:00Z");
        assert_eq!(Period::Day.start_us(&havana, at), us("2025-03-09T05:00:00Z"));
    }
}
