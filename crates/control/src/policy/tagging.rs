//! Which retention tag a recovery point gets: exactly one, of those that fit the one with the lowest priority number.
//!
//! Criteria look at the time for which the schedule wanted the backup, in the schedule's zone, so that one that was late keeps
//! its day. The members of one entry all have to fit; of several entries one has to. "The first of a period" is the first
//! recovery point that the schedule has made for that period: what users take by hand gets the default tag (or the one that
//! they name), and takes no period's place.

use coffer_azure::{
    AbsoluteMarker, BackupCriteria, ScheduleBasedBackupCriteria, ScheduleBasedTriggerContext,
    TaggingCriteria,
};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::calendar::{Period, zoned};

/// Tells whether the schedule has made a recovery point that was wanted from the first of these times on and before the second.
pub trait History {
    /// Both in microseconds since 1970.
    fn has_between(&self, from_us: i64, before_us: i64) -> bool;
}

/// The name of the tag for a backup that the schedule, which counts in this zone, wants at this time; none where the policy has no default.
#[must_use]
pub fn tag_of<'a>(
    trigger: &'a ScheduleBasedTriggerContext,
    zone: &TimeZone,
    scheduled_us: i64,
    history: &impl History,
) -> Option<&'a str> {
    let at = zoned(zone, scheduled_us)?;
    let mut tags: Vec<&TaggingCriteria> = trigger.tagging_criteria.iter().collect();
    tags.sort_by_key(|tag| tag.tagging_priority);
    let fits = |tag: &&&TaggingCriteria| {
        !tag.is_default
            && tag.criteria.iter().flatten().any(|criteria| {
                let BackupCriteria::ScheduleBasedBackupCriteria(criteria) = criteria;
                criteria_fit(criteria, zone, &at, scheduled_us, history)
            })
    };
    let chosen = tags.iter().find(fits).or_else(|| tags.iter().find(|tag| tag.is_default))?;
    Some(&chosen.tag_info.tag_name)
}

/// The periods whose beginnings decide, for whoever has to fetch what [`History`] is asked for.
#[must_use]
pub fn periods(trigger: &ScheduleBasedTriggerContext) -> Vec<Period> {
    let markers =
        trigger.tagging_criteria.iter().flat_map(|tag| tag.criteria.iter().flatten()).flat_map(
            |BackupCriteria::ScheduleBasedBackupCriteria(one)| {
                one.absolute_criteria.iter().flatten()
            },
        );
    markers.filter_map(period_of).collect()
}

fn period_of(marker: &AbsoluteMarker) -> Option<Period> {
    match marker {
        AbsoluteMarker::FirstOfDay => Some(Period::Day),
        AbsoluteMarker::FirstOfWeek => Some(Period::Week),
        AbsoluteMarker::FirstOfMonth => Some(Period::Month),
        AbsoluteMarker::FirstOfYear => Some(Period::Year),
        _ => None,
    }
}

fn criteria_fit(
    criteria: &ScheduleBasedBackupCriteria,
    zone: &TimeZone,
    at: &Zoned,
    scheduled_us: i64,
    history: &impl History,
) -> bool {
    let ScheduleBasedBackupCriteria {
        absolute_criteria,
        days_of_month,
        days_of_the_week,
        months_of_year,
        schedule_times,
        weeks_of_the_month,
    } = criteria;
    any(absolute_criteria.as_deref(), |marker| match period_of(marker) {
        Some(period) => !history.has_between(period.start_us(zone, scheduled_us), scheduled_us),
        None => *marker == AbsoluteMarker::AllBackup,
    }) && any(days_of_month.as_deref(), |day| {
        day.date.is_some_and(|date| date == i32::from(at.day()))
            || (day.is_last == Some(true) && at.day() == at.days_in_month())
    }) && any(days_of_the_week.as_deref(), |name| {
        name.eq_ignore_ascii_case(&at.strftime("%A").to_string())
    }) && any(months_of_year.as_deref(), |name| {
        name.eq_ignore_ascii_case(&at.strftime("%B").to_string())
    }) && any(schedule_times.as_deref(), |text| time_of_day(text, zone) == Some(at.time()))
        && any(weeks_of_the_month.as_deref(), |name| in_week(name, at))
}

/// An absent or empty member fits any time.
fn any<T>(wanted: Option<&[T]>, fits: impl Fn(&T) -> bool) -> bool {
    wanted.is_none_or(|wanted| wanted.is_empty() || wanted.iter().any(fits))
}

/// The first week are the days 1 to 7, the last the last seven: "First" with "Sunday" is the first Sunday.
fn in_week(name: &str, at: &Zoned) -> bool {
    let number = (at.day() - 1) / 7;
    match name.to_ascii_lowercase().as_str() {
        "first" => number == 0,
        "second" => number == 1,
        "third" => number == 2,
        "fourth" => number == 3,
        "last" => at.day() + 7 > at.days_in_month(),
        _ => false,
    }
}

/// The time of day of a date-time; with an offset it is that of the instant in the zone.
fn time_of_day(text: &str, zone: &TimeZone) -> Option<jiff::civil::Time> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant.to_zoned(zone.clone()).time());
    }
    text.parse::<jiff::civil::DateTime>().ok().map(jiff::civil::DateTime::time)
}

#[cfg(test)]
mod tests;
