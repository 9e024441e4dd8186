//! Times and durations as the service writes them. Nothing here reads a clock.
//!
//! The service is a .NET program: it counts in *ticks* of 100 ns, writes times with up to seven
//! fractional digits, and a duration in two ways: as ISO 8601 in a single job, as a `TimeSpan` in
//! lists of jobs. Coffer keeps times as microseconds since 1970, UTC.

/// What the service writes for a time that has not come yet, such as the end of an operation.
pub const MIN_TIME: &str = "0001-01-01T00:00:00Z";

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// Seconds from 0001-01-01 to 1970-01-01.
const EPOCH_SECONDS: i64 = 62_135_596_800;
/// From 0001-01-01 to 9999-12-31T23:59:59.999999, what .NET can express. Times outside are pulled in.
const UNIX_MICROS: std::ops::RangeInclusive<i64> =
    -EPOCH_SECONDS * MICROS_PER_SECOND..=253_402_300_799_999_999;

/// A time with all seven fractional digits: `2024-02-20T12:09:53.2511500Z`.
#[must_use]
pub fn format_time(unix_us: i64) -> String {
    let (seconds, micros) = split(unix_us);
    format!("{}.{micros:06}0Z", civil(seconds))
}

/// A time with its trailing zeros cut, as jobs have it: `2024-02-20T12:09:53.25115Z`.
#[must_use]
pub fn format_time_trimmed(unix_us: i64) -> String {
    let (seconds, micros) = split(unix_us);
    format!("{}{}Z", civil(seconds), trimmed_fraction(micros))
}

/// A time in whole seconds, as the end of an operation has it: `2024-02-20T12:09:53Z`.
#[must_use]
pub fn format_time_seconds(unix_us: i64) -> String {
    format!("{}Z", civil(split(unix_us).0))
}

/// .NET ticks since 0001-01-01, as in `retentionTagVersion`.
#[must_use]
pub fn ticks(unix_us: i64) -> i64 {
    let unix_us = unix_us.clamp(*UNIX_MICROS.start(), *UNIX_MICROS.end());
    (unix_us + EPOCH_SECONDS * MICROS_PER_SECOND) * 10
}

/// A duration as ISO 8601, as .NET writes it: `PT1M34.3913234S`, `P1DT2H`, `PT0S`. Negative
/// durations are written as `PT0S`.
#[must_use]
pub fn format_iso_duration(duration_us: i64) -> String {
    let (seconds, micros) = split_positive(duration_us);
    let (days, hours, minutes, rest) = parts(seconds);
    let mut out = String::from("P");
    if days > 0 {
        out.push_str(&format!("{days}D"));
    }
    if hours > 0 || minutes > 0 || rest > 0 || micros > 0 || days == 0 {
        out.push('T');
        if hours > 0 {
            out.push_str(&format!("{hours}H"));
        }
        if minutes > 0 {
            out.push_str(&format!("{minutes}M"));
        }
        if rest > 0 || micros > 0 || (days == 0 && hours == 0 && minutes == 0) {
            out.push_str(&format!("{rest}{}S", trimmed_fraction(micros)));
        }
    }
    out
}

/// A duration as a .NET `TimeSpan`: `00:03:12.7189050`, `1.02:00:00`. Negative durations are
/// written as `00:00:00`.
#[must_use]
pub fn format_time_span(duration_us: i64) -> String {
    let (seconds, micros) = split_positive(duration_us);
    let (days, hours, minutes, rest) = parts(seconds);
    let days = if days > 0 { format!("{days}.") } else { String::new() };
    let fraction = if micros > 0 { format!(".{micros:06}0") } else { String::new() };
    format!("{days}{hours:02}:{minutes:02}:{rest:02}{fraction}")
}

fn split(unix_us: i64) -> (i64, i64) {
    let unix_us = unix_us.clamp(*UNIX_MICROS.start(), *UNIX_MICROS.end());
    (unix_us.div_euclid(MICROS_PER_SECOND), unix_us.rem_euclid(MICROS_PER_SECOND))
}

fn split_positive(duration_us: i64) -> (i64, i64) {
    let duration_us = duration_us.max(0);
    (duration_us / MICROS_PER_SECOND, duration_us % MICROS_PER_SECOND)
}

/// Days, hours, minutes, seconds.
fn parts(seconds: i64) -> (i64, i64, i64, i64) {
    (seconds / SECONDS_PER_DAY, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

fn trimmed_fraction(micros: i64) -> String {
    if micros == 0 {
        return String::new();
    }
    format!(".{micros:06}").trim_end_matches('0').to_owned()
}

/// `YYYY-MM-DDTHH:MM:SS` of a number of seconds since 1970 (proleptic Gregorian calendar, counted
/// in eras of 400 years that begin on the 1st of March).
fn civil(unix_seconds: i64) -> String {
    let days = unix_seconds.div_euclid(SECONDS_PER_DAY) + 719_468;
    let second = unix_seconds.rem_euclid(SECONDS_PER_DAY);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (_, hour, minute, second) = parts(second);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::{
        MIN_TIME, format_iso_duration, format_time, format_time_seconds, format_time_span,
        format_time_trimmed, ticks,
    };

    #[test]
    fn writes_times() {
        assert_eq!(format_time(0), "1970-01-01T00:00:00.0000000Z");
        assert_eq!(format_time(1_708_430_993_251_150), "2024-02-20T12:09:53.2511500Z");
        assert_eq!(format_time_trimmed(1_708_430_993_251_150), "2024-02-20T12:09:53.25115Z");
        assert_eq!(format_time_trimmed(1_708_430_993_000_000), "2024-02-20T12:09:53Z");
        assert_eq!(format_time_seconds(1_708_430_993_999_999), "2024-02-20T12:09:53Z");
        assert_eq!(format_time(951_782_400_000_000), "2000-02-29T00:00:00.0000000Z");
        assert_eq!(format_time(-1), "1969-12-31T23:59:59.9999990Z");
    }

    #[test]
    fn stays_in_dotnets_range() {
        assert_eq!(format_time_seconds(i64::MIN), MIN_TIME);
        assert_eq!(format_time_seconds(i64::MAX), "9999-12-31T23:59:59Z");
        assert_eq!(ticks(i64::MIN), 0);
    }

    #[test]
    fn counts_ticks() {
        assert_eq!(ticks(0), 621_355_968_000_000_000);
        assert_eq!(ticks(1), 621_355_968_000_000_010);
    }

    #[test]
    fn writes_durations_in_both_ways() {
        for (micros, iso, span) in [
            (0, "PT0S", "00:00:00"),
            (-5, "PT0S", "00:00:00"),
            (94_391_323, "PT1M34.391323S", "00:01:34.3913230"),
            (60_000_000, "PT1M", "00:01:00"),
            (3_600_000_000, "PT1H", "01:00:00"),
            (86_400_000_000, "P1D", "1.00:00:00"),
            (93_600_500_000, "P1DT2H0.5S", "1.02:00:00.5000000"),
        ] {
            assert_eq!(format_iso_duration(micros), iso);
            assert_eq!(format_time_span(micros), span);
        }
    }
}
