//! Hours in which the operator wants no scheduled backup to begin.
//!
//! A run that becomes due within such a window begins when it ends; it is late, and not missed.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};

use super::interval::resolve_time_zone;

/// Windows that follow each other are passed one by one; more than these leave no time for a backup.
const WINDOWS_PASSED_MAX: usize = 32;

/// A window of every week.
#[derive(Debug, Clone, PartialEq)]
pub struct Blackout {
    /// The days on which it begins; every day where empty.
    days: Vec<Weekday>,
    from: Time,
    /// At or before `from`: on the next day.
    to: Time,
    zone: TimeZone,
}

impl Blackout {
    /// Reads `Mon-Fri 08:00-18:00 Europe/Berlin`, `Sat,Sun 00:00-12:00` or `22:00-02:00`; without a zone it is UTC.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn parse(text: &str) -> Result<Blackout, String> {
        let wrong = |what: &str| {
            Err(format!(
                "'{text}' is no blackout window: {what}; write for example \"Mon-Fri 08:00-18:00 Europe/Berlin\""
            ))
        };
        let mut words = text.split_whitespace().peekable();
        let days = match words.next_if(|word| word.starts_with(|first: char| first.is_alphabetic()))
        {
            None => Vec::new(),
            Some(word) => match parse_days(word) {
                Some(days) => days,
                None => return wrong(&format!("'{word}' are no days of the week")),
            },
        };
        let Some((from, to)) = words.next().and_then(|word| word.split_once('-')) else {
            return wrong("it has no hours");
        };
        let (Some(from), Some(to)) = (parse_time(from), parse_time(to)) else {
            return wrong("its hours are no times of the day");
        };
        // Windows names of zones have blanks.
        let zone: Vec<&str> = words.collect();
        let zone = match zone.join(" ").as_str() {
            "" => TimeZone::UTC,
            name => match resolve_time_zone(name) {
                Some(zone) => zone,
                None => return wrong(&format!("the time zone '{name}' is not known")),
            },
        };
        Ok(Blackout { days, from, to, zone })
    }

    /// When the window ends that this instant lies in, if it does; microseconds since 1970.
    #[must_use]
    pub fn end_of(&self, at_us: i64) -> Option<i64> {
        let at = Timestamp::from_microsecond(at_us).ok()?.to_zoned(self.zone.clone());
        // One that began yesterday may go on today.
        [at.yesterday().ok(), Some(at)].into_iter().flatten().find_map(|day| {
            let (begin, end) = self.on(&day)?;
            (begin <= at_us && at_us < end).then_some(end)
        })
    }

    fn on(&self, day: &Zoned) -> Option<(i64, i64)> {
        if !self.days.is_empty() && !self.days.contains(&day.weekday()) {
            return None;
        }
        let last_day =
            if self.to <= self.from { day.date().checked_add(1.day()).ok()? } else { day.date() };
        let begin = day.date().to_datetime(self.from).to_zoned(self.zone.clone()).ok()?;
        let end = last_day.to_datetime(self.to).to_zoned(self.zone.clone()).ok()?;
        Some((begin.timestamp().as_microsecond(), end.timestamp().as_microsecond()))
    }
}

/// The first instant from this one on that lies in no window; none where windows leave no time at all.
#[must_use]
pub fn first_free(windows: &[Blackout], at_us: i64) -> Option<i64> {
    let mut at_us = at_us;
    for _ in 0..WINDOWS_PASSED_MAX {
        match windows.iter().filter_map(|window| window.end_of(at_us)).max() {
            None => return Some(at_us),
            Some(end) => at_us = end,
        }
    }
    None
}

fn parse_days(word: &str) -> Option<Vec<Weekday>> {
    let mut days = Vec::new();
    for part in word.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (parse_day(first)?, parse_day(last)?);
        days.extend(first.cycle_forward().take(7).take_while(|day| *day != last));
        days.push(last);
    }
    Some(days)
}

fn parse_day(name: &str) -> Option<Weekday> {
    let days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let name = name.to_ascii_lowercase();
    let place = days
        .iter()
        .position(|day| name.len() >= 2 && day.to_ascii_lowercase().starts_with(&name))?;
    Weekday::from_monday_zero_offset(i8::try_from(place).ok()?).ok()
}

fn parse_time(text: &str) -> Option<Time> {
    match text {
        "24:00" => Some(Time::midnight()),
        _ => Time::strptime("%H:%M", text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::schedule::shown;

    fn us(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    fn free(windows: &[&str], at: &str) -> Option<String> {
        let windows: Vec<_> = windows.iter().map(|text| Blackout::parse(text).unwrap()).collect();
        first_free(&windows, us(at)).map(shown)
    }

    #[test]
    fn a_run_within_waits_for_the_end() {
        let office = ["Mon-Fri 08:00-18:00 Europe/Berlin"];
        // A Wednesday in summer.
        assert_eq!(free(&office, "2025-07-02T05:59:59Z").as_deref(), Some("2025-07-02T05:59:59Z"));
        assert_eq!(free(&office, "2025-07-02T06:00:00Z").as_deref(), Some("2025-07-02T16:00:00Z"));
        assert_eq!(free(&office, "2025-07-05T06:00:00Z").as_deref(), Some("2025-07-05T06:00:00Z"));
        let night = ["22:00-02:00"];
        assert_eq!(free(&night, "2025-07-02T01:00:00Z").as_deref(), Some("2025-07-02T02:00:00Z"));
        assert_eq!(free(&night, "2025-07-02T23:00:00Z").as_deref(), Some("2025-07-03T02:00:00Z"));
        // One behind the other, and a weekend given by a list.
        let both =
            ["22:00-02:00", "Sat,Sun 02:00-24:00 UTC", "Fri-Sun 01:00-03:00 India Standard Time"];
        assert_eq!(free(&both, "2025-07-04T23:00:00Z").as_deref(), Some("2025-07-07T02:00:00Z"));
        assert_eq!(free(&["00:00-24:00"], "2025-07-04T23:00:00Z"), None);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in [
            "",
            "Mon",
            "Mon 8-9-10",
            "Fun 08:00-09:00",
            "08:00-25:00",
            "08:00-09:00 Nowhere",
            "08:00",
        ] {
            assert!(Blackout::parse(text).is_err(), "{text:?}");
        }
    }
}
