//! The schedule strings of a policy: `R/<date-time>/<period>`, durations and time zone names.
//!
//! Pure: no clock, no I/O. The rule here is that whatever is accepted can be computed with later: a time zone that cannot be
//! resolved, a period that never moves forward or a date-time without a date is refused when the policy is written, not when
//! the first backup is due. Any positive period is accepted; the service that we stand in for takes a week only.

use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};
use windows_timezones::WindowsTimezone;

/// One entry of `repeatingTimeIntervals`.
#[derive(Debug, Clone)]
pub struct RepeatingInterval {
    /// When the series starts.
    pub start: IntervalStart,
    /// The distance between two runs; always positive.
    pub period: Span,
}

/// The start of a series, as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntervalStart {
    /// With an offset or `Z`: one instant, whatever the schedule's time zone is.
    Instant(Timestamp),
    /// Without an offset: wall clock time in the schedule's time zone.
    Civil(DateTime),
}

/// Reads `R/<date-time>/<period>`. The error is a sentence for the author of the policy.
pub fn parse_repeating_interval(text: &str) -> Result<RepeatingInterval, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let [repeat, start, period] = parts.as_slice() else {
        return Err(format!(
            "'{text}' is not a repeating time interval; it has the form R/<date-time>/<period>, for example \
             R/2021-08-15T06:30:00+00:00/P1W"
        ));
    };
    if !repeat.eq_ignore_ascii_case("R") {
        return Err(format!(
            "'{text}' starts with '{repeat}'; a repeating time interval starts with 'R' and has no number of repetitions"
        ));
    }
    let start = parse_start(start).ok_or_else(|| {
        format!(
            "'{start}' in '{text}' is not a date and time; a time without a date is not supported"
        )
    })?;
    let period = parse_positive_duration(period)
        .map_err(|reason| format!("the period of '{text}' is not usable: {reason}"))?;
    Ok(RepeatingInterval { start, period })
}

fn parse_start(text: &str) -> Option<IntervalStart> {
    // A date alone would be read as midnight; the time of day is what a schedule is about, so it has to be written.
    if !text.contains(['T', 't']) {
        return None;
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(IntervalStart::Instant(instant));
    }
    text.parse::<DateTime>().ok().map(IntervalStart::Civil)
}

/// Reads an ISO 8601 duration that is longer than nothing, such as `P1W`, `P3M` or `PT4H`.
pub fn parse_positive_duration(text: &str) -> Result<Span, String> {
    let not_a_duration =
        || format!("'{text}' is not an ISO 8601 duration such as P1W, P3M or PT4H");
    if !text.starts_with(['P', 'p']) {
        return Err(not_a_duration());
    }
    let span: Span = text.parse().map_err(|_| not_a_duration())?;
    if span.is_positive() { Ok(span) } else { Err(format!("'{text}' is not longer than zero")) }
}

/// Resolves a time zone by its Windows name ("India Standard Time") or its IANA name ("Asia/Kolkata").
///
/// The bundled database is asked rather than the machine's, so that every replica gives the same answer.
pub fn resolve_time_zone(name: &str) -> Option<TimeZone> {
    let database = TimeZoneDatabase::bundled();
    if let Ok(windows) = name.parse::<WindowsTimezone>() {
        return database.get(windows.tzdb_id()).ok();
    }
    database.get(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_schedules_are_read() {
        for text in [
            "R/2021-08-15T06:30:00+00:00/P1W",
            "R/2019-11-20T08:00:00-08:00/P1W",
            "R/2023-01-04T09:00:00+00:00/PT4H",
            "R/2022-08-07T21:00:00Z/P1D",
            "R/2022-08-07T21:00:00.0000000+05:30/P1M",
        ] {
            let interval =
                parse_repeating_interval(text).unwrap_or_else(|reason| panic!("{text}: {reason}"));
            assert!(matches!(interval.start, IntervalStart::Instant(_)), "{text}");
        }
        let civil = parse_repeating_interval("R/2022-08-07T21:00:00/P1D").unwrap();
        assert!(matches!(civil.start, IntervalStart::Civil(_)));
    }

    #[test]
    fn what_could_not_be_computed_with_is_refused() {
        for text in [
            "",
            "R",
            "R/PT4H",
            "R//P1W",
            "R/06:30:00/P1W",
            "R/2021-08-15/P1W",
            "R/2021-02-30T06:30:00Z/P1W",
            "R/2021-08-15T06:30:00Z/P0D",
            "R/2021-08-15T06:30:00Z/-P1D",
            "R/2021-08-15T06:30:00Z/P",
            "R/2021-08-15T06:30:00Z/1 week",
            "R5/2021-08-15T06:30:00Z/P1W",
            "2021-08-15T06:30:00Z/P1W",
            "R/2021-08-15T06:30:00Z/P1W/extra",
        ] {
            assert!(parse_repeating_interval(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn zones_are_found_by_both_kinds_of_name() {
        for name in [
            "UTC",
            "utc",
            "India Standard Time",
            "Eastern Standard Time",
            "Asia/Kolkata",
            "Europe/Berlin",
        ] {
            assert!(resolve_time_zone(name).is_some(), "{name}");
        }
        for name in ["", "Nowhere Standard Time", "Mars/Olympus"] {
            assert!(resolve_time_zone(name).is_none(), "{name}");
        }
    }
}
