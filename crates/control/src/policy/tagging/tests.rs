use coffer_azure::{BackupSchedule, TaggingCriteria};
use serde_json::{Value, json};

use super::*;

/// Times for which the schedule has made recovery points.
struct Made(Vec<i64>);

impl History for Made {
    fn has_between(&self, from_us: i64, before_us: i64) -> bool {
        self.0.iter().any(|at| (from_us..before_us).contains(at))
    }
}

fn us(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_microsecond()
}

fn berlin() -> TimeZone {
    TimeZone::get("Europe/Berlin").unwrap()
}

/// A policy in Berlin's time with these tags, by priority, and a default.
fn trigger(tags: &[(&str, Value)]) -> ScheduleBasedTriggerContext {
    let mut all: Vec<Value> = tags
        .iter()
        .enumerate()
        .map(|(place, (name, criteria))| {
            let mut criteria = criteria.clone();
            criteria["objectType"] = json!("ScheduleBasedBackupCriteria");
            json!({"isDefault": false, "taggingPriority": 10 + place, "tagInfo": {"tagName": name}, "criteria": [criteria]})
        })
        .collect();
    // The order of the list is of no meaning.
    all.reverse();
    all.push(json!({"isDefault": true, "taggingPriority": 0, "tagInfo": {"tagName": "Default"}}));
    ScheduleBasedTriggerContext {
        schedule: BackupSchedule {
            repeating_time_intervals: vec!["R/2025-01-01T00:30:00/P1D".to_owned()],
            time_zone: Some("W. Europe Standard Time".to_owned()),
        },
        tagging_criteria: all
            .into_iter()
            .map(|tag| serde_json::from_value::<TaggingCriteria>(tag).unwrap())
            .collect(),
    }
}

#[test]
fn the_lowest_number_wins_and_the_default_takes_the_rest() {
    let trigger = trigger(&[
        ("Yearly", json!({"absoluteCriteria": ["FirstOfYear"]})),
        ("Monthly", json!({"absoluteCriteria": ["FirstOfMonth"]})),
        ("Daily", json!({"absoluteCriteria": ["FirstOfDay"]})),
    ]);
    let mut made = Made(Vec::new());
    // In Berlin the second of these is the first of February.
    for (at, tag) in [
        ("2025-01-31T22:30:00Z", "Yearly"),
        ("2025-01-31T23:30:00Z", "Monthly"),
        ("2025-02-01T10:00:00Z", "Default"),
        ("2025-02-01T23:30:00Z", "Daily"),
        ("2025-12-31T23:30:00Z", "Yearly"),
    ] {
        assert_eq!(tag_of(&trigger, &berlin(), us(at), &made), Some(tag), "{at}");
        made.0.push(us(at));
    }
    assert_eq!(periods(&trigger).len(), 3);
}

#[test]
fn what_failed_takes_no_place() {
    let trigger = trigger(&[("Daily", json!({"absoluteCriteria": ["FirstOfDay"]}))]);
    // Nothing was made in the morning, since it failed: the next one of the day is the first.
    let made = Made(vec![us("2025-02-01T10:00:00Z")]);
    assert_eq!(tag_of(&trigger, &berlin(), us("2025-02-02T16:00:00Z"), &made), Some("Daily"));
}

#[test]
fn members_are_all_of_one_and_one_of_their_values() {
    let fits = |criteria: Value, at: &str| {
        let trigger = trigger(&[("It", criteria)]);
        tag_of(&trigger, &berlin(), us(at), &Made(Vec::new())) == Some("It")
    };
    let first_sunday = json!({"daysOfTheWeek": ["sunday"], "weeksOfTheMonth": ["First"]});
    assert!(fits(first_sunday.clone(), "2025-06-01T10:00:00Z"));
    assert!(!fits(first_sunday.clone(), "2025-06-08T10:00:00Z"));
    assert!(!fits(first_sunday, "2025-06-02T10:00:00Z"));
    let last_friday = json!({"daysOfTheWeek": ["Friday"], "weeksOfTheMonth": ["Last"]});
    assert!(fits(last_friday.clone(), "2025-02-28T10:00:00Z"));
    assert!(!fits(last_friday, "2025-02-21T10:00:00Z"));
    let last_day = json!({"daysOfMonth": [{"isLast": true}, {"date": 15}]});
    for (at, expected) in [
        ("2024-02-29T10:00:00Z", true),
        ("2024-02-15T10:00:00Z", true),
        ("2024-02-28T10:00:00Z", false),
    ] {
        assert_eq!(fits(last_day.clone(), at), expected, "{at}");
    }
    assert!(fits(json!({"monthsOfYear": ["January", "July"]}), "2025-07-04T10:00:00Z"));
    assert!(!fits(json!({"monthsOfYear": ["January", "July"]}), "2025-08-04T10:00:00Z"));
    // Half past one in Berlin's summer, as the instant says and as the wall clock says.
    for time in ["2025-07-01T23:30:00Z", "2021-01-01T01:30:00"] {
        let criteria = json!({"scheduleTimes": [time]});
        assert!(fits(criteria.clone(), "2025-07-03T23:30:00Z"), "{time}");
        assert!(!fits(criteria, "2025-07-03T22:30:00Z"), "{time}");
    }
    assert!(fits(json!({"absoluteCriteria": ["AllBackup"]}), "2025-07-04T10:00:00Z"));
}
