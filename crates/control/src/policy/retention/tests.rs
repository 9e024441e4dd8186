use std::collections::BTreeMap;

use coffer_azure::{BackupSchedule, ScheduleBasedTriggerContext, TaggingCriteria};
use jiff::{Span, Timestamp};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::policy::schedule::Schedule;
use crate::policy::tagging::{History, tag_of};
use crate::policy::{calendar, cases};

fn point(id: &str, taken_us: i64, expiry_us: Option<i64>) -> Point<'_> {
    Point { id, taken_us, expiry_us, damaged: false, in_use: false }
}

#[test]
fn the_newest_good_one_stays_whatever_its_end_says() {
    let good = point("a", 1, Some(5));
    let damaged = Point { damaged: true, ..point("b", 2, Some(6)) };
    assert_eq!(
        decide(&[damaged, good], Keep::ByPolicy, 10),
        [Decision::Delete { expired_us: 6 }, Decision::Keep(KeepReason::NewestGood)]
    );
    let both = [Point { damaged: true, ..good }, damaged];
    assert_eq!(
        decide(&both, Keep::ByPolicy, 10),
        [Decision::Delete { expired_us: 5 }, Decision::Keep(KeepReason::NewestGood)]
    );
}

#[test]
fn each_that_stays_has_its_reason() {
    let points = [
        point("newest", 4, Some(5)),
        point("later", 3, Some(20)),
        point("ever", 2, None),
        Point { in_use: true, ..point("read", 1, Some(5)) },
        point("old", 0, Some(10)),
    ];
    let reasons = decide(&points, Keep::ByPolicy, 10);
    assert_eq!(
        reasons,
        [
            Decision::Keep(KeepReason::NewestGood),
            Decision::Keep(KeepReason::Until(20)),
            Decision::Keep(KeepReason::ForEver),
            Decision::Keep(KeepReason::InUse),
            Decision::Delete { expired_us: 10 },
        ]
    );
    let stopped = decide(&points, Keep::All, 10);
    assert!(stopped.iter().all(|decision| matches!(decision, Decision::Keep(_))), "{stopped:?}");
    assert_eq!(stopped[4].to_string(), "the protection was stopped: everything is kept");
}

#[derive(Debug, Clone)]
struct Taken {
    id: String,
    scheduled_us: i64,
    taken_us: i64,
    expiry_us: Option<i64>,
    damaged: bool,
    tag: String,
}

struct Before<'a>(&'a [Taken]);

impl History for Before<'_> {
    fn has_between(&self, from_us: i64, before_us: i64) -> bool {
        self.0.iter().any(|taken| (from_us..before_us).contains(&taken.scheduled_us))
    }
}

fn trigger(interval: &str) -> ScheduleBasedTriggerContext {
    let tag = |name: &str, priority: i64, marker: &str| {
        json!({
            "criteria": [{"absoluteCriteria": [marker], "objectType": "ScheduleBasedBackupCriteria"}],
            "isDefault": false, "taggingPriority": priority, "tagInfo": {"tagName": name}
        })
    };
    let tags = [
        tag("Yearly", 10, "FirstOfYear"),
        tag("Monthly", 15, "FirstOfMonth"),
        tag("Weekly", 20, "FirstOfWeek"),
        json!({"isDefault": true, "taggingPriority": 99, "tagInfo": {"tagName": "Default"}}),
    ];
    ScheduleBasedTriggerContext {
        schedule: BackupSchedule {
            repeating_time_intervals: vec![interval.to_owned()],
            time_zone: Some("Europe/Berlin".to_owned()),
        },
        tagging_criteria: tags
            .into_iter()
            .map(|tag| serde_json::from_value::<TaggingCriteria>(tag).unwrap())
            .collect(),
    }
}

/// Says which go by comparing each with each, as the rule is written.
fn naive(points: &[Taken], now_us: i64) -> Vec<String> {
    let survives = |one: &Taken| {
        let better = |other: &Taken| {
            other.id != one.id
                && match (other.damaged, one.damaged) {
                    (false, true) => true,
                    (true, false) => false,
                    _ => (other.taken_us, &one.id) > (one.taken_us, &other.id),
                }
        };
        one.expiry_us.is_none_or(|expiry| expiry > now_us) || !points.iter().any(better)
    };
    points.iter().filter(|one| !survives(one)).map(|one| one.id.clone()).collect()
}

