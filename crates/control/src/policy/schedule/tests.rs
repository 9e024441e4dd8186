use coffer_azure::BackupSchedule;
use jiff::civil::DateTime;
use jiff::tz::Disambiguation;
use jiff::{SignedDuration, ToSpan as _};
use proptest::prelude::*;

use super::*;
use crate::policy::cases;

fn schedule(zone: &str, intervals: &[&str]) -> Schedule {
    Schedule::of_trigger(&ScheduleBasedTriggerContext {
        schedule: BackupSchedule {
            repeating_time_intervals: intervals.iter().map(|text| (*text).to_owned()).collect(),
            time_zone: Some(zone.to_owned()),
        },
        tagging_criteria: Vec::new(),
    })
    .unwrap()
}

fn us(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_microsecond()
}

/// The times after `from`, up to `count` of them.
fn times(schedule: &Schedule, from: &str, count: usize) -> Vec<String> {
    schedule.upcoming(us(from)).take(count).map(shown).collect()
}

#[test]
fn several_entries_are_one_series_anchored_at_their_starts() {
    let weekly = schedule(
        "UTC",
        &[
            "R/2021-08-15T06:30:00+00:00/P1W",
            "R/2021-08-18T06:30:00Z/P1W",
            "R/2021-08-18T06:30:00Z/P2W",
        ],
    );
    assert_eq!(
        times(&weekly, "2021-08-14T00:00:00Z", 4),
        [
            "2021-08-15T06:30:00Z",
            "2021-08-18T06:30:00Z",
            "2021-08-22T06:30:00Z",
            "2021-08-25T06:30:00Z"
        ]
    );
    assert_eq!(weekly.last_until(us("2021-08-15T06:29:59Z")), None);
    assert_eq!(weekly.last_until(us("2021-08-15T06:30:00Z")), Some(us("2021-08-15T06:30:00Z")));
}

#[test]
fn months_end_with_their_last_day_and_do_not_stay_there() {
    let monthly = schedule("UTC", &["R/2024-01-31T01:00:00Z/P1M"]);
    assert_eq!(
        times(&monthly, "2024-01-31T01:00:00Z", 3),
        ["2024-02-29T01:00:00Z", "2024-03-31T01:00:00Z", "2024-04-30T01:00:00Z"]
    );
    let leap = schedule("UTC", &["R/2024-02-29T01:00:00Z/P1Y"]);
    assert_eq!(
        times(&leap, "2026-01-01T00:00:00Z", 3),
        ["2026-02-28T01:00:00Z", "2027-02-28T01:00:00Z", "2028-02-29T01:00:00Z"]
    );
}

#[test]
fn a_time_in_the_gap_runs_once_behind_it_and_one_in_the_overlap_once() {
    // Berlin skips 02:00 to 03:00 on 2025-03-30 and shows 02:00 to 03:00 twice on 2025-10-26.
    for zone in ["Europe/Berlin", "W. Europe Standard Time"] {
        let daily = schedule(zone, &["R/2025-03-01T02:30:00/P1D"]);
        assert_eq!(
            times(&daily, "2025-03-29T00:00:00Z", 3),
            ["2025-03-29T01:30:00Z", "2025-03-30T01:30:00Z", "2025-03-31T00:30:00Z"]
        );
        assert_eq!(
            times(&daily, "2025-10-25T00:00:00Z", 3),
            ["2025-10-25T00:30:00Z", "2025-10-26T00:30:00Z", "2025-10-27T01:30:00Z"]
        );
    }
    // A start within the gap moves itself and no other.
    let daily = schedule("Europe/Berlin", &["R/2025-03-30T02:30:00/P1D"]);
    assert_eq!(
        times(&daily, "2025-03-29T00:00:00Z", 2),
        ["2025-03-30T01:30:00Z", "2025-03-31T00:30:00Z"]
    );
    // Samoa had no 30 December 2011: what falls there falls on the next day, which is one run.
    let daily = schedule("Pacific/Apia", &["R/2011-12-28T12:00:00/P1D"]);
    assert_eq!(
        times(&daily, "2011-12-29T00:00:00Z", 3),
        ["2011-12-29T22:00:00Z", "2011-12-30T22:00:00Z", "2011-12-31T22:00:00Z"]
    );
}

#[test]
fn hours_are_real_time() {
    let hourly = schedule("Europe/Berlin", &["R/2025-10-25T20:00:00+02:00/PT4H"]);
    assert_eq!(
        times(&hourly, "2025-10-25T18:00:00Z", 3),
        ["2025-10-25T22:00:00Z", "2025-10-26T02:00:00Z", "2025-10-26T06:00:00Z"]
    );
}

