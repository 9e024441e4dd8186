//! The `$filter` of `GET …/backupJobs`: by status, operation, instance, datasource and time.
//!
//! The specification has none; clients of the real service filter in Azure Resource Graph. Names of fields are those of a job's
//! properties. Pure: no clock, no I/O.

use super::filter_text::{Bound, Comparison, comparisons, parse_bound, set_once};
use crate::db::job::{Job, JobKind, JobStatus};

/// Which jobs a listing returns. Bounds in the wrong order select nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobFilter {
    /// Only jobs begun at this time or later, in microseconds since 1970.
    pub from_us: Option<i64>,
    /// Only jobs begun at this time or earlier, in microseconds since 1970.
    pub to_us: Option<i64>,
    /// Only jobs that stand so.
    pub status: Option<JobStatus>,
    /// Only jobs of the instance with this ARM id, in lower case.
    pub instance: Option<String>,
    /// Only jobs of the datasource with this ARM id, in lower case.
    pub datasource: Option<String>,
    /// Only backups, or only restores.
    pub kind: Option<JobKind>,
    /// Only what a person has asked for, or only what the schedule has.
    pub user_triggered: Option<bool>,
    /// Only restores from a second region, or only what is none.
    pub cross_region: Option<bool>,
}

impl JobFilter {
    /// Whether a job is one of those, as far as no index tells it.
    #[must_use]
    pub fn admits(&self, job: &Job) -> bool {
        self.datasource.as_ref().is_none_or(|wanted| job.body.datasource.to_lowercase() == *wanted)
            && self.kind.is_none_or(|wanted| job.body.kind == wanted)
            && self.user_triggered.is_none_or(|wanted| job.body.user_triggered == wanted)
            && self.cross_region.is_none_or(|wanted| job.body.cross_region == wanted)
    }
}

/// Reads a `$filter`. Empty or blank means "all". The error is a sentence for the caller.
///
/// # Errors
/// A field, an operator or a value that there is not.
pub fn parse_job_filter(text: &str) -> Result<JobFilter, String> {
    let mut filter = JobFilter::default();
    for comparison in comparisons(text)? {
        apply(&mut filter, comparison)?;
    }
    Ok(filter)
}

fn apply(filter: &mut JobFilter, comparison: Comparison<'_>) -> Result<(), String> {
    let Comparison { field, operator, value } = comparison;
    match (field.to_ascii_lowercase().as_str(), operator.to_ascii_lowercase().as_str()) {
        ("starttime", "ge") => {
            set_once(&mut filter.from_us, parse_bound(&value, Bound::Start)?, field)
        }
        ("starttime", "gt") => {
            let later_us = parse_bound(&value, Bound::End)?.saturating_add(1);
            set_once(&mut filter.from_us, later_us, field)
        }
        ("starttime", "le") => set_once(&mut filter.to_us, parse_bound(&value, Bound::End)?, field),
        ("starttime", "lt") => {
            let earlier_us = parse_bound(&value, Bound::Start)?.saturating_sub(1);
            set_once(&mut filter.to_us, earlier_us, field)
        }
        ("status", "eq") => set_once(&mut filter.status, status(&value)?, field),
        ("backupinstanceid", "eq") => set_once(&mut filter.instance, value.to_lowercase(), field),
        ("datasourceid", "eq") => set_once(&mut filter.datasource, value.to_lowercase(), field),
        ("operationcategory", "eq") => {
            let (kind, cross_region) = match value.to_ascii_lowercase().as_str() {
                "backup" => (JobKind::Backup, false),
                "restore" => (JobKind::Restore, false),
                "crossregionrestore" => (JobKind::Restore, true),
                _ => {
                    return Err(format!(
                        "the operationCategory '{value}' does not exist; Backup, Restore and CrossRegionRestore do"
                    ));
                }
            };
            set_once(&mut filter.kind, kind, field)?;
            set_once(&mut filter.cross_region, cross_region, field)
        }
        ("operation", "eq") => {
            let (kind, by_a_person) = match value.to_ascii_lowercase().as_str() {
                "backup" => (JobKind::Backup, Some(true)),
                "scheduledbackup" => (JobKind::Backup, Some(false)),
                "restore" => (JobKind::Restore, None),
                _ => {
                    return Err(format!(
                        "the operation '{value}' does not exist; Backup, ScheduledBackup and Restore do"
                    ));
                }
            };
            set_once(&mut filter.kind, kind, field)?;
            by_a_person.map_or(Ok(()), |by| set_once(&mut filter.user_triggered, by, field))
        }
        ("isusertriggered", "eq") => {
            let wanted = value.to_ascii_lowercase().parse();
            let wanted = wanted.map_err(|_| format!("'{value}' is neither true nor false"))?;
            set_once(&mut filter.user_triggered, wanted, field)
        }
        (
            "starttime" | "status" | "backupinstanceid" | "datasourceid" | "operationcategory"
            | "operation" | "isusertriggered",
            _,
        ) => Err(format!("the operator '{operator}' is not supported for '{field}'")),
        _ => Err(format!(
            "'{field}' is not a field that jobs are filtered by; startTime, status, operation, operationCategory, \
             isUserTriggered, backupInstanceId and dataSourceId are"
        )),
    }
}

fn status(value: &str) -> Result<JobStatus, String> {
    JobStatus::ALL
        .into_iter()
        .find(|status| status.as_str().eq_ignore_ascii_case(value))
        .ok_or_else(|| {
            let known = JobStatus::ALL.map(JobStatus::as_str).join(", ");
            format!("the status '{value}' does not exist; {known} do")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_asked() {
        assert_eq!(parse_job_filter(" ").unwrap(), JobFilter::default());
        let filter = parse_job_filter(
            "startTime ge '2026-11-20' and startTime lt '2026-11-21' and status eq 'failed' and Operation eq ScheduledBackup",
        )
        .unwrap();
        assert_eq!(filter.to_us.unwrap() - filter.from_us.unwrap(), 86_400_000_000 - 1);
        assert_eq!(filter.status, Some(JobStatus::Failed));
        assert_eq!((filter.kind, filter.user_triggered), (Some(JobKind::Backup), Some(false)));
        let filter =
            parse_job_filter("backupInstanceId eq '/Subscriptions/X' and isUserTriggered eq true")
                .unwrap();
        assert_eq!(
            (filter.instance.as_deref(), filter.user_triggered),
            (Some("/subscriptions/x"), Some(true))
        );
        let days =
            parse_job_filter("startTime gt '2026-11-20' and startTime le '2026-11-21'").unwrap();
        assert_eq!(days.to_us.unwrap() - days.from_us.unwrap(), 86_400_000_000 - 1);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (text, part) in [
            ("status ne 'Failed'", "'ne'"),
            ("status eq 'Done'", "InProgress, Completed"),
            ("operation eq 'Tiering'", "'Tiering'"),
            ("operation eq 'Backup' and isUserTriggered eq false", "twice"),
            ("operation eq 'Restore' and operationCategory eq 'Backup'", "twice"),
            ("startTime eq '2026-01-01'", "'eq'"),
            ("startTime ge 'yesterday'", "yesterday"),
            ("duration gt 5", "'duration'"),
            ("not status eq 'Failed'", "where 'and' was expected"),
        ] {
            let reason = parse_job_filter(text).expect_err(text);
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }
}