fn us(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_microsecond()
}

const DAY_US: i64 = 86_400_000_000;

/// Lives through years: backups at their times (some fail, some are damaged later), retention every so many days.
fn live(
    interval: &str,
    keep_days: [i64; 4],
    years: i64,
    fails: &[bool],
    damage: &[bool],
    retention_days: i64,
) -> (Vec<Taken>, usize) {
    let trigger = trigger(interval);
    let schedule = Schedule::of_trigger(&trigger).unwrap();
    let keep: BTreeMap<&str, i64> =
        ["Yearly", "Monthly", "Weekly", "Default"].into_iter().zip(keep_days).collect();
    let begin = us("2016-01-01T00:00:00Z");
    let end = begin + years * 365 * DAY_US;
    let (mut points, mut decisions): (Vec<Taken>, usize) = (Vec::new(), 0);
    let (mut at, mut number) = (begin, 0);
    let mut retention_at = begin;
    let mut taken_any = false;
    while let Some(next) = schedule.next_after(at).filter(|next| *next < end) {
        at = next;
        number += 1;
        if !fails[number % fails.len()] {
            let tag = tag_of(&trigger, schedule.zone(), at, &Before(&points)).unwrap().to_owned();
            let taken_us = at + 60_000_000;
            let expiry_us = calendar::end_of(taken_us, Span::new().days(keep[tag.as_str()]));
            taken_any = true;
            points.push(Taken {
                id: format!("{number:08}"),
                scheduled_us: at,
                taken_us,
                expiry_us,
                damaged: damage[number % damage.len()],
                tag,
            });
        }
        if at < retention_at {
            continue;
        }
        retention_at = at + retention_days * DAY_US;
        let given: Vec<Point<'_>> = points
            .iter()
            .map(|one| Point {
                damaged: one.damaged,
                ..point(&one.id, one.taken_us, one.expiry_us)
            })
            .collect();
        let decided = decide(&given, Keep::ByPolicy, at);
        decisions += decided.len();
        let gone: Vec<String> = given
            .iter()
            .zip(&decided)
            .filter(|(_, decision)| matches!(decision, Decision::Delete { .. }))
            .map(|(point, _)| point.id.to_owned())
            .collect();
        assert_eq!(gone, naive(&points, at));
        points.retain(|one| !gone.contains(&one.id));
        assert!(!taken_any || !points.is_empty(), "what was protected is not any more");
    }
    (points, decisions)
}

#[test]
fn ten_years_of_days_leave_what_grandfather_father_and_son_should() {
    let (points, decisions) =
        live("R/2015-12-31T22:00:00Z/P1D", [3650, 365, 35, 7], 10, &[false], &[false], 1);
    let count = |tag: &str| points.iter().filter(|one| one.tag == tag).count();
    println!("{decisions} decisions; {} recovery points are left", points.len());
    assert_eq!(count("Yearly"), 10);
    assert!((11..=12).contains(&count("Monthly")), "{}", count("Monthly"));
    assert!((4..=6).contains(&count("Weekly")), "{}", count("Weekly"));
    assert!((5..=8).contains(&count("Default")), "{}", count("Default"));
}

#[test]
fn decades_end_as_the_plain_rule_says() {
    let intervals = [
        "R/2015-12-31T22:00:00Z/P1D",
        "R/2015-12-31T02:30:00/P1W",
        "R/2016-01-31T05:00:00Z/P1M",
        "R/2016-01-01T00:00:00Z/P3D",
    ];
    let values = (
        proptest::sample::select(intervals.to_vec()),
        proptest::array::uniform4(1_i64..900),
        proptest::collection::vec(proptest::bool::weighted(0.2), 3..40),
        proptest::collection::vec(proptest::bool::weighted(0.1), 3..40),
        1_i64..40,
    );
    let decided = std::cell::Cell::new(0);
    cases::check(64, &values, |(interval, keep_days, fails, damage, retention_days)| {
        let (points, decisions) = live(interval, keep_days, 20, &fails, &damage, retention_days);
        decided.set(decided.get() + decisions);
        // Whoever was protected is: something good is left as long as something good was taken lately.
        if fails.iter().all(|fails| !fails) && damage.iter().all(|damaged| !damaged) {
            prop_assert!(!points.is_empty());
        }
        Ok(())
    });
    println!("{} decisions, each as the plain rule says", decided.get());
}