#[test]
fn what_was_missed_is_counted_and_only_the_newest_is_due() {
    let daily = schedule("UTC", &["R/2025-01-01T03:00:00Z/P1D"]);
    let (after, now) = (us("2025-01-02T03:00:00Z"), us("2025-01-06T02:00:00Z"));
    assert_eq!(
        daily.due(after, now),
        Some(Due { newest_us: us("2025-01-05T03:00:00Z"), earlier: 2 })
    );
    assert_eq!(daily.due(us("2025-01-05T03:00:00Z"), now), None);
    let often = schedule("UTC", &["R/2025-01-01T03:00:00Z/PT1S"]);
    assert_eq!(often.due(after, now).map(|due| due.earlier), Some(MISSED_MAX));
}

#[test]
fn the_end_of_the_calendar_is_the_end_of_the_schedule() {
    let late = schedule("UTC", &["R/9998-06-01T00:00:00Z/P1Y"]);
    assert_eq!(late.next_after(us("9999-06-01T00:00:00Z")), None);
    assert_eq!(late.last_until(i64::MAX), Some(us("9999-06-01T00:00:00Z")));
    assert_eq!(late.next_after(i64::MIN), Some(us("9998-06-01T00:00:00Z")));
}

/// Goes from time to time, which is slow and plain: the wall clock moves by whole periods, real time by seconds.
fn naive(zone: &TimeZone, start: DateTime, period: Period, until: Timestamp) -> Vec<i64> {
    let mut found = Vec::new();
    for n in 0_i64.. {
        let at = match period {
            Period::Calendar(unit, step) => {
                let distance = match unit {
                    'D' => (n * step).days(),
                    'W' => (n * step).weeks(),
                    'M' => (n * step).months(),
                    _ => (n * step).years(),
                };
                let civil = start.checked_add(distance).unwrap();
                zone.to_ambiguous_timestamp(civil).disambiguate(Disambiguation::Compatible).unwrap()
            }
            Period::Seconds(step) => {
                let first = zone.to_ambiguous_timestamp(start).compatible().unwrap();
                first + SignedDuration::from_secs(n * step)
            }
        };
        if at > until {
            break;
        }
        if found.last() != Some(&at.as_microsecond()) {
            found.push(at.as_microsecond());
        }
    }
    found
}

#[derive(Debug, Clone, Copy)]
enum Period {
    Calendar(char, i64),
    Seconds(i64),
}

impl Period {
    fn text(self) -> String {
        match self {
            Self::Calendar(unit, step) => format!("P{step}{unit}"),
            Self::Seconds(step) => format!("PT{step}S"),
        }
    }
}

fn periods() -> impl Strategy<Value = Period> {
    prop_oneof![
        (1..40_i64).prop_map(|step| Period::Calendar('D', step)),
        (1..6_i64).prop_map(|step| Period::Calendar('W', step)),
        (1..14_i64).prop_map(|step| Period::Calendar('M', step)),
        (1..3_i64).prop_map(|step| Period::Calendar('Y', step)),
        (3600..2_000_000_i64).prop_map(Period::Seconds),
    ]
}

const ZONES: [&str; 7] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kolkata",
    "Africa/Casablanca",
];

#[test]
fn times_are_those_of_a_plain_count() {
    let values = (
        proptest::sample::select(&ZONES[..]),
        proptest::collection::vec((0..1500_i16, 0..1440_i32, periods()), 1..4),
        proptest::collection::vec(0..3_000_i64, 1..20),
    );
    cases::check(400, &values, |(zone, entries, probes)| {
        let resolved = resolve_time_zone(zone).unwrap();
        let until: Timestamp = "2015-06-01T00:00:00Z".parse().unwrap();
        let mut texts = Vec::new();
        let mut expected = Vec::new();
        for (day, minute, period) in entries {
            let start = jiff::civil::date(2008, 1, 31).at(0, 0, 0, 0)
                + i32::from(day).days().minutes(minute);
            texts.push(format!("R/{start}/{}", period.text()));
            expected.extend(naive(&resolved, start, period, until));
        }
        expected.sort_unstable();
        expected.dedup();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let schedule = schedule(zone, &texts);
        let found: Vec<i64> = schedule
            .upcoming(i64::MIN)
            .take_while(|at| *at <= until.as_microsecond())
            .take(2000)
            .collect();
        prop_assert_eq!(&found[..], &expected[..expected.len().min(2000)]);
        for probe in probes {
            let at = us("2008-01-01T00:00:00Z") + probe * 86_400_000_000 + 7;
            if at <= until.as_microsecond() {
                let last = expected.iter().copied().rfind(|time| *time <= at);
                prop_assert_eq!(schedule.last_until(at), last);
            }
        }
        Ok(())
    });
}
